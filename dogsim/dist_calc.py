"""Distances, and the k smallest."""

import os
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from dogsim import exact
from dogsim.dataset import Dataset, as_dataset
from dogsim.errors import DogsimError, unknown
from dogsim.plumbing.vectors import unit_vectors
from dogsim.storage.sharded_rows import as_rows

METRICS = ("euclidean", "sqeuclidean", "cosine", "cityblock", "chebyshev", "correlation")
MAX_BLOCK_BYTES = 1 << 28  # held at a time for the queries of a block
SORTED_WHOLE = 128  # numbers in a row, which are sorted sooner than sifted
FULL_ROWS = 8192  # of the gallery, which scipy turns to float64 at a time

Floats = NDArray[np.floating]
Vectors: TypeAlias = "Dataset | str | os.PathLike[str] | ArrayLike"


def dist_calc(dataset: Vectors, testset: Vectors, metric: str = "euclidean") -> NDArray[np.float64]:
    """Compute the distance of every test picture to every picture of the dataset.

    MATLAB: ``dist_calc.m``, with the same order of arguments.

    Parameters
    ----------
    dataset : Dataset, its path, or (n_dataset, d) array
        The known pictures.
    testset : Dataset, its path, or (n_test, d) array
        The pictures that are asked about; one vector (d,) is one picture.
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
    if rows.shape[1] <= SORTED_WHOLE:
        indices = np.argsort(rows, axis=1, kind="stable")[:, :k]
    else:
        indices = np.empty((len(rows), k), np.intp)
        bounds = np.partition(rows, k - 1, axis=1)[:, k - 1]
        for row, bound, chosen in zip(rows, bounds, indices, strict=True):
            candidates = np.flatnonzero(row <= bound)  # at least k; more with ties at the end
            chosen[:] = candidates[np.argsort(row[candidates], kind="stable")[:k]]
    values = np.take_along_axis(rows, indices, axis=1)
    return (values, indices) if array.ndim > 1 else (values[0], indices[0])


def nearest(
    dataset: Vectors,
    testset: Vectors,
    k: int,
    metric: str = "euclidean",
    exclude: ArrayLike | None = None,
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
    exclude = _excluded(exclude, len(queries), len(gallery))
    check_k(k, len(gallery) - (exclude is not None))
    if isinstance(dataset, Dataset) and dataset.search:
        return dataset.search(queries, k, metric, exclude)
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), np.intp)
    size = max(1, MAX_BLOCK_BYTES // exact.bytes_of_a_query(k, gallery.shape[1]))
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        own = None if exclude is None else exclude[block]
        candidates = _sieve(gallery, queries[block], k, metric, own)
        sieved = [i for i, rows in enumerate(candidates, start) if rows is not None]
        rows = [each for each in candidates if each is not None]
        distances[sieved], indices[sieved] = _of_few(gallery, queries[sieved], k, metric, rows)
        in_full = sorted({*range(start, start + len(candidates))} - {*sieved})
        own = None if exclude is None else exclude[in_full]
        distances[in_full], indices[in_full] = _in_full(gallery, queries[in_full], k, metric, own)
    return distances, indices


def check_metric(metric: str) -> None:
    """Raise `DogsimError` unless `metric` is one of `METRICS`."""
    if metric not in METRICS:
        raise unknown("metric", metric, METRICS)


def check_k(k: int, most: int) -> None:
    """Raise `DogsimError` unless 1 <= k <= most, the number of pictures to choose from."""
    if not isinstance(k, int | np.integer) or isinstance(k, bool):
        raise DogsimError(f"Received k={k!r}. Expected a whole number from 1 up.")
    if not 1 <= k <= most:
        raise DogsimError(
            f"Received k={k}. Expected 1 to {most}, the number of pictures to choose from."
        )


def _distances(gallery: Floats, queries: Floats, metric: str) -> NDArray[np.float64]:
    return np.asarray(cdist(queries, gallery, metric))


def _sieve(
    gallery: Floats, queries: Floats, k: int, metric: str, exclude: NDArray[np.integer] | None
) -> list[NDArray[np.intp] | None]:
    """Find for each query rows that hold its k nearest for certain; None stands for all rows."""
    if 8 * k > len(gallery):  # most rows would pass
        return [None] * len(queries)
    if metric in ("euclidean", "sqeuclidean"):
        return exact.candidates(gallery, queries, k, exclude)
    if metric == "cosine":  # 2 (1 - cos) is the squared distance of the unit vectors
        # 1 - cos is absolutely off by up to about 2 d 2^-53, the unit vectors by about half of that
        noise = 16 * (gallery.shape[1] + 8) * 2.0**-53
        return exact.candidates(gallery, queries, k, exclude, unit_vectors, noise)
    return [None] * len(queries)


def _of_few(
    gallery: Floats, queries: Floats, k: int, metric: str, candidates: list[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest of each query among its candidates, rows in ascending order."""
    shape = len(queries), max((len(rows) for rows in candidates), default=k)
    distances, known = np.full(shape, np.inf), np.zeros(shape, np.intp)
    for i, rows in enumerate(candidates):
        distances[i, : len(rows)] = _distances(gallery[rows], queries[i, None], metric)[0]
        known[i, : len(rows)] = rows
    values, chosen = mink(distances, k)
    return values, np.take_along_axis(known, chosen, axis=1)


def _in_full(
    gallery: Floats, queries: Floats, k: int, metric: str, exclude: NDArray[np.integer] | None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest by computing all distances, some queries at a time."""
    found = [(np.empty((0, k)), np.empty((0, k), np.intp))]
    size = max(1, MAX_BLOCK_BYTES // (32 * len(gallery)))  # float64, and copies for sorting
    for start in range(0, len(queries), size):
        asked = queries[start : start + size]
        chunks = (gallery[i : i + FULL_ROWS] for i in range(0, len(gallery), FULL_ROWS))
        distances = np.concatenate([_distances(chunk, asked, metric) for chunk in chunks], axis=1)
        if exclude is not None:
            distances[np.arange(len(asked)), exclude[start : start + size]] = np.inf
        found.append(mink(distances, k))
    values, indices = zip(*found, strict=True)
    return np.concatenate(values), np.concatenate(indices)


def _pair(dataset: Vectors, testset: Vectors, metric: str) -> tuple[Floats, Floats]:
    check_metric(metric)
    dataset, testset = (as_dataset(x) if _is_path(x) else x for x in (dataset, testset))  # type: ignore[arg-type]
    if isinstance(dataset, Dataset) and isinstance(testset, Dataset):
        dataset.require_comparable(testset)
    gallery, queries = _features("dataset", dataset), _features("test set", testset)
    queries = np.atleast_2d(queries) if queries.ndim < 2 else queries
    if gallery.ndim != 2 or queries.ndim != 2 or gallery.shape[1] != queries.shape[1]:
        raise DogsimError(
            f"Received a dataset {gallery.shape} and a test set {queries.shape}. "
            "Expected (n_dataset, d) and (n_test, d)."
        )
    if not (isinstance(dataset, Dataset) and dataset.search):  # which looks at them itself
        _check_numbers("dataset", gallery, metric)
    _check_numbers("test set", queries, metric)
    return gallery, queries


def _check_numbers(what: str, features: Floats, metric: str) -> None:
    for start in range(0, len(features), exact.CHUNK):
        chunk = features[start : start + exact.CHUNK]
        if not np.isfinite(chunk).all():
            raise DogsimError(f"The {what} has features of NaN or infinity. Expected numbers.")
        if metric == "cosine" and not chunk.any(axis=1).all():
            row = start + int(np.flatnonzero(~chunk.any(axis=1))[0])
            raise DogsimError(
                f"Row {row} of the {what} is all zeros and has no direction for metric 'cosine'. "
                "Leave it out, or take 'euclidean'."
            )


def _features(what: str, x: Vectors) -> Floats:
    try:
        features: Floats = as_rows(x.features if isinstance(x, Dataset) else x)
        return features if features.dtype == np.float32 else features.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DogsimError(
            f"Received a {what} of {type(x).__name__}. Expected a Dataset, its path, or an array."
        ) from error


def _is_path(x: Vectors) -> bool:
    return isinstance(x, str | os.PathLike)


def _excluded(exclude: ArrayLike | None, queries: int, gallery: int) -> NDArray[np.intp] | None:
    """Check the rows that are no neighbours: one for each query."""
    if exclude is None:
        return None
    rows = np.asarray(exclude)
    if rows.shape != (queries,) or rows.dtype.kind not in "iu":
        raise DogsimError(
            f"Received exclude {rows.shape} of {rows.dtype}. Expected ({queries},) whole numbers, "
            "a row of the dataset for each test picture."
        )
    if queries and not (rows.min() >= 0 and rows.max() < gallery):
        raise DogsimError(
            f"Received exclude from {rows.min()} to {rows.max()}. Expected 0 to {gallery - 1}, "
            "the rows of the dataset."
        )
    return rows.astype(np.intp)
