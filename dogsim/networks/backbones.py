"""The table of networks: how each is built, where its ImageNet weights lie, its kind of pixels."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogsim.errors import unknown
from dogsim.networks._keras import import_keras
from dogsim.networks.weights import IMAGENET, cached_weights, keras_download


@dataclass(frozen=True)
class Backbone:
    """A network: its module with builder and ``preprocess_input``, and its weight file's name.

    Builders are called as those of `keras.applications`. One without `weights_name` is of our own:
    its builder gets the ImageNet weights itself, and its module's ``weights_file(builder)`` tells
    where they lie.
    """

    module: str
    builder: str
    weights_name: str = ""
    image_size: int = 224
    top_layers: tuple[str, ...] = ("predictions",)

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Build the Keras model, ending in its feature map, or with ``top`` in its classes."""
        import_keras()
        builder = getattr(importlib.import_module(self.module), self.builder)
        shape = (self.image_size, self.image_size, 3)
        return builder(include_top=top, weights=weights, input_shape=shape)

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
        return f"{self.weights_name}_weights_tf_dim_ordering_tf_kernels{'' if top else '_notop'}.h5"

    def prepare(self, images: Any) -> Any:
        """Turn RGB of 0 to 255, (B, H, W, 3) float32, into the numbers the network learned from.

        Takes tensors and arrays; arrays are overwritten.
        """
        return importlib.import_module(self.module).preprocess_input(images)


_K, _OURS = "keras.applications.", "dogsim.networks."
_VGG_TOP = ("flatten", "fc1", "fc2", "predictions")
BACKBONES = {
    "resnet50": Backbone(_K + "resnet50", "ResNet50", "resnet50"),
    "resnet101": Backbone(_K + "resnet", "ResNet101", "resnet101"),
    "resnet152": Backbone(_K + "resnet", "ResNet152", "resnet152"),
    "resnet50v2": Backbone(_K + "resnet_v2", "ResNet50V2", "resnet50v2"),
    "resnet101v2": Backbone(_K + "resnet_v2", "ResNet101V2", "resnet101v2"),
    "resnet152v2": Backbone(_K + "resnet_v2", "ResNet152V2", "resnet152v2"),
    "vgg16": Backbone(_K + "vgg16", "VGG16", "vgg16", top_layers=_VGG_TOP),
    "vgg19": Backbone(_K + "vgg19", "VGG19", "vgg19", top_layers=_VGG_TOP),
    "inceptionv3": Backbone(_K + "inception_v3", "InceptionV3", "inception_v3", image_size=299),
    "densenet121": Backbone(_K + "densenet", "DenseNet121", "densenet121"),
    "densenet169": Backbone(_K + "densenet", "DenseNet169", "densenet169"),
    "densenet201": Backbone(_K + "densenet", "DenseNet201", "densenet201"),
    "resnet18": Backbone(_OURS + "small_resnets", "ResNet18", top_layers=()),
    "resnet34": Backbone(_OURS + "small_resnets", "ResNet34", top_layers=()),
    "efficientnet-lite0": Backbone(_OURS + "efficientnet_lite0", "EfficientNetLite0"),
}
ONNX = "onnx"  # a network that is all in a file
NAMES = (*BACKBONES, ONNX)


def find_backbone(name: str) -> Backbone:
    """Look a backbone up; raises `DogsimError` with the nearest name if there is none.

    >>> find_backbone("resnet5")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Unknown backbone 'resnet5'; did you mean 'resnet50'? Known: \
resnet50, resnet101, resnet152, resnet50v2, resnet101v2, resnet152v2, vgg16, vgg19, inceptionv3, \
densenet121, densenet169, densenet201, resnet18, resnet34, efficientnet-lite0, onnx.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, NAMES)
    return BACKBONES[name]
