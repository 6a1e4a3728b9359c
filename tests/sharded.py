"""Write a dataset as a folder of shards with its rows in any order."""

from pathlib import Path

import numpy as np

from dogsim import Dataset
from dogsim.folders.checkpoints import DATASET_MADE_BY, FeatureFile
from dogsim.recipe import Recipe
from dogsim.storage.dataset_file import INDEX_NAME, STAMP_DTYPE, write_dataset
from dogsim.storage.sharded_rows import ShardedRows

SOME = Recipe("resnet50", "imagenet", "0" * 64, "avg_pool", 224)


def sharded(dataset: Dataset, folder: Path, shards: int = 5, mixed: bool = True) -> Path:
    """Write a dataset as a folder; `mixed` puts half of the rows into other shards."""
    folder.mkdir()
    rng, order = np.random.default_rng(len(dataset)), np.arange(len(dataset))
    if mixed:
        moved = rng.permutation(len(dataset))[: len(dataset) // 2]
        order[np.sort(moved)] = moved
    files = []
    for number, rows in enumerate(np.array_split(order, shards)):
        file, shard = folder / f"{number:06d}.h5", dataset.take(rows)
        shard.write(file, DATASET_MADE_BY)
        stamps = np.zeros(len(rows), STAMP_DTYPE)
        files.append(FeatureFile(file, shard.paths, stamps, SOME, "", dataset.features.shape[1]))
    features = ShardedRows.concatenate([each.stored_rows() for each in files]).take(
        np.argsort(order)
    )
    names = ("labels", "paths", "breeds", "recipe", "root", "stamps", "learned", "boxes")
    fields = {name: getattr(dataset, name) for name in names}
    write_dataset(
        folder / INDEX_NAME, features, features.shape[1], **fields, made_by=DATASET_MADE_BY
    )
    return folder
