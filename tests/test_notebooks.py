"""Notebooks are generated from the lessons; .ci/run also executes them."""

import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from commands import lesson
from conftest import REPOSITORY


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notebooks")
    printed = lesson("make_notebooks", folder)
    assert [Path(line) for line in printed.splitlines()] == sorted(folder.iterdir())
    return folder


def test_every_lesson_of_the_table_has_a_notebook(notebooks: Path) -> None:
    table = (REPOSITORY / "docs" / "lessons.md").read_text()
    listed = re.findall(r"^\| ([1-9])\. .*?`(\w+)\.py`", table, re.MULTILINE)  # 0 is not in cells
    assert [f"{number}-{name}.ipynb" for number, name in listed] == [
        file.name for file in sorted(notebooks.iterdir())
    ]


def test_a_notebook_has_the_text_and_code_of_its_script(notebooks: Path) -> None:
    for file in sorted(notebooks.iterdir()):
        cells = nbformat.read(file, 4).cells
        title, setup, *rest = (cell.source for cell in cells)
        script = (REPOSITORY / "scripts" / f"{file.stem.partition('-')[2]}.py").read_text()
        assert title.startswith(f"# {file.stem[0]}. {script.splitlines()[0][3:]}")
        assert "python scripts/" not in title
        assert "sys.argv = " in setup
        code = [cell.source for cell in cells[2:] if cell.cell_type == "code"]
        assert len(code) >= 2
        for source in code:
            assert source in script
            compile(source, file.name, "exec")
        assert all(f"# %% {text[3:]}" in script for text in rest if text.startswith("## "))


def test_a_script_in_a_notebook_uses_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = import_module("edge")
    parser = edge.parser_of("A lesson.\nIts story.", dataset=True)
    monkeypatch.setattr("sys.excepthook", None)  # restored afterwards
    monkeypatch.setattr("sys.argv", ["lib/ipykernel_launcher.py", "-f", "kernel.json"])
    assert edge.options(parser).seed == 0
    monkeypatch.setattr("sys.argv", ["lesson.py", "--seed", "3"])
    assert edge.options(parser).seed == 3
