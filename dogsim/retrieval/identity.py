"""Identity of images: two are the same if their files have the same bytes or equal features.

File names are not compared. `image_keys` computes a key of 8 bytes from the file of an image and
another from its features: two images are the same if they share a key.
"""

from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dogsim.image_files.files import read_image_file
from dogsim.networks.trained_models import Keys, read_training_record
from dogsim.plumbing.files import bytes_sha256
from dogsim.storage.dataset_file import WRITE_ROWS

if TYPE_CHECKING:
    from dogsim.dataset import Dataset


def image_keys(dataset: "Dataset") -> Keys:
    """Compute the keys of each image: of its features, and of its file if the dataset has stamps.

    They are the first 8 bytes of each SHA-256: (n, 1) uint64, or (n, 2) with stamps.

    >>> from dogsim import Dataset
    >>> two = Dataset(np.array([[0.0], [-0.0]]), np.zeros(2, int), ("a", "b"), ("pug",))
    >>> first, second = image_keys(two)
    >>> np.array_equal(first, second)
    True
    """
    keys = feature_keys(dataset)[:, None]  # (n, 1)
    if dataset.stamps is None:
        return keys
    digests = dataset.stamps["sha256"].tolist()
    files = np.array([int(digest[:16], 16) for digest in digests], np.uint64)
    return np.column_stack([keys, files])  # (n, 2)


def feature_keys(dataset: "Dataset") -> Keys:
    """Compute the key of each image's features, (n,) uint64."""
    rows = (np.asarray(row, "<f4") + np.float32(0) for row in dataset.features)  # + 0 turns -0 to 0
    digests = (sha256(row.tobytes()).digest() for row in rows)
    keys = (int.from_bytes(digest[:8], "big") for digest in digests)
    return np.fromiter(keys, np.uint64, len(dataset))


def in_gallery(dataset: "Dataset", testset: "Dataset") -> NDArray[np.bool_]:
    """Find the images of a test set that are also in the dataset, (n_test,) bool.

    >>> from dogsim import Dataset
    >>> four = Dataset(np.eye(4), np.zeros(4, int), tuple("abcd"), ("pug",))
    >>> other = Dataset(np.array([[0, 1, 0, 0]]), np.zeros(1, int), ("x",), ("pug",))
    >>> in_gallery(four, other)
    array([ True])
    """
    return np.asarray(np.isin(image_keys(testset), image_keys(dataset)).any(axis=1))


def learned(dataset: "Dataset") -> NDArray[np.bool_]:
    """Find the images of a dataset from which its network or its head has learned, (n,) bool.

    An evaluation with these images as queries, or a calibration on them, is too optimistic.
    `dogsim.project` stores the result with the dataset. For a fine-tuned network it is read from
    the weight file in the recipe. True means that the image was learned. False means only that no
    record says so: all are False for weights without a record, such as "imagenet".

    >>> from dogsim import Dataset
    >>> learned(Dataset(np.eye(2), np.zeros(2, int), ("a", "b"), ("pug",))).tolist()
    [False, False]
    """
    if dataset.learned is not None:
        return dataset.learned
    recipe = dataset.recipe
    if recipe is None or recipe.head or not recipe.weights.endswith(".keras"):
        return np.zeros(len(dataset), bool)
    return learned_by(dataset, Path(recipe.weights))


def learned_by(dataset: "Dataset", model: Path) -> NDArray[np.bool_]:
    """Find the images of a dataset from which the model in a ``.keras`` file has learned."""
    trained_on = read_training_record(model)
    if not len(trained_on):
        return np.zeros(len(dataset), bool)
    return np.asarray(np.isin(image_keys(dataset), trained_on).any(axis=1))


@lru_cache(maxsize=1)
def rows_by_content(dataset: "Dataset") -> dict[str, int]:
    """Map the SHA-256 of each image file to its first row; empty if there are no stamps.

    Cached for the last dataset: a million rows take a second.
    """
    if dataset.stamps is None:
        return {}
    hashes = dataset.stamps["sha256"].tolist()
    return {sha256.decode(): row for row, sha256 in reversed(list(enumerate(hashes)))}


def row_of_file(dataset: "Dataset", content: bytes, file: Path | None) -> int | None:
    """Find the row of an image file by its content; None if the dataset does not contain it.

    Of several rows with this content, that of the file itself, else the first.
    """
    digest = bytes_sha256(content)
    row = rows_by_content(dataset).get(digest)
    if row is None or file is None:
        return row
    with suppress(ValueError):  # the file is not in the folder of the dataset
        path = file.resolve().relative_to(Path(dataset.root).resolve()).as_posix()
        own = dataset.paths.index(path)
        if dataset.stamps is not None and dataset.stamps["sha256"][own].decode() == digest:
            return own
    return row


def stamped_hash(dataset: "Dataset", row: int) -> str:
    """Return the SHA-256 in the stamp of an image, "" without one or if the file has changed since.

    A file has changed if its size or its modification time has, or if there is none.
    """
    if dataset.stamps is None:
        return ""
    size, mtime_ns, digest = dataset.stamps[row].tolist()
    with suppress(OSError, ValueError):  # a ValueError for a name with a zero byte
        status = dataset.image_file(row).stat()
        if (status.st_size, status.st_mtime_ns) == (size, mtime_ns):
            return str(digest.decode())
    return ""


def content_hash(dataset: "Dataset", row: int) -> str:
    """Return the SHA-256 of the present file of an image.

    The file is read only if its size or its modification time are not those of its stamp. Raises
    `DogsimError` if that is not possible.
    """
    stamped = stamped_hash(dataset, row)
    return stamped or bytes_sha256(read_image_file(dataset.image_file(row)))


def content_key(dataset: "Dataset", row: int) -> str:
    """Return the key of an image in a `ContentCache`: the hash of its file, and its box.

    Raises `DogsimError` if the file cannot be read.
    """
    return f"{content_hash(dataset, row)} {dataset.box(row)}"


@lru_cache(maxsize=1)
def features_hash(dataset: "Dataset") -> str:
    """Compute a hash of all features of a dataset, 32 hexadecimal digits, once for each dataset."""
    digest = sha256(repr((dataset.features.shape, dataset.features.dtype.str)).encode())
    for start in range(0, len(dataset), WRITE_ROWS):
        digest.update(np.ascontiguousarray(dataset.features[start : start + WRITE_ROWS]).data)
    return digest.hexdigest()[:32]
