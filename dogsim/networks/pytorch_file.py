"""Reading of tensors from files in the format of PyTorch before 1.6, without PyTorch."""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError


def read_pytorch(path: Path) -> dict[str, NDArray[np.float32]]:
    """Read the tensors of a file by their names.

    Raises `DogsimError` if its pickles name a type that tensors do not need.
    """
    # The file consists of five pickles (magic number, protocol, machine, tensors, order of the
    # storages) and the storages, each an int64 length and its elements. The tensors in the fourth
    # pickle only refer to their storage by name, so they are created after the storages are read.
    with path.open("rb") as file:
        for _ in range(3):
            _Unpickler(file).load()
        tensors: dict[str, _Tensor] = _Unpickler(file).load()
        storages = {}
        dtypes = {name: dtype for _, dtype, name, *_ in (each.storage for each in tensors.values())}
        for key in _Unpickler(file).load():
            (length,) = np.fromfile(file, "<i8", 1)
            storages[key] = np.fromfile(file, dtypes[key], int(length))
    return {name: tensor.array(storages[tensor.storage[2]]) for name, tensor in tensors.items()}


class _Tensor(NamedTuple):
    """A tensor of the file, a strided view of one of its storages: arguments of PyTorch's function.

    `storage` has the name of the class, the dtype and the name of the storage first.
    """

    storage: tuple[str, str, str, str, int, None]
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: Any

    def array(self, storage: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the elements of the tensor."""
        strides = tuple(step * storage.itemsize for step in self.strides)
        return np.lib.stride_tricks.as_strided(storage[self.offset :], self.shape, strides)


class _Unpickler(pickle.Unpickler):
    """Unpickler that is restricted to the four types of object in the file.

    A pickle can call any function by its name; this one finds only the listed ones.
    """

    _ALLOWED: ClassVar[dict[tuple[str, str], Callable[..., Any] | str]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _Tensor,
        ("torch", "FloatStorage"): "<f4",
        ("torch", "LongStorage"): "<i8",
    }

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._ALLOWED[module, name]
        except KeyError:
            raise DogsimError(f"The weight file asks for {module}.{name}: refused.") from None

    def persistent_load(self, pid: Any) -> Any:
        return pid
