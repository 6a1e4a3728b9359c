"""Distances, and the k smallest."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, unknown
from dogsim.exact import candidates

METRICS = ("euclidean", "sqeuclidean", "cosine", "cityblock", "chebyshev", "correlation")
BLOCK_BYTES = 1 << 28  # of distances held at a time


def dist_calc(
    dataset: Dataset | ArrayLike, testset: Dataset | ArrayLike, metric: str = "euclidean"
) -> NDArray[np.float64]:
    """Compute the distance of every test picture to every picture of the dataset.

    MATLAB: ``dist_calc.m``, with the same order of arguments.

    Parameters
    ----------
    dataset : Dataset or (n_dataset, d) array
        The known pictures.
    testset : Dataset or (n_test, d) array
        The pictures that are asked about.
    metric : str
        One of `METRICS`, as `scipy.spatial.distance.cdist` defines them.

    Returns
    -------
    (n_test, n_dataset) float64
        Row i is test picture i, column j is dataset picture j.

    Raises
    ------
    DogsimError
        If the metric is unknown, a number is not finite, or the two do not fit each other.

    >>> dist_calc([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]])
    array([[0., 5.]])
    """
    gallery, queries = _pair(dataset, testset, metric)
    return _distances(gallery, queries, metric)


def mink(distances: ArrayLike, k: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k smallest numbers of every row, smallest first; ties go to the lower index.

    MATLAB: ``[values, indices] = mink(distances, k, 2)``.

    Parameters
    ----------
    distances : (n,) or (m, n) array
    k : int
        From 1 to n.

    Returns
    -------
    values, indices : (k,) or (m, k) float64 and int
        The numbers and their columns, counted from 0.

    Raises
    ------
    DogsimError
        If k is less than 1 or more than n, or a distance is NaN.

    >>> mink([5, 1, 4, 1], 3)
    (array([1., 1., 4.]), array([1, 3, 2]))
    """
    array = np.asarray(distances, np.float64)
    rows = np.atleast_2d(array)
    check_k(k, rows.shape[1])
    if np.isnan(rows).any():
        raise DogsimError("Received a distance that is NaN. Expected numbers only.")
    bounds = np.partition(rows, k - 1, axis=1)[:, k - 1]
    indices = np.empty((len(rows), k), np.intp)
    for row, bound, chosen in zip(rows, bounds, indices, strict=True):
        candidates = np.flatnonzero(row <= bound)  # at least k; more where ties straddle the end
        chosen[:] = candidates[np.argsort(row[candidates], kind="stable")[:k]]
    values = np.take_along_axis(rows, indices, axis=1)
    return (values, indices) if array.ndim > 1 else (values[0], indices[0])


def nearest(
    dataset: Dataset | ArrayLike,
    testset: Dataset | ArrayLike,
    k: int,
    metric: str = "euclidean",
    exclude: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest pictures of the dataset for every test picture.

    The same as ``mink(dist_calc(dataset, testset), k)`` in bounded memory.

    Parameters
    ----------
    dataset, testset, metric
        As for `dist_calc`.
    k : int
        How many neighbours, from 1 to the size of the dataset (less one with `exclude`).
    exclude : (n_test,) int array, optional
        For each test picture the row of the dataset that is no neighbour of it: itself.

    Returns
    -------
    distances, indices : (n_test, k) float64 and int
        Nearest first; ties go to the lower index.

    Raises
    ------
    DogsimError
        As `dist_calc` and `mink` do.

    >>> nearest([[0.0], [1.0], [3.0]], [[1.0]], k=2)
    (array([[0., 1.]]), array([[1, 0]]))
    """
    gallery, queries = _pair(dataset, testset, metric)
    check_k(k, len(gallery) - (exclude is not None))
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), np.intp)
    sieved = _sieve(gallery, queries, k, metric, exclude)
    for i, (query, rows) in enumerate(zip(queries, sieved, strict=True)):
        found = _distances(gallery[rows], query[None], metric)[0]
        distances[i], nearest_rows = mink(found, k)
        indices[i] = rows[nearest_rows]
    return distances, indices


def check_k(k: int, most: int) -> None:
    """Raise `DogsimError` unless 1 <= k <= most, the number of pictures to choose from."""
    if not 1 <= k <= most:
        raise DogsimError(
            f"Received k={k}. Expected 1 to {most}, the number of pictures to choose from."
        )


def _distances(
    gallery: NDArray[np.floating], queries: NDArray[np.floating], metric: str
) -> NDArray[np.float64]:
    return np.asarray(cdist(queries, gallery, metric))


def _sieve(
    gallery: NDArray[np.floating],
    queries: NDArray[np.floating],
    k: int,
    metric: str,
    exclude: NDArray[np.integer] | None,
) -> Iterator[NDArray[np.intp]]:
    """Yield for each query, in ascending order, rows that hold its k nearest for certain."""
    if metric in ("euclidean", "sqeuclidean"):
        return candidates(gallery, queries, k, exclude, BLOCK_BYTES)
    if metric == "cosine":  # 2 (1 - cos) is the squared distance of the unit vectors
        # 1 - cos is absolutely off by up to about 2 d 2^-53, the unit vectors by about half of that
        noise = 16 * (gallery.shape[1] + 8) * 2.0**-53
        return candidates(_unit(gallery), _unit(queries), k, exclude, BLOCK_BYTES, noise)
    return _sieve_all(gallery, queries, k, metric, exclude)


def _sieve_all(
    gallery: NDArray[np.floating],
    queries: NDArray[np.floating],
    k: int,
    metric: str,
    exclude: NDArray[np.integer] | None,
) -> Iterator[NDArray[np.intp]]:
    size = max(1, BLOCK_BYTES // (8 * len(gallery)))
    for start in range(0, len(queries), size):
        found = _distances(gallery, queries[start : start + size], metric)
        if exclude is not None:
            found[np.arange(len(found)), exclude[start : start + size]] = np.inf
        bounds = np.partition(found, k - 1, axis=1)[:, k - 1]
        yield from (np.flatnonzero(row <= bound) for row, bound in zip(found, bounds, strict=True))


def _unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(vectors / lengths)


def _pair(
    dataset: Dataset | ArrayLike, testset: Dataset | ArrayLike, metric: str
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)
    if isinstance(dataset, Dataset) and isinstance(testset, Dataset):
        dataset.require_comparable(testset)
    gallery, queries = _features(dataset), _features(testset)
    if gallery.ndim != 2 or queries.ndim != 2 or gallery.shape[1] != queries.shape[1]:
        raise DogsimError(
            f"Received a dataset {gallery.shape} and a test set {queries.shape}. "
            "Expected (n_dataset, d) and (n_test, d)."
        )
    for what, features in (("dataset", gallery), ("test set", queries)):
        if not np.isfinite(features).all():
            raise DogsimError(f"The {what} has features of NaN or infinity. Expected numbers.")
        # a vector without direction
        if metric == "cosine" and not features.any(axis=1).all():
            row = int(np.flatnonzero(~features.any(axis=1))[0])
            raise DogsimError(
                f"Row {row} of the {what} is all zeros and has no direction for metric 'cosine'. "
                "Leave it out, or take 'euclidean'."
            )
    return gallery, queries


def _features(x: Dataset | ArrayLike) -> NDArray[np.floating]:
    features = np.asarray(x.features if isinstance(x, Dataset) else x)
    return features if features.dtype == np.float32 else features.astype(np.float64)
