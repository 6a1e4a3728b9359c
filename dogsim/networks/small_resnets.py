"""ResNet-18 and ResNet-34, which Keras itself does not have: Keras Hub does.

``pip install dogsim[hub]``. They are built and called as the networks of `keras.applications`, but
have no classifier.
"""

import logging
import os
from pathlib import Path
from typing import Any

from dogsim.errors import DogsimError, reason
from dogsim.networks._keras import import_keras
from dogsim.networks.weights import downloaded

HOST = "https://api.kaggle.com/"
FILE = "model.weights.h5"
# The names of the weights at their host, each with its version, so that Keras Hub need not be
# imported to see whether they are there. Of 34 layers it has the variant "vd" alone (He et al.
# 2019, arXiv:1812.01187: three 3 x 3 convolutions instead of the first 7 x 7, pooling in the
# shortcuts).
HANDLES = {
    "ResNet18": "keras/resnetv1/keras/resnet_18_imagenet/3",
    "ResNet34": "keras/resnet_vd/keras/resnet_vd_34_imagenet/2",
}
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
    name, _, version = HANDLES[builder].rpartition("/")
    cache = Path(os.environ.get("KAGGLEHUB_CACHE", Path.home() / ".cache" / "kagglehub"))
    folder = cache / "models" / name
    whole = folder / ".complete" / version / f"{FILE}.complete"  # what kagglehub leaves then
    return folder / version / FILE if whole.is_file() else None


def _build(builder: str, include_top: bool, weights: str | None, input_shape: Shape) -> Any:
    if include_top:
        raise DogsimError(f"Keras Hub has no classifier for {builder}. Give weights without one.")
    resnet = _import_hub().models.ResNetBackbone
    if weights:
        host = None if weights_file(builder) else HOST
        return downloaded(
            lambda: resnet.from_preset(f"kaggle://{HANDLES[builder]}", image_shape=input_shape),
            *(builder.lower(), host, "take --backbone resnet50"),
        )
    return resnet(
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_strides=[1, 2, 2, 2],
        image_shape=input_shape,
        **ARCHITECTURES[builder],
    )


def _import_hub() -> Any:
    import_keras()
    try:
        import keras_hub
    except ImportError as error:
        raise DogsimError(
            "ResNets of 18 and 34 layers come from Keras Hub, which cannot be imported "
            f"({reason(error)}). Install it: pip install 'dogsim[hub]'"
        ) from error
    logging.getLogger("kagglehub").setLevel(logging.ERROR)  # it reports on stdout
    return keras_hub
