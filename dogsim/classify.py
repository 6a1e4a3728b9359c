"""Neighbours vote."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.backbones import Extractor, extractor_for
from dogsim.dataset import Dataset
from dogsim.dist_calc import check_k, nearest
from dogsim.errors import DogsimError
from dogsim.feature_extract import extract_features
from dogsim.images import Source


@dataclass(frozen=True, eq=False)
class Answer:
    """What a dataset says of one picture.

    Attributes
    ----------
    breed : str
        The breed with most votes, "unknown" if no neighbour has a breed.
    votes : int
        How many of the k neighbours have that breed.
    indices : (k,) int
        Rows of the neighbours in the dataset, nearest first.
    distances : (k,) float64
    """

    breed: str
    votes: int
    indices: NDArray[np.intp]
    distances: NDArray[np.float64]


def majority_vote(labels: ArrayLike) -> NDArray[np.int32]:
    """Let neighbours vote: the label most frequent in each row.

    Among labels equally frequent the one wins whose nearest neighbour is nearest. Label -1
    (unknown) has no vote, and wins only where it is alone.

    Parameters
    ----------
    labels : (n, k) int
        Row i holds the labels of picture i's neighbours, nearest first.

    Returns
    -------
    (n,) int32

    Raises
    ------
    DogsimError
        If `labels` is not of two dimensions or has no column.

    >>> majority_vote([[2, 7, 7, 2, 5], [3, -1, -1, -1, -1]])
    array([2, 3], dtype=int32)
    """
    rows = np.asarray(labels, np.int32)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise DogsimError(f"Received labels {rows.shape}. Expected (n, k) with k of at least 1.")
    winners: NDArray[np.int32] = rows[np.arange(len(rows)), _votes(rows).argmax(axis=1)]
    return winners


def classify(
    images: Iterable[Source],
    dataset: Dataset,
    k: int = 20,
    metric: str = "euclidean",
    extractor: Extractor | None = None,
) -> list[Answer]:
    """Find each picture's k nearest in the dataset and let their breeds vote.

    MATLAB: the loop of ``main.m`` around ``feature_extract``, ``dist_calc`` and ``mink``.

    Parameters
    ----------
    images : iterable of path, array or PIL image
        As `dogsim.load_image` takes them.
    dataset : Dataset
        The known pictures.
    k : int
        How many neighbours vote.
    metric : str
        One of `dogsim.METRICS`.
    extractor : Extractor, optional
        By default the one that the dataset was made with is loaded.

    Returns
    -------
    list of Answer
        One for each picture.

    Raises
    ------
    DogsimError
        If the extractor works by another recipe than the dataset's, a picture cannot be read,
        or k or the metric is wrong.
    """
    check_k(k, len(dataset))
    if extractor is None:
        extractor = extractor_for(dataset.recipe)
    elif dataset.recipe:
        dataset.recipe.require(extractor.recipe, "an extractor")
    distances, indices = nearest(dataset, extract_features(images, extractor), k, metric)
    labels = dataset.labels[indices]
    counts = _votes(labels)
    return [
        Answer(dataset.breed(row[count.argmax()]), int(count.max()), row, distance)
        for row, count, distance in zip(indices, counts, distances, strict=True)
    ]


def _votes(labels: NDArray[np.int32]) -> NDArray[np.intp]:
    """Count for each neighbour how many of its row have its label, (n, k); 0 for label -1."""
    n, width = len(labels), int(labels.max(initial=-1)) + 2
    places = np.arange(n)[:, None] * width + labels + 1
    counts = np.bincount(places.ravel(), minlength=n * width)[places]
    return np.where(labels >= 0, counts, 0)
