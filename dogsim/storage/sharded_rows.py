"""A table stored in many files that is read like an array and never loaded as a whole."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.arrays import as_numbers
from dogsim.storage.hdf5 import MappedRows, map_table

DEFAULT_MAX_MAPPED_FILES = 128  # if the system does not report how many files may be open
MAX_OPEN_FILES = 1 << 16
MAX_RUNS_PER_SLICE = 16  # a slice of more runs is read row by row, grouped by file
ITERATION_ROWS = 1024  # rows that iteration reads at a time
# A run of consecutive rows of one table: the index of the table, its first row, the number of rows.
# These field names are part of the file format.
RUN_DTYPE = np.dtype([("place", "<i8"), ("first", "<i8"), ("rows", "<i8")])

_Rows: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class TableLocation:
    """Location of a float32 table: the file's name, the offset in bytes, the number of rows."""

    file: str
    offset: int
    rows: int

    def end(self, dimension: int) -> int:
        """Return the smallest size in bytes of a file that holds the whole table."""
        return self.offset + 4 * self.rows * dimension


class ShardedRows:
    """Rows of tables in the files of one folder, in any order, read on access.

    It has the attributes ``shape``, ``dtype`` and ``ndim`` of an array, and is indexed by rows like
    one: by a number, a slice, an array of numbers or of bool. The result is an array, read at that
    moment; ``numpy.asarray`` reads all rows.

    Parameters
    ----------
    folder : Path
    tables : sequence of TableLocation
        Each is (m, d), in a file that is never written again.
    runs : (r,) array of `RUN_DTYPE`
        The rows in their order, in runs of consecutive rows of one table. The field ``place`` is
        the index in `tables`, ``first`` the first row in that table, ``rows`` the number of rows.
    dimension : int
        d.

    Raises
    ------
    ValueError
        If a run has no table, or is longer than its table.
    DogsimError
        On access, if a file is missing or too short.
    """

    ndim, dtype = 2, np.dtype(np.float32)

    def __init__(
        self, folder: Path, tables: Sequence[TableLocation], runs: NDArray[np.void], dimension: int
    ) -> None:
        sizes = np.array([table.rows for table in tables], np.int64)
        number, first, rows = (runs[name] for name in ("place", "first", "rows"))
        if not ((number >= 0) & (number < len(sizes)) & (first >= 0) & (rows > 0)).all():
            raise ValueError("a run of rows has no table")
        if (first + rows > sizes[number]).any():
            raise ValueError("a run of rows is longer than its table")
        self.folder, self.tables, self.runs = folder, tuple(tables), runs
        self._ends = np.cumsum(runs["rows"])
        self.shape = int(runs["rows"].sum()), dimension
        self._map: Callable[[TableLocation], _Rows] = lru_cache(_max_mapped_files())(
            partial(_map_table, folder, dimension)
        )

    @classmethod
    def concatenate(cls, parts: "Sequence[ShardedRows]") -> "ShardedRows":
        """Return the rows of all `parts`, which share a folder and a dimension, in order."""
        runs = [part.runs.copy() for part in parts]
        n_tables = 0
        for part, part_runs in zip(parts, runs, strict=True):
            part_runs["place"] += n_tables
            n_tables += len(part.tables)
        tables = [table for part in parts for table in part.tables]
        return cls(parts[0].folder, tables, np.concatenate(runs), parts[0].shape[1])

    def take(self, rows: NDArray[np.integer]) -> "ShardedRows":
        """Return the given rows (m,) in their order, without reading them."""
        tables, firsts = self._locate(rows)  # (m,), (m,)
        begins = np.append(True, (tables[1:] != tables[:-1]) | (firsts[1:] != firsts[:-1] + 1))
        begins = np.flatnonzero(begins[: len(rows)])  # (r,): a run begins at these rows
        used, numbers = np.unique(tables[begins], return_inverse=True)
        runs = np.empty(len(begins), RUN_DTYPE)
        runs["place"], runs["first"] = numbers, firsts[begins]
        runs["rows"] = np.diff(begins, append=len(rows))
        taken = ShardedRows(self.folder, [self.tables[i] for i in used], runs, self.shape[1])
        taken._map = self._map  # share the cache, so that repeated calls map a file once
        return taken

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> _Rows:
        if isinstance(key, slice):
            first, last, step = key.indices(len(self))
            if step == 1:
                return self._read_slice(first, last)
            key = np.arange(first, last, step)
        rows = np.asarray(key)
        if rows.dtype == bool and rows.shape == (len(self),):
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.intp) if rows.shape == (0,) else rows  # an empty list is float
        if rows.dtype.kind not in "iu" or rows.ndim > 1:
            raise IndexError("Expected rows: a number, a slice, or an array of numbers or bool.")
        values = self._read_rows(np.atleast_1d(rows))
        return values if rows.ndim else values[0]

    def __iter__(self) -> Iterator[_Rows]:
        for start in range(0, len(self), ITERATION_ROWS):
            yield from self[start : start + ITERATION_ROWS]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is None:  # NumPy 1 has no such argument
            return np.asarray(self[:], dtype)
        return np.array(self[:], dtype, copy=copy)

    def _read_slice(self, first: int, last: int) -> _Rows:
        """Read consecutive rows; those of a single run are not copied."""
        begin, end = np.searchsorted(self._ends, [first, last - 1], "right").tolist()
        if first >= last or end - begin > MAX_RUNS_PER_SLICE:
            return self._read_rows(np.arange(first, last))
        pieces = []
        for run in range(begin, end + 1):
            number, start, rows = self.runs[run].tolist()
            start -= int(self._ends[run]) - rows  # the row in the table of row 0
            last_of_run = min(last, int(self._ends[run]))
            first_of_run = max(first, int(self._ends[run]) - rows)
            table = self._map(self.tables[number])
            pieces.append(table[start + first_of_run : start + last_of_run])
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _read_rows(self, rows: NDArray[np.integer]) -> _Rows:
        """Read rows in any order, file by file."""
        tables, firsts = self._locate(rows)  # (m,), (m,)
        order = np.argsort(tables, kind="stable")
        begins = np.flatnonzero(np.diff(tables[order], prepend=-1))
        values = np.empty((len(rows), self.shape[1]), self.dtype)  # (m, d)
        for group in np.split(order, begins[1:]) if len(rows) else ():
            values[group] = self._map(self.tables[tables[group[0]]])[firsts[group]]
        return values

    def _locate(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each row the index of its table (m,) and its row there (m,)."""
        n = len(self)
        if len(rows) and not (-n <= rows.min() and rows.max() < n):
            raise IndexError(f"Received rows from {rows.min()} to {rows.max()} of {n}.")
        rows = np.where(rows < 0, rows + n, rows)
        run = np.searchsorted(self._ends, rows, "right")
        runs = self.runs[run]
        return runs["place"], runs["first"] + rows - (self._ends[run] - runs["rows"])


def as_rows(name: str, table: Any) -> Any:
    """Return a table of numbers as an array; memory maps and `ShardedRows` are not read."""
    return table if isinstance(table, ShardedRows) else as_numbers(name, table)


def slice_rows(table: Any, first: int, last: int) -> Any:
    """Return the rows from `first` to `last` - 1 of an array or `ShardedRows` without reading."""
    if isinstance(table, ShardedRows):
        return table.take(np.arange(first, last))
    return table[first:last]


def take_rows(table: Any, rows: NDArray[np.integer]) -> Any:
    """Return the given rows (m,) of an array or `ShardedRows`; rows in a file are not read."""
    if isinstance(table, MappedRows):
        location = TableLocation(Path(str(table.filename)).name, 0, len(table))
        whole = np.array([(0, 0, len(table))], RUN_DTYPE)
        mapped, table = table, ShardedRows(Path(), [location], whole, table.shape[1])
        table._map = lambda _: mapped
    return table.take(rows) if isinstance(table, ShardedRows) else table[rows]


def _max_mapped_files() -> int:
    """Return a quarter of the number of files that this process may open."""
    try:
        import resource
    except ImportError:  # Windows
        return DEFAULT_MAX_MAPPED_FILES
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(limit, MAX_OPEN_FILES) // 4 if limit > 0 else MAX_OPEN_FILES // 4


def _map_table(folder: Path, dimension: int, table: TableLocation) -> _Rows:
    file = folder / table.file
    try:
        return map_table(file, table.offset, (table.rows, dimension))
    except (OSError, ValueError) as error:
        raise DogsimError(
            f"Cannot read {file}: {reason(error)}. It was moved, damaged or replaced by a newer "
            "file: open the dataset again, or run dogsim create-dataset again."
        ) from error
