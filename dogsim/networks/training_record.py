"""Record of the training images of a model, so that it is not evaluated on them unnoticed.

The record is stored in the model's ``.keras`` file, a zip archive in which Keras ignores other
entries. It contains 8 bytes of a hash of each image's file and 8 of its features: 16 MB for a
million images, which cannot be reconstructed from it.
"""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEYS_ENTRY, BREEDS_ENTRY = "trained_on.uint64", "trained_on.json"
Keys = NDArray[np.uint64]


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
