"""The family tree of the breeds, as the network sees them."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import check_metric
from dogsim.errors import DogsimError
from dogsim.figures.canvas import Drawing
from dogsim.images import open_image

LINKAGE = "average"
LEAF = 0.3  # inches of height
THUMBNAIL = 64  # pixels
COLOUR = "#0072b2"


def breed_tree(dataset: DatasetOrFile, metric: str = "euclidean") -> Figure:
    """Draw which breeds are near each other: hierarchical clustering of their mean features.

    Parameters
    ----------
    dataset : Dataset or path
        Two breeds or more; pictures of unknown breed are left out.
    metric : str
        One of `dogsim.METRICS`, between the means.

    Returns
    -------
    matplotlib.figure.Figure
        A tree that grows from right to left by average linkage (Sokal and Michener 1958): two
        groups join at the mean distance between the breeds of one and those of the other. Beside
        each leaf is the picture nearest to its breed's mean, where it can be read.

    Raises
    ------
    DogsimError
        If the metric is unknown or there are fewer than two breeds.
    """
    dataset = as_dataset(dataset)
    from scipy.cluster.hierarchy import dendrogram

    labels, means, joined = _clustered(dataset, metric)
    names = [dataset.breeds[label] for label in labels]
    height = max(2.0, LEAF * len(labels) + 1)
    figure = Drawing((9, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    tree, leaves = figure.subplots(1, 2, width_ratios=[1, 0.62])
    drawn = dendrogram(
        joined, ax=tree, orientation="left", color_threshold=0, above_threshold_color=COLOUR
    )
    order = drawn["leaves"]
    tree.set_yticks([])
    tree.spines[["left", "top", "right"]].set_visible(False)
    tree.set_xlabel(f"{metric} distance of the means, {LINKAGE} linkage")
    tree.set_title(f"{len(labels)} breeds, {len(dataset)} pictures", fontsize=11, loc="left")
    _label(leaves, [names[i] for i in order])
    for place, i in enumerate(order):
        _show(leaves, place, dataset, _most_typical(dataset, labels[i], means[i]))
    return figure


def tree_order(dataset: Dataset, metric: str = "euclidean") -> NDArray[np.intp]:
    """Order the labels of a dataset's breeds as the leaves of their tree, from its top.

    Returns
    -------
    (c,) int
        Breeds without a picture come last. Raises `DogsimError` if the metric is unknown.

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
    """Labels (c,) that have pictures, their mean features (c, d), and scipy's table of joins."""
    from scipy.cluster.hierarchy import linkage

    check_metric(metric)
    labels = np.unique(dataset.labels[dataset.labels >= 0]).astype(np.int32)
    if len(labels) < 2:
        raise DogsimError(f"Received a dataset of {len(labels)} breeds. Expected two or more.")
    features = dataset.features
    rows = [np.flatnonzero(dataset.labels == label) for label in labels]
    means: NDArray[np.float64] = np.stack(
        [np.asarray(features[each], np.float64).mean(axis=0) for each in rows]
    )
    joined = linkage(means, LINKAGE, metric, optimal_ordering=True)
    return labels, means, joined


def _most_typical(dataset: Dataset, label: int, mean: NDArray[np.float64]) -> int:
    """The row of the picture that is nearest to its breed's mean."""
    rows = np.flatnonzero(dataset.labels == label)
    apart = np.asarray(dataset.features[rows], np.float64) - mean
    return int(rows[(apart**2).sum(axis=1).argmin()])


def _label(leaves: Axes, names: list[str]) -> None:
    leaves.set(xlim=(0, 8), ylim=(0, len(names)))
    leaves.set_axis_off()
    for place, name in enumerate(names):
        leaves.text(1.2, place + 0.5, name, va="center", fontsize=10)


def _show(leaves: Axes, place: int, dataset: Dataset, row: int) -> None:
    """Show a picture beside its leaf, nothing where it cannot be read."""
    try:
        picture = open_image(dataset.source(row))
    except DogsimError:
        return
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    square = picture.crop((left, top, left + side, top + side))
    square = square.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BICUBIC)
    inset = leaves.inset_axes((0, place + 0.04, 1, 0.92), transform=leaves.transData)
    inset.imshow(square)
    inset.set_axis_off()
