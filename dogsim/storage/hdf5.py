"""Write HDF5 files without a crash on a full disk, and memory-map their tables."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def map_rows(stored: Any, path: Path) -> NDArray[np.float32]:
    """Return a memory map of a float32 table (n, d) in `path`; read it if it cannot be mapped."""
    offset = stored.id.get_offset()  # None if chunked or empty
    if offset is None or stored.dtype != np.dtype("<f4") or stored.ndim != 2:
        return np.asarray(stored, np.float32)
    return np.memmap(path, np.float32, "r", offset, stored.shape)


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
