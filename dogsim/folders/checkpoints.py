"""Store the shards of an unfinished run in the folder ``OUT.h5.partial`` beside the output.

Each shard is a small dataset file. It is written under a temporary name, flushed to disk, renamed
(`files.replacing`) and never modified. An HDF5 file can only be damaged while it is written;
therefore each file with a final name is complete, whenever a run is killed. A kill, a full disk or
a power failure loses only the images in progress, about `extraction.SHARD_IMAGES`; a file system
that loses renames in a power failure may also lose the previous shard.

A restart, which computes all features again, writes the file ``restart`` with its options to this
folder. While that file exists ``OUT.h5`` is ignored, and every later run continues the restart.

If the dataset itself is a folder of shards, its shards and those of an unfinished run are in the
same folder: a shard that is not in the index belongs to an unfinished run.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.plumbing.files import check_replaceable, make_folder, replacing
from dogsim.recipe import Recipe
from dogsim.storage.dataset_file import INDEX_NAME, DamagedError, is_sharded, made_by
from dogsim.storage.sharded_rows import RUN_DTYPE, ShardedRows, TableLocation

DATASET_MADE_BY, APPLY_MADE_BY = "create-dataset", "apply"
UPDATED_MAKERS = (DATASET_MADE_BY, APPLY_MADE_BY, "")  # of files to update; "": `Dataset.save`
RECIPE_OPTIONS = (
    *("backbone", "weights", "layer", "resize", "engine", "precision"),
    *("boxes", "margin", "views", "mean", "std", "image_size"),
)
RESTART_FILE = "restart"
CHECKPOINT_NAME = re.compile(rf"\d{{6,}}\.h5|{RESTART_FILE}|\..*\.tmp")
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(eq=False)
class FeatureFile:
    """A complete file of features: a shard, or the finished dataset.

    Attributes
    ----------
    file : Path
    dataset : Dataset
        Features of the finished dataset are mapped, so that its rows stay those of that file even
        if the file is replaced. Features of a shard are `ShardedRows`, opened on access.
    stamps, recipe
        Those of the dataset.
    """

    file: Path
    dataset: Dataset
    stamps: NDArray[np.void]
    recipe: Recipe

    @classmethod
    def open_shard(cls, file: Path) -> "FeatureFile":
        """Open a shard; raise `DogsimError` as `Dataset.open`, and for a file of another kind."""
        dataset = Dataset.open(file)
        mapped, stamps, recipe = dataset.features, dataset.stamps, dataset.recipe
        if stamps is None or recipe is None or not isinstance(mapped, np.memmap):
            raise DogsimError(f"{file} is not a shard of create-dataset. Move it away.")
        table = TableLocation(file.name, mapped.offset, len(dataset))
        whole = np.array([(0, 0, len(dataset))], RUN_DTYPE)
        rows: Any = ShardedRows(file.parent, [table], whole, mapped.shape[1])
        return cls(file, replace(dataset, features=rows), stamps, recipe)

    @property
    def located_rows(self) -> ShardedRows:
        """The features as rows of files with absolute paths, which may be in several folders."""
        rows: Any = self.dataset.features
        if not isinstance(rows, ShardedRows):
            tables = [TableLocation(str(self.file.absolute()), rows.offset, len(rows))]
            runs = np.array([(0, 0, len(rows))] if len(rows) else [], RUN_DTYPE)
            return ShardedRows(Path(), tables, runs, rows.shape[1])
        folder = rows.folder.absolute()
        tables = [replace(each, file=str(folder / each.file)) for each in rows.tables]
        return ShardedRows(Path(), tables, rows.runs, rows.shape[1])

    def features(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read the features (m, d) of rows (m,); the file of a shard is closed afterwards."""
        table: Any = self.dataset.features
        if isinstance(table, ShardedRows):
            table = ShardedRows.concatenate([table])  # a copy, which closes its file at the end
        return np.asarray(table[rows])


class CheckpointFolder:
    """The folder with the shards of unfinished runs, which need not exist.

    Attributes
    ----------
    path : Path
    committed : set of str
        Names of the shards in the folder that do not belong to an unfinished run: those of the
        finished dataset, and those that it has replaced.

    Raises
    ------
    DogsimError
        If `path` is not a folder.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise DogsimError(
                f"{path} is not a folder. Unfinished work is stored there: move it away."
            )
        self.path, self._restart_file = path, path / RESTART_FILE
        self.committed: Set[str] = frozenset()

    @staticmethod
    def has_only_checkpoints(path: Path) -> bool:
        """Return whether a folder contains only checkpoints; hidden files are ignored."""
        return all(
            CHECKPOINT_NAME.fullmatch(each.name) or each.name[0] == "." for each in path.iterdir()
        )

    @property
    def restart_options(self) -> dict[str, Any] | None:
        """Options of an unfinished restart, empty if they are damaged; None without a restart."""
        if not self._restart_file.exists():
            return None
        with suppress(OSError, ValueError, TypeError):
            options = dict(json.loads(self._restart_file.read_text(encoding="utf-8")))
            return options if options.keys() == set(RECIPE_OPTIONS) else {}
        return {}

    def begin_restart(self, recipe: Recipe) -> None:
        """Write the file that marks a restart with the options of `recipe`."""
        make_folder(self.path)
        with replacing(self._restart_file) as temporary:
            temporary.write_text(json.dumps(options_of(recipe)), encoding="utf-8")

    def shards(self) -> Iterator[FeatureFile]:
        """Open the shards, oldest first, and remove those that a power failure has damaged.

        Raises `DogsimError` for any other file with the name of a shard: it may be complete, but
        unreadable at the moment.
        """
        for file in sorted(self._files()):
            try:
                yield FeatureFile.open_shard(file)
            except DamagedError as error:
                with file.open("rb") as opened:
                    start = opened.read(len(HDF5_SIGNATURE))
                if start.strip(b"\0") and start != HDF5_SIGNATURE[: len(start)]:
                    remedy = "It is not a shard of create-dataset: move it away."
                    raise DogsimError(f"{error} {remedy}") from error
                file.unlink()

    def add(self, shard: Dataset, unique_name: bool = False) -> Path:
        """Write a shard to a new file, completely or not at all, and return its path.

        By default its name is the next number. With `unique_name` it is the time and a random
        number, for several processes that write to the folder, or if another process may still
        read an older file of the same name; the names are still approximately in order.
        """
        make_folder(self.path)
        if unique_name:
            number = (time.time_ns() << 64) + secrets.randbits(64)
        else:
            number = max((int(file.stem) for file in self._files()), default=-1) + 1
        file = self.path / f"{number:06d}.h5"
        shard.write(file, DATASET_MADE_BY)
        return file

    def clear(self) -> None:
        """Remove the checkpoints, because the output contains their features or they are invalid.

        Committed shards and other files stay. The restart file is removed first: without its shards
        it would hide a finished output.
        """
        self._restart_file.unlink(missing_ok=True)
        for file in self.path.iterdir() if self.path.is_dir() else ():
            if CHECKPOINT_NAME.fullmatch(file.name) and file.name not in self.committed:
                file.unlink()
        with suppress(OSError):  # it does not exist, or contains other files
            self.path.rmdir()

    def shard_names(self) -> set[str]:
        """Return the names of all shards in the folder, committed or not."""
        names = (file.name for file in self.path.iterdir()) if self.path.is_dir() else ()
        return {name for name in names if name.endswith(".h5") and CHECKPOINT_NAME.fullmatch(name)}

    def _files(self) -> list[Path]:
        return [self.path / name for name in self.shard_names() - self.committed]


def options_of(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of `dogsim.create_dataset` that make features of this recipe."""
    return {name: getattr(recipe, name) for name in RECIPE_OPTIONS}


def checkpoint_folder(out: Path) -> Path:
    """Return the folder of the shards of `out`: ``OUT.partial``, or `out` if it is a folder."""
    return out if is_sharded(out) else out.with_name(f"{out.name}.partial")


def open_finished(target: Path, force: bool) -> FeatureFile | None:
    """Open the existing output `target`; check that an output of another kind may be replaced."""
    sharded = is_sharded(target)
    file = target / INDEX_NAME if sharded else target
    if not file.exists():
        if sharded:
            check_replaceable(target, CheckpointFolder.has_only_checkpoints, force)
        return None
    check_replaceable(file, h5py.is_hdf5, force)
    try:
        dataset, maker = Dataset.open(file), made_by(file)
    except DogsimError:
        if force:
            return None
        raise
    ours = maker in UPDATED_MAKERS
    ours &= isinstance(dataset.features, ShardedRows) == sharded
    stamps, recipe = dataset.stamps, dataset.recipe
    if ours and stamps is not None and recipe and not recipe.head_sha256:
        return FeatureFile(file, dataset, stamps, recipe)
    check_replaceable(file, lambda _: False, force)
    return None
