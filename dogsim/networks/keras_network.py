"""A network of Keras: built, filled with weights and cut off at its feature layer."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from dogsim.engines.choose import Engine
from dogsim.engines.openvino import convert
from dogsim.engines.tensorflow import Prepare, import_keras
from dogsim.errors import DogsimError, unknown
from dogsim.networks.backbones import find_backbone
from dogsim.networks.protocols import BackboneProtocol
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
    """A network of `BACKBONES` or of Keras Hub with its weights, up to its feature layer.

    The fields are parameters of `load_extractor`. Nothing is loaded before `load_model`.
    """

    backbone: str
    weights: str = IMAGENET
    layer: str = FEATURE_LAYER
    engine: ClassVar[Engine] = "auto"  # any

    def check(self) -> None:
        """Raise `DogsimError` if the backbone is unknown or the weight file is missing."""
        self.spec.check()
        given_file(self.weights)
        if self.weights.endswith(".onnx"):
            raise DogsimError(
                f"Received {self.weights} for {self.backbone}. An ONNX file is a network of its "
                "own: --backbone onnx."
            )

    @property
    def name(self) -> str:
        """Name of the network in messages."""
        return self.backbone

    @cached_property
    def spec(self) -> BackboneProtocol:
        """The entry of the backbone in the table."""
        return find_backbone(self.backbone)

    @property
    def facts(self) -> dict[str, Any]:
        """The fields of the recipe that are known before the network is loaded."""
        imagenet, whole_model = self.weights == IMAGENET, self.weights.endswith(".keras")
        weights = IMAGENET if imagenet else str(Path(self.weights).resolve())
        facts: dict[str, Any] = {"backbone": self.backbone, "weights": weights, "layer": self.layer}
        if self.spec.size_is_known and not whole_model:
            facts["image_size"] = self.spec.image_size
        return facts

    @property
    def file(self) -> Path | None:
        """Path of the weights; None if they are not downloaded yet."""
        return given_file(self.weights) or self.spec.imagenet_file(self._ends_in_top)

    def sha256(self) -> str | None:
        """Return the SHA-256 of the weights; None if they are not downloaded yet."""
        file = self.file
        return weights_sha256(file) if file else None

    @property
    def made_from(self) -> dict[str, Any]:
        """The key of the converted network in the cache."""
        return {"name": self.backbone, "layer": self.layer, "weights_sha256": self.sha256()}

    def load_model(self, with_map: bool = False) -> tuple[Any, Prepare, int]:
        """Load the network as a Keras model.

        Parameters
        ----------
        with_map : bool
            Whether the feature map, whose mean the features are, is an output as well.

        Returns
        -------
        model : keras.Model
            From (B, S, S, 3) to features (B, D), with `with_map` to [(B, h, w, D), (B, D)].
        prepare : callable
            Maps RGB of 0 to 255 to the input of the model.
        size : int
            S, pixels.

        Raises
        ------
        DogsimError
            As `load_extractor` does, or if with `with_map` the features are not the mean of a map.
        """
        whole, file = self._load_whole()
        size = _input_size(whole, file) or self.spec.image_size
        # In a whole model the feature layer may have any name.
        if self.layer == self.spec.feature_layer and file.suffix != ".keras":
            output = _input_of_top(whole) if self._has_top(whole) else whole.output
        elif self.layer in (names := [each.name for each in whole.layers]):
            output = whole.get_layer(self.layer).output
        else:
            raise unknown("layer", self.layer, names)
        model = _ending_in(output, whole, self.layer)
        return _with_map(model, self.layer) if with_map else model, self.spec.prepare, size

    def convert(self, with_map: bool = False) -> Any:
        """Return the result of `load_model` as an `openvino.Model` that takes uint8."""
        model, prepare, size = self.load_model(with_map)
        return convert(model, prepare, (size, size, 3))

    def _load_whole(self) -> tuple[Any, Path]:
        """Load the model with all its layers, and return it with its weight file."""
        file, spec = given_file(self.weights), self.spec
        if file is None:
            model = spec.build_imagenet(self._ends_in_top, self.backbone)
            if (file := self.file) is None:
                raise DogsimError(f"The download of {self.backbone} left no file in its cache.")
        elif file.suffix == ".keras":
            model = load_keras_file(file)
        else:
            tops = spec.top_layers
            model = spec.build(self._ends_in_top or (bool(tops) and file_has_top(file, tops)))
            part = " with its classifier" if self._has_top(model) else ""
            load_weight_file(model, file, f"{self.backbone}{part}")
        return model, file

    @property
    def _ends_in_top(self) -> bool:
        return self.layer in self.spec.top_layers

    def _has_top(self, model: Any) -> bool:
        return any(each.name in self.spec.top_layers for each in model.layers)


def _input_of_top(model: Any) -> Any:
    """Return the input of the classifier: a feature map, or in ConvNeXt its normalised mean."""
    layers = model.layers
    kinds = [type(each).__name__ for each in layers]
    if POOLING not in kinds:  # VGG flattens its map
        return next(each.output for each in reversed(layers) if len(each.output.shape) == 4)
    last = len(kinds) - 1 - kinds[::-1].index(POOLING)  # earlier ones are of squeeze and excitation
    return layers[last + 1].output if kinds[last + 1] == NORM else layers[last].input


def _ending_in(output: Any, model: Any, layer: str) -> Any:
    """Return the model up to an output (B, D); a feature map is averaged first."""
    keras = import_keras()
    if len(output.shape) == 4:
        output = keras.layers.GlobalAveragePooling2D(name=FEATURE_LAYER)(output)
    if len(output.shape) != 2:
        raise DogsimError(f"Layer {layer} gives {output.shape}. Expected (B, D) or (B, h, w, D).")
    return keras.Model(model.inputs[0], output)  # a list would warn at every call with one tensor


def _with_map(model: Any, layer: str) -> Any:
    """Return a model that ends in the mean of a feature map with both as outputs."""
    pooling = model.layers[-1]
    kind = type(pooling).__name__
    if kind != POOLING or pooling.data_format != "channels_last":
        raise DogsimError(
            f"The features of layer {layer} are the output of {kind}, not the mean of a feature "
            f"map. Expected the output of {POOLING}: the layer avg_pool of every backbone, or a "
            "layer whose output is a map."
        )
    return import_keras().Model(model.inputs[0], [pooling.input, pooling.output])


def _input_size(model: Any, file: Path) -> int | None:
    """Return the height and width of a model's input, None if any size is possible."""
    shape = model.input_shape
    if isinstance(shape, list) or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise DogsimError(f"The model in {file} takes {shape}. Expected (None, size, size, 3).")
    size: int | None = shape[1]
    return size
