"""Read and write MATLAB files of version 5 and 7: nested elements with a type, a length and data.

"MAT-File Level 5 File Format" of The MathWorks. `scipy.io.loadmat` uses the types in a file as
indices without checking them, so that one wrong byte can crash the process.
"""

import mmap
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

INT8, INT32, UINT32, MATRIX, COMPRESSED, UTF16 = 1, 5, 6, 14, 15, 17  # types of an element
NUMBER_TYPES = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
CELL, CHAR, OPAQUE = 1, 4, 17  # classes of a matrix
NUMBER_CLASSES = {
    **{6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"},
    **{14: "i8", 15: "u8"},
}
OTHER_CLASSES = {CELL: "cell", 2: "struct", 3: "object", 5: "sparse matrix", 16: "function"}
COMPLEX_FLAG = 0x800
HEADER_BYTES = 128
NAME_BYTES = 4096  # the first bytes of a variable, which contain its name

_Element: TypeAlias = tuple[int, memoryview]


def read_mat5(path: Path, names: Sequence[str]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Return the names of all variables of a file, and the values of those in `names`.

    The values are those of `load_variables`; a class that it does not support becomes its name.
    Raises exceptions of several types if the file is damaged.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    order = "<" if content[126:128] == b"IM" else ">"
    found, values = [], {}
    for element in _elements(memoryview(content)[HEADER_BYTES:], order):
        name = _Matrix(_decompressed(element, order, NAME_BYTES), order).name
        found.append(name)
        if name in names:
            values[name] = _Matrix(_decompressed(element, order), order).value()
    return [name for name in found if name], values  # MATLAB's own data have no name


class _Matrix:
    """A variable, or a cell of one.

    Parameters
    ----------
    content : memoryview
        The data of an element of type `MATRIX`. For the name, its beginning is enough.
    order : {"<", ">"}
        The byte order.
    """

    def __init__(self, content: memoryview, order: str) -> None:
        self._order, self._elements, self._size = order, _elements(content, order), len(content)
        flags = int(self._numbers(UINT32)[0])
        self.kind, self._is_complex = flags & 0xFF, bool(flags & COMPLEX_FLAG)
        self.shape = () if self.kind == OPAQUE else tuple(self._numbers(INT32, UINT32).tolist())
        if min(self.shape, default=0) < 0:
            raise ValueError(f"a variable has the size {self.shape}")
        self.name = bytes(self._next()[1]).decode("latin-1")

    def value(self, in_cell: bool = False) -> NDArray[Any]:
        """Read the data; what is in a cell array in a cell array is not read."""
        if self.kind in NUMBER_CLASSES:
            numbers = self._numbers().astype(NUMBER_CLASSES[self.kind])
            if self._is_complex:
                numbers = numbers + 1j * self._numbers()
            return numbers.reshape(self.shape, order="F")
        if self.kind == CHAR and len(self.shape) == 2:
            return char_rows(self._utf16().reshape(self.shape, order="F"))
        if self.kind == CELL and not in_cell:
            return self._cells()
        kind = OTHER_CLASSES.get(self.kind, "string array or object")
        return np.array(" ".join([" x ".join(map(str, self.shape)), kind]).strip(), object)

    def _next(self) -> _Element:
        element = next(self._elements, None)
        if element is None:
            raise ValueError("a variable is incomplete")
        return element

    def _numbers(self, *types: int) -> NDArray[Any]:
        """Read the next element as numbers, of one of the `types` if there are any."""
        kind, data = self._next()
        if kind not in (types or NUMBER_TYPES):
            raise ValueError(f"an element has the type {kind}")
        return np.frombuffer(data, self._order + NUMBER_TYPES[kind])

    def _utf16(self) -> NDArray[np.uint16]:
        """Read the next element as text in units of 16 bits, which are MATLAB's characters."""
        kind, data = self._next()
        if kind not in ENCODINGS:
            raise ValueError(f"text has the type {kind}")
        encoding = ENCODINGS[kind]
        if encoding in ("utf-16", "utf-32"):
            encoding += "-le" if self._order == "<" else "-be"
        return np.frombuffer(bytes(data).decode(encoding).encode("utf-16-le"), "<u2")

    def _cells(self) -> NDArray[np.object_]:
        count = prod(self.shape)
        cells = np.empty(min(count, self._size), object)  # each cell takes more than one byte
        for i in range(count):
            kind, data = self._next()
            if kind != MATRIX:
                raise ValueError(f"a cell has the type {kind}")
            cells[i] = _Matrix(data, self._order).value(True) if data else np.empty((0, 0))
        return cells.reshape(self.shape, order="F")


def char_rows(units: NDArray[Any]) -> NDArray[np.str_]:
    """Return the rows (m,) of a char matrix (m, n) of 16-bit units."""
    return np.array([row.astype("<u2").tobytes().decode("utf-16-le") for row in units], str)


def _elements(content: memoryview, order: str) -> Iterator[_Element]:
    """Yield the type and the data of each element."""
    while content:
        kind, size = struct.unpack_from(f"{order}II", content)
        start = 8
        if kind >> 16:  # a small element: four bytes of type and size, four of data
            kind, size, start = kind & 0xFFFF, kind >> 16, 4
        end = start + size
        if end > len(content) or (start == 4 and size > 4):
            raise ValueError("an element is longer than its place")
        yield kind, content[start:end]
        is_padded = kind not in (MATRIX, COMPRESSED)
        content = content[-(-end // 8) * 8 if is_padded else end :]


def _decompressed(element: _Element, order: str, most: int | None = None) -> memoryview:
    """Return the data of a variable; with `most` perhaps no more than its first bytes."""
    kind, data = element
    if kind == COMPRESSED:
        stream = zlib.decompressobj()
        kind, size = struct.unpack(f"{order}II", stream.decompress(data, 8))
        limit = size if most is None else min(most, size)
        data = memoryview(stream.decompress(stream.unconsumed_tail, limit + 1))
        if most is None and not (stream.eof and len(data) == size):
            raise ValueError("a compressed variable is incomplete")
    if kind != MATRIX:
        raise ValueError(f"a variable has the type {kind}")
    return data


def cell_array(name: str, strings: Sequence[str]) -> bytes:
    """Return the element of an n x 1 cell array of char vectors, in this machine's byte order."""
    return _matrix(CELL, len(strings), 1, name, b"".join(map(_char_vector, strings)))


def _char_vector(text: str) -> bytes:
    units = text.encode(f"utf-16-{sys.byteorder[0]}e")  # a char of MATLAB is one 16-bit unit
    return _matrix(CHAR, 1 if units else 0, len(units) // 2, "", _element(UTF16, units))


def _matrix(kind: int, rows: int, columns: int, name: str, content: bytes) -> bytes:
    flags, size = struct.pack("=II", kind, 0), struct.pack("=ii", rows, columns)
    head = _element(UINT32, flags) + _element(INT32, size) + _element(INT8, name.encode())
    return _element(MATRIX, head + content)


def _element(kind: int, data: bytes) -> bytes:
    return struct.pack("=II", kind, len(data)) + data + bytes(-len(data) % 8)
