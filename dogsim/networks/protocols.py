"""The interfaces of networks and backbones."""

from pathlib import Path
from typing import Any, Protocol


class Network(Protocol):
    """A network with its weights, up to the layer that gives the features.

    Creating one loads nothing. `KerasNetwork` and `OnnxNetwork` implement it.
    """

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def weights(self) -> str:
        """``"imagenet"`` or the path of the weight file."""

    @property
    def engine(self) -> str:
        """The only engine that runs it, or ``"auto"``."""

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of its recipe that are known before it is loaded."""

    @property
    def made_from(self) -> dict[str, Any]:
        """The key of the converted network in the cache."""

    def check(self) -> None:
        """Raise `DogsimError` if a name is unknown or a file is missing."""

    def sha256(self) -> str | None:
        """Return the SHA-256 of its weights; None if they are not downloaded yet."""

    def convert(self, places: bool = False) -> Any:
        """Return an `openvino.Model` from (B, S, S, 3) uint8 to features (B, D) float32.

        With `places` it also returns the feature map (B, h, w, D).
        """


class BackboneProtocol(Protocol):
    """An architecture with pretrained weights. `Backbone` and `HubBackbone` implement it."""

    @property
    def image_size(self) -> int:
        """Height and width of the input, pixels."""

    @property
    def top_layers(self) -> tuple[str, ...]:
        """Names of the classifier's layers."""

    @property
    def feature_layer(self) -> str:
        """Name of the layer that gives the features by default."""

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of its recipe that are known before it is loaded."""

    def check(self) -> None:
        """Raise `DogsimError` if there is no such backbone."""

    def build_imagenet(self, top: bool, name: str) -> Any:
        """Build the Keras model with its pretrained weights, downloaded if necessary."""

    def imagenet_file(self, top: bool = False) -> Path | None:
        """Return the path of the pretrained weights; None if they are not downloaded yet."""

    def prepare(self, images: Any) -> Any:
        """Normalise RGB of 0 to 255, (B, H, W, 3) float32, as in the training of the network."""
