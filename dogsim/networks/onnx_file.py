"""What an ONNX file names beside its graph: notes on it, and files in which its weights lie.

It is read as bytes, and nothing of it is run. An ONNX file is one message of protocol buffers
(onnx.proto, github.com/onnx/onnx): numbered fields, each a number or so many bytes, some of which
are messages again. Weights may lie in files of their own, which it names by any path; only those in
its own folder are taken.
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from dogsim.errors import DogsimError
from dogsim.networks.weights import weights_sha256

# Messages in which a file of weights may be named: their fields that hold others of these.
MESSAGES = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
GRAPH, METADATA = 7, 14  # fields of the model
EXTERNAL_DATA = 13  # a field of a tensor
NUMBER, BYTES, FIXED = 0, 2, {1: 8, 5: 4}  # what a field holds; the bytes of one of fixed length


@dataclass(frozen=True)
class OnnxFile:
    """What an ONNX file names.

    Attributes
    ----------
    path : Path
    notes : dict of str to str
        What was noted in it, "metadata_props".
    weights : tuple of Path
        Files beside it in which weights lie.
    """

    path: Path
    notes: dict[str, str]
    weights: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """Of the file, and of those of its weights where it has such."""
        digests = [weights_sha256(file) for file in (self.path, *self.weights)]
        return digests[0] if len(digests) == 1 else sha256("".join(digests).encode()).hexdigest()


def read_onnx(path: Path) -> OnnxFile:
    """Read what an ONNX file names.

    Raises `DogsimError` if it is none, or its weights lie elsewhere than in its folder.
    """
    try:
        with path.open("rb") as opened:
            model = memoryview(mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ))
        fields = list(_fields(model))
        if not any(number == GRAPH for number, _ in fields):
            raise ValueError
        notes = dict(_entry(content) for number, content in fields if number == METADATA)
        named = sorted(set(_locations("model", model)))
        files = tuple(_beside(path, name) for name in named)
    except (ValueError, RecursionError) as error:  # of an empty file as well
        if isinstance(error, DogsimError):
            raise
        raise DogsimError(
            f"{path} is not an ONNX file, or is cut short. Expected one as torch.onnx.export or "
            "tf2onnx write them."
        ) from error
    return OnnxFile(path, notes, files)


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield those fields of a message that hold bytes; raises `ValueError` if it is none."""
    at = 0
    while at < len(message):
        key, at = _number(message, at)
        kind = key & 7
        if kind == NUMBER:
            _, at = _number(message, at)
            continue
        length, at = _number(message, at) if kind == BYTES else (FIXED.get(kind, len(message)), at)
        if at + length > len(message):
            raise ValueError
        if kind == BYTES:
            yield key >> 3, message[at : at + length]
        at += length


def _number(message: memoryview, at: int) -> tuple[int, int]:
    """Read a number, seven bits a byte, the lowest first; and tell where it ends."""
    value = 0
    for place, byte in enumerate(message[at : at + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError


def _entry(message: memoryview) -> tuple[str, str]:
    """Read a pair of texts: a name, and what it stands for."""
    texts = {number: bytes(part).decode(errors="replace") for number, part in _fields(message)}
    return texts.get(1, ""), texts.get(2, "")


def _locations(kind: str, message: memoryview) -> Iterator[str]:
    """Yield all names of files in which weights of a message lie."""
    for number, content in _fields(message):
        if inner := MESSAGES[kind].get(number):
            yield from _locations(inner, content)
        elif (kind, number) == ("tensor", EXTERNAL_DATA):
            key, value = _entry(content)
            if key == "location":
                yield value


def _beside(path: Path, name: str) -> Path:
    """Find a file of weights; raises `DogsimError` unless it lies in the folder of `path`."""
    folder = path.parent.resolve()
    file = (folder / name).resolve()
    if not file.is_relative_to(folder):
        raise DogsimError(
            f"{path} wants weights from {name}, which lies outside of its folder: refused. Put "
            "both into one folder, as files and not as links."
        )
    if not file.is_file():
        raise DogsimError(
            f"The weights of {path} lie in {name}, which is not there. Put that file beside it."
        )
    return file
