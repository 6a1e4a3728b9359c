"""The table of networks, each with its image size, weights and preprocessing; the default one."""

import importlib
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from dogsim.engines.tensorflow import import_keras
from dogsim.errors import unknown
from dogsim.networks.keras_hub import PREFIX, RESNETS, HubBackbone, HubResNet
from dogsim.networks.protocols import BackboneProtocol
from dogsim.networks.weights import (
    IMAGENET,
    OFFLINE_BACKBONE,
    WeightsUnavailableError,
    cached_weights,
    keras_download,
)
from dogsim.plumbing.terminal import note

DEFAULT_BACKBONE = "resnet50"
KERAS = "keras.applications"
# Each is part of the names of its networks; the first that fits.
FAMILIES = (
    "ception",
    "resnet",
    "vgg",
    "densenet",
    "nasnet",
    "mobilenet",
    "efficientnet",
    "convnext",
)


@dataclass(frozen=True)
class Backbone:
    """A network of `keras.applications`.

    Attributes
    ----------
    module : str
        The module with its ``preprocess_input``.
    builder : str
        The function that builds it.
    weights_name : str
        Keras' name for the file of the ImageNet weights, without ``.h5``.
    image_size : int
        Height and width of the input, pixels.
    notop : str
        What Keras appends to `weights_name` for the weights without the classifier.
    top_layers : tuple of str
        Names of the classifier's layers.
    """

    module: str
    builder: str
    weights_name: str = ""
    image_size: int = 224
    notop: str = "_notop"
    top_layers: tuple[str, ...] = ("predictions",)
    feature_layer: ClassVar[str] = "avg_pool"  # the global average pooling
    size_is_known: ClassVar[bool] = True  # before anything is downloaded

    def check(self) -> None:
        """Do nothing: every network of the table is available."""

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Build the Keras model up to its pooled features, or with `top` up to the classes."""
        import_keras()
        pooling = {} if top else {"pooling": "avg"}
        return self._call_builder(KERAS, top, weights, **pooling)

    def _call_builder(self, module: str, top: bool, weights: str | None, **options: str) -> Any:
        shape = (self.image_size, self.image_size, 3)
        build = getattr(importlib.import_module(module), self.builder)
        return build(include_top=top, weights=weights, input_shape=shape, **options)

    def build_imagenet(self, top: bool, name: str) -> Any:
        """Build it with its ImageNet weights, downloaded if necessary; `name` is for messages.

        Raises `WeightsUnavailableError` if they cannot be downloaded.
        """
        return keras_download(lambda: self.build(top, IMAGENET), name, self.weight_file_name(top))

    def imagenet_file(self, top: bool = False) -> Path | None:
        """Return the path of the ImageNet weights; None if they are not downloaded yet."""
        return cached_weights(self.weight_file_name(top))

    def weight_file_name(self, top: bool) -> str:
        """Return the name of the ImageNet weights in Keras' cache, with or without classifier."""
        return f"{self.weights_name}{'' if top else self.notop}.h5"

    def prepare(self, images: Any) -> Any:
        """Normalise RGB of 0 to 255, (B, H, W, 3) float32, as in the training of the network.

        Accepts tensors and arrays; arrays are overwritten.
        """
        return importlib.import_module(self.module).preprocess_input(images)


@dataclass(frozen=True)
class InstalledBackbone(Backbone):
    """A network of this package whose ImageNet weights are a package of their own.

    Its module has the builder, ``preprocess_input`` and ``weights_file``.
    """

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Build the Keras model up to its feature map, or with `top` up to the classes."""
        return self._call_builder(self.module, top, weights)

    def build_imagenet(self, top: bool, name: str) -> Any:
        """Build it with its ImageNet weights; raise `DogsimError` if they are not installed."""
        return self.build(top, IMAGENET)

    def imagenet_file(self, top: bool = False) -> Path | None:
        """Return the path of the ImageNet weights."""
        file: Path = importlib.import_module(self.module).weights_file(self.builder)
        return file


_K = f"{KERAS}."
_TF = "_weights_tf_dim_ordering_tf_kernels"
_VGG: dict[str, Any] = {"top_layers": ("flatten", "fc1", "fc2", "predictions")}
_NO_TOP: dict[str, Any] = {"notop": "_no_top"}
_MOBILE = _NO_TOP | {"top_layers": ("conv_preds", "conv_2", "logits", "predictions")}
_V3: dict[str, Any] = _MOBILE | {"notop": "_no_top_v2"}
_B = {"b0": 224, "b1": 240, "b2": 260, "b3": 300}  # pixels
#: The networks by name; an image size of None means that the network accepts every size.
BACKBONES: dict[str, Backbone | HubResNet] = {
    "resnet50": Backbone(_K + "resnet", "ResNet50", "resnet50" + _TF),
    "resnet101": Backbone(_K + "resnet", "ResNet101", "resnet101" + _TF),
    "resnet152": Backbone(_K + "resnet", "ResNet152", "resnet152" + _TF),
    "resnet50v2": Backbone(_K + "resnet_v2", "ResNet50V2", "resnet50v2" + _TF),
    "resnet101v2": Backbone(_K + "resnet_v2", "ResNet101V2", "resnet101v2" + _TF),
    "resnet152v2": Backbone(_K + "resnet_v2", "ResNet152V2", "resnet152v2" + _TF),
    "vgg16": Backbone(_K + "vgg16", "VGG16", "vgg16" + _TF, **_VGG),
    "vgg19": Backbone(_K + "vgg19", "VGG19", "vgg19" + _TF, **_VGG),
    "inceptionv3": Backbone(_K + "inception_v3", "InceptionV3", "inception_v3" + _TF, 299),
    "inceptionresnetv2": Backbone(
        _K + "inception_resnet_v2", "InceptionResNetV2", "inception_resnet_v2" + _TF, 299
    ),
    "xception": Backbone(_K + "xception", "Xception", "xception" + _TF, 299),
    "densenet121": Backbone(_K + "densenet", "DenseNet121", "densenet121" + _TF),
    "densenet169": Backbone(_K + "densenet", "DenseNet169", "densenet169" + _TF),
    "densenet201": Backbone(_K + "densenet", "DenseNet201", "densenet201" + _TF),
    "nasnetmobile": Backbone(_K + "nasnet", "NASNetMobile", "nasnet_mobile", **_NO_TOP),
    "nasnetlarge": Backbone(_K + "nasnet", "NASNetLarge", "nasnet_large", 331, **_NO_TOP),
    "mobilenet": Backbone(_K + "mobilenet", "MobileNet", "mobilenet_1_0_224_tf", **_MOBILE),
    "mobilenetv2": Backbone(
        _K + "mobilenet_v2", "MobileNetV2", f"mobilenet_v2{_TF}_1.0_224", **_MOBILE
    ),
    **{
        f"mobilenetv3{size.lower()}": Backbone(
            _K + "mobilenet_v3",
            f"MobileNetV3{size}",
            f"weights_mobilenet_v3_{size.lower()}_224_1.0_float",
            **_V3,
        )
        for size in ("Small", "Large")
    },
    **{
        f"efficientnet{b}": Backbone(
            _K + "efficientnet", f"EfficientNet{b.upper()}", f"efficientnet{b}", pixels
        )
        for b, pixels in (_B | {"b4": 380, "b5": 456, "b6": 528, "b7": 600}).items()
    },
    **{
        f"efficientnetv2{b}": Backbone(
            _K + "efficientnet_v2", f"EfficientNetV2{b.upper()}", f"efficientnetv2-{b}", pixels
        )
        for b, pixels in (_B | {"s": 384, "m": 480, "l": 480}).items()
    },
    **{
        f"convnext{size.lower()}": Backbone(
            _K + "convnext",
            f"ConvNeXt{size}",
            f"convnext_{size.lower()}",
            top_layers=tuple(f"convnext_{size.lower()}_head_{x}" for x in ("layernorm", "dense")),
        )
        for size in ("Tiny", "Small", "Base", "Large", "XLarge")
    },
    **RESNETS,
    **{
        f"efficientnet-lite{n}": InstalledBackbone(
            "dogsim.networks.efficientnet_lite", f"EfficientNetLite{n}", image_size=pixels
        )
        for n, pixels in {0: 224, 2: 260}.items()
    },
}
ONNX = "onnx"  # a network that is defined by its file
NAMES = (*BACKBONES, ONNX)


def families() -> str:
    """Return a readable list of the names in Markdown, a line per family.

    Networks of one module are named by the first and the last.

    >>> families().splitlines()[1:3]
    ['- vgg16, vgg19', '- inceptionv3, inceptionresnetv2, xception']
    """
    lines: dict[str, list[str]] = {}
    for _, group in groupby(BACKBONES, lambda name: BACKBONES[name].module):
        names = list(group)
        family = next(family for family in FAMILIES if family in names[0])
        shown = names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]
        lines.setdefault(family, []).extend(shown)
    others = [ONNX, f"{PREFIX}PRESET of Keras Hub"]
    return "\n".join(f"- {', '.join(names)}" for names in [*lines.values(), others])


def find_backbone(name: str) -> BackboneProtocol:
    """Find a backbone by its name; raise `DogsimError` with the nearest names if there is none.

    ``hub:PRESET`` is a network of Keras Hub; whether the preset exists is checked later.

    >>> find_backbone("resnet5")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Unknown backbone 'resnet5'; did you mean 'resnet50'? Of 45, the \
nearest: resnet50, resnet152, resnet50v2, resnet34, resnet18.
    """
    if name.startswith(PREFIX):
        return HubBackbone(name.removeprefix(PREFIX))
    if name not in BACKBONES:
        raise unknown("backbone", name, NAMES)
    return BACKBONES[name]


@cache
def default_backbone() -> str:
    """Return the name of the backbone that is used if none is named.

    It is ``resnet50``, or, if its ImageNet weights are not cached and cannot be downloaded,
    `OFFLINE_BACKBONE`; a note says so. The download is tried once in a process, so that all its
    features are those of one network.
    """
    backbone = find_backbone(DEFAULT_BACKBONE)
    if backbone.imagenet_file() is None:
        try:
            backbone.build_imagenet(top=False, name=DEFAULT_BACKBONE)
        except WeightsUnavailableError as error:
            note(f"{error.problem} {OFFLINE_BACKBONE} is used, whose weights are installed.")
            return OFFLINE_BACKBONE
    return DEFAULT_BACKBONE
