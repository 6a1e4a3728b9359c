"""The interfaces of networks and backbones."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from dogsim.errors import DogsimError

if TYPE_CHECKING:
    from dogsim.engines.choose import Engine
    from dogsim.engines.tensorflow import Prepare


class Network(Protocol):
    """A network with its weights, up to the layer that computes the features.

    Creating one loads nothing. `KerasNetwork` and `OnnxNetwork` implement it.
    """

    @property
    def name(self) -> str:
        """Name in messages."""

    @property
    def weights(self) -> str:
        """``"imagenet"`` or the path of the weight file."""

    @property
    def engine(self) -> "Engine":
        """The only engine that computes it, or ``"auto"``."""

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

    def convert(self, with_map: bool = False) -> Any:
        """Return an `openvino.Model` from (B, S, S, 3) uint8 to features (B, D) float32.

        With `with_map` the feature map (B, h, w, D) is an output as well.
        """


@runtime_checkable
class TrainableNetwork(Network, Protocol):
    """A network that TensorFlow can compute and train, such as `KerasNetwork`."""

    def load_model(self, with_map: bool = False) -> "tuple[Any, Prepare, int]":
        """Load the Keras model, the function that prepares its images, and their size."""


class BackboneProtocol(Protocol):
    """An architecture with pretrained weights. `Backbone` and `HubBackbone` implement it."""

    @property
    def image_size(self) -> int:
        """Height and width of the input, pixels."""

    @property
    def size_is_known(self) -> bool:
        """Whether `image_size` needs no download."""

    @property
    def top_layers(self) -> tuple[str, ...]:
        """Names of the classifier's layers."""

    @property
    def feature_layer(self) -> str:
        """Name of the layer whose output is the features by default."""

    def check(self) -> None:
        """Raise `DogsimError` if there is no such backbone."""

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Build the Keras model up to its features, or with `top` up to the classes."""

    def build_imagenet(self, top: bool, name: str) -> Any:
        """Build the Keras model with its pretrained weights, downloaded if necessary."""

    def imagenet_file(self, top: bool = False) -> Path | None:
        """Return the path of the pretrained weights; None if they are not downloaded yet."""

    def prepare(self, images: Any) -> Any:
        """Normalise RGB of 0 to 255, (B, H, W, 3) float32, as in the training of the network."""


def require_trainable(network: Network) -> TrainableNetwork:
    """Return a network unchanged; raise `DogsimError` if TensorFlow cannot compute it."""
    if not isinstance(network, TrainableNetwork):
        raise DogsimError(
            f"The network {network.weights} is for OpenVINO. TensorFlow can neither compute nor "
            "train it: leave --engine out, or use a network of Keras."
        )
    return network
