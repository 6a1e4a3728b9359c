"""Load a network into TensorFlow, or convert it for OpenVINO; at once or at the first call."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.choose import Engine, Precision
from dogsim.engines.model_cache import cached_model
from dogsim.engines.openvino import OpenVinoNetwork, check_quantizer, quantize
from dogsim.engines.tensorflow import Compute, TensorFlowNetwork
from dogsim.errors import DogsimError, counted
from dogsim.networks.protocols import Network, require_trainable
from dogsim.plumbing.terminal import note

if TYPE_CHECKING:
    from dogsim.networks.extractor import Extractor

# Maps a size to images (size, size, 3) on which a network is quantized.
QuantizationImages: TypeAlias = Callable[[int], Sequence[NDArray[np.uint8]]]


def load_network(
    network: Network,
    engine: Engine,
    precision: Precision,
    quantization_images: QuantizationImages | None = None,
    with_map: bool = False,
) -> tuple[TensorFlowNetwork | OpenVinoNetwork, int]:
    """Load a network into an engine.

    Parameters
    ----------
    network : Network
    engine, precision : str
        From `choose_engine`.
    quantization_images : callable, optional
        Returns the images on which the network is quantized if the cache has no int8 network.
    with_map : bool
        Whether the feature map (B, h, w, D), whose mean the features are, is an output as well.

    Returns
    -------
    loaded : TensorFlowNetwork or OpenVinoNetwork
    size : int
        Height and width of the input, pixels.

    Raises
    ------
    DogsimError
        If the network cannot be loaded, or is neither quantized nor can be.
    """
    if engine == "tensorflow":
        keras_network = require_trainable(network)
        note(f"Loading {network.name} ...")
        model, prepare, size = keras_network.load_model(with_map)
        return TensorFlowNetwork(model, prepare, precision), size
    int8 = precision == "int8"
    model = _quantized(network, quantization_images) if int8 else _converted(network, with_map)
    return OpenVinoNetwork(model, precision), _input_size(model)


def _converted(network: Network, with_map: bool = False) -> Any:
    """Return a network as an `openvino.Model`, from the cache or converted now."""

    def convert() -> Any:
        what = f"the feature maps of {network.name}" if with_map else network.name
        note(f"Converting {what}; the result is cached.")
        return network.convert(with_map)

    outputs = {"outputs": "map and features"} if with_map else {}
    return cached_model(lambda: network.made_from | outputs, convert)


def _quantized(network: Network, quantization_images: QuantizationImages | None) -> Any:
    """Return a network as an `openvino.Model` in int8, from the cache or quantized now."""

    def convert() -> Any:
        if quantization_images is None:
            raise DogsimError(
                f"The cache has no {network.name} in int8. It is quantized on your own images: run "
                "dogsim create-dataset --precision int8 first."
            )
        check_quantizer()
        model = _converted(network)
        images = quantization_images(_input_size(model))
        number = counted(len(images), "image")
        note(f"Quantizing {network.name} to int8 on {number}, once, about a minute.")
        return quantize(model, images)

    return cached_model(lambda: network.made_from | {"precision": "int8"}, convert)


def _input_size(model: Any) -> int:
    return int(model.input(0).partial_shape[1].get_length())


class LazyNetwork:
    """A function from images to features that is loaded at its first call.

    A pickle does not contain the loaded network: another process loads it again.

    Parameters
    ----------
    load : callable
        Returns the loaded extractor. It has to be picklable for the network to be picklable.
    loaded : callable, optional
        The function, if it is loaded already.
    """

    def __init__(self, load: Callable[[], "Extractor"], loaded: Compute | None = None) -> None:
        self._load, self._loaded = load, loaded

    def load(self) -> Compute:
        """Return the function; load it at the first call."""
        if self._loaded is None:
            self._loaded = self._load().network
        return self._loaded

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute features (B, D) of images (B, H, W, 3)."""
        return self.load()(images)

    def __getstate__(self) -> dict[str, Any]:
        return {"_load": self._load, "_loaded": None}
