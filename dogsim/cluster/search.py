"""Search for neighbours on a cluster: each worker searches a range of rows; results are merged.

A worker maps its rows from the file system that all nodes share and finds the k nearest of them
exactly with `dogsim.nearest`. The k nearest of all rows are among these. Ties go to the lower row,
so that the result is bit for bit that of a single machine.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import count, pairwise
from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.cluster.connection import check_cluster, connected
from dogsim.cluster.workers import Workers, check_version
from dogsim.dataset import Dataset
from dogsim.dist_calc import mink, nearest
from dogsim.errors import DogsimError
from dogsim.storage.dataset_file import Features, features_file, map_features
from dogsim.storage.sharded_rows import slice_rows

MAX_QUERY_BYTES = 32 << 20  # queries that are sent to the workers at a time
# Pairs of a query and a row that a worker computes at a time.
MAX_PAIRS = 1 << 32  # a minute
MAX_INTERACTIVE_PAIRS = 1 << 24  # a second or two, while users wait for single queries
MAX_RANGES = 256  # of rows that a worker knows

Neighbours = tuple[NDArray[np.float64], NDArray[np.intp]]


@contextmanager
def search_on(dataset: Dataset, address: str, max_pairs: int = MAX_PAIRS) -> Iterator[Dataset]:
    """Search a dataset on a cluster: the yielded dataset is used like any other.

    Parameters
    ----------
    dataset : Dataset
        As returned by `Dataset.open`, of a file that all nodes see at the same path.
    address : str
        See `dogsim.cluster.connection.check_cluster`. It is connected at the first search.
    max_pairs : int
        Number of pairs of a query and a row that a worker computes at a time. Searches of several
        threads take turns after this many pairs.

    Raises
    ------
    DogsimError
        If the cluster is not available, or the features are not those of a file.
    """
    check_cluster(address)
    rows = _FeatureRows.of(dataset)
    with ExitStack() as stack:
        yield replace(dataset, search=_ClusterSearch(rows, address, stack, max_pairs))


@dataclass(frozen=True)
class _FeatureRows:
    """The dataset file that contains features (n, d), with the size and time that identify it."""

    file: Path
    shape: tuple[int, ...]
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, dataset: Dataset) -> "_FeatureRows":
        rows, file = dataset.features, features_file(dataset.features)
        if file is None or map_features(file).shape != rows.shape:
            raise DogsimError(
                "Received features that are not stored in a file. Expected a dataset file of "
                "dogsim, which each worker opens: Dataset.save writes one."
            )
        file = file.resolve()
        status = file.stat()
        return cls(file, rows.shape, status.st_size, status.st_mtime_ns)

    def map(self) -> Features:
        """Map the features on this node; raise `DogsimError` if the file is missing or differs."""
        try:
            status = self.file.stat()
        except OSError:
            raise DogsimError(
                f"This node cannot see {self.file}. Expected a file system that all nodes share, "
                "mounted at the same path"
            ) from None
        if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            raise DogsimError(
                f"{self.file} differs on this node, or was replaced. Run the command again"
            )
        return map_features(self.file)


class _ClusterSearch:
    """A search on a cluster, see `dogsim.dataset.NeighbourSearch`."""

    def __init__(self, rows: _FeatureRows, address: str, stack: ExitStack, max_pairs: int) -> None:
        self.rows, self.address, self.stack, self.max_pairs = rows, address, stack, max_pairs
        self._condition, self._tickets, self._current = Condition(), count(), 0

    @cached_property
    def workers(self) -> Workers:
        self.stack.enter_context(connected(self.address))
        return Workers(_SearchWorker, self.rows)

    def __call__(
        self,
        queries: NDArray[np.floating],
        k: int,
        metric: str,
        exclude: NDArray[np.intp] | None,
    ) -> Neighbours:
        """Find the neighbours of queries (m, d); `dogsim.nearest` has checked the arguments."""
        with self._turn():
            ranges = self._ranges()
        longest = max(last - first for first, last in ranges)
        limit = MAX_QUERY_BYTES // queries[:1].nbytes if len(queries) else 1
        size = max(1, min(limit, self.max_pairs // longest))
        found = [(np.empty((0, k)), np.empty((0, k), np.intp))]
        for start in range(0, len(queries), size):
            block = slice(start, start + size)
            excluded = None if exclude is None else exclude[block]
            with self._turn():
                found.append(self._search(queries[block], k, metric, excluded, ranges))
        distances, indices = zip(*found, strict=True)
        return np.concatenate(distances), np.concatenate(indices)  # (m, k), (m, k)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Use the workers exclusively; threads take turns in the order of their calls."""
        with self._condition:
            ticket = next(self._tickets)
            self._condition.wait_for(lambda: ticket == self._current)
        try:
            yield
        finally:
            with self._condition:
                self._current += 1
                self._condition.notify_all()

    def _ranges(self) -> list[tuple[int, int]]:
        rows = self.rows.shape[0]
        bounds = np.linspace(0, rows, min(len(self.workers), rows) + 1).astype(int).tolist()
        return list(pairwise(bounds))

    def _search(
        self,
        queries: NDArray[np.floating],
        k: int,
        metric: str,
        exclude: NDArray[np.intp] | None,
        ranges: list[tuple[int, int]],
    ) -> Neighbours:
        import ray

        stored, more = ray.put(queries), k + (exclude is not None)
        items = [(first, last, stored, min(more, last - first), metric) for first, last in ranges]
        parts: dict[int, Neighbours] = dict(self.workers.results("nearest", items, per_worker=1))
        return merge_neighbours([parts[number] for number in range(len(ranges))], k, exclude)


def merge_neighbours(
    parts: list[Neighbours], k: int, exclude: NDArray[np.intp] | None = None
) -> Neighbours:
    """Merge the neighbours in ranges of ascending rows into the k nearest of all.

    `exclude` (m,) is a row for each query that is not returned. Each part then contains k + 1
    neighbours, if it has that many rows.

    >>> near = np.array([[0.0, 2.0]]), np.array([[4, 1]])
    >>> far = np.array([[2.0]]), np.array([[5]])
    >>> merge_neighbours([near, far], 2)
    (array([[0., 2.]]), array([[4, 1]]))
    >>> merge_neighbours([near, far], 2, np.array([4]))
    (array([[2., 2.]]), array([[1, 5]]))
    """
    distances, rows = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    if exclude is not None:
        distances[rows == exclude[:, None]] = np.inf
    values, columns = mink(distances, k)  # ties go to the lower column, which is the lower row
    return values, np.take_along_axis(rows, columns, axis=1)


class _SearchWorker:
    """A worker that searches ranges of rows."""

    def __init__(self, rows: _FeatureRows) -> None:
        self.rows = rows
        # The same object for the same range: `nearest` then keeps its squared lengths.
        self._range = lru_cache(MAX_RANGES)(lambda *ends: slice_rows(self.features, *ends))

    def ready(self, expected: str) -> None:
        """Raise `DogsimError` unless this node has the file and the same dogsim."""
        check_version(expected)
        self.features  # noqa: B018

    @cached_property
    def features(self) -> Features:
        return self.rows.map()

    def nearest(self, first: int, last: int, queries: Any, k: int, metric: str) -> Neighbours:
        """Find the k nearest of the rows from `first` to `last` - 1."""
        try:
            distances, indices = nearest(self._range(first, last), queries, k, metric)
        except DogsimError as error:
            raise DogsimError(f"In the rows from {first} to {last - 1}: {error}") from error
        return distances, indices + first
