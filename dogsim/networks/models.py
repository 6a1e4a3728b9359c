"""The Keras model behind an extractor: built, filled with weights and cut off at its features."""

from pathlib import Path
from typing import Any

from dogsim.errors import DogsimError, unknown
from dogsim.networks._keras import import_keras
from dogsim.networks.backbones import find_backbone
from dogsim.networks.weights import file_has_top, given_file, load_keras_file, load_weight_file

FEATURE_LAYER = "avg_pool"


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


def input_size(model: Any, file: Path) -> int | None:
    """Tell the height and width of the pictures a model takes, None where it takes any.

    Raises `DogsimError` if it takes anything else than square pictures in colour.
    """
    shape = model.input_shape
    if isinstance(shape, list) or len(shape) != 4 or shape[3] != 3 or shape[1] != shape[2]:
        raise DogsimError(f"The model in {file} takes {shape}. Expected (None, size, size, 3).")
    size: int | None = shape[1]
    return size
