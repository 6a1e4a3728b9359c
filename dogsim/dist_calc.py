"""Distances between features, and the k nearest neighbours."""

import os
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist

from dogsim import exact
from dogsim.dataset import Dataset, as_dataset
from dogsim.errors import DogsimError, as_integer, check_known
from dogsim.plumbing.arrays import as_numbers, as_row_indices
from dogsim.plumbing.terminal import note
from dogsim.plumbing.vectors import unit_vectors
from dogsim.storage.sharded_rows import as_rows

METRICS = ("euclidean", "sqeuclidean", "cosine", "cityblock", "chebyshev", "correlation")
DEFAULT_K = 20  # neighbours that vote
MAX_BLOCK_BYTES = 1 << 28  # for the queries of a block
MAX_SORTED_COLUMNS = 128  # up to here, sorting a whole row is faster than partitioning it
GALLERY_BLOCK_ROWS = 8192  # converted to float64 by scipy at a time

Floats = NDArray[np.floating]
Vectors: TypeAlias = "Dataset | str | os.PathLike[str] | ArrayLike"
NeighbourArrays: TypeAlias = tuple[NDArray[np.float64], NDArray[np.intp]]  # distances, rows: (m, k)


def dist_calc(dataset: Vectors, testset: Vectors, metric: str = "euclidean") -> NDArray[np.float64]:
    """Compute the distance of every test image to every image of the dataset.

    MATLAB: ``dist_calc.m``, with the same order of arguments.

    Parameters
    ----------
    dataset : Dataset, its path, or (n_dataset, d) array
        The gallery.
    testset : Dataset, its path, or (n_test, d) array
        The queries; one vector (d,) is one query.
    metric : str
        One of `METRICS`, as `scipy.spatial.distance.cdist` defines them.

    Returns
    -------
    (n_test, n_dataset) float64
        Row i is test image i, column j is dataset image j.

    Raises
    ------
    DogsimError
        If the metric is unknown or not defined for an image, a number is not finite, or the two
        have different recipes or numbers of features.

    >>> dist_calc([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0]])
    array([[0., 5.]])
    """
    gallery, queries = _pair(dataset, testset, metric)
    distances: NDArray[np.float64] = cdist(queries, gallery, metric)
    return distances


def mink(distances: ArrayLike, k: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k smallest numbers of each row, smallest first; ties go to the lower index.

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
    array = as_numbers("distances", distances).astype(np.float64)
    if array.ndim not in (1, 2):
        raise DogsimError(f"Received distances {array.shape}. Expected (n,) or (m, n).")
    rows = np.atleast_2d(array)
    k = check_k(k, rows.shape[1])
    if np.isnan(rows).any():
        raise DogsimError("Received a distance that is NaN. Expected numbers only.")
    if rows.shape[1] <= MAX_SORTED_COLUMNS:
        indices = np.argsort(rows, axis=1, kind="stable")[:, :k]
    else:
        indices = np.empty((len(rows), k), np.intp)
        bounds = np.partition(rows, k - 1, axis=1)[:, k - 1]
        for row, bound, chosen in zip(rows, bounds, indices, strict=True):
            candidates = np.flatnonzero(
                row <= bound
            )  # at least k; more if the k-th smallest is tied
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
    """Find the k nearest images of the dataset for each test image.

    The result is that of ``mink(dist_calc(dataset, testset), k)``, in bounded memory.

    Parameters
    ----------
    dataset, testset, metric
        As for `dist_calc`.
    k : int
        Number of neighbours, from 1 to the size of the dataset (minus one with `exclude`).
    exclude : (n_test,) int array, optional
        For each test image the row of the dataset to leave out, usually its own.

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
    if exclude is not None:
        exclude = as_row_indices("exclude", exclude, len(gallery))  # (n_test,)
        if len(exclude) != len(queries):
            raise DogsimError(
                f"Received exclude {exclude.shape}. Expected ({len(queries)},), a row of the "
                "dataset for each test image."
            )
    k = check_k(k, len(gallery) - (exclude is not None))
    if isinstance(dataset, Dataset) and dataset.search:
        return dataset.search(queries, k, metric, exclude)
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), np.intp)
    size = max(1, MAX_BLOCK_BYTES // exact.bytes_per_query(k, gallery.shape[1]))
    for start in range(0, len(queries), size):
        block = slice(start, start + size)
        own = None if exclude is None else exclude[block]
        candidates = _candidates(gallery, queries[block], k, metric, own)
        few = [i for i, rows in enumerate(candidates, start) if rows is not None]
        rows_of_few = [rows for rows in candidates if rows is not None]
        distances[few], indices[few] = _search_few(gallery, queries[few], k, metric, rows_of_few)
        rest = [i for i, rows in enumerate(candidates, start) if rows is None]
        own = None if exclude is None else exclude[rest]
        distances[rest], indices[rest] = _search_all(gallery, queries[rest], k, metric, own)
    return distances, indices


def check_metric(metric: str) -> None:
    """Raise `DogsimError` unless `metric` is one of `METRICS`."""
    check_known("metric", metric, METRICS)


def check_k(k: int, max_k: int) -> int:
    """Return k as an `int`; raise `DogsimError` unless it is from 1 to `max_k`, the images."""
    if max_k < 1:
        raise DogsimError(
            f"There are {max(max_k, 0)} images to be neighbours. Expected a dataset of more images."
        )
    return as_integer("k", k, 1, max_k, "the number of images")


def k_or_default(k: int | None, default: int, max_k: int) -> int:
    """Return k if it is given; otherwise `default`, or `max_k` with a note if that is smaller."""
    if k is not None:
        return k
    if 0 < max_k < default:
        note(f"Only {max_k} images can be neighbours: k is {max_k} instead of {default}.")
        return max_k
    return default


def _candidates(
    gallery: Floats, queries: Floats, k: int, metric: str, exclude: NDArray[np.integer] | None
) -> list[NDArray[np.intp] | None]:
    """Find for each query rows that include its k nearest neighbours; None stands for all rows."""
    if 8 * k > len(gallery):  # most rows would be candidates
        return [None] * len(queries)
    if metric in ("euclidean", "sqeuclidean"):
        return exact.candidates(gallery, queries, k, exclude)
    if metric == "cosine":  # 2 (1 - cos) is the squared distance of the unit vectors
        # The absolute error of 1 - cos is about 2 d 2^-53, that of the unit vectors half of it.
        noise = 16 * (gallery.shape[1] + 8) * 2.0**-53
        return exact.candidates(gallery, queries, k, exclude, unit_vectors, noise)
    return [None] * len(queries)


def _search_few(
    gallery: Floats, queries: Floats, k: int, metric: str, candidates: list[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest neighbours of each query among its candidates, rows in ascending order."""
    shape = len(queries), max((len(rows) for rows in candidates), default=k)
    distances, padded_rows = np.full(shape, np.inf), np.zeros(shape, np.intp)  # (n, c), (n, c)
    for i, rows in enumerate(candidates):
        distances[i, : len(rows)] = cdist(queries[i, None], gallery[rows], metric)[0]
        padded_rows[i, : len(rows)] = rows
    values, columns = mink(distances, k)
    return values, np.take_along_axis(padded_rows, columns, axis=1)


def _search_all(
    gallery: Floats, queries: Floats, k: int, metric: str, exclude: NDArray[np.integer] | None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest neighbours by computing all distances, in blocks of queries."""
    found = [(np.empty((0, k)), np.empty((0, k), np.intp))]
    size = max(1, MAX_BLOCK_BYTES // (32 * len(gallery)))  # float64, and copies for sorting
    for start in range(0, len(queries), size):
        block = queries[start : start + size]
        columns = range(0, len(gallery), GALLERY_BLOCK_ROWS)
        parts = [cdist(block, gallery[i : i + GALLERY_BLOCK_ROWS], metric) for i in columns]
        distances = np.concatenate(parts, axis=1)
        if exclude is not None:
            distances[np.arange(len(block)), exclude[start : start + size]] = np.inf
        found.append(mink(distances, k))
    values, indices = zip(*found, strict=True)
    return np.concatenate(values), np.concatenate(indices)


def _pair(dataset: Vectors, testset: Vectors, metric: str) -> tuple[Floats, Floats]:
    check_metric(metric)
    dataset = as_dataset(dataset) if isinstance(dataset, str | os.PathLike) else dataset
    testset = as_dataset(testset) if isinstance(testset, str | os.PathLike) else testset
    if isinstance(dataset, Dataset) and isinstance(testset, Dataset):
        dataset.require_comparable(testset)
    gallery, queries = _features("dataset", dataset), _features("test set", testset)
    queries = np.atleast_2d(queries) if queries.ndim < 2 else queries
    agree = gallery.ndim == queries.ndim == 2 and gallery.shape[1] == queries.shape[1] > 0
    if not agree:
        raise DogsimError(
            f"Received a dataset {gallery.shape} and a test set {queries.shape}. "
            "Expected (n_dataset, d) and (n_test, d), d of at least 1."
        )
    if not (isinstance(dataset, Dataset) and dataset.search):  # a search checks them itself
        check_defined("dataset", gallery, metric)
    check_defined("test set", queries, metric)
    return gallery, queries


def check_defined(what: str, features: Floats, metric: str) -> None:
    """Raise `DogsimError` unless a metric is defined for each row of features (n, d)."""
    for start in range(0, len(features), exact.CHUNK_ROWS):
        chunk = features[start : start + exact.CHUNK_ROWS]
        if not np.isfinite(chunk).all():
            raise DogsimError(
                f"The {what} has features of NaN or infinity. Expected finite numbers."
            )
        if metric not in ("cosine", "correlation"):
            continue
        value = "zeros" if metric == "cosine" else "equal"
        first = 0 if metric == "cosine" else chunk[:, :1]
        undefined = np.flatnonzero((chunk == first).all(axis=1))
        if len(undefined):
            row = start + int(undefined[0])
            raise DogsimError(
                f"Row {row} of the {what} has features that are all {value}, for which metric "
                f"{metric!r} is not defined. Leave it out, or use metric 'euclidean'."
            )


def _features(what: str, x: Vectors) -> Floats:
    features: Floats = as_rows(f"the {what}", x.features if isinstance(x, Dataset) else x)
    return features if features.dtype == np.float32 else features.astype(np.float64)
