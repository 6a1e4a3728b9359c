"""The table of networks: how each is built, where its ImageNet weights lie, its kind of pixels."""

import importlib
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from dogsim.engines._keras import import_keras
from dogsim.errors import unknown
from dogsim.networks.keras_hub import PREFIX, HubBackbone
from dogsim.networks.weights import IMAGENET, cached_weights, keras_download

KERAS = "keras.applications"


@dataclass(frozen=True)
class Backbone:
    """A network: its module with builder and ``preprocess_input``, and its weight file's name.

    Builders are called as those of `keras.applications`. `weights_name` is what Keras calls the
    file of the ImageNet weights, to which it adds `notop` without the classifier. One without
    `weights_name` is of our own: its builder gets the ImageNet weights itself, and its module's
    ``weights_file(builder)`` tells where they lie.
    """

    module: str
    builder: str
    weights_name: str = ""
    image_size: int = 224
    notop: str = "_notop"
    top_layers: tuple[str, ...] = ("predictions",)
    feature_layer: ClassVar[str] = "avg_pool"  # the global average pooling

    @property
    def facts(self) -> dict[str, Any]:
        """What of a recipe it decides before it is there."""
        return {"image_size": self.image_size}

    def check(self) -> None:
        """Do nothing: each that is in the table can be had."""

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Build the Keras model, ending in its features or a map, or with ``top`` in classes."""
        import_keras()
        # All of Keras' stand there, and not each in the module that prepares its pixels.
        home = importlib.import_module(KERAS if self.weights_name else self.module)
        pooled = {"pooling": "avg"} if self.weights_name and not top else {}
        shape = (self.image_size, self.image_size, 3)
        return getattr(home, self.builder)(
            include_top=top, weights=weights, input_shape=shape, **pooled
        )

    def build_imagenet(self, top: bool, name: str) -> Any:
        """Build it with its ImageNet weights, downloaded if need be; `name` is for messages.

        Raises `WeightsUnavailableError` if they cannot be had.
        """
        if not self.weights_name:
            return self.build(top, IMAGENET)
        return keras_download(lambda: self.build(top, IMAGENET), name, self.weight_file_name(top))

    def imagenet_file(self, top: bool = False) -> Path | None:
        """Where the ImageNet weights lie, None where they have to be downloaded first."""
        if self.weights_name:
            return cached_weights(self.weight_file_name(top))
        file: Path | None = importlib.import_module(self.module).weights_file(self.builder)
        return file

    def weight_file_name(self, top: bool) -> str:
        """Name under which Keras caches the ImageNet weights, with or without classifier."""
        return f"{self.weights_name}{'' if top else self.notop}.h5"

    def prepare(self, images: Any) -> Any:
        """Turn RGB of 0 to 255, (B, H, W, 3) float32, into the numbers the network learned from.

        Takes tensors and arrays; arrays are overwritten.
        """
        return importlib.import_module(self.module).preprocess_input(images)


_K, _OURS = f"{KERAS}.", "dogsim.networks."
_TF = "_weights_tf_dim_ordering_tf_kernels"
_VGG: dict[str, Any] = {"top_layers": ("flatten", "fc1", "fc2", "predictions")}
_NO_TOP: dict[str, Any] = {"notop": "_no_top"}
_MOBILE = _NO_TOP | {"top_layers": ("conv_preds", "conv_2", "logits", "predictions")}
_V3: dict[str, Any] = _MOBILE | {"notop": "_no_top_v2"}
_B = {"b0": 224, "b1": 240, "b2": 260, "b3": 300}  # pixels
BACKBONES = {
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
    "resnet18": Backbone(_OURS + "small_resnets", "ResNet18", top_layers=()),
    "resnet34": Backbone(_OURS + "small_resnets", "ResNet34", top_layers=()),
    "efficientnet-lite0": Backbone(_OURS + "efficientnet_lite", "EfficientNetLite0"),
}
ONNX = "onnx"  # a network that is all in a file
NAMES = (*BACKBONES, ONNX)


def families() -> str:
    """List the names for who reads them, each family by its first and its last.

    >>> families()[:47]
    'resnet50 to resnet152, resnet50v2 to resnet152v'
    """
    groups = [list(group) for _, group in groupby(BACKBONES, lambda name: BACKBONES[name].module)]
    told = (name for group in groups for name in _first_and_last(group))
    return ", ".join([*told, ONNX, f"{PREFIX}PRESET of Keras Hub"])


def _first_and_last(names: list[str]) -> list[str]:
    return names if len(names) < 3 else [f"{names[0]} to {names[-1]}"]


def find_backbone(name: str) -> Backbone | HubBackbone:
    """Look a backbone up; raises `DogsimError` with the nearest names if there is none.

    ``hub:`` and anything is one of Keras Hub, which knows by itself whether there is such.

    >>> find_backbone("resnet5")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Unknown backbone 'resnet5'; did you mean 'resnet50'? Of 44, the \
nearest: resnet50, resnet152, resnet50v2, resnet34, resnet18.
    """
    if name.startswith(PREFIX):
        return HubBackbone(name.removeprefix(PREFIX))
    if name not in BACKBONES:
        raise unknown("backbone", name, NAMES)
    return BACKBONES[name]
