"""Image networks of Keras Hub, as ``hub:dinov2_small``: ``pip install 'dogsim[hub]'``.

A preset is a folder that Keras Hub downloads once: how a network is built, how it wants its pixels,
and its weights. Where these lie is seen without Keras Hub, which takes seconds to import.
"""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from glob import escape
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError, reason, unknown
from dogsim.networks.weights import downloaded

PREFIX = "hub:"
HOST = "https://api.kaggle.com/"
FILE = "model.weights.h5"
# Its families of networks that take nothing but pictures, by what they give: a map, of several the
# last, or tokens, of which the first is that of the class. OpenVINO cannot compute SwinTransformer.
MAPS = (
    *("CSPNet", "DenseNet", "EfficientNet", "HGNetV2", "MiT", "MobileNet", "ResNet", "VGG"),
    "Xception",
)
CLASS_TOKEN = ("DeiT", "DINOV2", "DINOV3", "ViT")


@dataclass(frozen=True)
class HubBackbone:
    """A preset of Keras Hub, which answers whatever a `Backbone` does."""

    preset: str
    top_layers: ClassVar[tuple[str, ...]] = ()
    feature_layer: ClassVar[str] = "output"  # the class token, or the mean of the map

    def check(self) -> None:
        """Raise `DogsimError` unless it has been downloaded, or there is such a preset."""
        if weights_file(self.preset) is None:
            family_of(self.preset)

    @property
    def facts(self) -> dict[str, Any]:
        """What of a recipe it decides before it is there: nothing."""
        return {}

    @cached_property
    def image_size(self) -> int:
        """Height and width of its pictures, pixels; downloads what tells it, if need be."""
        height, width = self._converter.image_size or (0, 0)
        if not height or height != width:
            raise DogsimError(
                f"The preset {self.preset} takes pictures of {height} x {width} pixels. Expected a "
                "square: export the network to ONNX, and take --backbone onnx."
            )
        return int(height)

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Raise `DogsimError`: what is built, and with what weights, is told by the preset."""
        raise DogsimError(
            f"Received a weight file for {PREFIX}{self.preset}, which has weights of its own. "
            "Leave --weights out."
        )

    def build_imagenet(self, top: bool, name: str) -> Any:
        """Build it with its weights, downloaded if need be; `name` is for messages.

        Returns a Keras model from (B, S, S, 3) to a map (B, h, w, D) or a vector (B, D). Raises
        `WeightsUnavailableError` if the preset cannot be had.
        """
        family, size = family_of(self.preset), self.image_size
        shape = {"input_shape" if family == "EfficientNet" else "image_shape": (size, size, 3)}
        backbone = getattr(import_hub().models, f"{family}Backbone")
        network = self._fetched(lambda: backbone.from_preset(self.preset, **shape))
        found = network.output
        found = list(found.values())[-1] if isinstance(found, dict) else found
        features = found[:, 0] if family in CLASS_TOKEN else found
        return import_keras().Model(network.inputs[0], features)

    def imagenet_file(self, top: bool = False) -> Path | None:
        """Path of the weights if they have been downloaded, whole, before."""
        return weights_file(self.preset)

    def prepare(self, images: Any) -> Any:
        """Turn RGB of 0 to 255, (B, H, W, 3) float32, into the numbers the network learned from."""
        scale, offset = self._converter.scale, self._converter.offset
        scaled = images if scale is None else images * np.float32(scale)
        return scaled if offset is None else scaled + np.float32(offset)

    @cached_property
    def _converter(self) -> Any:
        """What Keras Hub brings pictures into a network's form with: size, scale, offset."""
        kind = import_hub().layers.ImageConverter
        return self._fetched(lambda: kind.from_preset(self.preset))

    def _fetched(self, fetch: Callable[[], Any]) -> Any:
        way_out = f"copy {cache_home()} from a machine that has them"
        return fetched(fetch, self.preset, f"{PREFIX}{self.preset}", way_out)


@cache
def families() -> dict[str, str]:
    """List the presets that can be taken, each with its family.

    Left out is a preset whose handle is that of another one, as Keras Hub has it for three of
    EfficientNet: its weights would be those of the other.
    """
    models, found = import_hub().models, {}
    for family in MAPS + CLASS_TOKEN:
        known = getattr(getattr(models, f"{family}Backbone", None), "presets", {})
        for preset, facts in known.items():
            if preset in facts.get("kaggle_handle", "").split("/"):
                found[preset] = family
    return found


def family_of(preset: str) -> str:
    """Find a preset's family; raises `DogsimError` with the nearest names if there is none."""
    if preset not in families():
        raise unknown("preset", preset, list(families()))
    return families()[preset]


def weights_file(preset: str) -> Path | None:
    """Path of a preset's weights if they have been downloaded, whole, before; the latest."""
    folder = f"models/keras/*/keras/{escape(preset)}"
    marks = cache_home().glob(f"{folder}/.complete/*/{FILE}.complete")
    newest = max(marks, key=lambda mark: int(mark.parent.name), default=None)
    return newest and newest.parents[2] / newest.parent.name / FILE


def cache_home() -> Path:
    """The folder of what Keras Hub has downloaded."""
    return Path(os.environ.get("KAGGLEHUB_CACHE", Path.home() / ".cache" / "kagglehub"))


def fetched(fetch: Callable[[], Any], preset: str, name: str, way_out: str) -> Any:
    """Return what `fetch` returns, which may have Keras Hub download files of a preset.

    `name` is for messages, and `way_out` what else the user can do. Raises
    `WeightsUnavailableError` if `fetch` raises anything.
    """
    return downloaded(fetch, name, None if weights_file(preset) else HOST, way_out)


def import_hub() -> Any:
    """Return the module `keras_hub`; raises `DogsimError` if it is not installed."""
    import_keras()
    try:
        import keras_hub
    except ImportError as error:
        raise DogsimError(
            f"This network comes from Keras Hub, which cannot be imported ({reason(error)}). "
            "Install it: pip install 'dogsim[hub]'"
        ) from error
    logging.getLogger("kagglehub").setLevel(logging.ERROR)  # it reports on stdout
    return keras_hub
