"""Neighbours vote."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import check_k, nearest
from dogsim.errors import DogsimError, unknown
from dogsim.feature_extract import extract_features
from dogsim.images import Source
from dogsim.networks.backbones import Extractor, extractor_for

VOTES = ("uniform", "distance")


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


def majority_vote(
    labels: ArrayLike, weights: NDArray[np.float64] | None = None
) -> NDArray[np.int32]:
    """Let neighbours vote: the label with most votes in each row.

    Among labels with equally many the one wins whose nearest neighbour is nearest. Label -1
    (unknown) has no vote, and wins only where it is alone.

    Parameters
    ----------
    labels : (n, k) int
        Row i holds the labels of picture i's neighbours, nearest first.
    weights : (n, k) float64, optional
        What each vote weighs, see `vote_weights`; by default all weigh the same.

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
    winners: NDArray[np.int32] = rows[np.arange(len(rows)), _votes(rows, weights).argmax(axis=1)]
    return winners


def vote_weights(distances: NDArray[np.float64], vote: str) -> NDArray[np.float64] | None:
    """Tell what each neighbour's vote weighs.

    Parameters
    ----------
    distances : (n, k) float64
    vote : {"uniform", "distance"}
        One each, or 1 / distance. Where neighbours have distance 0, only they vote.

    Returns
    -------
    (n, k) float64, or None where all weigh the same

    Raises
    ------
    DogsimError
        If `vote` is neither.

    >>> vote_weights(np.array([[0.5, 2.0], [0.0, 1.0]]), "distance")
    array([[2. , 0.5],
           [1. , 0. ]])
    """
    if vote not in VOTES:
        raise unknown("vote", vote, VOTES)
    if vote == "uniform":
        return None
    zero = distances == 0
    inverse = 1 / np.where(zero, 1, distances)
    return np.where(zero.any(axis=1, keepdims=True), zero, inverse)


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


def _votes(
    labels: NDArray[np.int32], weights: NDArray[np.float64] | None = None
) -> NDArray[np.floating | np.integer]:
    """Sum for each neighbour the votes of its row that have its label, (n, k); 0 for label -1."""
    n, width = len(labels), int(labels.max(initial=-1)) + 2
    places = np.arange(n)[:, None] * width + labels + 1
    flat = None if weights is None else weights.ravel()
    sums = np.bincount(places.ravel(), flat, minlength=n * width)[places]
    return np.where(labels >= 0, sums, 0)
