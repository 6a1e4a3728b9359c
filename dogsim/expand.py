"""Ranking by more than one picture: each is moved towards its own nearest.

Database-side augmentation and query expansion (Arandjelovic and Zisserman 2012,
doi:10.1109/CVPR.2012.6248018), weighted by a power of the cosine (Radenovic, Tolias and Chum 2018,
arXiv:1711.02512). No label is looked at. What the nearest have in common stays, and what is one
picture's own goes: more of the k nearest are right, while their vote is hardly better.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from dogsim.accuracy import Accuracy, accuracy
from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest, unit_vectors
from dogsim.errors import DogsimError, unknown

RANKS = ("plain", "expand")
NEIGHBOURS, POWER = 10, 3.0  # how many are taken in, each by its cosine to this power
BLOCK = 1024  # pictures at a time


def expand(dataset: Dataset, testset: Dataset | None = None) -> Dataset:
    """Move each picture towards its nearest in a dataset, as unit vectors.

    Parameters
    ----------
    dataset : Dataset
        With features (n, d), whose pictures are the ones moved to.
    testset : Dataset, optional
        The pictures that are moved; by default the dataset's own.

    Returns
    -------
    Dataset
        `testset`, or `dataset`, with features (m, d) of length 1.

    Raises
    ------
    DogsimError
        If a picture's features are all zeros, or the two cannot be compared.

    >>> angles = np.array([0.0, 0.1, 1.5])
    >>> three = Dataset(np.c_[np.cos(angles), np.sin(angles)], np.zeros(3, int), tuple("abc"),
    ...                 ("pug",))
    >>> np.arctan2(*expand(three).features.T[::-1]).round(2)  # the first two have come together
    array([0.05, 0.05, 1.49], dtype=float32)
    """
    own, moved = testset is None, dataset if testset is None else testset
    if testset is not None:
        dataset.require_comparable(testset)
    k = min(NEIGHBOURS, len(dataset) - own)
    features = np.empty(moved.features.shape, np.float32)
    for start in range(0, len(moved), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(moved)))
        units = unit_vectors(np.asarray(moved.features[rows]))
        if k:
            far, found = nearest(dataset, units, k, "cosine", rows if own else None)
            units = units + _mean_of(dataset, found, np.clip(1 - far, 0, None) ** POWER)
        features[rows] = unit_vectors(units)
    return replace(moved, features=features)


def _mean_of(
    dataset: Dataset, found: NDArray[np.intp], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Add up the unit vectors of rows (b, k) by their weights, (b, d)."""
    sums = np.zeros((len(found), dataset.features.shape[1]))
    for rows, weight in zip(found.T, weights.T, strict=True):  # one neighbour of all at a time
        sums += weight[:, None] * unit_vectors(np.asarray(dataset.features[rows]))
    return sums


def check_rank(rank: str, metric: str, protocol: str, confidence: float | None) -> None:
    """Raise `DogsimError` for a way to rank that is unknown, or does not go with the rest."""
    if rank not in RANKS:
        raise unknown("rank", rank, RANKS)
    if metric not in ("euclidean", "sqeuclidean", "cosine"):
        raise DogsimError(
            f"Received metric {metric!r} with rank 'expand', which moves unit vectors. "
            "Expected euclidean, sqeuclidean or cosine."
        )
    if protocol == "matlab" or confidence is not None:
        what = "protocol matlab" if protocol == "matlab" else "a confidence"
        raise DogsimError(f"Received rank 'expand' with {what}, which is of plain neighbours.")


def ranked(dataset: Dataset, testset: Dataset | None) -> tuple[Dataset, Dataset | None]:
    """Expand a dataset, and a test set by it."""
    return expand(dataset), None if testset is None else expand(dataset, testset)


def compared(
    dataset: Dataset,
    k: int = 20,
    testset: Dataset | None = None,
    n_test: int | None = None,
    seed: int = 0,
) -> dict[str, Accuracy]:
    """Judge several ways to rank the same pictures, so that nobody has to guess.

    Parameters
    ----------
    dataset, k, testset, n_test, seed
        As for `dogsim.accuracy`.

    Returns
    -------
    dict of str to Accuracy
        ``"raw"``: the features as they are; ``"unit"``: of length 1, metric cosine; ``"expand"``:
        as `expand` moves them. Of a dataset with views all are of these views.

    Raises
    ------
    DogsimError
        As `dogsim.accuracy` does.
    """
    moved, asked = ranked(dataset, testset)
    return {
        "raw": accuracy(dataset, k, testset, n_test, seed=seed),
        "unit": accuracy(dataset, k, testset, n_test, "cosine", seed=seed),
        "expand": accuracy(moved, k, asked, n_test, seed=seed),
    }
