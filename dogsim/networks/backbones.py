"""The table of networks, their weights, and how each wants its pixels."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, unknown
from dogsim.images import check_resize
from dogsim.networks._keras import import_keras
from dogsim.networks.engines import choose_engine, compile_model
from dogsim.networks.heads import load_head
from dogsim.networks.weights import (
    cached_weights,
    download_weights,
    file_has_top,
    load_keras_file,
    load_weight_file,
)
from dogsim.plumbing.files import file_sha256
from dogsim.recipe import Recipe

FEATURE_LAYER = "avg_pool"


@dataclass(frozen=True)
class Backbone:
    """A network: its module with builder and ``preprocess_input``, and its weight file's name."""

    module: str
    builder: str
    weights_name: str = ""
    image_size: int = 224
    top_layers: tuple[str, ...] = ("predictions",)

    @property
    def installed(self) -> bool:
        """Whether the ImageNet weights came with the installation."""
        return not self.weights_name

    def weight_file_name(self, top: bool) -> str:
        """Name under which Keras caches the ImageNet weights, with or without classifier."""
        return f"{self.weights_name}_weights_tf_dim_ordering_tf_kernels{'' if top else '_notop'}.h5"

    def build(self, top: bool, weights: str | None = None) -> Any:
        """Build the Keras model, ending in its feature map, or with ``top`` in its classes."""
        import_keras()
        builder = getattr(importlib.import_module(self.module), self.builder)
        shape = (self.image_size, self.image_size, 3)
        return builder(include_top=top, weights=weights, input_shape=shape)

    def prepare(self, images: Any) -> Any:
        """Turn RGB of 0 to 255, (B, H, W, 3) float32, into the numbers the network learned from.

        Takes tensors and arrays; arrays are overwritten.
        """
        return importlib.import_module(self.module).preprocess_input(images)


_K = "keras.applications."
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
    "efficientnet-lite0": Backbone("dogsim.networks.efficientnet_lite0", "EfficientNetLite0"),
}


@dataclass(frozen=True)
class Extractor:
    """Maps pictures to features: ``extractor(images)``, and carries the recipe it works by."""

    recipe: Recipe
    network: Callable[[NDArray[np.uint8]], NDArray[np.float32]]

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute features.

        Parameters
        ----------
        images : (B, H, W, 3) uint8
            RGB, 0 to 255, H and W as ``recipe.image_size``.

        Returns
        -------
        (B, D) float32

        Raises
        ------
        DogsimError
            If the images have another shape or dtype.
        """
        size = self.recipe.image_size
        if images.shape[1:] != (size, size, 3) or images.dtype != np.uint8:
            raise DogsimError(
                f"Received images {images.shape} of {images.dtype}. "
                f"Expected (B, {size}, {size}, 3) of uint8: dogsim.load_image makes them."
            )
        return self.network(images)


def load_extractor(
    backbone: str = "resnet50",
    weights: str = "imagenet",
    layer: str | None = None,
    resize: str = "squash",
    engine: str = "auto",
    precision: str = "auto",
) -> Extractor:
    """Load a network that turns pictures into features.

    MATLAB: ``net = resnet50;`` and the layer name in ``activations(net, img, 'avg_pool')``.

    Parameters
    ----------
    backbone : str
        A name of `BACKBONES`.
    weights : str
        ``"imagenet"`` (downloaded once by Keras; installed with dogsim for
        ``efficientnet-lite0``), the path of an ``.h5`` or ``.weights.h5`` weight file of that
        network, with or without its classifier, or of a ``.keras`` model whose pixels are
        prepared as the backbone's.
    layer : str, optional
        The layer whose output the features are, by default ``avg_pool``, the global average
        pooling. A layer that gives a map (h, w, D) is averaged over h and w.
    resize : {"squash", "crop"}
        How pictures become square, see `dogsim.load_image`.
    engine : {"auto", "tensorflow", "openvino"}
        What computes, see `dogsim.engines`; automatically the fastest that is installed.
    precision : {"auto", "float32", "bfloat16"}
        Automatically bfloat16 where the CPU has it.

    Returns
    -------
    Extractor
        Maps (B, H, W, 3) uint8 to (B, D) float32.

    Raises
    ------
    DogsimError
        If the backbone, layer or file is unknown, does not fit, or cannot be downloaded.
    """
    spec = find_backbone(backbone)
    check_resize(resize)
    engine, precision = choose_engine(engine, precision)
    layer = layer or FEATURE_LAYER
    features, file = load_network(backbone, weights, layer)
    size = _input_size(features, file) or spec.image_size
    recipe = Recipe(
        backbone=backbone,
        weights=weights if weights == "imagenet" else str(Path(weights).resolve()),
        weights_sha256=file_sha256(file),
        layer=layer,
        image_size=size,
        resize=resize,
        engine=engine,
        precision=precision,
    )
    return Extractor(recipe, compile_model(features, spec.prepare, engine, precision))


def extractor_for(recipe: Recipe | None, weights: str | None = None) -> Extractor:
    """Load the extractor that a dataset was made with.

    Parameters
    ----------
    recipe : Recipe or None
        The dataset's.
    weights : str, optional
        Where its weight file lies now, if that has moved.

    Raises
    ------
    DogsimError
        If the dataset has no recipe, or the weight file or the head is gone or not the one it was
        made with.
    """
    recipe = require_recipe(recipe)
    weights = weights or recipe.weights
    if weights != "imagenet" and not Path(weights).is_file():
        raise DogsimError(
            f"There is no weight file {weights}, with which the dataset was made. Say where the "
            f"file with SHA-256 {recipe.weights_sha256[:16]}... lies: --weights FILE."
        )
    extractor = load_extractor(recipe.backbone, weights, recipe.layer, recipe.resize)
    if recipe.head_sha256:
        extractor = _through_head(extractor, Path(recipe.head))
    recipe.require(extractor.recipe, f"the weights {weights}")
    return extractor


def known_recipe(
    like: Recipe, backbone: str, weights: str, layer: str | None, resize: str
) -> Recipe | None:
    """Tell the recipe that `load_extractor` would give, without loading a network.

    What takes loading, the input size of a whole model and the engine, is as in `like`. None where
    the weights have to be downloaded first.
    """
    spec = find_backbone(backbone)
    check_resize(resize)
    layer = layer or FEATURE_LAYER
    if weights != "imagenet":
        file: Path | None = weight_file(weights)
    elif spec.installed:
        file = importlib.import_module(spec.module).weights_file()
    else:
        file = cached_weights(spec.weight_file_name(top=layer in spec.top_layers))
    if file is None:
        return None
    return replace(
        like,
        head="",
        head_sha256="",
        backbone=backbone,
        weights=weights if weights == "imagenet" else str(file.resolve()),
        weights_sha256=file_sha256(file),
        layer=layer,
        image_size=like.image_size if file.suffix == ".keras" else spec.image_size,
        resize=resize,
    )


def require_recipe(recipe: Recipe | None) -> Recipe:
    """Raise `DogsimError` if a dataset has no recipe."""
    if recipe is None:
        raise DogsimError(
            "This dataset does not say how its features were made, so no picture can be asked of "
            "it. It can be judged (dogsim accuracy); dogsim create-dataset makes one that can."
        )
    return recipe


def load_network(backbone: str, weights: str, layer: str) -> tuple[Any, Path]:
    """Load the Keras model behind an extractor, ending in its features, and find its weight file.

    Takes and raises what `load_extractor` does; the model wants pixels that
    `Backbone.prepare` has made.
    """
    spec = find_backbone(backbone)
    model, file = _load_model(spec, backbone, weights, layer)
    return feature_model(model, layer, ours=file.suffix != ".keras"), file


def imagenet_cached(backbone: str) -> bool:
    """Whether a network's ImageNet weights are on this machine already."""
    spec = find_backbone(backbone)
    return spec.installed or cached_weights(spec.weight_file_name(top=False)) is not None


def find_backbone(name: str) -> Backbone:
    """Look a backbone up; raises `DogsimError` with the nearest name if there is none.

    >>> find_backbone("resnet5")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Unknown backbone 'resnet5'; did you mean 'resnet50'? Known: \
resnet50, resnet101, resnet152, resnet50v2, resnet101v2, resnet152v2, vgg16, vgg19, inceptionv3, \
densenet121, densenet169, densenet201, efficientnet-lite0.
    """
    if name not in BACKBONES:
        raise unknown("backbone", name, BACKBONES)
    return BACKBONES[name]


def _load_model(spec: Backbone, backbone: str, weights: str, layer: str) -> tuple[Any, Path]:
    top = layer in spec.top_layers
    if weights == "imagenet":
        if spec.installed:
            return spec.build(top, weights), importlib.import_module(spec.module).weights_file()
        return download_weights(
            lambda: spec.build(top, weights), backbone, spec.weight_file_name(top)
        )
    file = weight_file(weights)
    if file.suffix == ".keras":
        return load_keras_file(file), file
    model = spec.build(top or file_has_top(file))
    load_weight_file(model, file, backbone)
    return model, file


def weight_file(weights: str) -> Path:
    """Path of a weight file given by hand; raises `DogsimError` if there is none."""
    if not Path(weights).is_file():
        raise DogsimError(f"There is no weight file {weights}. Expected 'imagenet' or a file.")
    return Path(weights)


def _through_head(extractor: Extractor, file: Path) -> Extractor:
    head = load_head(file)
    recipe = replace(extractor.recipe, head=str(file), head_sha256=head.sha256)
    return Extractor(recipe, lambda images: head(extractor.network(images)))


def feature_model(model: Any, layer: str, ours: bool) -> Any:
    """Cut a Keras model off at a layer, whose map is averaged to (B, D)."""
    keras = import_keras()
    names = [each.name for each in model.layers]
    if layer in names:
        output = model.get_layer(layer).output
    elif layer == FEATURE_LAYER and ours:  # a network of the table without such a layer
        output = next(x.output for x in reversed(model.layers) if len(x.output.shape) == 4)
    else:
        raise unknown("layer", layer, names)
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(name=FEATURE_LAYER)(output)
    if len(output.shape) != 2:
        raise DogsimError(f"Layer {layer} gives {output.shape}. Expected (B, D) or (B, h, w, D).")
    return keras.Model(model.inputs, output)


def _input_size(model: Any, file: Path) -> int | None:
    shape = model.input_shape
    if isinstance(shape, list) or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise DogsimError(f"The model in {file} takes {shape}. Expected (None, size, size, 3).")
    size: int | None = shape[1]
    return size
