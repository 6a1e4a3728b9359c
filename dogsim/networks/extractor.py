"""A network loaded to turn pictures into features, and the recipe it works by."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError
from dogsim.images import RESIZES, check_resize
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
from dogsim.networks.models import FEATURE_LAYER, input_size, load_network
from dogsim.networks.quantized import check_quantizer, quantized
from dogsim.networks.views import VIEWS, check_views, seen_by
from dogsim.networks.weights import IMAGENET, given_file, weights_sha256
from dogsim.plumbing.terminal import note
from dogsim.recipe import Recipe

DEFAULT = "resnet50"
Calibration = Callable[[int], Sequence[NDArray[np.uint8]]]


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
    what was not asked for. `few` is that of `choose_engine`. `calibration` gives pictures (H, W, 3)
    uint8 of a size, with which a network in int8 is made where none is kept.
    """

    backbone: str | None = None
    weights: str | None = None
    layer: str | None = None
    resize: str | None = None
    engine: str = "auto"
    precision: str = "auto"
    views: str | None = None
    few: bool = field(default=False, compare=False)
    calibration: Calibration | None = field(default=None, compare=False)

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
        return replace(self, **{**options, **values})

    def load(self) -> Extractor:
        """Load it; raises what `load_extractor` does."""
        self.check()
        engine, precision = choose_engine(self.engine, self.precision, self.few)
        if engine == "openvino":
            converted, sha256 = self._converted(precision == "int8")
            size = converted.input(0).partial_shape[1].get_length()
            network = run_openvino(converted, precision)
        else:
            note(f"Loading {self.backbone or DEFAULT} ...")
            model, sha256, size = self._keras_model()
            network = run_tensorflow(model, self._spec.prepare, precision)
        known = self._known(sha256)
        recipe = Recipe(**known, image_size=size, engine=engine, precision=precision)
        return Extractor(recipe, seen_by(network, recipe.views))

    def _converted(self, int8: bool = False) -> tuple[Any, str]:
        """Find the network for OpenVINO in the cache, or make it; and hash its weights."""
        file = self._weights_file()
        sha256 = file and weights_sha256(file)
        if sha256 and (network := kept_network(self._made_from(sha256, int8))):
            return network, sha256
        if int8:
            network, sha256 = self._quantized()
        else:
            note(f"Preparing {self.backbone or DEFAULT}; the next time it is there at once.")
            model, sha256, size = self._keras_model()
            network = convert(model, self._spec.prepare, (size, size, 3))
        keep_network(network, self._made_from(sha256, int8))
        return network, sha256

    def _quantized(self) -> tuple[Any, str]:
        """Make the network for int8 of that for float32; with the hash of its weights."""
        name = self.backbone or DEFAULT
        if self.calibration is None:
            raise DogsimError(
                f"There is no {name} in int8 yet, which is made with pictures of yours: "
                "dogsim create-dataset --precision int8 does, and keeps it."
            )
        check_quantizer()
        network, sha256 = self._converted()
        pictures = self.calibration(network.input(0).partial_shape[1].get_length())
        note(f"Making {name} in int8 with {len(pictures)} of the pictures, a minute or so, once.")
        return quantized(network, pictures), sha256

    def _made_from(self, sha256: str, int8: bool) -> dict[str, str]:
        layer = self.layer or FEATURE_LAYER
        made_from = {"name": self.backbone or DEFAULT, "layer": layer, "weights_sha256": sha256}
        return made_from | ({"precision": "int8"} if int8 else {})

    def _keras_model(self) -> tuple[Any, str, int]:
        """Load the Keras model; with the hash of its weights and its input size."""
        model, file = load_network(self.backbone or DEFAULT, self.weights or IMAGENET, self.layer)
        return model, weights_sha256(file), input_size(model, file) or self._spec.image_size

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
            head_layer="",
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
    precision : {"auto", "float32", "bfloat16", "int8"}
        Automatically bfloat16 where the CPU has it. int8 only where `dogsim.create_dataset` has
        made such a network, with the pictures that it was given.
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
