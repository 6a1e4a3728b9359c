"""Distances between features, and the k nearest neighbours."""

import os
import threading
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim import exact
from dogsim.dataset import Dataset, as_dataset
from dogsim.errors import DogsimError, as_integer, check_known
from dogsim.plumbing.arrays import as_numbers, as_row_indices, cdist
from dogsim.plumbing.progress import reported
from dogsim.plumbing.sieve import Candidates, k_smallest
from dogsim.plumbing.terminal import note
from dogsim.plumbing.threads import compute_threads, for_each
from dogsim.storage.gallery import Floats, Gallery, check_defined
from dogsim.storage.sharded_rows import as_rows

#: The metrics, by the names of ``scipy.spatial.distance.cdist``.
METRICS = ("euclidean", "sqeuclidean", "cosine", "cityblock", "chebyshev", "correlation")
DEFAULT_K = 20  # neighbours that vote
MAX_BLOCK_BYTES = 1 << 28  # for the queries of a block
GALLERY_BLOCK_ROWS = 1024  # converted to float64 by scipy at a time
GATHERED_ROWS = 128  # as float64 at a time: with fewer, threads wait more often for each other
MIN_PAIRS_FOR_THREADS = 512  # of queries and rows: below, starting threads takes longer

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
    check_defined("dataset", gallery, metric)
    distances: NDArray[np.float64] = cdist(queries[:], gallery[:], metric)
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
    values, indices = k_smallest(rows, check_k(k, rows.shape[1]))
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
    if isinstance(dataset, Dataset) and dataset.search:  # which checks the dataset itself
        return dataset.search(queries[:], k, metric, exclude)
    return nearest_rows(gallery, queries, k, metric, exclude)


def nearest_rows(
    gallery: Gallery,
    queries: Gallery,
    k: int,
    metric: str = "euclidean",
    exclude: NDArray[np.integer] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest rows of a gallery (n, d) for queries (m, d), as `nearest` does.

    The queries, k, metric and rows to exclude have been checked. Raises `DogsimError` if the
    metric is not defined for a row.
    """
    _check_gallery(gallery, metric)
    distances = np.empty((len(queries), k))
    indices = np.empty((len(queries), k), np.intp)
    size = max(1, MAX_BLOCK_BYTES // exact.bytes_per_query(k, gallery.shape[1]))
    blocks = [range(len(queries))[start : start + size] for start in range(0, len(queries), size)]
    for part in reported(blocks, len(queries), "queries"):
        some = slice(part.start, part.stop)
        block, values, rows = queries[some], distances[some], indices[some]
        own = None if exclude is None else exclude[some]
        candidates = _candidates(gallery, block, k, metric, own)
        few = np.array([each is not None for each in candidates])  # (b,)
        of_few = [each for each in candidates if each is not None]
        values[few], rows[few] = _search_few(gallery, block[few], k, metric, of_few)
        if not few.all():
            own = None if own is None else own[~few]
            values[~few], rows[~few] = _search_all(gallery, block[~few], k, metric, own)
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
    gallery: Gallery | Floats,
    queries: Floats,
    k: int,
    metric: str,
    exclude: NDArray[np.integer] | None,
) -> Candidates:
    """Find for each query rows that include its k nearest neighbours; None stands for all rows."""
    if metric not in exact.PRODUCT_METRICS or 3 * k > len(gallery):  # most rows would be candidates
        return [None] * len(queries)
    return exact.candidates(gallery, queries, k, exclude, metric)


def _search_few(
    gallery: Gallery, queries: Floats, k: int, metric: str, candidates: list[NDArray[np.intp]]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest neighbours of each query among its candidates, rows in ascending order."""
    counts = np.array([len(rows) for rows in candidates], np.intp)
    shape = len(queries), counts.max(initial=k)
    distances, padded_rows = np.full(shape, np.inf), np.zeros(shape, np.intp)  # (n, c), (n, c)
    read, queries = gallery.float64_reader(int(counts.sum())), queries.astype(np.float64)
    local = threading.local()

    def compute(i: int) -> None:
        rows = candidates[i]
        padded_rows[i, : len(rows)] = rows
        if not hasattr(local, "memory"):
            local.memory = np.empty((GATHERED_ROWS, gallery.shape[1]))
        for first in range(0, len(rows), GATHERED_ROWS):
            some = rows[first : first + GATHERED_ROWS]
            gathered = read(some, local.memory[: len(some)])
            out = distances[i : i + 1, first : first + len(some)]
            cdist(queries[i, None], gathered, metric, out=out)

    for_each(compute, len(queries), _threads(int(counts.sum())))
    values, columns = k_smallest(distances, k)
    return values, padded_rows[np.arange(len(queries))[:, None], columns]


def _search_all(
    gallery: Gallery, queries: Floats, k: int, metric: str, exclude: NDArray[np.integer] | None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest neighbours by computing all distances, in blocks of queries."""
    found = [(np.empty((0, k)), np.empty((0, k), np.intp))]
    threads = _threads(len(queries) * len(gallery))
    size = max(1, MAX_BLOCK_BYTES // (32 * len(gallery)))  # float64, and copies for sorting
    for start in range(0, len(queries), size):
        block = queries[start : start + size]
        distances = np.empty((len(block), len(gallery)))

        def compute(number: int, block: Floats = block, out: Floats = distances) -> None:
            some = slice(number * GALLERY_BLOCK_ROWS, (number + 1) * GALLERY_BLOCK_ROWS)
            out[:, some] = cdist(block, gallery[some], metric)

        for_each(compute, -(-len(gallery) // GALLERY_BLOCK_ROWS), threads)
        if exclude is not None:
            distances[np.arange(len(block)), exclude[start : start + size]] = np.inf
        found.append(k_smallest(distances, k))
    values, indices = zip(*found, strict=True)
    return np.concatenate(values), np.concatenate(indices)


def _threads(pairs: int) -> int:
    """Return the number of threads that compute the distances of so many pairs."""
    return compute_threads() if pairs >= MIN_PAIRS_FOR_THREADS else 1


def _pair(dataset: Vectors, testset: Vectors, metric: str) -> tuple[Gallery, Gallery]:
    check_metric(metric)
    dataset = as_dataset(dataset) if isinstance(dataset, str | os.PathLike) else dataset
    testset = as_dataset(testset) if isinstance(testset, str | os.PathLike) else testset
    if isinstance(dataset, Dataset) and isinstance(testset, Dataset):
        dataset.require_comparable(testset)
    known, queries = _features("dataset", dataset), _features("test set", testset)
    queries = np.atleast_2d(queries) if queries.ndim < 2 else queries
    agree = known.ndim == queries.ndim == 2 and known.shape[1] == queries.shape[1] > 0
    if not agree:
        raise DogsimError(
            f"Received a dataset {known.shape} and a test set {queries.shape}. "
            "Expected (n_dataset, d) and (n_test, d), d of at least 1."
        )
    check_defined("test set", queries, metric)
    return Gallery(known), Gallery(queries)


def _check_gallery(gallery: Gallery, metric: str) -> None:
    """Raise `DogsimError` unless a metric is defined for each row of a gallery."""
    if metric in exact.PRODUCT_METRICS:
        squares = gallery.squares
        if np.isfinite(squares).all() and (metric != "cosine" or squares.all()):
            return  # the usual case, without another pass over the rows
    check_defined("dataset", gallery, metric)


def _features(what: str, x: Vectors) -> Any:
    return as_rows(f"the {what}", x.features if isinstance(x, Dataset) else x)
