import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure
from PIL import Image

from dogsim.errors import DogsimError
from dogsim.figures.display import show_or_save


def test_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = [("a", Figure()), ("b", Figure()), ("a", Figure())]
    written = show_or_save(figures, tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["a.png", "b.png", "a-2.png"]
    for path in written:
        with Image.open(path) as image:
            assert image.format == "PNG"
    assert plt.get_fignums() == []

    monkeypatch.chdir(tmp_path)  # the backend of the tests has no display
    assert show_or_save([("c", Figure())]) == [Path("results/c.png")]
    (tmp_path / "file").touch()
    with pytest.raises(DogsimError, match="Cannot create the folder"):
        show_or_save([("d", Figure())], tmp_path / "file" / "x")


def test_files_of_others_are_never_replaced(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "dog.png")
    (tmp_path / "note.png").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.glob("*.png") if path.is_file()}
    for _ in range(2):  # the second run replaces the figures of the first
        figures = [(name, Figure()) for name in ("dog", "note", "folder", "dog")]
        written = show_or_save(figures, tmp_path)
        names = [path.name for path in written]
        assert names == ["dog.grid.png", "note.grid.png", "folder.grid.png", "dog.grid-2.png"]
    assert before == {path: path.read_bytes() for path in before}
    assert len(list(tmp_path.iterdir())) == 7

    (query,) = show_or_save([("new", Figure())], tmp_path)
    drawn = query.read_bytes()
    (other,) = show_or_save([("new", Figure(facecolor="red"))], tmp_path, inputs=[query])
    assert other.name == "new-2.png"
    assert query.read_bytes() == drawn


def test_showing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    def show(block: bool) -> None:
        assert block  # in interactive mode, the window would close at once otherwise
        shown.append([plt.figure(number).canvas.figure for number in plt.get_fignums()])

    monkeypatch.setattr(plt, "show", show)
    monkeypatch.setattr(
        "matplotlib.backend_bases.FigureCanvasBase.required_interactive_framework", "tk"
    )
    figures = [("x", Figure()) for _ in range(2)]
    assert show_or_save(figures) == []
    assert shown == [[figure] for _, figure in figures]  # one after the other
    assert plt.get_fignums() == []


def test_a_notebook_shows_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Any] = []
    ipython: Any = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    ipython.display = SimpleNamespace(display=shown.append, Image=bytes)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert show_or_save([("x", Figure())]) == []
    assert [png[:4] for png in shown] == [b"\x89PNG"]
    assert plt.get_fignums() == []  # a notebook draws the figures of pyplot at the end of a cell
