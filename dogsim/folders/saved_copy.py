"""Save a dataset as one file, or as a folder of shards that can be updated."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.folders.checkpoints import (
    APPLY_MADE_BY,
    UPDATED_MAKERS,
    CheckpointFolder,
    FeatureFile,
)
from dogsim.folders.extraction import SHARD_IMAGES
from dogsim.plumbing.files import check_replaceable, follow_link, locked
from dogsim.storage.dataset_file import (
    INDEX_NAME,
    check_dataset_path,
    is_sharded,
    made_by,
    write_dataset,
)
from dogsim.storage.sharded_rows import ShardedRows

ROWS_PER_SHARD = 16 * SHARD_IMAGES


def check_copy(out: Path, source: Path, force: bool) -> None:
    """Raise `DogsimError` if `save_copy` may not write an edited copy of `source` to `out`."""
    target = follow_link(out)
    check_dataset_path(out, [source / INDEX_NAME if source.is_dir() else source])
    if is_sharded(target) and not (target / INDEX_NAME).exists():
        check_replaceable(target, CheckpointFolder.has_only_checkpoints, force)
    else:
        check_replaceable(_file(target), _is_copy, force)


def save_copy(dataset: Dataset, out: Path, source: Path) -> None:
    """Save an edited copy of the dataset in `source`; a name that ends in .dogsim is a folder.

    `dogsim.create_dataset` updates the copy if it would update the source. Raises `DogsimError` if
    it cannot be written.
    """
    maker = made_by(_file(source))
    if maker in UPDATED_MAKERS:
        maker = APPLY_MADE_BY
    elif not maker.startswith(APPLY_MADE_BY):
        maker = f"{APPLY_MADE_BY} to {maker}"
    if is_sharded(follow_link(out)):
        _save_shards(dataset, follow_link(out), maker)
    else:
        dataset.save(out, maker)


def _save_shards(dataset: Dataset, folder: Path, maker: str) -> None:
    if dataset.stamps is None or dataset.recipe is None:
        raise DogsimError(
            f"Received the folder {folder} for a dataset without stamps or a recipe. Expected the "
            "name of a file: -o NEW.h5."
        )
    with locked(folder):
        checkpoints, unknown = CheckpointFolder(folder), np.full(len(dataset), -1, np.int32)
        unlabelled = replace(dataset, labels=unknown, breeds=(), edits=())
        starts = range(0, len(dataset), ROWS_PER_SHARD)
        blocks = (np.arange(start, min(start + ROWS_PER_SHARD, len(dataset))) for start in starts)
        files = [checkpoints.add(unlabelled.take(rows), unique_name=True) for rows in blocks]
        parts: list[Any] = [FeatureFile.open_shard(file).dataset.features for file in files]
        rows = ShardedRows.concatenate(parts)
        write_dataset(
            folder / INDEX_NAME,
            rows,
            rows.shape[1],
            **dataset.stored_fields,
            made_by=maker,
            replaced=checkpoints.shard_names().difference(file.name for file in files),
        )


def _file(path: Path) -> Path:
    """Return the file of a dataset, the index of a folder of shards."""
    return path / INDEX_NAME if path.is_dir() else path


def _is_copy(file: Path) -> bool:
    return made_by(file).startswith(APPLY_MADE_BY)
