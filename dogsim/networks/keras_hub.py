"""Image networks of Keras Hub, such as ``hub:dinov2_small``: ``pip install 'dogsim[hub]'``.

A preset is a folder that Keras Hub downloads once: the network's configuration, its preprocessing
and its weights. They are found in the cache without importing Keras Hub, which takes seconds.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, cached_property
from glob import escape
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError, check_known
from dogsim.networks.weights import downloaded
from dogsim.plumbing.files import expand_home
from dogsim.plumbing.optional import require

PREFIX = "hub:"
KAGGLE = "https://api.kaggle.com/"
WEIGHTS_FILE = "model.weights.h5"
# The families of Keras Hub whose networks take images only, by their output: a map (the last of
# several), or tokens (the first is the class token). OpenVINO cannot compute SwinTransformer.
MAP_FAMILIES = (
    *("CSPNet", "DenseNet", "EfficientNet", "HGNetV2", "MiT", "MobileNet", "ResNet", "VGG"),
    "Xception",
)
TOKEN_FAMILIES = ("DeiT", "DINOV2", "DINOV3", "ViT")


@dataclass(frozen=True)
class HubBackbone:
    """A preset of Keras Hub, with the methods of `Backbone`."""

    preset: str
    top_layers: ClassVar[tuple[str, ...]] = ()
    feature_layer: ClassVar[str] = "output"  # the class token, or the mean of the map
    size_is_known: ClassVar[bool] = False

    def check(self) -> None:
        """Raise `DogsimError` if there is no such preset, neither downloaded nor known."""
        if weights_file(self.preset) is None:
            family_of(self.preset)

    @cached_property
    def image_size(self) -> int:
        """Height and width of the input, pixels; downloads the preprocessing if necessary."""
        height, width = self._converter.image_size or (0, 0)
        if not height or height != width:
            raise DogsimError(
                f"The preset {self.preset} takes images of {height} x {width} pixels. Expected a "
                "square: export the network to ONNX and use --backbone onnx."
            )
        return int(height)

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Raise `DogsimError`: the preset determines the network together with its weights."""
        raise DogsimError(
            f"Received a weight file for {PREFIX}{self.preset}, which has weights of its own. "
            "Leave --weights out."
        )

    def build_imagenet(self, top: bool, name: str) -> Any:
        """Build the network with its weights, downloaded if necessary; `name` is for messages.

        Returns a Keras model from (B, S, S, 3) to a map (B, h, w, D) or a vector (B, D). Raises
        `WeightsUnavailableError` if the preset cannot be downloaded.
        """
        family, size = family_of(self.preset), self.image_size
        shape = {"input_shape" if family == "EfficientNet" else "image_shape": (size, size, 3)}
        backbone = getattr(import_hub().models, f"{family}Backbone")
        network = self._download(lambda: backbone.from_preset(self.preset, **shape), name)
        output = network.output
        output = list(output.values())[-1] if isinstance(output, dict) else output
        features = output[:, 0] if family in TOKEN_FAMILIES else output
        return import_keras().Model(network.inputs[0], features)

    def imagenet_file(self, top: bool = False) -> Path | None:
        """Return the path of the downloaded weights; None if they are missing or incomplete."""
        return weights_file(self.preset)

    def prepare(self, images: Any) -> Any:
        """Normalise RGB of 0 to 255, (B, H, W, 3) float32, as in the training of the network."""
        scale, offset = self._converter.scale, self._converter.offset
        scaled = images if scale is None else images * np.float32(scale)
        return scaled if offset is None else scaled + np.float32(offset)

    @cached_property
    def _converter(self) -> Any:
        """Keras Hub's preprocessing: size, scale, offset."""
        converter = import_hub().layers.ImageConverter
        return self._download(lambda: converter.from_preset(self.preset), f"{PREFIX}{self.preset}")

    def _download(self, fetch: Callable[[], Any], name: str) -> Any:
        """Return the result of `fetch`, which may download the preset, see `downloaded`."""
        host = None if weights_file(self.preset) else KAGGLE
        return downloaded(fetch, name, host, self._remedy)

    @property
    def _remedy(self) -> str:
        """What else the user can do if a download fails."""
        return f"copy {cache_home()} from a machine that has them"


@dataclass(frozen=True)
class HubResNet(HubBackbone):
    """A ResNet of Keras Hub that Keras lacks, without classifier; accepts a weight file.

    `architecture` are arguments of Keras Hub's ``ResNetBackbone``.
    """

    architecture: dict[str, Any] = field(default_factory=dict, hash=False)
    image_size: int = 224
    feature_layer: ClassVar[str] = "avg_pool"
    size_is_known: ClassVar[bool] = True
    module: ClassVar[str] = __name__

    def check(self) -> None:
        """Do nothing: the network can be built without its preset."""

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Build the network with random weights, (B, S, S, 3) to a map (B, h, w, 512).

        Raises `DogsimError` if `top` is true or Keras Hub is not installed.
        """
        if top:
            raise DogsimError(
                f"Keras Hub has no classifier for {self.preset}. Give weights without one."
            )
        return import_hub().models.ResNetBackbone(
            stackwise_num_filters=[64, 128, 256, 512],
            stackwise_num_strides=[1, 2, 2, 2],
            image_shape=(self.image_size, self.image_size, 3),
            **self.architecture,
        )

    def build_imagenet(self, top: bool, name: str) -> Any:
        """Build the network with its weights, see `HubBackbone.build_imagenet`."""
        resnet, shape = import_hub().models.ResNetBackbone, (self.image_size, self.image_size, 3)
        return self._download(lambda: resnet.from_preset(self.preset, image_shape=shape), name)

    def prepare(self, images: Any) -> Any:
        """Normalise RGB of 0 to 255 to mean 0 and standard deviation 1 over ImageNet."""
        return import_keras().applications.imagenet_utils.preprocess_input(images, mode="torch")

    @property
    def _remedy(self) -> str:
        return "give a file (--weights FILE), or use --backbone resnet50"


# Of 34 layers Keras Hub has only the variant "vd" (He et al. 2019, arXiv:1812.01187: three 3 x 3
# convolutions instead of the first 7 x 7, pooling in the shortcuts).
RESNETS = {
    "resnet18": HubResNet(
        "resnet_18_imagenet",
        {
            "input_conv_filters": [64],
            "input_conv_kernel_sizes": [7],
            "stackwise_num_blocks": [2, 2, 2, 2],
            "block_type": "basic_block",
        },
    ),
    "resnet34": HubResNet(
        "resnet_vd_34_imagenet",
        {
            "input_conv_filters": [32, 32, 64],
            "input_conv_kernel_sizes": [3, 3, 3],
            "stackwise_num_blocks": [3, 4, 6, 3],
            "block_type": "basic_block_vd",
        },
    ),
}


@cache
def families() -> dict[str, str]:
    """Return the supported presets, each with its family.

    Keras Hub gives three presets of EfficientNet the handle of another preset. They are left out,
    because their weights would be those of the other preset.
    """
    models, found = import_hub().models, {}
    for family in MAP_FAMILIES + TOKEN_FAMILIES:
        presets = getattr(getattr(models, f"{family}Backbone", None), "presets", {})
        for preset, facts in presets.items():
            if preset in facts.get("kaggle_handle", "").split("/"):
                found[preset] = family
    return found


def family_of(preset: str) -> str:
    """Find a preset's family; raise `DogsimError` with the nearest names if there is none."""
    check_known("preset", preset, families())
    return families()[preset]


def weights_file(preset: str) -> Path | None:
    """Return the path of a preset's latest weights; None unless they are completely downloaded."""
    folder = f"models/keras/*/keras/{escape(preset)}"
    marks = cache_home().glob(f"{folder}/.complete/*/{WEIGHTS_FILE}.complete")
    newest = max(marks, key=lambda mark: int(mark.parent.name), default=None)
    return newest and newest.parents[2] / newest.parent.name / WEIGHTS_FILE


def cache_home() -> Path:
    """Return the folder of Keras Hub's downloads."""
    return Path(os.environ.get("KAGGLEHUB_CACHE", expand_home("~/.cache/kagglehub")))


def import_hub() -> Any:
    """Return the module `keras_hub`; raise `DogsimError` if it is not installed."""
    import_keras()
    hub = require("keras_hub", "hub", "This network")
    logging.getLogger("kagglehub").setLevel(logging.ERROR)  # it reports on stdout
    return hub
