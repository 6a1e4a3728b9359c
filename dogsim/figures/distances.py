"""Figures of distances: a matrix of those between images, a tree of those between breeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import ArrayLike, NDArray
from PIL import ImageOps

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import check_metric
from dogsim.errors import DogsimError, counted
from dogsim.figures.canvas import Drawing
from dogsim.images import open_image
from dogsim.storage.gallery import check_defined

MAX_NUMBERED_IMAGES = 16  # a larger matrix has no numbers in its squares
LINKAGE = "average"
LEAF_INCHES = 0.3
LEAF_IMAGE_PIXELS = 64
BRANCH_COLOUR = "#0072b2"


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


def breed_tree(dataset: DatasetOrFile, metric: str = "euclidean") -> Figure:
    """Draw a hierarchical clustering of the mean features of the breeds.

    Parameters
    ----------
    dataset : Dataset or path
        Two breeds or more; images of unknown breed are left out.
    metric : str
        Distance of the means, one of `dogsim.METRICS`.

    Returns
    -------
    matplotlib.figure.Figure
        A tree with its root on the left, by average linkage (Sokal and Michener 1958): two groups
        join at the mean distance between the breeds of one and those of the other. Beside each
        leaf is the image nearest to the mean of its breed, if it can be read.

    Raises
    ------
    DogsimError
        If the metric is unknown or there are fewer than two breeds.
    """
    from scipy.cluster.hierarchy import dendrogram

    dataset = as_dataset(dataset)
    labels, means, joined = _clustered(dataset, metric)
    if not joined[:, 2].any():  # the third column has the distances
        raise DogsimError("The mean features of all breeds are equal. Expected different ones.")
    n = len(labels)
    spaced = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Drawing((9, max(2.0, LEAF_INCHES * n + 1)), layout=spaced)
    tree, leaves = figure.subplots(1, 2, width_ratios=[1, 0.62])
    drawn = dendrogram(
        joined, ax=tree, orientation="left", color_threshold=0, above_threshold_color=BRANCH_COLOUR
    )
    tree.set(yticks=[], xlabel=f"{metric} distance of the means, {LINKAGE} linkage")
    tree.spines[["left", "top", "right"]].set_visible(False)
    title = f"{counted(n, 'breed')}, {counted(len(dataset), 'image')}"
    tree.set_title(title, fontsize=11, loc="left")
    leaves.set(xlim=(0, 8), ylim=(0, n))
    leaves.set_axis_off()
    for position, i in enumerate(drawn["leaves"]):
        leaves.text(1.2, position + 0.5, dataset.breeds[labels[i]], va="center", fontsize=10)
        rows = np.flatnonzero(dataset.labels == labels[i])
        differences = np.asarray(dataset.features[rows], np.float64) - means[i]  # (m, d)
        _draw_image(leaves, position, dataset, rows[(differences**2).sum(axis=1).argmin()])
    return figure


def tree_order(dataset: Dataset, metric: str = "euclidean") -> NDArray[np.intp]:
    """Return the labels of a dataset's breeds in the order of the leaves of their tree, (c,) int.

    From above; breeds without an image come last. Raises `DogsimError` for an unknown metric.

    >>> line = Dataset(np.array([[0.0], [9.0], [1.0]]), np.array([0, 1, 2]), tuple("abc"),
    ...                ("pug", "whippet", "bulldog"))
    >>> tree_order(line).tolist()
    [0, 2, 1]
    """
    from scipy.cluster.hierarchy import leaves_list

    known = np.unique(dataset.labels[dataset.labels >= 0])
    if len(known) > 1:
        labels, _, joined = _clustered(dataset, metric)
        known = labels[leaves_list(joined)][::-1]
    return np.append(known, np.setdiff1d(np.arange(len(dataset.breeds)), known))


def _clustered(
    dataset: Dataset, metric: str
) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """Return the labels that have images (c,), their mean features (c, d) and SciPy's linkage."""
    from scipy.cluster.hierarchy import linkage

    check_metric(metric)
    labels = np.unique(dataset.labels[dataset.labels >= 0]).astype(np.int32)
    if len(labels) < 2:
        raise DogsimError(
            f"Received a dataset of {counted(len(labels), 'breed')}. Expected two or more."
        )
    rows = [np.flatnonzero(dataset.labels == label) for label in labels]
    means: NDArray[np.float64] = np.stack(
        [np.asarray(dataset.features[each], np.float64).mean(axis=0) for each in rows]
    )
    check_defined("mean features of the breeds", means, metric)
    return labels, means, linkage(means, LINKAGE, metric, optimal_ordering=True)


def _draw_image(leaves: Axes, position: int, dataset: Dataset, row: int) -> None:
    """Draw the centre of an image beside its leaf, nothing if it cannot be read."""
    try:
        image = open_image(dataset.source(row))
    except DogsimError:
        return
    square = ImageOps.fit(image, (LEAF_IMAGE_PIXELS,) * 2)
    inset = leaves.inset_axes((0, position + 0.04, 1, 0.92), transform=leaves.transData)
    inset.imshow(square)
    inset.set_axis_off()
