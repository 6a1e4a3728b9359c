"""The folder ``OUT.h5.partial`` beside an output: what a run has done, and how it is to be done.

It holds shards, each a small dataset file of the pictures done in one stretch. A shard is written
under another name, flushed to the disk and then renamed (`files.replacing`), and never touched
again. HDF5 files are endangered only while they are written, and at any moment of a kill every file
with a final name is closed and whole. A kill, a full disk and a power cut cost the stretch that was
being worked on, about `reading.SHARD` pictures; a file system that loses renames at a power cut may
cost the shard before.

A restart, which computes everything anew, is a file ``restart`` in that folder, with the options it
was begun with: while it lies there ``OUT.h5`` counts for nothing, and every later run goes on where
the restart was.

Of a dataset that is itself a folder of shards this is that folder: work in progress is what its
index does not know.
"""

import json
import re
import secrets
import time
from collections.abc import Iterator, Set
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, reason
from dogsim.image_files.boxes import Box
from dogsim.plumbing.files import make_folder, replacing
from dogsim.recipe import Recipe
from dogsim.storage.dataset_file import DamagedError
from dogsim.storage.sharded_rows import RUN_DTYPE, ShardedRows, TableLocation

MADE_BY = "create-dataset"
OPTIONS = (
    *("backbone", "weights", "layer", "resize", "engine", "precision"),
    *("boxes", "margin", "views", "mean", "std", "image_size"),
)
RESTART = "restart"
OURS = re.compile(rf"\d{{6,}}\.h5|{RESTART}|\..*\.tmp")  # what such a folder holds
HDF5 = b"\x89HDF\r\n\x1a\n"  # what such a file begins with


@dataclass(eq=False)
class Part:
    """A closed file with features: a shard, or the finished dataset.

    The finished one is mapped when it is listed, so that its rows are of the file that was listed,
    even if another lies in its place by now.
    """

    file: Path
    paths: tuple[str, ...]
    stamps: NDArray[np.void]
    recipe: Recipe
    root: str
    dimension: int
    mapped: NDArray[np.float32] | None = None
    boxes: NDArray[np.float64] | None = None

    @classmethod
    def of(cls, file: Path, dataset: Dataset, mapped: bool = False) -> "Part":
        """Know a file by the dataset in it, and hold its features with `mapped`."""
        if dataset.stamps is None or dataset.recipe is None:
            raise DogsimError(f"{file} is no shard of create-dataset. Move it away.")
        return cls(
            file=file,
            paths=dataset.paths,
            stamps=dataset.stamps,
            recipe=dataset.recipe,
            root=dataset.root,
            dimension=dataset.features.shape[1],
            mapped=dataset.features if mapped else None,
            boxes=dataset.boxes,
        )

    def box(self, row: int) -> Box | None:
        """Tell which part of a picture was seen, None for all of it."""
        return None if self.boxes is None else Box.from_row(self.boxes[row])

    def features(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Read some rows; the file of a shard is open no longer than that takes."""
        return np.asarray((self.stored_rows() if self.mapped is None else self.mapped)[rows])

    def stored_rows(self) -> ShardedRows:
        """Tell where the rows of a shard lie, or those of a folder of shards."""
        if isinstance(self.mapped, ShardedRows):
            return self.mapped
        try:
            with h5py.File(self.file) as opened:
                offset = opened["features"].id.get_offset()
        except OSError as error:
            raise DogsimError(f"Cannot read {self.file}: {reason(error)}.") from error
        if offset is None:
            raise DogsimError(f"{self.file} is no shard of create-dataset. Move it away.")
        place = TableLocation(self.file.name, offset, len(self.paths))
        whole = np.array([(0, 0, place.rows)], RUN_DTYPE)
        return ShardedRows(self.file.parent, [place], whole, self.dimension)


class PartialFolder:
    """The folder at `path`, which need not be there.

    Parameters
    ----------
    path : Path
    settled : set of str
        Names of shards in it that are no work in progress.

    Raises
    ------
    DogsimError
        If something else is there.
    """

    def __init__(self, path: Path, settled: Set[str] = frozenset()) -> None:
        if path.exists() and not path.is_dir():
            raise DogsimError(
                f"{path} is no folder. It is the place for work in progress: move it away."
            )
        self.path, self.settled = path, settled

    @staticmethod
    def made(path: Path) -> bool:
        """Whether there is nothing in a folder but what such a one holds; hidden files are none."""
        return all(OURS.fullmatch(each.name) for each in path.iterdir() if each.name[0] != ".")

    @property
    def restart(self) -> dict[str, Any] | None:
        """Options of the restart that is under way, empty where it lost them; None if none is."""
        if not self._note.exists():
            return None
        with suppress(OSError, ValueError, TypeError):
            options = dict(json.loads(self._note.read_text(encoding="utf-8")))
            return options if options.keys() == set(OPTIONS) else {}
        return {}

    def note_restart(self, recipe: Recipe) -> None:
        """Leave a note that a restart with the options of `recipe` is under way."""
        make_folder(self.path)
        with replacing(self._note) as temporary:
            temporary.write_text(json.dumps(options_of(recipe)), encoding="utf-8")

    def shards(self) -> Iterator[Part]:
        """Open the shards, oldest first, and remove those that a power cut has damaged.

        Raises `DogsimError` for any other file of a shard's name: it may be whole, and unreadable
        for now.
        """
        for file in sorted(self._files()):
            try:
                dataset = Dataset.open(file)
            except DamagedError as error:
                _require_damaged_shard(file, error)
                file.unlink()
            else:
                yield Part.of(file, dataset)

    def add(self, shard: Dataset, drawn: bool = False) -> Part:
        """Keep the features of a stretch of pictures: a file, whole or not at all.

        It is numbered after the others. Where several write at a time, or somebody may still read
        an older one of that name, its number is `drawn`: the time, so that it is still about in
        order, and what makes it the only one.
        """
        make_folder(self.path)
        if drawn:
            number = (time.time_ns() << 64) + secrets.randbits(64)
        else:
            number = max((int(file.stem) for file in self._files()), default=-1) + 1
        file = self.path / f"{number:06d}.h5"
        shard.write(file, MADE_BY)
        return Part.of(file, shard)

    def clear(self) -> None:
        """Remove the shards: the output holds all that is in them, or they are not wanted.

        Nothing else is removed, and no settled shard. The note of a restart goes first: without its
        shards it would let a finished output count for nothing.
        """
        self._note.unlink(missing_ok=True)
        for file in self.path.iterdir() if self.path.is_dir() else ():
            if OURS.fullmatch(file.name) and file.name not in self.settled:
                file.unlink()
        with suppress(OSError):  # not there, or with something of somebody else's in it
            self.path.rmdir()

    def names(self) -> set[str]:
        """Names of the shards that lie there, settled or not."""
        files = self.path.iterdir() if self.path.is_dir() else ()
        return {file.name for file in files if file.suffix == ".h5" and OURS.fullmatch(file.name)}

    @property
    def _note(self) -> Path:
        return self.path / RESTART

    def _files(self) -> list[Path]:
        return [self.path / name for name in self.names() - self.settled]


def options_of(recipe: Recipe) -> dict[str, Any]:
    """Tell the arguments of `dogsim.create_dataset` that give features of this recipe."""
    return {name: getattr(recipe, name) for name in OPTIONS}


def _require_damaged_shard(file: Path, error: DogsimError) -> None:
    """Raise `error` unless a file is what a power cut may leave of a shard."""
    with file.open("rb") as opened:
        start = opened.read(len(HDF5))
    if start.strip(b"\0") and start != HDF5[: len(start)]:
        raise DogsimError(f"{error} It is no shard of create-dataset: move it away.") from error
