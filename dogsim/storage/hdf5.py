"""Write HDF5 files without a crash on a full disk, and open and memory-map their tables.

A file that another program overwrites in place or cuts short while it is mapped would mix old
labels with new features, or end the process with SIGBUS. Therefore a mapped table checks before
each access that its file has not changed.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError


class ReplacedError(DogsimError):
    """Raised if the file of an open dataset was replaced or changed after it was opened."""


@dataclass(frozen=True)
class FileState:
    """Size, modification time and identity of a file, which change if it is overwritten."""

    path: Path
    size: int
    mtime_ns: int
    identity: tuple[int, int]  # device and inode

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Return the state of a file now; raise `OSError` if there is none."""
        path = path.absolute()
        status = path.stat()
        return cls(path, status.st_size, status.st_mtime_ns, (status.st_dev, status.st_ino))

    def check(self) -> None:
        """Raise `ReplacedError` if the file has another state now, or no longer exists."""
        try:
            unchanged = FileState.of(self.path) == self
        except OSError:
            unchanged = False
        if not unchanged:
            raise ReplacedError(f"{self.path} was replaced or changed: open it again.")


class MappedRows(np.memmap):
    """A table (n, d) mapped from a file; indexing raises `ReplacedError` if the file changed."""

    state: FileState | None = None

    def __getitem__(self, key: Any) -> Any:
        if self.state:
            self.state.check()
        rows = super().__getitem__(key)
        if isinstance(rows, MappedRows):
            if getattr(rows, "_mmap", None) is None:  # a copy
                return rows.view(np.ndarray)
            rows.state = self.state
        return rows


def open_table(file: Any, name: str) -> Any:
    """Return the `h5py.Dataset` of a name; raise `DogsimError` unless its values are in this file.

    HDF5 would read every file that an external link, external storage or a virtual dataset names,
    and return zeros for values that do not exist, of any number.
    """
    stored = file[name]
    if not isinstance(stored, h5py.Dataset):
        raise ValueError(f"{name} is not a table")
    file_numbers = {h5py.h5o.get_info(each.id).fileno for each in (file, stored)}
    if len(file_numbers) > 1 or stored.external or stored.is_virtual:
        raise DogsimError(
            f"The values of {name} are in another file. Expected them in this file: write a copy "
            "of the table into it, for example with h5py."
        )
    if not _is_written(stored):
        raise DogsimError(f"{name} {stored.shape} was never written completely. Write it again.")
    return stored


def _is_written(stored: Any) -> bool:
    if stored.chunks:
        sides = zip(stored.shape, stored.chunks, strict=True)
        return bool(stored.id.get_num_chunks() == prod(-(-n // size) for n, size in sides))
    return bool(stored.size == 0 or stored.id.get_storage_size() > 0)


def map_rows(stored: Any, path: Path) -> NDArray[np.float32]:
    """Return a memory map of a float32 table (n, d) in `path`; read it if it cannot be mapped."""
    offset = stored.id.get_offset()  # None if chunked or empty
    if offset is None or stored.dtype != np.dtype("<f4") or stored.ndim != 2:
        return np.asarray(stored, np.float32)
    return map_table(path, offset, stored.shape)


def map_table(path: Path, offset: int, shape: tuple[int, ...]) -> MappedRows:
    """Map a float32 table at `offset` bytes of a file; raise `ValueError` if it is cut short."""
    state = FileState.of(path)
    rows = MappedRows(path, "<f4", "r", offset, shape)
    rows.state = state
    return rows


def read_exactly(file: Any, name: str, dtype: Any) -> NDArray[Any]:
    """Read a table as `dtype`; raise `DogsimError` if that would change one of its numbers."""
    stored = open_table(file, name)[()]
    with np.errstate(all="ignore"):  # a number that does not fit is reported below
        numbers: NDArray[Any] = stored.astype(dtype)
    if not np.array_equal(numbers, stored, equal_nan=numbers.dtype.kind == "f"):
        raise DogsimError(
            f"Received {stored[numbers != stored][0]} in {name}. Expected numbers that "
            f"{np.dtype(dtype)} stores exactly."
        )
    return numbers


@contextmanager
def create_hdf5(path: Path) -> Iterator[Any]:
    """Open a new HDF5 file for writing; raise `OSError` if the disk is full.

    HDF5 crashes the process if it cannot write its buffers when it closes a file. Therefore a
    failed write is reported to it as a success, and the error is raised after the file is closed.
    """
    with path.open("wb+", buffering=0) as raw:
        sink = _Sink(raw)
        try:
            with h5py.File(sink, "w") as file:
                yield file
        finally:
            if sink.error:
                raise sink.error


class _Sink:
    """A raw file that stores the first error of a write instead of raising it."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        self.error: OSError | None = None

    def write(self, data: bytes | memoryview) -> int:
        remaining = memoryview(data).cast("B")
        try:
            while self.error is None and remaining:
                remaining = remaining[self.raw.write(remaining) :]
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size: int) -> int:
        try:
            self.raw.truncate(size)
        except OSError as error:
            self.error = self.error or error
        return size

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)
