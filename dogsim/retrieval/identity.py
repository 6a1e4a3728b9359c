"""When two pictures are the same: by content, never by their names."""

import os
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.image_files.boxes import BoxFolder
from dogsim.image_files.files import read_image_file
from dogsim.images import Cropped, Source, file_of
from dogsim.networks.training_record import image_keys, read_training_record
from dogsim.plumbing.files import bytes_sha256
from dogsim.storage.dataset_file import WRITE_ROWS

NO_BOXES = BoxFolder()


def in_gallery(dataset: Dataset, testset: Dataset) -> NDArray[np.bool_]:
    """Tell which pictures of a test set the dataset has as well.

    Two pictures are the same if their files have the same bytes, as both datasets' stamps tell, or
    if their features are equal.

    Returns
    -------
    (n_test,) bool

    >>> four = Dataset(np.eye(4), np.zeros(4, int), tuple("abcd"), ("pug",))
    >>> other = Dataset(np.array([[0, 1, 0, 0]]), np.zeros(1, int), ("x",), ("pug",))
    >>> in_gallery(four, other)
    array([ True])
    """
    same = np.isin(row_hashes(testset), row_hashes(dataset))
    if dataset.stamps is not None and testset.stamps is not None:
        same |= np.isin(testset.stamps["sha256"], dataset.stamps["sha256"])
    return same


@lru_cache(maxsize=1)
def rows_by_content(dataset: Dataset) -> dict[str, int]:
    """Map the SHA-256 of each picture file to its first row; empty where there are no stamps.

    Made once for the dataset that was asked last: a million rows take a second.
    """
    if dataset.stamps is None:
        return {}
    hashes = dataset.stamps["sha256"].tolist()
    return {sha256.decode(): row for row, sha256 in reversed(list(enumerate(hashes)))}


def boxes_for(dataset: Dataset | None, folder: str | os.PathLike[str] | None) -> BoxFolder:
    """Take boxes from a folder, if one is named, and widen them as the dataset's own are.

    Raises `DogsimError` if there is no such folder.
    """
    margin = dataset.recipe.margin if dataset and dataset.recipe else 0.0
    return BoxFolder(Path(folder), margin) if folder else BoxFolder()


def seen(picture: Source, dataset: Dataset | None, boxes: BoxFolder = NO_BOXES) -> Source:
    """Tell what the network sees of a picture that is asked, of a dataset if it is one.

    That is its box; for a picture of the dataset, whose features are there already, the box that
    it has there. Whatever has no box is seen whole. Raises `DogsimError` for one that cannot be
    right.
    """
    file = file_of(picture)
    if isinstance(picture, Cropped) or file is None:
        return picture
    if dataset and dataset.boxes is not None and (row := _row_of(file, dataset)) is not None:
        box = dataset.box(row)
    else:
        box = boxes.box_of_query(file)
    return Cropped(file, box) if box else picture


def _row_of(file: Path, dataset: Dataset) -> int | None:
    try:
        return rows_by_content(dataset).get(bytes_sha256(read_image_file(file)))
    except DogsimError:  # reading it again will tell
        return None


def learned(dataset: Dataset) -> NDArray[np.bool_]:
    """Tell from which of its pictures the network or the head behind a dataset has learned.

    Judged by these, and calibrated on them, its features look better than they are.
    `dogsim.project` stores the answer with the dataset; of a network that was fine-tuned its weight
    file tells, as long as it lies where the recipe says.

    Returns
    -------
    (n,) bool
        All False where nothing was learned, or nobody remembers.

    >>> learned(Dataset(np.eye(2), np.zeros(2, int), ("a", "b"), ("pug",))).tolist()
    [False, False]
    """
    if dataset.learned is not None:
        return dataset.learned
    recipe = dataset.recipe
    if recipe is None or recipe.head or not recipe.weights.endswith(".keras"):
        return np.zeros(len(dataset), bool)
    return learned_by(dataset, Path(recipe.weights))


def learned_by(dataset: Dataset, model: Path) -> NDArray[np.bool_]:
    """Tell from which of a dataset's pictures the model in a ``.keras`` file has learned."""
    memory = read_training_record(model)
    if not len(memory):
        return np.zeros(len(dataset), bool)
    keys = image_keys(dataset.features, dataset.stamps)
    return np.asarray(np.isin(keys, memory).any(axis=1))


def features_hash(dataset: Dataset) -> str:
    """Hash all features of a dataset, in 32 hexadecimal digits."""
    digest = sha256(repr((dataset.features.shape, dataset.features.dtype.str)).encode())
    for start in range(0, len(dataset), WRITE_ROWS):
        digest.update(np.ascontiguousarray(dataset.features[start : start + WRITE_ROWS]).data)
    return digest.hexdigest()[:32]


def row_hashes(dataset: Dataset) -> NDArray[np.int64]:
    """Hash the features of each picture, (n,) int64: equal features, equal hashes."""
    # Python's own hash of bytes is keyed and has 64 bits: that two rows share one by chance is less
    # likely than a fault of the memory, and a million of them take 8 MB. Adding 0 turns -0 into 0.
    rows = (np.asarray(row, np.float32) + np.float32(0) for row in dataset.features)
    return np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(dataset))
