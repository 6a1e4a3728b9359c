"""When two pictures are the same: by content, never by their names."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.networks.trained_on import picture_keys, read_memory


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


def learned(dataset: Dataset) -> NDArray[np.bool_]:
    """Tell from which of its pictures the network or the head behind a dataset has learned.

    Judged by these, and calibrated on them, its features look better than they are.
    `dogsim.project` stores the answer with the dataset; of a network that was fine-tuned its weight
    file tells, as long as it lies where the recipe says.

    Returns
    -------
    (n,) bool
        All False where nothing was learned, or nobody remembers.

    >>> learned(Dataset(np.eye(2), np.zeros(2, int), ("a", "b"), ("pug",))).any()
    np.False_
    """
    if dataset.learned is not None:
        return dataset.learned
    recipe = dataset.recipe
    if recipe is None or recipe.head or not recipe.weights.endswith(".keras"):
        return np.zeros(len(dataset), bool)
    return learned_by(dataset, Path(recipe.weights))


def learned_by(dataset: Dataset, model: Path) -> NDArray[np.bool_]:
    """Tell from which of a dataset's pictures the model in a ``.keras`` file has learned."""
    memory = read_memory(model)
    if not len(memory):
        return np.zeros(len(dataset), bool)
    keys = picture_keys(dataset.features, dataset.stamps)
    return np.asarray(np.isin(keys, memory).any(axis=1))


def row_hashes(dataset: Dataset) -> NDArray[np.int64]:
    """Hash the features of each picture, (n,) int64: equal features, equal hashes."""
    # Python's own hash of bytes is keyed and has 64 bits: that two rows share one by chance is less
    # likely than a fault of the memory, and a million of them take 8 MB. Adding 0 turns -0 into 0.
    rows = (np.asarray(row, np.float32) + np.float32(0) for row in dataset.features)
    return np.fromiter((hash(row.tobytes()) for row in rows), np.int64, len(dataset))
