"""Extractors: a network that maps images to features, with its recipe."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.choose import (
    check_engine,
    choose_engine,
    has_engine,
    run_openvino,
    run_tensorflow,
)
from dogsim.engines.model_cache import keep_network, kept_network
from dogsim.engines.quantization import check_quantizer, quantized
from dogsim.errors import DogsimError
from dogsim.images import RESIZES, check_resize
from dogsim.networks.backbones import ONNX, find_backbone
from dogsim.networks.keras_network import KerasNetwork
from dogsim.networks.onnx_network import OnnxNetwork
from dogsim.networks.preprocessing import Pixels
from dogsim.networks.views import VIEWS, check_views, seen_by
from dogsim.networks.weights import IMAGENET
from dogsim.plumbing.terminal import note
from dogsim.recipe import Recipe

DEFAULT = "resnet50"
PIXELS = ("mean", "std", "image_size")  # what has to be told of a network that does not know it
Network: TypeAlias = KerasNetwork | OnnxNetwork
Run: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Calibration = Callable[[int], Sequence[NDArray[np.uint8]]]


class LazyNetwork:
    """A function from images to features that is loaded at its first call.

    Pickling drops what is loaded, so that another process loads it for itself.

    Parameters
    ----------
    load : callable
        Returns the function; it can be pickled if the extractor shall be.
    """

    def __init__(self, load: Callable[[], Run], loaded: Run | None = None) -> None:
        self._load, self._loaded = load, loaded

    def load(self) -> Run:
        """Return the function; load it if that has not been done."""
        if self._loaded is None:
            self._loaded = self._load()
        return self._loaded

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute features (B, D) of images (B, H, W, 3)."""
        return self.load()(images)

    def __getstate__(self) -> dict[str, Any]:
        return {"_load": self._load, "_loaded": None}


@dataclass(frozen=True)
class Extractor:
    """A network that maps images to features, ``extractor(images)``, with its recipe.

    Attributes
    ----------
    recipe : Recipe
        How features are made; known before the network is loaded.
    network : callable
        Maps (B, H, W, 3) uint8 to (B, D) float32. That of `extractor_for` is loaded at the first
        call; none is pickled, but loaded anew where the extractor is used.
    """

    recipe: Recipe
    network: Run

    def load(self) -> None:
        """Load the network now rather than at the first call; raises what `load_extractor` does."""
        if isinstance(self.network, LazyNetwork):
            self.network.load()

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


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The options of an extractor: the parameters of `load_extractor`; None if not given.

    `few` is the parameter of `choose_engine`. `calibration` maps a size to images (size, size, 3)
    uint8, with which a network is quantized to int8 if the cache has none.
    """

    backbone: str | None = None
    weights: str | None = None
    layer: str | None = None
    resize: str | None = None
    engine: str = "auto"
    precision: str = "auto"
    views: str | None = None
    mean: str | None = None
    std: str | None = None
    image_size: int | None = None
    few: bool = field(default=False, compare=False)
    calibration: Calibration | None = field(default=None, compare=False)

    @property
    def network(self) -> Network:
        """The network behind it, which need not be there.

        Raises `DogsimError` if it prepares its pixels in another way than is asked for.
        """
        backbone, weights = self.backbone or DEFAULT, self.weights or IMAGENET
        pixels = Pixels.of(self.mean, self.std, self.image_size)
        if backbone == ONNX:
            return OnnxNetwork(weights, self.layer, pixels)
        if pixels != Pixels():
            given = ", ".join(f"{name}={value}" for name, value in vars(pixels).items() if value)
            raise DogsimError(
                f"Received {given} for {backbone}, which knows how it wants its pixels. Leave it "
                "out: it can be told a network of --backbone onnx."
            )
        return KerasNetwork(backbone, weights, self.layer or find_backbone(backbone).feature_layer)

    def check(self) -> None:
        """Raise `DogsimError` for a name that is unknown or a weight file that is not there."""
        if self.backbone or all(getattr(self, name) is None for name in PIXELS):
            self.network.check()  # else the dataset that is there may tell whose pixels these are
        check_resize(self.resize or RESIZES[0])
        check_views(self.views or VIEWS[0])
        check_engine(self.engine, self.precision)

    def filled(self, like: Mapping[str, Any]) -> "NetworkOptions":
        """Take what was not asked for from options of these names.

        An engine or precision that this machine has not got stays a free choice, and how pixels are
        prepared belongs to the network.
        """
        values = {name: value for name, value in vars(self).items() if value not in (None, "auto")}
        other = self.backbone or self.weights or not like.get("mean")
        left_out = PIXELS if other else ()
        names = [name for name in like if name in vars(self) and name not in left_out]
        options = {name: like[name] for name in names}
        if options and not has_engine(options["engine"], options["precision"]):
            options |= {"engine": "auto", "precision": "auto"}
        return replace(self, **{**options, **values})

    def extractor(self, like: Recipe | None) -> Extractor:
        """Return the extractor, with its network loaded only if its recipe cannot be known before.

        `like` is that of `recipe`.
        """
        recipe = self.recipe(like) if like else None
        return Extractor(recipe, self._lazy()) if recipe else self.load()

    def load(self) -> Extractor:
        """Load the extractor; raises what `load_extractor` does."""
        self.check()
        network = self.network
        engine = network.engine if self.engine == "auto" else self.engine
        engine, precision = choose_engine(engine, self.precision, self.few)
        if engine == "openvino":
            converted = self._converted(network, precision == "int8")
            size = converted.input(0).partial_shape[1].get_length()
            run = run_openvino(converted, precision)
        else:
            note(f"Loading {network.name} ...")
            model, prepare, size = network.model()
            run = run_tensorflow(model, prepare, precision)
        known = {**network.facts, **self._seen, "weights_sha256": network.sha256()}
        recipe = Recipe(**known | {"image_size": size}, engine=engine, precision=precision)
        chosen = replace(self, engine=engine, precision=precision)
        return Extractor(recipe, chosen._lazy(seen_by(run, recipe.views)))

    def _lazy(self, loaded: Run | None = None) -> LazyNetwork:
        return LazyNetwork(partial(_load_network, self), loaded)

    def _converted(self, network: Network, int8: bool = False) -> Any:
        """Find a network for OpenVINO in the cache, or make it and keep it there."""
        kept = network.sha256() and kept_network(_made_from(network, int8))
        if kept:
            return kept
        if int8:
            made = self._quantized(network)
        else:
            note(f"Preparing {network.name}; the next time it is there at once.")
            made = network.convert()
        keep_network(made, _made_from(network, int8))
        return made

    def _quantized(self, network: Network) -> Any:
        """Make a network for int8 of that for float32."""
        name = network.name
        if self.calibration is None:
            raise DogsimError(
                f"There is no {name} in int8 yet, which is made with pictures of yours: "
                "dogsim create-dataset --precision int8 does, and keeps it."
            )
        check_quantizer()
        converted = self._converted(network)
        pictures = self.calibration(converted.input(0).partial_shape[1].get_length())
        note(f"Making {name} in int8 with {len(pictures)} of the pictures, a minute or so, once.")
        return quantized(converted, pictures)

    def recipe(self, like: Recipe) -> Recipe | None:
        """Tell the recipe that it will have, without loading a network.

        What takes loading, the input size of a whole model and an engine that is chosen freely, is
        as in `like`. None where the weights have to be downloaded first.
        """
        network = self.network
        check_resize(self.resize or RESIZES[0])
        check_views(self.views or VIEWS[0])
        sha256 = _sha256(network, like)
        if sha256 is None:
            return None
        return replace(
            like,
            **network.facts,
            **self._seen,
            weights_sha256=sha256,
            engine=like.engine if self.engine == "auto" else self.engine,
            precision=like.precision if self.precision == "auto" else self.precision,
            head="",
            head_sha256="",
            head_layer="",
        )

    @property
    def _seen(self) -> dict[str, Any]:
        """How pictures are seen, as the recipe has it."""
        return {"resize": self.resize or RESIZES[0], "views": self.views or VIEWS[0]}


def _load_network(options: NetworkOptions) -> Run:
    return options.load().network


def _made_from(network: Network, int8: bool) -> dict[str, Any]:
    return network.made_from | ({"precision": "int8"} if int8 else {})


def _sha256(network: Network, like: Recipe) -> str | None:
    """Hash a network's weights, but take the word of `like` for its own where they have gone."""
    facts = network.facts
    same = (facts["backbone"], network.weights) == (like.backbone, like.weights)
    if same and network.weights != IMAGENET and not Path(network.weights).is_file():
        return like.weights_sha256
    return network.sha256() or (like.weights_sha256 if same else None)


def load_extractor(
    backbone: str = "resnet50",
    weights: str = "imagenet",
    layer: str | None = None,
    resize: str = "squash",
    engine: str = "auto",
    precision: str = "auto",
    views: str = "none",
    mean: str | None = None,
    std: str | None = None,
    image_size: int | None = None,
) -> Extractor:
    """Load a network that turns pictures into features.

    MATLAB: ``net = resnet50;`` and the layer name in ``activations(net, img, 'avg_pool')``.

    Parameters
    ----------
    backbone : str
        A name of `BACKBONES`, ``"onnx"`` for a network of an ONNX file, or ``"hub:PRESET"`` for one
        of Keras Hub, such as ``"hub:dinov2_small"``.
    weights : str
        ``"imagenet"`` (downloaded once by Keras or Keras Hub; installed with dogsim for
        ``efficientnet-lite0``), the path of an ``.h5`` or ``.weights.h5`` weight file of that
        network, with or without its classifier, or of a ``.keras`` model whose pixels are
        prepared as the backbone's. For ``"onnx"`` the ``.onnx`` file.
    layer : str, optional
        The layer whose output the features are, by default ``avg_pool``, the global average
        pooling. A layer that gives a map (h, w, D) is averaged over h and w. Of an ONNX file it
        is an output, by default the first that pictures alone decide; of tokens (T, D) the first
        is taken. Of Keras Hub it is by default ``output``: the mean of a map, or the class token.
    resize : {"squash", "crop"}
        How pictures become square, see `dogsim.load_image`.
    engine : {"auto", "tensorflow", "openvino"}
        What computes, see `dogsim.choose_engine`; automatically the fastest that is installed.
    precision : {"auto", "float32", "bfloat16", "int8"}
        Automatically bfloat16 where the CPU has it. int8 only where `dogsim.create_dataset` has
        made such a network, with the pictures that it was given.
    views : {"none", "flip", "flip,crops"}
        In which views each picture is seen, see `dogsim.networks.views`.
    mean, std : str, optional
        Of an ONNX file: what its network wants taken off and divided by, of white that is 1: one
        number, or three for red, green and blue, such as ``"0.485,0.456,0.406"``. By default what
        its notes say, or a file of Hugging Face, timm or OpenCLIP beside it.
    image_size : int, optional
        Of an ONNX file: height and width of the pictures, where it takes any and tells none.

    Returns
    -------
    Extractor
        Maps (B, H, W, 3) uint8 to (B, D) float32.

    Raises
    ------
    DogsimError
        If the backbone, layer or file is unknown, does not fit, or cannot be downloaded.
    """
    return NetworkOptions(
        backbone=backbone,
        weights=weights,
        layer=layer,
        resize=resize,
        engine=engine,
        precision=precision,
        views=views,
        mean=mean,
        std=std,
        image_size=image_size,
    ).load()
