"""A table whose rows lie in many files: read like an array, and never held as a whole."""

import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, reason

MAPPED = 128  # files at a time, where the system does not tell how many may be open
ENOUGH = 1 << 16  # open files
PIECES = 16  # of a stretch of rows that are read one by one, and not sorted before
BLOCK = 1024  # rows at a time, where one goes through them one by one
RUN = np.dtype([("place", "<i8"), ("first", "<i8"), ("rows", "<i8")])

Table: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Place:
    """Where a table of float32 numbers lies: in which file, from which byte on, how many rows."""

    file: str
    offset: int
    rows: int

    def end(self, dimension: int) -> int:
        """How long the file must be, for rows of so many numbers."""
        return self.offset + 4 * self.rows * dimension


class ShardedRows:
    """Some rows, in some order, of tables that lie in the files of a folder.

    It has an array's ``shape``, ``dtype`` and ``len``, and is indexed by rows as an array is: by a
    number, a slice, an array of numbers or of bool. What comes out is an array, read at that
    moment; ``numpy.asarray`` reads all.

    Parameters
    ----------
    folder : Path
    places : sequence of Place
        Of the tables, each (m, d), in files that are never written again.
    runs : (r,) array of `RUN`
        The number of a place, the first row there, and how many rows, one run after the other.
    dimension : int
        d.

    Raises
    ------
    ValueError
        If a run is of no place, or longer than its table.
    DogsimError
        When rows are read, if a file is not there or too short.
    """

    ndim, dtype = 2, np.dtype(np.float32)

    def __init__(
        self, folder: Path, places: Sequence[Place], runs: NDArray[np.void], dimension: int
    ) -> None:
        self.folder, self.places, self.runs = folder, tuple(places), runs
        self._check()
        self._ends = np.cumsum(runs["rows"])
        self.shape = int(runs["rows"].sum()), dimension
        self._table: Callable[[Place], Table] = lru_cache(_most_mapped())(
            partial(_mapped, folder, dimension)
        )

    @classmethod
    def joined(cls, tables: "Sequence[ShardedRows]") -> "ShardedRows":
        """All rows of tables of one folder and dimension, one table after the other."""
        runs = [table.runs.copy() for table in tables]
        before = 0
        for table, own in zip(tables, runs, strict=True):
            own["place"] += before
            before += len(table.places)
        places = [place for table in tables for place in table.places]
        return cls(tables[0].folder, places, np.concatenate(runs), tables[0].shape[1])

    def take(self, rows: NDArray[np.integer]) -> "ShardedRows":
        """Some rows (m,), in the order that is given; nothing is read."""
        places, firsts = self._where(rows)
        begins = np.append(True, (places[1:] != places[:-1]) | (firsts[1:] != firsts[:-1] + 1))
        begins = np.flatnonzero(begins[: len(rows)])
        used, numbers = np.unique(places[begins], return_inverse=True)
        runs = np.empty(len(begins), RUN)
        runs["place"], runs["first"] = numbers, firsts[begins]
        runs["rows"] = np.diff(begins, append=len(rows))
        kept = [self.places[number] for number in used]
        taken = ShardedRows(self.folder, kept, runs, self.shape[1])
        taken._table = self._table  # who takes a part again and again maps its files once
        return taken

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Table:
        if isinstance(key, slice):
            first, last, step = key.indices(len(self))
            if step == 1:
                return self._stretch(first, last)
            key = np.arange(first, last, step)
        rows = np.asarray(key)
        if rows.dtype == bool and rows.shape == (len(self),):
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.intp) if rows.shape == (0,) else rows  # of floats, from []
        if rows.dtype.kind not in "iu" or rows.ndim > 1:
            raise IndexError("Expected rows: a number, a slice, or an array of numbers or bool.")
        picked = self._picked(np.atleast_1d(rows))
        return picked if rows.ndim else picked[0]

    def __iter__(self) -> Iterator[Table]:
        for start in range(0, len(self), BLOCK):
            yield from self[start : start + BLOCK]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is None:  # which NumPy 1 neither gives nor takes
            return np.asarray(self[:], dtype)
        return np.array(self[:], dtype, copy=copy)

    def _stretch(self, first: int, last: int) -> Table:
        """Read consecutive rows; no number is copied where they lie together."""
        run, end = np.searchsorted(self._ends, [first, last - 1], "right").tolist()
        if first >= last or end - run > PIECES:
            return self._picked(np.arange(first, last))
        pieces = [self._piece(each, first, last) for each in range(run, end + 1)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _piece(self, run: int, first: int, last: int) -> Table:
        """Read those rows of a run that are asked for."""
        place, start, rows = self.runs[run].tolist()
        start -= int(self._ends[run]) - rows
        table = self._table(self.places[place])
        return table[
            start + max(first, self._ends[run] - rows) : start + min(last, self._ends[run])
        ]

    def _picked(self, rows: NDArray[np.integer]) -> Table:
        """Read rows in any order, file by file."""
        places, firsts = self._where(rows)
        order = np.argsort(places, kind="stable")
        begins = np.flatnonzero(np.diff(places[order], prepend=-1))
        picked = np.empty((len(rows), self.shape[1]), self.dtype)
        for some in np.split(order, begins[1:]) if len(rows) else ():
            picked[some] = self._table(self.places[places[some[0]]])[firsts[some]]
        return picked

    def _where(self, rows: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each row the number of its place, and the row there."""
        n = len(self)
        if len(rows) and not (-n <= rows.min() and rows.max() < n):
            raise IndexError(f"Received rows from {rows.min()} to {rows.max()} of {n}.")
        rows = np.where(rows < 0, rows + n, rows)
        run = np.searchsorted(self._ends, rows, "right")
        own = self.runs[run]
        return own["place"], own["first"] + rows - (self._ends[run] - own["rows"])

    def _check(self) -> None:
        sizes = np.array([place.rows for place in self.places], np.int64)
        of, first, rows = (self.runs[name] for name in ("place", "first", "rows"))
        if not ((of >= 0) & (of < len(sizes)) & (first >= 0) & (rows > 0)).all():
            raise ValueError("a run of rows is of no table")
        if (first + rows > sizes[of]).any():
            raise ValueError("a run of rows is longer than its table")


def as_rows(table: Any) -> Any:
    """The array of what is given; `ShardedRows` stay what they are."""
    return table if isinstance(table, ShardedRows) else np.asarray(table)


def between(table: Any, first: int, last: int) -> Any:
    """Some consecutive rows of an array or of `ShardedRows`; nothing is read."""
    if isinstance(table, ShardedRows):
        return table.take(np.arange(first, last))
    return table[first:last]


def _most_mapped() -> int:
    """How many files are mapped at a time: a quarter of those that this process may open."""
    try:
        import resource
    except ImportError:  # Windows
        return MAPPED
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return min(most, ENOUGH) // 4 if most > 0 else ENOUGH // 4


def _mapped(folder: Path, dimension: int, place: Place) -> Table:
    file, numbers = folder / place.file, place.rows * dimension
    try:
        with file.open("rb") as opened:
            held = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        return np.frombuffer(held, "<f4", numbers, place.offset).reshape(-1, dimension)
    except (OSError, ValueError) as error:
        raise DogsimError(
            f"Cannot read {file}: {reason(error)}. It was moved, spoilt, or replaced by a newer "
            "one meanwhile: open the dataset again, or bring it up to date."
        ) from error
