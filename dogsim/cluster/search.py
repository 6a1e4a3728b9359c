"""Neighbours sought on many machines: each worker looks through a range of rows, and all is merged.

A worker maps the rows of its range where they lie, on the file system that all nodes share. It
finds the k nearest there exactly, by `dogsim.nearest`. The k nearest of all are among these, and
ties go to the lower row as ever: what comes out is what one machine finds, bit for bit.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, pairwise
from pathlib import Path
from threading import Condition
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.cluster.connection import check_cluster, joined
from dogsim.cluster.workers import Workers, require_same_version
from dogsim.dataset import Dataset
from dogsim.dist_calc import mink, nearest
from dogsim.errors import DogsimError
from dogsim.storage.dataset_file import Features, features_file, map_features
from dogsim.storage.sharded_rows import slice_rows

BLOCK_BYTES = 32 << 20  # of queries that all workers are asked at a time
WORK = 1 << 32  # pairs of a query and a row that a worker is asked at a time: a minute
SHORT = 1 << 24  # the same where somebody waits for single answers meanwhile: a second or two

Found = tuple[NDArray[np.float64], NDArray[np.intp]]


@contextmanager
def spread(dataset: Dataset, address: str, work: int = WORK) -> Iterator[Dataset]:
    """Let a cluster search a dataset: `dogsim.nearest`, and all that builds on it, asks it.

    Parameters
    ----------
    dataset : Dataset
        As `Dataset.open` gives it, of a file that all nodes see at the same place.
    address : str
        See `dogsim.cluster.connection.check_cluster`. It is joined when something is sought.
    work : int
        How many pairs of a query and a row a worker is asked at a time. What several threads seek
        is done in turns of so much.

    Raises
    ------
    DogsimError
        If there is no cluster, or the features do not lie in a file as they are.
    """
    check_cluster(address)
    rows = _Rows.of(dataset)
    with ExitStack() as held:
        yield replace(dataset, search=_Search(rows, address, held, work))


@dataclass(frozen=True)
class _Rows:
    """In which dataset file the features (n, d) lie, and by what one knows it."""

    file: Path
    shape: tuple[int, ...]
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, dataset: Dataset) -> "_Rows":
        rows, file = dataset.features, features_file(dataset.features)
        if file is None or map_features(file).shape != rows.shape:
            raise DogsimError(
                "Received features that lie in no file as they are. Expected a dataset file of "
                "dogsim, which each worker opens by itself: Dataset.save makes one."
            )
        file = file.resolve()
        status = file.stat()
        return cls(file, rows.shape, status.st_size, status.st_mtime_ns)

    def mapped(self) -> Features:
        """Map them on this node; raises `DogsimError` if the file is not there, or another."""
        try:
            status = self.file.stat()
        except OSError:
            raise DogsimError(
                f"This node does not see {self.file}. Expected a file system that all nodes share, "
                "at the same place"
            ) from None
        if (status.st_size, status.st_mtime_ns) != (self.size, self.mtime_ns):
            raise DogsimError(f"{self.file} is another file here, or was replaced. Run it again")
        return map_features(self.file)


class _Search:
    """Who searches a dataset, see `dogsim.dataset.Dataset`."""

    def __init__(self, rows: _Rows, address: str, held: ExitStack, work: int) -> None:
        self.rows, self.address, self.held, self.work = rows, address, held, work
        self._changed, self._tickets, self._called = Condition(), count(), 0

    @cached_property
    def workers(self) -> Workers:
        self.held.enter_context(joined(self.address))
        return Workers(_Worker, self.rows)

    def __call__(
        self,
        queries: NDArray[np.floating],
        k: int,
        metric: str,
        exclude: NDArray[np.intp] | None,
    ) -> Found:
        """Find what `dogsim.nearest` finds; it has checked what is asked."""
        with self._turn():
            ranges = self._ranges()
        width = max(last - first for first, last in ranges)
        most = BLOCK_BYTES // queries[:1].nbytes if len(queries) else 1
        size = max(1, min(most, self.work // width))
        found = [(np.empty((0, k)), np.empty((0, k), np.intp))]
        for start in range(0, len(queries), size):
            some = slice(start, start + size)
            own = None if exclude is None else exclude[some]
            with self._turn():
                found.append(self._block(queries[some], k, metric, own, ranges))
        distances, indices = zip(*found, strict=True)
        return np.concatenate(distances), np.concatenate(indices)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only thread that asks the workers; who comes first is first."""
        with self._changed:
            ticket = next(self._tickets)
            self._changed.wait_for(lambda: ticket == self._called)
        try:
            yield
        finally:
            with self._changed:
                self._called += 1
                self._changed.notify_all()

    def _ranges(self) -> list[tuple[int, int]]:
        rows = self.rows.shape[0]
        bounds = np.linspace(0, rows, min(len(self.workers), rows) + 1).astype(int).tolist()
        return list(pairwise(bounds))

    def _block(
        self,
        queries: NDArray[np.floating],
        k: int,
        metric: str,
        exclude: NDArray[np.intp] | None,
        ranges: list[tuple[int, int]],
    ) -> Found:
        import ray

        asked, more = ray.put(queries), k + (exclude is not None)
        items = [(*each, asked, min(more, each[1] - each[0]), metric) for each in ranges]
        parts: dict[int, Found] = dict(self.workers.results("nearest", items, ahead=1))
        return merged([parts[number] for number in range(len(ranges))], k, exclude)


def merged(parts: list[Found], k: int, exclude: NDArray[np.intp] | None = None) -> Found:
    """Merge what was found in ranges of ascending rows into the k nearest of all.

    `exclude` (m,) is for each query a row that is no neighbour: each part has one more than k, if
    it has so many rows.

    >>> near = np.array([[0.0, 2.0]]), np.array([[4, 1]])
    >>> far = np.array([[2.0]]), np.array([[5]])
    >>> merged([near, far], 2)
    (array([[0., 2.]]), array([[4, 1]]))
    >>> merged([near, far], 2, np.array([4]))
    (array([[2., 2.]]), array([[1, 5]]))
    """
    distances, rows = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    if exclude is not None:
        distances[rows == exclude[:, None]] = np.inf
    values, columns = mink(distances, k)  # ties to the lower column: to the lower row
    return values, np.take_along_axis(rows, columns, axis=1)


class _Worker:
    """Looks through ranges of rows."""

    def __init__(self, rows: _Rows) -> None:
        self.rows = rows

    def ready(self, expected: str) -> None:
        require_same_version(expected)
        self.mapped  # noqa: B018

    @cached_property
    def mapped(self) -> Features:
        return self.rows.mapped()

    def nearest(self, first: int, last: int, queries: Any, k: int, metric: str) -> Found:
        try:
            distances, indices = nearest(slice_rows(self.mapped, first, last), queries, k, metric)
        except DogsimError as error:
            raise DogsimError(f"In the rows from {first} to {last - 1}: {error}") from error
        return distances, indices + first
