"""Figures go to the screen, or where there is none, to files."""

import os
from collections.abc import Iterable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from dogsim.plumbing.files import make_folder, replacing


def show_or_save(
    figures: Iterable[tuple[str, Figure]], save: str | os.PathLike[str] | None = None
) -> list[Path]:
    """Show figures one after the other, or save them as PNG files.

    Parameters
    ----------
    figures : iterable of (name, Figure)
        May make each figure when its turn comes. A name becomes the name of a file.
    save : path, optional
        The folder to save to, made if need be. Without it the figures are shown, and saved to
        ``results/`` where there is no display.

    Returns
    -------
    list of Path
        The files that were written; empty if the figures were shown.

    Raises
    ------
    DogsimError
        If the folder or a file cannot be written.
    """
    written: list[Path] = []
    for name, figure in figures:
        if save is None and figure.canvas.required_interactive_framework:
            plt.show()
        else:
            written.append(_save(figure, Path(save or "results"), name, written))
        plt.close(figure)
    return written


def _save(figure: Figure, folder: Path, name: str, taken: list[Path]) -> Path:
    make_folder(folder)
    path, number = folder / f"{name}.png", 2
    while path in taken:
        path, number = folder / f"{name}-{number}.png", number + 1
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
    return path
