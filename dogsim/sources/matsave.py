"""Arrays and strings as the variables of a MATLAB file."""

import struct
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from scipy.io import savemat


def save_variables(
    path: Path, numbers: Mapping[str, NDArray[Any]], cells: Mapping[str, Sequence[str]]
) -> None:
    """Write a .mat file of version 5, which MATLAB, Octave and scipy all read.

    MATLAB: ``save(path, names{:}, '-v6')``.

    Parameters
    ----------
    path : Path
    numbers : dict of str to array
        Written by `scipy.io.savemat`.
    cells : dict of str to n strings
        Each becomes an n x 1 cell array of char vectors. `savemat` would write text as UTF-8,
        which MATLAB refuses and Octave cuts short beyond ASCII (scipy issue 4431).

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with path.open("wb") as file:
        savemat(file, dict(numbers))
        for name, strings in cells.items():
            file.write(_matrix(1, len(strings), 1, name, b"".join(map(_char_vector, strings))))


# "MAT-File Level 5 File Format" of The MathWorks: type 1 is int8, 5 int32, 6 uint32, 14 a matrix,
# 17 UTF-16; class 1 is a cell array, 4 char. In the byte order of this machine, as savemat writes.


def _char_vector(text: str) -> bytes:
    units = text.encode(f"utf-16-{sys.byteorder[0]}e")  # MATLAB's char is such a unit
    return _matrix(4, 1 if units else 0, len(units) // 2, "", _element(17, units))


def _matrix(kind: int, rows: int, columns: int, name: str, content: bytes) -> bytes:
    flags, size = struct.pack("=II", kind, 0), struct.pack("=ii", rows, columns)
    head = _element(6, flags) + _element(5, size) + _element(1, name.encode())
    return _element(14, head + content)


def _element(kind: int, data: bytes) -> bytes:
    return struct.pack("=II", kind, len(data)) + data + bytes(-len(data) % 8)
