"""Run commands and lessons, in this process or in a new one."""

import io
import json
import os
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from types import FrameType
from typing import Any

import pytest
from conftest import REPOSITORY
from typer.main import get_command
from typer.testing import CliRunner

from dogsim.cli import app

COMMANDS = list(get_command(app).commands)  # type: ignore[attr-defined]


def dogsim(*arguments: object, code: int = 0) -> Any:
    """Run a command; the result has stdout and stderr."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (arguments, result.output, result.exception)
    return result


def dogsim_json(*arguments: object) -> dict[str, Any]:
    """Run a command with --json and return the object, the only output on stdout."""
    loaded: dict[str, Any] = json.loads(dogsim(*arguments, "--json").stdout)
    return loaded


def refusal(*arguments: object) -> str:
    """Run a command that must fail with an error of the user; return its message."""
    result = dogsim(*arguments, code=1)
    assert result.stdout == ""
    line: str = result.stderr.splitlines()[-1]
    assert line.startswith("dogsim: ")
    return line


class Hang(BaseException):
    """Raised if a call takes too long."""


@contextmanager
def with_timeout(seconds: int) -> Iterator[None]:
    """Raise `Hang` in the block after a number of seconds."""

    def hang(number: int, frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def python(
    *command: object, given: str = "", **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run Python in a new process, with a text as its input."""
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        input=given,
        env=os.environ | environment,
        cwd=REPOSITORY,
    )


def loaded_after(code: str) -> set[str]:
    """Return the heavy packages that a new Python process has loaded after running `code`."""
    heavy = {"tensorflow", "keras", "matplotlib", "scipy", "numpy", "h5py"}
    done = python("-c", f"{code}\nimport sys\nprint(*({heavy} & set(sys.modules)))")
    assert done.stderr == ""
    return set(done.stdout.splitlines()[-1].split())


def lesson(name: str, *arguments: object) -> str:
    """Run a lesson of scripts/ in this process and return its output."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out):
        patch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        try:
            runpy.run_path(str(REPOSITORY / "scripts" / f"{name}.py"), run_name="__main__")
        except SystemExit as end:  # of `run_script`
            if end.code:
                raise
    return out.getvalue()


def stated_numbers(lesson: str, start: str, end: str) -> list[float]:
    """Return the numbers of three decimals in the answers of a lesson, between two headings."""
    text = (REPOSITORY / "scripts" / f"{lesson}.py").read_text(encoding="utf-8")
    part = text[text.index(start) : text.index(end)]
    answers = re.findall(r'tags=\["answer"\]\n((?:#.*\n)+)', part)
    return [float(number) for answer in answers for number in re.findall(r"\b\d\.\d{3}\b", answer)]
