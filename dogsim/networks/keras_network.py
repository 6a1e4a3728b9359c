"""A network of Keras: built, filled with weights and cut off at its features."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from dogsim.engines._keras import import_keras
from dogsim.engines.openvino import convert
from dogsim.engines.tensorflow import Prepare
from dogsim.errors import DogsimError, unknown
from dogsim.networks.backbones import Backbone, find_backbone
from dogsim.networks.keras_hub import HubBackbone
from dogsim.networks.weights import (
    IMAGENET,
    file_has_top,
    given_file,
    load_keras_file,
    load_weight_file,
    weights_sha256,
)

FEATURE_LAYER = "avg_pool"
POOLING, NORM = "GlobalAveragePooling2D", "LayerNormalization"


@dataclass(frozen=True)
class KerasNetwork:
    """A network of `BACKBONES`, or of Keras Hub, with its weights, up to a layer.

    The fields are parameters of `load_extractor`, and the layer gives the features.
    """

    backbone: str
    weights: str = IMAGENET
    layer: str = FEATURE_LAYER
    engine: ClassVar[str] = "auto"  # any

    def check(self) -> None:
        """Raise `DogsimError` if its name is unknown or its weight file is not there."""
        self.spec.check()
        given_file(self.weights)
        if self.weights.endswith(".onnx"):
            raise DogsimError(
                f"Received {self.weights} for {self.backbone}. An ONNX file is a network of its "
                "own: --backbone onnx."
            )

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.backbone

    @cached_property
    def spec(self) -> Backbone | HubBackbone:
        """What the table has of it."""
        return find_backbone(self.backbone)

    @property
    def facts(self) -> dict[str, Any]:
        """What of the recipe can be told without loading it."""
        whole_model = self.weights.endswith(".keras")
        return {
            "backbone": self.backbone,
            "weights": self.weights if self.weights == IMAGENET else _absolute(self.weights),
            "layer": self.layer,
            **({} if whole_model else self.spec.facts),
        }

    @property
    def file(self) -> Path | None:
        """Where its weights lie, None where they have to be downloaded first."""
        return given_file(self.weights) or self.spec.imagenet_file(self._of_top)

    def sha256(self) -> str | None:
        """SHA-256 of its weights, None where they have to be downloaded first."""
        file = self.file
        return weights_sha256(file) if file else None

    @property
    def made_from(self) -> dict[str, Any]:
        """What decides about it, once its weights are there."""
        return {"name": self.backbone, "layer": self.layer, "weights_sha256": self.sha256()}

    def model(self, places: bool = False) -> tuple[Any, Prepare, int]:
        """Load it as a Keras model.

        Parameters
        ----------
        places : bool
            Whether it is to give the map as well that its features are the mean of.

        Returns
        -------
        model : keras.Model
            From (B, S, S, 3) to features (B, D), with `places` to [(B, h, w, D), (B, D)].
        prepare : callable
            Makes what it takes of RGB, 0 to 255.
        size : int
            S, pixels.

        Raises
        ------
        DogsimError
            As `load_extractor` does, or if its features are no such mean.
        """
        whole, file = self._whole()
        size = _input_size(whole, file) or self.spec.image_size
        if (
            self.layer == self.spec.feature_layer and file.suffix != ".keras"
        ):  # whose layer has any name
            output = _below_top(whole) if self._has_top(whole) else whole.output
        else:
            output = _output_of(whole, self.layer)
        model = _ending_in(output, whole, self.layer)
        return _with_map(model, self.layer) if places else model, self.spec.prepare, size

    def convert(self, places: bool = False) -> Any:
        """Make what `model` gives an `openvino.Model` that takes uint8."""
        model, prepare, size = self.model(places)
        return convert(model, prepare, (size, size, 3))

    def _whole(self) -> tuple[Any, Path]:
        """Load the model with all its layers, and name its weight file."""
        file, spec = given_file(self.weights), self.spec
        if file is None:
            model = spec.build_imagenet(self._of_top, self.backbone)
            if (file := self.file) is None:
                raise DogsimError(f"The download of {self.backbone} left no file in its cache.")
        elif file.suffix == ".keras":
            model = load_keras_file(file)
        else:
            tops = spec.top_layers
            model = spec.build(self._of_top or (bool(tops) and file_has_top(file, tops)))
            part = " with its classifier" if self._has_top(model) else ""
            load_weight_file(model, file, f"{self.backbone}{part}")
        return model, file

    @property
    def _of_top(self) -> bool:
        return self.layer in self.spec.top_layers

    def _has_top(self, model: Any) -> bool:
        return any(each.name in self.spec.top_layers for each in model.layers)


def _absolute(file: str) -> str:
    return str(Path(file).resolve())


def _output_of(model: Any, layer: str) -> Any:
    """Find what a layer gives; raises `DogsimError` if there is none of that name."""
    names = [each.name for each in model.layers]
    if layer not in names:
        raise unknown("layer", layer, names)
    return model.get_layer(layer).output


def _below_top(model: Any) -> Any:
    """Find what goes into the classifier: a map, or in ConvNeXt its mean, normalised."""
    layers = model.layers
    kinds = [type(each).__name__ for each in layers]
    if POOLING not in kinds:  # VGG, which has its map flattened
        return next(each.output for each in reversed(layers) if len(each.output.shape) == 4)
    last = len(kinds) - 1 - kinds[::-1].index(POOLING)  # earlier ones are of squeeze and excitation
    return layers[last + 1].output if kinds[last + 1] == NORM else layers[last].input


def _ending_in(output: Any, model: Any, layer: str) -> Any:
    """Let a model end in an output, whose map is averaged to (B, D)."""
    keras = import_keras()
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(name=FEATURE_LAYER)(output)
    if len(output.shape) != 2:
        raise DogsimError(f"Layer {layer} gives {output.shape}. Expected (B, D) or (B, h, w, D).")
    return keras.Model(model.inputs, output)


def _with_map(model: Any, layer: str) -> Any:
    """Let a model that ends in the mean of a map give both."""
    pooling = model.layers[-1]
    kind = type(pooling).__name__
    if kind != POOLING or pooling.data_format != "channels_last":
        raise DogsimError(
            f"The features of layer {layer} come out of {kind}, so they are no mean over the "
            f"places of a picture. Explained can be what {POOLING} gives: the layer avg_pool of "
            "every backbone, or one that gives a map."
        )
    return import_keras().Model(model.inputs, [pooling.input, pooling.output])


def _input_size(model: Any, file: Path) -> int | None:
    """Tell the height and width of the pictures a model takes, None where it takes any."""
    shape = model.input_shape
    if isinstance(shape, list) or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise DogsimError(f"The model in {file} takes {shape}. Expected (None, size, size, 3).")
    size: int | None = shape[1]
    return size
