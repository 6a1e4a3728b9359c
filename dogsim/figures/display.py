"""Figures go to the screen, or where there is none, to files."""

import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from dogsim.figures.canvas import png_of
from dogsim.plumbing.files import check_output, check_replaceable, make_folder, replacing

MAKER = "dogsim"  # stands in every PNG file, by which its own files are known


def show_or_save(
    figures: Iterable[tuple[str, Figure]],
    save: str | os.PathLike[str] | None = None,
    inputs: Iterable[str | os.PathLike[str]] = (),
) -> list[Path]:
    """Show figures one after the other, or save them as PNG files.

    Parameters
    ----------
    figures : iterable of (name, Figure)
        May make each figure when its turn comes. A name becomes the name of a file.
    save : path, optional
        The folder to save to, made if need be. Without it the figures are shown, in a notebook
        below the cell, and saved to ``results/`` where there is no display.
    inputs : iterable of path
        Files that stay as they are, even if they are figures of an earlier run.

    Returns
    -------
    list of Path
        The files that were written; empty if the figures were shown. Only figures of an earlier run
        are replaced: where NAME.png is a file of any other kind, NAME.grid.png is written.

    Raises
    ------
    DogsimError
        If the folder or a file cannot be written.
    """
    show = _display() if save is None else None
    kept = [Path(path) for path in inputs]
    written: list[Path] = []
    for name, figure in figures:
        if show:
            show(figure)
        else:
            written.append(_save(figure, Path(save or "results"), name, [*kept, *written]))
    return written


def save_figure(figure: Figure, path: Path, force: bool = False) -> None:
    """Save a figure as a PNG file of that name.

    Raises `DogsimError` if the file cannot be written, or if there is one that is no figure of an
    earlier run and `force` is not given.
    """
    check_output(path)
    check_replaceable(path, _is_ours, force)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": MAKER})


def _display() -> Callable[[Figure], Any] | None:
    """Find what shows a figure here; None without a display."""
    ipython = sys.modules.get("IPython")
    if ipython and hasattr(ipython.get_ipython(), "kernel"):  # a notebook, not a terminal
        return _show_below_the_cell
    import matplotlib.pyplot as plt

    probe = plt.figure()
    windows = probe.canvas.required_interactive_framework
    plt.close(probe)
    return _show_window if windows else None


def _show_below_the_cell(figure: Figure) -> None:
    """Show a figure in a notebook, also one of matplotlib's own, which is not set up for that."""
    from IPython import display

    display.display(display.Image(png_of(figure)))


def _show_window(figure: Figure) -> None:
    """Lend a figure a window of pyplot's until the user closes it."""
    import matplotlib.pyplot as plt

    window = plt.figure(figsize=figure.get_size_inches())
    number = window.number
    window.canvas.figure = figure
    figure.set_canvas(window.canvas)
    plt.show(block=True)
    plt.close(number)


def _save(figure: Figure, folder: Path, name: str, kept: list[Path]) -> Path:
    make_folder(folder)
    path, number = folder / f"{name}.png", 2
    if path.exists() and not _is_ours(path):
        name = f"{name}.grid"
        path = folder / f"{name}.png"
    while not _is_free(path, kept):
        path, number = folder / f"{name}-{number}.png", number + 1
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": MAKER})
    return path


def _is_free(path: Path, kept: list[Path]) -> bool:
    if not path.exists():
        return True
    return _is_ours(path) and not any(each.exists() and path.samefile(each) for each in kept)


def _is_ours(path: Path) -> bool:
    """Tell whether a file is a PNG that was saved here."""
    if not path.is_file():
        return False
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return bool(image.info.get("Software") == MAKER)
    except Exception:  # whatever it is, it is none of ours
        return False
