"""`dogsim ask`: one query per line, from a pipe or a terminal."""

import json
import os
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from commands import python
from typer.testing import CliRunner

from dogsim.cli import app
from dogsim.storage.dataset_file import read_fields as read

APP = "from dogsim.cli import app; app()"


def test_ask_answers_line_by_line(stored: Path, breeds_dir: Path) -> None:
    """Quoted paths, as terminals write them, are accepted; an error does not end the session."""
    striped, red = (breeds_dir / name for name in ("striped", "n00000001-red_setter"))
    lines = f"{striped / '0.png'}\n\nnone.jpg\n'{red / '1.png'}'\n{striped}\n"
    run = python("-c", APP, "ask", "-k", 3, "--keep-self", "--dataset", stored, given=lines)
    assert run.returncode == 1
    assert [line.partition(", nearest")[0] for line in run.stdout.splitlines()] == [
        f"{striped / '0.png'}: striped (3 of 3 votes)",
        f"{red / '1.png'}: red setter (3 of 3 votes)",
        *(f"{striped / name}: striped (3 of 3 votes)" for name in ("0.png", "1.png", "2.png")),
    ]
    assert "dogsim: There is no image or folder none.jpg" in run.stderr
    assert run.stderr.endswith("dogsim: 1 of the lines could not be answered.\n")
    assert "Traceback" not in run.stderr


def test_no_line_ends_the_command(stored: Path, breeds_dir: Path) -> None:
    lines = ["~gone.jpg", "x" * 300, "'~gone.jpg'", "a\0b", f"{breeds_dir}/striped/0.png"]
    options = ["ask", "-k", "2", "--dataset", str(stored)]
    result = CliRunner().invoke(app, options, input="\n".join(lines))
    assert result.stdout.count("striped (2 of 2 votes)") == 1
    errors = [line for line in result.stderr.splitlines() if line.startswith("dogsim: ")]
    assert [error[:45] for error in errors] == [
        "dogsim: There is no image or folder ~gone.jpg",
        f"dogsim: Cannot use '{'x' * 25}",
        "dogsim: There is no image or folder ~gone.jpg",
        "dogsim: Cannot use 'a\\x00b' as the images: em",
        "dogsim: 4 of the lines could not be answered.",
    ]


def test_ask_reads_a_list_in_utf_16(stored: Path, breeds_dir: Path) -> None:
    """As Windows' editors and its shell write it."""
    lines = f"{breeds_dir}/striped/0.png\n{breeds_dir}/striped/1.png\n"
    run = subprocess.run(
        [sys.executable, "-c", APP, "ask", "-k", "2", "--dataset", str(stored)],
        input=lines.encode("utf-16"),
        capture_output=True,
        check=True,
    )
    assert run.stdout.count(b"striped (2 of 2 votes)") == 2


def test_ask_takes_the_url_of_a_file(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    """File managers copy these, with escapes."""
    image = shutil.copy(breeds_dir / "striped" / "0.png", tmp_path / "my dog #1 100%.png")
    options = ["ask", "-k", "2", "--dataset", str(stored)]
    assert "%20" in Path(image).as_uri()
    lines = f"{Path(image).as_uri()}\nfile://localhost{Path(image).as_uri()[7:]}\n"
    result = CliRunner().invoke(app, options, input=lines)
    assert result.stdout.count("striped (2 of 2 votes)") == 2, result.stderr


def test_ask_in_json(stored: Path, breeds_dir: Path) -> None:
    options = ("-k", 3, "--rank", "expand", "--dataset", stored, "--json")
    lines = python("-c", APP, "ask", *options, given=f"{breeds_dir}/striped").stdout.splitlines()
    assert len(lines) == 1
    assert [each["breed"] for each in json.loads(lines[0])["results"]] == ["striped"] * 3


def test_ask_opens_the_dataset_once(
    stored: Path, breeds_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def counted(path: Path) -> Any:
        opened.append(path)
        return read(path)

    monkeypatch.setattr("dogsim.dataset.read_fields", counted)
    lines = f"{breeds_dir}/striped/0.png\n" * 3
    result = CliRunner().invoke(app, ["ask", "-k", "2", "--dataset", str(stored)], input=lines)
    assert result.stdout.count("striped (2 of 2 votes)") == 3
    assert len(opened) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_ask_in_a_terminal(stored: Path, breeds_dir: Path) -> None:
    """Tab completes a path, the up arrow repeats the line, Ctrl-D ends."""
    import pty

    main, terminal = pty.openpty()
    options = ["-k", "3", "--keep-self", "--dataset", str(stored)]
    command = [sys.executable, "-c", APP, "ask", *options]
    run = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = ""
    for keys, awaited in [
        ("", "image: "),
        (f"{breeds_dir}/stri\t0\t\n", "striped (3 of 3 votes)"),
        ("\x1b[A\n", "striped (3 of 3 votes)"),
        ("\x04", ""),
    ]:
        os.write(main, keys.encode())
        shown = ""
        # Wait for the next prompt: before it, the terminal itself processes the keys.
        while awaited and not 0 <= shown.find(awaited) <= shown.rfind("image: "):
            assert select.select([main], [], [], 60)[0], shown
            shown += os.read(main, 1000).decode()
    assert run.wait(timeout=60) == 0
    os.close(main)
