"""How far pictures are apart from each other, at a glance."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dogsim.figures.canvas import Drawing

NUMBERS = 16  # up to so many pictures the distances are written into the squares


def distance_map(pictures: Sequence[Path], distances: ArrayLike, metric: str = "") -> Figure:
    """Draw a square for each pair of pictures, the darker the nearer.

    Parameters
    ----------
    pictures : sequence of n paths
        Their names stand at the sides; of two with one name the folders, too.
    distances : (n, n) float
    metric : str
        For the title.

    Returns
    -------
    Figure
    """
    matrix, n = np.asarray(distances), len(pictures)
    side = min(3 + 0.45 * n, 30)
    figure = Drawing(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="viridis", vmin=0)
    small = 10 if n <= 20 else max(2, 200 / n)
    names = [_name(path, pictures) for path in pictures]
    axes.set_xticks(range(n), names, rotation=90, fontsize=small)
    axes.set_yticks(range(n), names, fontsize=small)
    axes.set_title(f"{metric} distance".strip())
    if n <= NUMBERS:
        dark = matrix < matrix.max() / 2
        for (row, column), distance in np.ndenumerate(matrix):
            colour = "white" if dark[row, column] else "black"
            axes.text(
                column, row, f"{distance:.2f}", ha="center", va="center", color=colour, size=8
            )
    figure.colorbar(image, ax=axes, shrink=0.8)
    return figure


def _name(path: Path, others: Sequence[Path]) -> str:
    alone = sum(other.name == path.name for other in others) == 1
    name = path.name if alone else f"{path.parent.name}/{path.name}"
    return name if len(name) <= 28 else f"{name[:13]}…{name[-14:]}"
