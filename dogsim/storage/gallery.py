"""Vectors that are searched, with what a dataset keeps of them between searches."""

import weakref
from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError
from dogsim.plumbing.threads import compute_threads, prefetch
from dogsim.storage.hdf5 import MappedRows
from dogsim.storage.sharded_rows import ShardedRows

Floats = NDArray[np.floating]
Reader: TypeAlias = Callable[[NDArray[np.intp], NDArray[np.float64]], NDArray[np.float64]]

BLOCK_ROWS = 1024  # that are read at a time
MAX_DOUBLE_BYTES = 1 << 26  # of a float64 copy that is kept
# Outside of this range a sum of float32 squares may overflow, or lose digits at its small numbers.
MIN_SQUARE, MAX_SQUARE = 2.0**-60, 2.0**120
# By the name and the id of the features, as long as these exist: arrays have no hash.
_kept: dict[tuple[str, int], tuple[weakref.ref[Any], NDArray[np.float64]]] = {}


class Gallery:
    """Vectors (n, d) that are searched: indexing returns contiguous rows in the search precision.

    Parameters
    ----------
    rows : (n, d) array or ShardedRows
        Read on access, so it may be larger than memory.

    Attributes
    ----------
    dtype : dtype
        float32 if that holds each number of `rows` exactly, else float64.

    >>> Gallery(np.array([[3, 4], [0, 0]], np.float16)).squares
    array([25.,  0.])
    """

    def __init__(self, rows: Any) -> None:
        self.rows, self.shape = rows, rows.shape
        exact = np.can_cast(rows.dtype, np.float32)
        self.dtype = np.dtype(np.float32 if exact else np.float64)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, key: slice | NDArray[np.intp]) -> Floats:
        return np.ascontiguousarray(self.rows[key], self.dtype)

    @cached_property
    def squares(self) -> NDArray[np.float64]:
        """Squared lengths of the rows, (n,) float64, see `squared_lengths`.

        Those of rows that cannot change are kept as long as the rows exist, for other galleries of
        the same rows.
        """
        return _keep("squares", self.rows, self._compute_squares)

    def _compute_squares(self) -> NDArray[np.float64]:
        starts = range(0, len(self), BLOCK_ROWS)
        blocks = prefetch(
            lambda start: squared_lengths(self[start : start + BLOCK_ROWS]),
            starts,
            ahead=compute_threads(),
            threads=min(compute_threads(), max(1, len(starts))),
        )
        return np.concatenate([np.empty(0), *blocks])

    def float64_reader(self, n_rows: int) -> Reader:
        """Return a function that reads rows (r,) as float64 into memory (r, d), which it returns.

        If `n_rows`, the number of rows that will be read, is at least the size of a small gallery,
        the function reads from a float64 copy. The copy is kept as `squares` are.
        """
        copy = self._float64_copy(n_rows)

        def read(rows: NDArray[np.intp], memory: NDArray[np.float64]) -> NDArray[np.float64]:
            if copy is None:
                memory[:] = self[rows]
            else:  # without the check of the mode "raise", during which other threads wait
                np.take(copy, rows, axis=0, out=memory, mode="clip")
            return memory

        return read

    def _float64_copy(self, n_rows: int) -> NDArray[np.float64] | None:
        small = 8 * len(self) * self.shape[1] <= MAX_DOUBLE_BYTES
        if not small or (n_rows < len(self) and not _is_kept("float64", self.rows)):
            return None
        return _keep("float64", self.rows, lambda: self[:].astype(np.float64))


def check_defined(what: str, features: Any, metric: str) -> None:
    """Raise `DogsimError` unless a metric is defined for each row of features (n, d)."""
    for start in range(0, len(features), BLOCK_ROWS):
        chunk = features[start : start + BLOCK_ROWS]
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


def squared_lengths(rows: Floats) -> NDArray[np.float64]:
    """Compute the squared lengths (n,) of float32 or float64 vectors (n, d), in any order of sums.

    Sums of float32 numbers are float32 if they are from `MIN_SQUARE` to `MAX_SQUARE`. Those of
    vectors with NaN or infinity are not finite.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares: NDArray[np.float64] = np.einsum("ij,ij->i", rows, rows).astype(np.float64)
        if len(rows) and not (squares.min() >= MIN_SQUARE and squares.max() <= MAX_SQUARE):
            squares = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
    return squares


def _is_constant(rows: Any) -> bool:
    """Return whether rows cannot change, or raise an error when they are read after a change."""
    if isinstance(rows, ShardedRows) or (isinstance(rows, MappedRows) and rows.state):
        return True
    while isinstance(rows, np.ndarray):
        if rows.flags.writeable or isinstance(rows, np.memmap):  # others may write to the file
            return False
        rows = rows.base
    return rows is None or isinstance(rows, bytes)


def _is_kept(name: str, rows: Any) -> bool:
    known = _kept.get((name, id(rows)))
    return known is not None and known[0]() is rows


def _keep(name: str, rows: Any, compute: Callable[[], NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return what is kept of rows under a name; compute it first, and keep it if they are constant.

    It is deleted with the rows.
    """
    key = name, id(rows)
    if _is_kept(name, rows):
        return _kept[key][1]
    computed = compute()
    if _is_constant(rows):
        _kept[key] = weakref.ref(rows, lambda _: _kept.pop(key, None)), computed
    return computed
