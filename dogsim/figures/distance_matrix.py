"""A figure of the distances between images, and the scale of distances in a dataset."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.figures.canvas import Drawing

MAX_SAMPLED_IMAGES = 200  # whose nearest-neighbour distances are shown in per cent
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


@lru_cache(maxsize=4)
def own_nearest(dataset: Dataset, metric: str) -> NDArray[np.float64]:
    """Compute the distances of images of a dataset to their nearest other image, ascending, (n,).

    They give a scale for other distances. At most `MAX_SAMPLED_IMAGES` images are drawn at random.
    Empty if the dataset has one image, or features for which the metric is not defined.
    """
    n, rng = len(dataset), np.random.default_rng(0)
    if n < 2:
        return np.empty(0)
    rows = np.sort(rng.choice(n, min(MAX_SAMPLED_IMAGES, n), replace=False))
    features = np.asarray(dataset.features[rows])
    try:
        return np.sort(nearest(dataset, features, 1, metric, rows)[0].ravel())
    except DogsimError:
        return np.empty(0)
