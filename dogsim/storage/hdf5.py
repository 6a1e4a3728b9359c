"""HDF5 files written without a crash where there is no room, and read where they lie."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray


def mapped_rows(stored: Any, path: Path) -> NDArray[np.float32]:
    """Map a float32 table (n, d) into memory where it lies in the file, else read it."""
    offset = stored.id.get_offset()  # None if chunked or empty
    if offset is None or stored.dtype != np.dtype("<f4") or stored.ndim != 2:
        return np.asarray(stored, np.float32)
    return np.memmap(path, np.float32, "r", offset, stored.shape)


@contextmanager
def new_hdf5(path: Path) -> Iterator[Any]:
    """Open a new HDF5 file that raises `OSError` where there is no room for it.

    HDF5 itself crashes the process when it cannot write what it holds back until a file is closed.
    So it is told that all went well, and the error is raised once it has closed the file.
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
