"""The progress bar."""

import codecs
import io
import os
import shlex
import subprocess
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dogsim.engines.tensorflow import _stderr_suppressed
from dogsim.plumbing.terminal import input_lines, note, track


@pytest.mark.parametrize(("total", "bar"), [(3, "images"), (0, "")])
def test_a_bar_is_shown_if_there_is_work(
    total: int, bar: str, capsys: pytest.CaptureFixture[str]
) -> None:
    batches = [[1, 2], [3]] if total else []
    assert list(track(batches, total, "images")) == batches
    shown = capsys.readouterr().err
    assert shown.startswith(bar)
    assert bool(shown) == bool(bar)


@pytest.mark.parametrize(
    ("start", "encoding"),
    [
        (b"", "utf-8"),
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
    ],
)
def test_lines_of_other_programs(
    start: bytes, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = start + "é.jpg\r\n\r\n\N{DOG FACE}.jpg\n".encode(encoding)
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(content)), "utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    assert list(input_lines("")) == ["é.jpg", "\N{DOG FACE}.jpg"]


def test_a_name_that_is_not_utf_8(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"caf\xe9.jpg\nb.jpg")), "utf-8")
    monkeypatch.setattr("sys.stdin", stdin)
    assert [os.fsencode(line) for line in input_lines("")] == [b"caf\xe9.jpg", b"b.jpg"]


def test_a_program_without_stderr(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As those of Windows that have no terminal."""
    monkeypatch.setattr("sys.stderr", None)
    assert list(track([[1], [2]], 2, "images")) == [[1], [2]]
    with _stderr_suppressed():
        pass
    note("nobody reads this")
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(os.name != "posix", reason="redirections of a POSIX shell")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- 2>&-"])
def test_closed_streams(closed: str, stored: Path, breeds_dir: Path) -> None:
    """A file that is opened later must not take the number of a stream."""
    command: list[object] = ["classify", breeds_dir / "striped/0.png"]
    command = ["ask"] if closed == "<&-" else command
    code = "from dogsim.cli import app; app()"
    options = ["-k", "2", "--dataset", stored]
    line = shlex.join(map(str, [sys.executable, "-c", code, *command, *options]))
    run = subprocess.run(["sh", "-c", f"{line} {closed}"], capture_output=True, check=True)
    assert (b"striped (2 of 2 votes)" in run.stdout) == (closed == "<&- 2>&-")
    assert b"Traceback" not in run.stderr


@pytest.mark.parametrize(("pause", "lines"), [(0, []), (2, ["images 2/3", "images 3/3"])])
def test_progress_and_notes_in_a_notebook(
    pause: int,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Jupyter shows stderr in red boxes. The progress of short work is not shown."""
    shown: list[str] = []

    def display(content: dict[str, str], **_: object) -> SimpleNamespace:
        shown.append(content["text/plain"])
        return SimpleNamespace(update=display)

    ipython: Any = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    ipython.display = SimpleNamespace(display=display)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    clock = count(0, pause)
    monkeypatch.setattr("dogsim.plumbing.terminal.time.monotonic", lambda: next(clock))
    assert list(track([[1, 2], [3]], 3, "images")) == [[1, 2], [3]]
    assert shown == lines
    note("a note")
    assert capsys.readouterr() == ("a note\n", "")
