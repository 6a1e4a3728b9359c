"""ResNet-18 and ResNet-34, which Keras itself does not have: presets of Keras Hub.

They are built and called as the networks of `keras.applications`, also without the presets, but
have no classifier.
"""

from functools import partial
from pathlib import Path
from typing import Any

from dogsim.errors import DogsimError
from dogsim.networks import keras_hub

# Of 34 layers Keras Hub has the variant "vd" alone (He et al. 2019, arXiv:1812.01187: three 3 x 3
# convolutions instead of the first 7 x 7, pooling in the shortcuts).
PRESETS = {"ResNet18": "resnet_18_imagenet", "ResNet34": "resnet_vd_34_imagenet"}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "ResNet18": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_blocks": [2, 2, 2, 2],
        "block_type": "basic_block",
    },
    "ResNet34": {
        "input_conv_filters": [32, 32, 64],
        "input_conv_kernel_sizes": [3, 3, 3],
        "stackwise_num_blocks": [3, 4, 6, 3],
        "block_type": "basic_block_vd",
    },
}
Shape = tuple[int, int, int]


def ResNet18(include_top: bool, weights: str | None, input_shape: Shape) -> Any:  # noqa: N802
    """Build the network of 18 layers; None for `weights` leaves random numbers.

    Raises `DogsimError` if Keras Hub is not installed, the weights cannot be had or `include_top`
    asks for the classifier.
    """
    return _build("ResNet18", include_top, weights, input_shape)


def ResNet34(include_top: bool, weights: str | None, input_shape: Shape) -> Any:  # noqa: N802
    """Build the network of 34 layers, see `ResNet18`."""
    return _build("ResNet34", include_top, weights, input_shape)


def preprocess_input(images: Any) -> Any:
    """Bring RGB of 0 to 255 to ImageNet's mean 0 and standard deviation 1 for each colour."""
    from keras.applications.imagenet_utils import preprocess_input

    return preprocess_input(images, mode="torch")


def weights_file(builder: str) -> Path | None:
    """Path of the ImageNet weights if they have been downloaded, whole, before."""
    return keras_hub.weights_file(PRESETS[builder])


def _build(builder: str, include_top: bool, weights: str | None, input_shape: Shape) -> Any:
    if include_top:
        raise DogsimError(f"Keras Hub has no classifier for {builder}. Give weights without one.")
    resnet, preset = keras_hub.import_hub().models.ResNetBackbone, PRESETS[builder]
    if weights:
        way_out = "give a file (--weights FILE), or take --backbone resnet50"
        fetch = partial(resnet.from_preset, preset, image_shape=input_shape)
        return keras_hub.fetched(fetch, preset, builder.lower(), way_out)
    return resnet(
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_strides=[1, 2, 2, 2],
        image_shape=input_shape,
        **ARCHITECTURES[builder],
    )
