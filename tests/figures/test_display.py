from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from PIL import Image

from dogsim.errors import DogsimError
from dogsim.figures.display import show_or_save


@pytest.fixture(autouse=True)
def _no_figure_is_left() -> Iterator[None]:
    yield
    plt.close("all")


def test_saving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = [("a", plt.figure()), ("b", plt.figure()), ("a", plt.figure())]
    written = show_or_save(figures, tmp_path / "new" / "folder")
    assert [path.name for path in written] == ["a.png", "b.png", "a-2.png"]
    for path in written:
        with Image.open(path) as picture:
            assert picture.format == "PNG"
    assert plt.get_fignums() == []

    monkeypatch.chdir(tmp_path)  # the backend of the tests has no display
    assert show_or_save([("c", plt.figure())]) == [Path("results/c.png")]
    (tmp_path / "file").touch()
    with pytest.raises(DogsimError, match="Cannot make the folder"):
        show_or_save([("d", plt.figure())], tmp_path / "file" / "x")
    plt.close("all")


def test_showing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    figures = (("x", plt.figure()) for _ in range(2))
    monkeypatch.setattr(
        "matplotlib.backend_bases.FigureCanvasBase.required_interactive_framework", "tk"
    )
    assert show_or_save(figures) == []
    assert [len(open_figures) for open_figures in shown] == [1, 1]  # one after the other
