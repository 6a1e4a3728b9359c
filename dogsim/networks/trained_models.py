"""Files of trained models: heads, which embed features, and the record of the training images.

The record is stored in the model's ``.keras`` file, a zip archive in which Keras ignores other
entries, so that a model is not evaluated on its training images unnoticed. It contains 8 bytes of a
hash of each image's file and 8 of its features: 16 MB for a million images, which cannot be
reconstructed from it.
"""

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError, as_path, as_texts, not_found, shown
from dogsim.networks.weights import load_keras_file
from dogsim.plumbing.arrays import as_numbers
from dogsim.plumbing.files import file_sha256, replacing
from dogsim.recipe import Recipe

HEAD_BATCH = 4096  # rows
HEAD_NAME_PREFIX = "head_for_"
GENERAL_LAYER = "general"  # the layer whose output suits breeds that the head was not trained on
KEYS_ENTRY, BREEDS_ENTRY = "trained_on.uint64", "trained_on.json"

Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Head:
    """A function from features to their embedding, ``head(features)``.

    Attributes
    ----------
    model : keras.Model
        Maps (B, D) float32 to (B, E) float32.
    sha256 : str
        SHA-256 of the file.
    """

    model: Any
    sha256: str

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed features, (N, D) float32, as (N, E) float32.

        Raises `DogsimError` if the head takes features of another length.
        """
        remedy = "project the dataset that it was trained on, or one made in the same way"
        return checked_embed(self.model, features, "head", remedy)


def checked_embed(
    model: Any, features: NDArray[np.float32], name: str, remedy: str
) -> NDArray[np.float32]:
    """Compute a Keras model for features (N, D) if they have the length of its input.

    Raises `DogsimError` otherwise; `name` and `remedy` are parts of its message.
    """
    expected = model.input_shape[1]
    features = as_numbers("features", features, ndim=2)
    if features.shape[1] != expected:
        raise DogsimError(
            f"Received features {features.shape}. The {name} takes (N, {expected}): {remedy}."
        )
    return embed(model, features)


def embed(model: Any, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute a Keras model for features (N, D) in batches, (N, E) float32."""
    if not len(features):
        return np.empty((0, *model.output_shape[1:]), np.float32)
    batches = (features[i : i + HEAD_BATCH] for i in range(0, len(features), HEAD_BATCH))
    return np.concatenate([model(batch, training=False).numpy() for batch in batches])


def load_head(path: str | os.PathLike[str], sha256: str | None = None, layer: str = "") -> Head:
    """Load a head file of `dogsim deep-ranking`; code in the file is not executed.

    The head ends with `layer`, by default with its last one. Raises `DogsimError` if the file does
    not exist, has another SHA-256 or no such layer, or does not map features to features.

    >>> load_head("gone.keras")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no head file gone.keras. Put it back there, or make the \
dataset again: dogsim project.
    """
    path = as_path("the head", path)
    as_texts("layer and SHA-256", [layer, "" if sha256 is None else sha256])
    found = head_file_sha256(path, sha256)
    model = load_keras_file(path)
    shapes = model.input_shape, model.output_shape
    if not all(isinstance(shape, tuple) and len(shape) == 2 and shape[1] for shape in shapes):
        raise DogsimError(
            f"The model in {path} maps {shapes[0]} to {shapes[1]}. Expected a head, (None, D) to "
            "(None, E): dogsim deep-ranking makes one."
        )
    return Head(_ending_in(model, layer, path) if layer else model, found)


def _ending_in(model: Any, layer: str, path: Path) -> Any:
    names = [each.name for each in model.layers]
    if layer not in names:
        raise DogsimError(f"The head {path} has no layer {layer}. It has: {', '.join(names)}.")
    start = import_keras().Input(model.input_shape[1:])
    layers = model.layers[: names.index(layer) + 1]
    return import_keras().Sequential([start, *layers], name=model.name)


def head_file_sha256(path: Path, expected: str | None = None) -> str:
    """Return the SHA-256 of a head file, without loading it.

    Raises `DogsimError` if the file does not exist or its SHA-256 is not `expected`.
    """
    if not path.is_file():
        raise not_found(
            path,
            f"There is no head file {path}. Put it back there, or make the dataset again: "
            "dogsim project.",
        )
    found = file_sha256(path)
    if expected not in (None, found):
        raise DogsimError(
            f"Received the head {path} with head_sha256={found[:16]}. The dataset needs "
            f"head_sha256={str(expected)[:16]}: find that file, or make the dataset again: "
            "dogsim project."
        )
    return found


def head_name(recipe: Recipe | None) -> str:
    """Return the name of a head for its training features; Keras stores it in the file."""
    return f"{HEAD_NAME_PREFIX}{recipe.fingerprint}" if recipe else "head"


def save_model(
    model: Any, path: str | os.PathLike[str], entries: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Write a Keras model to a ``.keras`` file, as a whole or not at all.

    The file includes the record of the training images if this package trained the model. `entries`
    are further files, name to text, of the zip archive.

    Raises `DogsimError` if the file cannot be written or is not called ``.keras``.
    """
    path = check_model_name(path)
    if not isinstance(model, import_keras().Model):
        raise DogsimError(f"Received {shown(model)} as the model. Expected a model of Keras.")
    if not isinstance(entries, Mapping) or not all(isinstance(x, str) for x in entries.values()):
        raise DogsimError(f"Received {shown(entries)} as entries. Expected texts by their names.")
    as_texts("entries", entries)
    with replacing(path) as temporary, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"  # Keras accepts no other suffix
        model.save(file)
        with zipfile.ZipFile(file, "a") as archive:
            for name, content in {**getattr(model, "training_record", {}), **entries}.items():
                archive.writestr(name, content)
        shutil.copyfile(file, temporary)


def check_model_name(path: str | os.PathLike[str]) -> Path:
    """Return a file name as a path; raise `DogsimError` unless it ends in ``.keras``."""
    path = as_path("the output", path)
    if path.suffix != ".keras":
        raise DogsimError(f"Received the file name {path}. Expected one that ends in .keras.")
    return path


def record_training(model: Any, keys: Keys, breeds: Iterable[str] = ()) -> None:
    """Attach the keys of its training images to a Keras model; `save_model` writes them.

    `breeds` are the breeds whose probabilities a classifier computes.
    """
    model.training_record = {
        KEYS_ENTRY: np.unique(keys).astype("<u8").tobytes(),
        BREEDS_ENTRY: json.dumps(sorted(breeds)),
    }


def read_training_record(file: Path) -> Keys:
    """Read the keys of the training images from a ``.keras`` file; empty if it has no record."""
    content = read_entry(file, KEYS_ENTRY) or b""
    return np.frombuffer(content[: len(content) // 8 * 8], "<u8").astype(np.uint64)


def read_trained_breeds(file: Path) -> tuple[str, ...]:
    """Read the breeds of a classifier from its ``.keras`` file; empty if it has no record."""
    try:
        return tuple(map(str, json.loads(read_entry(file, BREEDS_ENTRY) or b"[]")))
    except (ValueError, TypeError, RecursionError):
        return ()


def has_training_record(file: Path) -> bool:
    """Return whether a file is a model that was trained by this package, on any images or none."""
    return read_entry(file, KEYS_ENTRY) is not None


def read_entry(file: Path, name: str) -> bytes | None:
    """Read an entry of a zip archive; None if it is missing or the archive is damaged."""
    try:
        with zipfile.ZipFile(file) as archive:
            return archive.read(name)
    except Exception:  # damaged archives cause many types
        return None
