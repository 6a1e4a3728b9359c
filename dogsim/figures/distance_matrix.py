"""A figure of the distances between images."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dogsim.figures.canvas import Drawing

MAX_NUMBERED_IMAGES = 16  # a larger matrix has no numbers in its squares


def distance_map(images: Sequence[Path], distances: ArrayLike, metric: str = "") -> Figure:
    """Draw a square for each pair of images; the smaller the distance, the darker the square.

    Parameters
    ----------
    images : sequence of n paths
        Their names are the labels, with the folder if two have the same name.
    distances : (n, n) float
    metric : str
        Part of the title.
    """
    matrix, n = np.asarray(distances), len(images)
    side = min(3 + 0.45 * n, 30)
    figure = Drawing(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    squares = axes.imshow(matrix, cmap="viridis", vmin=0)
    font_size = 10 if n <= 20 else max(2, 200 / n)
    names = [_name(path, images) for path in images]
    axes.set_xticks(range(n), names, rotation=90, fontsize=font_size)
    axes.set_yticks(range(n), names, fontsize=font_size)
    axes.set_title(f"{metric} distance".strip())
    if n <= MAX_NUMBERED_IMAGES:
        dark = matrix < matrix.max() / 2
        for (row, column), distance in np.ndenumerate(matrix):
            colour = "white" if dark[row, column] else "black"
            axes.text(
                column, row, f"{distance:.2f}", ha="center", va="center", color=colour, size=8
            )
    figure.colorbar(squares, ax=axes, shrink=0.8)
    return figure


def _name(path: Path, paths: Sequence[Path]) -> str:
    unique = sum(other.name == path.name for other in paths) == 1
    name = path.name if unique else f"{path.parent.name}/{path.name}"
    return name if len(name) <= 28 else f"{name[:13]}…{name[-14:]}"
