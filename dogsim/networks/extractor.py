"""A network loaded to turn pictures into features, and the recipe it works by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, unknown
from dogsim.images import RESIZES, check_resize
from dogsim.networks._keras import import_keras
from dogsim.networks.backbones import Backbone, find_backbone
from dogsim.networks.compiled import keep_network, kept_network
from dogsim.networks.engines import (
    check_engine,
    choose_engine,
    convert,
    has_engine,
    run_openvino,
    run_tensorflow,
)
from dogsim.networks.heads import head_file_sha256, load_head
from dogsim.networks.views import VIEWS, check_views, seen_by
from dogsim.networks.weights import (
    IMAGENET,
    file_has_top,
    given_file,
    load_keras_file,
    load_weight_file,
    weights_sha256,
)
from dogsim.plumbing.terminal import note
from dogsim.recipe import Recipe

DEFAULT = "resnet50"
FEATURE_LAYER = "avg_pool"


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


@dataclass(frozen=True)
class Wanted:
    """The extractor that somebody asks for; the fields are parameters of `load_extractor`.

    It stands for them wherever an extractor is loaded later, or perhaps not at all. None stands for
    what was not asked for.
    """

    backbone: str | None = None
    weights: str | None = None
    layer: str | None = None
    resize: str | None = None
    engine: str = "auto"
    precision: str = "auto"
    views: str | None = None

    def check(self) -> None:
        """Raise `DogsimError` for a name that is unknown or a weight file that is not there."""
        find_backbone(self.backbone or DEFAULT)
        check_resize(self.resize or RESIZES[0])
        check_views(self.views or VIEWS[0])
        check_engine(self.engine, self.precision)
        given_file(self.weights or IMAGENET)

    def filled(self, like: Mapping[str, Any]) -> "Wanted":
        """Take what was not asked for from options of these names.

        An engine or precision that this machine has not got stays a free choice.
        """
        values = {name: value for name, value in vars(self).items() if value not in (None, "auto")}
        options = {name: value for name, value in like.items() if name in vars(self)}
        if options and not has_engine(options["engine"], options["precision"]):
            options |= {"engine": "auto", "precision": "auto"}
        return Wanted(**{**options, **values})

    def load(self) -> Extractor:
        """Load it; raises what `load_extractor` does."""
        self.check()
        engine, precision = choose_engine(self.engine, self.precision)
        if engine == "openvino":
            converted, sha256 = self._converted()
            size = converted.input(0).partial_shape[1].get_length()
            network = run_openvino(converted, precision)
        else:
            note(f"Loading {self.backbone or DEFAULT} ...")
            model, sha256, size = self._keras_model()
            network = run_tensorflow(model, self._spec.prepare, precision)
        known = self._known(sha256)
        recipe = Recipe(**known, image_size=size, engine=engine, precision=precision)
        return Extractor(recipe, seen_by(network, recipe.views))

    def _converted(self) -> tuple[Any, str]:
        """Find the network for OpenVINO in the cache, or convert it; and hash its weights."""
        file = self._weights_file()
        sha256 = file and weights_sha256(file)
        if sha256 and (network := kept_network(self._made_from(sha256))):
            return network, sha256
        note(f"Preparing {self.backbone or DEFAULT}; the next time it is there at once.")
        model, sha256, size = self._keras_model()
        network = convert(model, self._spec.prepare, (size, size, 3))
        keep_network(network, self._made_from(sha256))
        return network, sha256

    def _made_from(self, sha256: str) -> dict[str, str]:
        layer = self.layer or FEATURE_LAYER
        return {"name": self.backbone or DEFAULT, "layer": layer, "weights_sha256": sha256}

    def _keras_model(self) -> tuple[Any, str, int]:
        """Load the Keras model; with the hash of its weights and its input size."""
        model, file = load_network(self.backbone or DEFAULT, self.weights or IMAGENET, self.layer)
        return model, weights_sha256(file), _input_size(model, file) or self._spec.image_size

    @property
    def _spec(self) -> Backbone:
        return find_backbone(self.backbone or DEFAULT)

    def _weights_file(self) -> Path | None:
        """Find the weight file, None where it has to be downloaded first."""
        found = given_file(self.weights or IMAGENET)
        return found or self._spec.imagenet_file(self.layer in self._spec.top_layers)

    def recipe(self, like: Recipe) -> Recipe | None:
        """Tell the recipe that it will have, without loading a network.

        What takes loading, the input size of a whole model and an engine that is chosen freely, is
        as in `like`. None where the weights have to be downloaded first.
        """
        spec = self._spec
        check_resize(self.resize or RESIZES[0])
        check_views(self.views or VIEWS[0])
        sha256 = self._weights_sha256(like)
        if sha256 is None:
            return None
        whole_model = (self.weights or IMAGENET).endswith(".keras")
        return replace(
            like,
            **self._known(sha256),
            image_size=like.image_size if whole_model else spec.image_size,
            engine=like.engine if self.engine == "auto" else self.engine,
            precision=like.precision if self.precision == "auto" else self.precision,
            head="",
            head_sha256="",
        )

    def _weights_sha256(self, like: Recipe) -> str | None:
        """Hash the weight file, but take the word of `like` for its own where they have gone."""
        weights = self.weights or IMAGENET
        same = (self.backbone, weights) == (like.backbone, like.weights)
        if same and weights != IMAGENET and not Path(weights).is_file():
            return like.weights_sha256
        file = self._weights_file()
        if file is None:
            return like.weights_sha256 if same else None
        return weights_sha256(file)

    def _known(self, weights_sha256: str) -> dict[str, Any]:
        """What of the recipe can be told without loading the network."""
        weights = self.weights or IMAGENET
        return {
            "backbone": self.backbone or DEFAULT,
            "weights": weights if weights == IMAGENET else str(Path(weights).resolve()),
            "weights_sha256": weights_sha256,
            "layer": self.layer or FEATURE_LAYER,
            "resize": self.resize or RESIZES[0],
            "views": self.views or VIEWS[0],
        }


def load_extractor(
    backbone: str = "resnet50",
    weights: str = "imagenet",
    layer: str | None = None,
    resize: str = "squash",
    engine: str = "auto",
    precision: str = "auto",
    views: str = "none",
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
        What computes, see `dogsim.choose_engine`; automatically the fastest that is installed.
    precision : {"auto", "float32", "bfloat16"}
        Automatically bfloat16 where the CPU has it.
    views : {"none", "flip", "flip,crops"}
        In which views each picture is seen, see `dogsim.networks.views`.

    Returns
    -------
    Extractor
        Maps (B, H, W, 3) uint8 to (B, D) float32.

    Raises
    ------
    DogsimError
        If the backbone, layer or file is unknown, does not fit, or cannot be downloaded.
    """
    return Wanted(backbone, weights, layer, resize, engine, precision, views).load()


def extractor_for(
    recipe: Recipe | None, weights: str | None = None, head: str | None = None
) -> Extractor:
    """Load the extractor that a dataset was made with.

    Parameters
    ----------
    recipe : Recipe or None
        The dataset's.
    weights, head : str, optional
        Where its weight file and its head lie now, if they have moved.

    Raises
    ------
    DogsimError
        If the dataset has no recipe, or the weight file or the head is gone or not the one it was
        made with.
    """
    recipe = require_recipe(recipe)
    wanted = check_own_weights(recipe, weights)
    check_own_head(recipe, head)
    extractor = wanted.load()
    if recipe.head_sha256:
        extractor = _through_head(extractor, Path(head or recipe.head), recipe.head_sha256)
    recipe.require(extractor.recipe, f"the weights {wanted.weights}")
    return extractor


def check_own_weights(recipe: Recipe, weights: str | None) -> Wanted:
    """Raise `DogsimError` unless a dataset's weights are there, without opening any others.

    `weights` is where its weight file lies now, if that has moved.
    """
    wanted = Wanted(
        recipe.backbone, weights or recipe.weights, recipe.layer, recipe.resize, views=recipe.views
    )
    try:
        given_file(recipe.weights if weights is None else weights)
    except DogsimError as error:
        raise DogsimError(
            f"There is no weight file {wanted.weights}, with which the dataset was made. Say where "
            f"the file with SHA-256 {recipe.weights_sha256[:16]}... lies: --weights FILE."
        ) from error
    found = wanted.recipe(recipe)
    if found is not None:
        asked = replace(found, head=recipe.head, head_sha256=recipe.head_sha256)
        recipe.require(asked, f"the weights {wanted.weights}")
    return wanted


def check_own_head(recipe: Recipe, head: str | None) -> None:
    """Raise `DogsimError` unless a dataset's head, if it has one, is there; opens no other.

    `head` is where it lies now, if it has moved.
    """
    if recipe.head_sha256:
        head_file_sha256(Path(head or recipe.head), recipe.head_sha256)
    elif head:
        raise DogsimError(f"Received the head {head}. This dataset went through none.")


def require_recipe(recipe: Recipe | None) -> Recipe:
    """Raise `DogsimError` if a dataset has no recipe."""
    if recipe is None:
        raise DogsimError(
            "This dataset does not say how its features were made, so no picture can be asked of "
            "it. It can be judged (dogsim accuracy); dogsim create-dataset makes one that can."
        )
    return recipe


def load_network(backbone: str, weights: str, layer: str | None = None) -> tuple[Any, Path]:
    """Load the Keras model behind an extractor, ending in its features, and find its weight file.

    Takes and raises what `load_extractor` does; the model wants pixels that `Backbone.prepare` has
    made.
    """
    spec, layer = find_backbone(backbone), layer or FEATURE_LAYER
    top, file = layer in spec.top_layers, given_file(weights)
    if file is None:
        model, file = spec.build_imagenet(top, backbone), spec.imagenet_file(top)
        if file is None:
            raise DogsimError(f"The download of {backbone} left no weight file in its cache.")
    elif file.suffix == ".keras":
        model = load_keras_file(file)
    else:
        model = spec.build(top or file_has_top(file))
        load_weight_file(model, file, backbone)
    return _cut(model, layer, ours=file.suffix != ".keras"), file


def _through_head(extractor: Extractor, file: Path, sha256: str) -> Extractor:
    recipe = replace(extractor.recipe, head=str(file), head_sha256=sha256)
    if recipe.engine == "openvino":
        head = run_openvino(_converted_head(file, sha256), "float32")
    else:
        head = load_head(file, sha256)
    return Extractor(recipe, lambda images: head(extractor.network(images)))


def _converted_head(file: Path, sha256: str) -> Any:
    made_from = {"name": "head", "head_sha256": sha256}
    if network := kept_network(made_from):
        return network
    model = load_head(file, sha256).model
    network = convert(model, None, model.input_shape[1:])
    keep_network(network, made_from)
    return network


def _cut(model: Any, layer: str, ours: bool) -> Any:
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
