"""Which pictures a model has learned from: kept in its file, so that nobody judges it by them.

A ``.keras`` file is a zip archive; an entry of our own lies beside those of Keras, which leaves it
alone. It holds 8 bytes of a hash of each picture's file and 8 of its features: 16 MB for a million
pictures, and nothing that shows them.
"""

import json
import zipfile
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENTRY, BREEDS = "trained_on.uint64", "trained_on.json"
Keys = NDArray[np.uint64]


def picture_keys(features: NDArray[np.floating], stamps: NDArray[np.void] | None) -> Keys:
    """Tell pictures by their features, and by the content of their files where that is known.

    Parameters
    ----------
    features : (n, d) float
    stamps : (n,) array of `dogsim.storage.dataset_file.STAMP_DTYPE`, optional

    Returns
    -------
    (n, 1) uint64, or (n, 2) with stamps
        Parts of SHA-256; pictures that share one of them are the same.
    """
    rows = (np.asarray(row, "<f4") + np.float32(0) for row in features)  # + 0 turns -0 into 0
    columns = [[int.from_bytes(sha256(row.tobytes()).digest()[:8], "big") for row in rows]]
    if stamps is not None:
        columns.append([int(digest[:16], 16) for digest in stamps["sha256"].tolist()])
    return np.asarray(np.array(columns, np.uint64).T)


def remember(model: Any, keys: Keys, breeds: Iterable[str] = ()) -> None:
    """Let a Keras model know what it has learned from, for the file that it will be saved to.

    `breeds` are those whose probabilities it gives, if it gives such.
    """
    model.trained_on, model.trained_breeds = np.unique(keys), sorted(breeds)


def write_memory(model: Any, file: Path) -> None:
    """Add to a model's ``.keras`` file what it has learned from, if that is known."""
    if (keys := getattr(model, "trained_on", None)) is not None:
        with zipfile.ZipFile(file, "a") as archive:
            archive.writestr(ENTRY, keys.astype("<u8").tobytes())
            archive.writestr(BREEDS, json.dumps(model.trained_breeds))


def read_memory(file: Path) -> Keys:
    """Read from a ``.keras`` file what its model has learned from; empty where it does not tell."""
    try:
        with zipfile.ZipFile(file) as archive:
            return np.frombuffer(archive.read(ENTRY), "<u8").astype(np.uint64)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return np.zeros(0, np.uint64)


def read_breeds(file: Path) -> tuple[str, ...]:
    """Read from a ``.keras`` file which breeds its model tells apart; empty where it is silent."""
    try:
        with zipfile.ZipFile(file) as archive:
            return tuple(map(str, json.loads(archive.read(BREEDS))))
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        return ()


def has_memory(file: Path) -> bool:
    """Whether a file is a model that this package has trained."""
    return len(read_memory(file)) > 0
