"""Write a dataset as a folder of shards with its rows in any order."""

from pathlib import Path
from typing import Any

import numpy as np

from dogsim import Dataset
from dogsim.folders.checkpoints import DATASET_MADE_BY
from dogsim.storage.dataset_file import INDEX_NAME, write_dataset
from dogsim.storage.sharded_rows import RUN_DTYPE, ShardedRows, TableLocation


def sharded(dataset: Dataset, folder: Path, shards: int = 5, mixed: bool = True) -> Path:
    """Write a dataset as a folder; `mixed` puts half of the rows into other shards."""
    folder.mkdir()
    rng, order = np.random.default_rng(len(dataset)), np.arange(len(dataset))
    if mixed:
        moved = rng.permutation(len(dataset))[: len(dataset) // 2]
        order[np.sort(moved)] = moved
    tables = []
    for number, rows in enumerate(np.array_split(order, shards)):
        file, shard = folder / f"{number:06d}.h5", dataset.take(rows)
        shard.write(file, DATASET_MADE_BY)
        mapped: Any = Dataset.open(file).features
        tables.append(TableLocation(file.name, mapped.offset, len(rows)))
    runs = np.array([(i, 0, table.rows) for i, table in enumerate(tables)], RUN_DTYPE)
    features = ShardedRows(folder, tables, runs, dataset.features.shape[1]).take(np.argsort(order))
    names = ("labels", "paths", "breeds", "recipe", "root", "stamps", "learned", "boxes")
    fields = {name: getattr(dataset, name) for name in names}
    write_dataset(
        folder / INDEX_NAME, features, features.shape[1], **fields, made_by=DATASET_MADE_BY
    )
    return folder
