"""The smaller ResNets, of 18 and 34 layers, which Keras itself does not have: Keras Hub does."""

from pathlib import Path
from typing import Any

from dogsim.errors import DogsimError
from dogsim.networks._keras import import_keras
from dogsim.networks.backbones import FEATURE_LAYER, Extractor, feature_model
from dogsim.networks.engines import choose_engine, compile_model
from dogsim.networks.weights import load_weight_file
from dogsim.plumbing.files import file_sha256
from dogsim.recipe import Recipe

SIZE = 224
# Of 34 layers Keras Hub has weights for the variant "vd" alone (He et al. 2019, arXiv:1812.01187:
# three 3 x 3 convolutions instead of the first 7 x 7, pooling in the shortcuts).
PRESETS = {"resnet18": "resnet_18_imagenet", "resnet34": "resnet_vd_34_imagenet"}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "resnet18": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_blocks": [2, 2, 2, 2],
        "block_type": "basic_block",
    },
    "resnet34": {
        "input_conv_filters": [32, 32, 64],
        "input_conv_kernel_sizes": [3, 3, 3],
        "stackwise_num_blocks": [3, 4, 6, 3],
        "block_type": "basic_block_vd",
    },
}


def load_hub_extractor(
    backbone: str, weights: str = "imagenet", layer: str | None = None
) -> Extractor:
    """Load ResNet-18 or ResNet-34 of Keras Hub.

    Parameters
    ----------
    backbone : {"resnet18", "resnet34"}
    weights : str
        ``"imagenet"``, which Keras Hub downloads once, or a ``.weights.h5`` file of that network.
    layer : str, optional
        As for `dogsim.load_extractor`.

    Returns
    -------
    Extractor
        Gives (B, 512) by default.

    Raises
    ------
    DogsimError
        If Keras Hub is not installed, the weights cannot be had or the layer is unknown.
    """
    file = Path(weights)
    if weights == "imagenet":
        model = _downloaded(backbone)
    elif file.is_file():
        model = build_hub_model(backbone)
        load_weight_file(model, file, backbone)
    else:
        raise DogsimError(f"There is no weight file {file}. Expected 'imagenet' or a file.")
    engine, precision = choose_engine()
    recipe = Recipe(
        backbone=backbone,
        weights=weights,
        weights_sha256="" if weights == "imagenet" else file_sha256(file),
        layer=layer or FEATURE_LAYER,
        image_size=SIZE,
        engine=engine,
        precision=precision,
    )
    features = feature_model(model, recipe.layer, ours=True)
    return Extractor(recipe, compile_model(features, _prepare, engine, precision))


def build_hub_model(backbone: str) -> Any:
    """Build the network with random weights; raises `DogsimError` without Keras Hub."""
    return _import_hub().models.ResNetBackbone(
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_strides=[1, 2, 2, 2],
        image_shape=(SIZE, SIZE, 3),
        **ARCHITECTURES[backbone],
    )


def _import_hub() -> Any:
    import_keras()
    try:
        import keras_hub
    except ImportError as error:
        raise DogsimError(
            f"ResNets of 18 and 34 layers come from Keras Hub, which cannot be imported ({error}). "
            "Install it: pip install 'dogsim[hub]'"
        ) from error
    return keras_hub


def _downloaded(backbone: str) -> Any:
    hub = _import_hub()
    try:
        return hub.models.ResNetBackbone.from_preset(PRESETS[backbone], image_shape=(SIZE, SIZE, 3))
    except Exception as error:  # Keras Hub passes on whatever its downloader raises
        raise DogsimError(
            f"The ImageNet weights of {backbone} could not be downloaded "
            f"({' '.join(str(error).split())}). Give a file (weights=FILE), or take depth 50."
        ) from error


def _prepare(images: Any) -> Any:
    from keras.applications.imagenet_utils import preprocess_input

    # both networks were trained on ImageNet's mean 0 and standard deviation 1 for each colour
    return preprocess_input(images, mode="torch")
