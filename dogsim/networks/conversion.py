"""Networks converted for OpenVINO, read from the cache if they have been converted before."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.model_cache import cached_model
from dogsim.engines.quantization import check_quantizer, quantize
from dogsim.errors import DogsimError
from dogsim.networks.protocols import Network
from dogsim.plumbing.terminal import note

# Maps a size to images (size, size, 3) on which a network is quantized.
CalibrationImages: TypeAlias = Callable[[int], Sequence[NDArray[np.uint8]]]


def converted(network: Network, places: bool = False) -> Any:
    """Return a network as an `openvino.Model` from uint8 images to features, see `Network.convert`.

    Raises `DogsimError` if the network cannot be loaded.
    """
    of_places = {"gives": "places"} if places else {}

    def convert() -> Any:
        what = f"the feature maps of {network.name}" if places else network.name
        note(f"Converting {what}; the result is cached.")
        return network.convert(places)

    return cached_model(lambda: network.made_from | of_places, convert)


def quantized(network: Network, calibration: CalibrationImages | None) -> Any:
    """Return a network as an `openvino.Model` that computes in int8.

    Raises `DogsimError` if the cache has none and there are no images to quantize it on, or as
    `converted` does.
    """

    def convert() -> Any:
        if calibration is None:
            raise DogsimError(
                f"The cache has no {network.name} in int8. It is quantized on your own images: run "
                "dogsim create-dataset --precision int8 first."
            )
        check_quantizer()
        model = converted(network)
        images = calibration(input_size(model))
        note(f"Quantizing {network.name} to int8 on {len(images)} images, once, about a minute.")
        return quantize(model, images)

    return cached_model(lambda: network.made_from | {"precision": "int8"}, convert)


def input_size(model: Any) -> int:
    """Return the height and width of the images that a converted network takes."""
    return int(model.input(0).partial_shape[1].get_length())
