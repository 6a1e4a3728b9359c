"""Features that are kept while a dataset is being made, so that a killed run goes on.

Beside ``OUT.h5`` stands the folder ``OUT.h5.partial`` of shards, each a small dataset file of the
pictures done in one stretch. A shard is written under another name, flushed to the disk and then
renamed (`files.replacing`), and never touched again; so is ``OUT.h5`` itself. HDF5 files are
endangered only while they are written, and at any moment of a kill every file with a final name is
closed and whole. A kill, a full disk and a power cut cost the stretch that was being worked on,
about `reading.SHARD` pictures; a file system that loses renames at a power cut may cost the shard
before.

A restart, which computes everything anew, is a file ``restart`` in that folder, with the options it
was begun with: while it lies there ``OUT.h5`` counts for nothing, and every later run goes on where
the restart was.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dogsim.breeds import labels_of_folders
from dogsim.dataset import Dataset
from dogsim.dataset_file import BLOCK, DamagedError, made_by, write_dataset
from dogsim.errors import DogsimError, reason
from dogsim.folders.listing import GONE, Listing, Picture, Skipped, skipped_table, stamp_rows
from dogsim.images import read_picture
from dogsim.plumbing.files import (
    bytes_sha256,
    check_replaceable,
    make_folder,
    remove_left_overs,
    replacing,
    writing,
    written_through,
)
from dogsim.plumbing.hdf5 import mapped_rows
from dogsim.plumbing.signals import uninterrupted
from dogsim.plumbing.terminal import printable
from dogsim.recipe import DECISIVE, Recipe

MADE_BY = "create-dataset"
RESTART = "restart"
OURS = re.compile(rf"\d{{6,}}\.h5|{RESTART}|\..*\.tmp")  # what a folder of shards holds
HDF5 = b"\x89HDF\r\n\x1a\n"  # what such a file begins with


@dataclass(frozen=True, eq=False)
class Part:
    """A closed file with features: the finished dataset or a shard."""

    file: Path
    paths: tuple[str, ...]
    stamps: NDArray[np.void]
    recipe: Recipe
    root: str
    dimension: int


class Shards:
    """What earlier runs left of an output: find it, add to it, and write the output.

    ``with Shards(out) as shards:`` holds the lock on `out`, which dies with its process.

    Parameters
    ----------
    out : Path
        The dataset file that is to be made or brought up to date.
    restart : bool
        Begin a restart, unless one is under way; the file itself stays until it is replaced.
    force : bool
        Replace a file that was made in another way than by this class.
    wait : bool
        Wait while another process holds the lock.

    Raises
    ------
    DogsimError
        On entry, if another process holds the lock, or the output or the folder beside it cannot
        be read or is not one of ours.
    """

    def __init__(
        self, out: Path, restart: bool = False, force: bool = False, wait: bool = False
    ) -> None:
        self.out, self._table = written_through(out), skipped_table(out)
        self.folder = partial_folder(self.out)
        self.restart, self.force, self.wait = restart, force, wait
        self.parts: list[Part] = []  # the finished file first, if it counts, then the shards
        self.rows: dict[str, tuple[int, int]] = {}  # of each picture: its part, its row there
        self.unread: list[Skipped] = []  # what is kept without having been looked at
        self._finished: NDArray[np.float32] | None = None  # features of the file that was listed
        self._held = ExitStack()

    def __enter__(self) -> "Shards":
        with ExitStack() as held:
            held.enter_context(writing(self.out, self.wait))
            for written in (self.out, self._table):
                remove_left_overs(written)
            self._open()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def recipe(self) -> Recipe | None:
        """How the features that are there were made; None if there are none."""
        return self.parts[0].recipe if self.parts else None

    @property
    def before(self) -> frozenset[str]:
        """Paths of the pictures in the finished file, where there was one."""
        return frozenset(
            path for part in self.parts if part.file == self.out for path in part.paths
        )

    def require(self, recipe: Recipe) -> None:
        """Raise `DogsimError` unless all that is there can be compared with what is to come.

        What a restart of other options has left is forgotten.
        """
        for part in self.parts:
            try:
                part.recipe.require(recipe, "this command", (*DECISIVE, "engine", "precision"))
            except DogsimError as error:
                if self.restart:
                    return self._begin_restart()
                raise DogsimError(
                    f"{part.file} was made in another way: {error} "
                    f"Give --restart to make {self.out.name} anew, or name another output."
                ) from error
        return None

    @property
    def options(self) -> dict[str, Any]:
        """How a run without options works: as the restart that is under way, or as what is there.

        Empty, or by name the arguments of `dogsim.load_extractor`.
        """
        if self._restart_file.exists():
            with suppress(OSError, ValueError):
                return dict(json.loads(self._restart_file.read_text(encoding="utf-8")))
        names = ("backbone", "weights", "layer", "resize", "engine", "precision")
        return {name: getattr(self.recipe, name) for name in names} if self.recipe else {}

    def remember(self, options: Mapping[str, Any]) -> None:
        """Keep the options of a restart that is under way."""
        if self._restart_file.exists() and self.options != options:
            with replacing(self._restart_file) as temporary:
                temporary.write_text(json.dumps(options), encoding="utf-8")

    def unseen(self, listing: Listing, root: Path) -> list[Picture]:
        """List the pictures that are there, and lie where could not be looked this time."""
        home = str(root.resolve())
        kept = []
        for path, place in self.rows.items() if listing.unseen else ():
            if listing.hides(path) and self.parts[place[0]].root == home:
                stamp = self._stamp(place)
                kept.append(Picture(path, int(stamp["size"]), int(stamp["mtime_ns"])))
        return kept

    def find(self, pictures: Sequence[Picture], root: Path, verify: bool) -> list[Picture]:
        """Find what has not changed since it was computed, and return the other pictures.

        A picture is the same if its size and time of change are. With `verify`, and where the
        features are of another folder's pictures, it is the same if its content is.
        """
        home = str(root.resolve())
        kept = {}
        for picture in pictures:
            place = self.rows.get(picture.path)
            if place and self._unchanged(picture, place, root, home, verify):
                kept[picture.path] = place
        self.rows = kept
        return [picture for picture in pictures if picture.path not in kept]

    def add(self, shard: Dataset) -> None:
        """Keep the features of a stretch of pictures: a file, whole or not at all."""
        make_folder(self.folder)
        numbers = (int(file.stem) for file in self._shard_files())
        file = self.folder / f"{max(numbers, default=-1) + 1:06d}.h5"
        shard.write(file, MADE_BY)
        self._take(file)

    def write(self, pictures: Sequence[Picture], recipe: Recipe, root: Path) -> Dataset:
        """Write those pictures that have features to the output, and forget the shards.

        The file is left alone if it holds just these already.
        """
        done = [picture for picture in pictures if picture.path in self.rows]
        places = [self.rows[picture.path] for picture in done]
        stamps = stamp_rows(done, [self._stamp(place)["sha256"] for place in places])
        paths, home = tuple(picture.path for picture in done), str(root.resolve())
        folders = [path.split("/")[0] if "/" in path else "" for path in paths]
        labels, breeds = labels_of_folders(folders)
        if not self._holds(paths, home, stamps, recipe):
            write_dataset(
                self.out,
                self._gather(places),
                self.parts[0].dimension,
                labels=labels,
                paths=paths,
                breeds=breeds,
                recipe=recipe,
                root=home,
                stamps=stamps,
                made_by=MADE_BY,
            )
        with uninterrupted():
            self._forget()
        return Dataset.open(self.out)

    @contextmanager
    def telling_how_to_go_on(self) -> Iterator[None]:
        """Add to an error, and to Ctrl-C, what is kept of the work until then."""
        try:
            yield
        except KeyboardInterrupt as stop:
            raise type(stop)(f"Stopped. {self._how_to_go_on()}".rstrip()) from None
        except DogsimError as error:
            raise DogsimError(f"{error} {self._how_to_go_on()}".rstrip()) from error

    def _how_to_go_on(self) -> str:
        shards = [part for part in self.parts if part.file != self.out and part.file.exists()]
        kept = sum(len(part.paths) for part in shards)
        if not kept:
            return ""
        return (
            f"What is done, {kept} pictures, is kept in {self.folder}: run the same command again "
            "to go on."
        )

    def _open(self) -> None:
        """Open what earlier runs left."""
        if self.folder.exists() and not self.folder.is_dir():
            raise DogsimError(
                f"{self.folder} is no folder. It is the place for work in progress: move it away."
            )
        self._open_output()
        if self.restart and not self._restart_file.exists():
            return self._begin_restart()
        if self._restart_file.exists():
            self.parts, self.rows, self._finished = [], {}, None
        for file in sorted(self._shard_files()):
            try:
                self._take(file)
            except DamagedError as error:
                _require_damaged_shard(file, error)
                file.unlink()
        return None

    def _open_output(self) -> None:
        if not self.out.exists():
            return
        check_replaceable(self.out, h5py.is_hdf5, self.force)
        try:
            dataset, maker = Dataset.open(self.out), made_by(self.out)
        except DogsimError:
            if self.force:
                return
            raise
        made_here = maker in (MADE_BY, "") and dataset.stamps is not None  # "": by version 0.1.0
        if made_here and dataset.recipe and not dataset.recipe.head_sha256:
            self._finished = dataset.features
            self._take(self.out, dataset)
        else:
            check_replaceable(self.out, lambda _: False, self.force)

    def _take(self, file: Path, dataset: Dataset | None = None) -> None:
        dataset = dataset or Dataset.open(file)
        if dataset.stamps is None or dataset.recipe is None:
            raise DogsimError(f"{file} is no shard of create-dataset. Move it away.")
        self.rows |= {path: (len(self.parts), row) for row, path in enumerate(dataset.paths)}
        self.parts.append(
            Part(
                file=file,
                paths=dataset.paths,
                stamps=dataset.stamps,
                recipe=dataset.recipe,
                root=dataset.root,
                dimension=dataset.features.shape[1],
            )
        )

    @property
    def _restart_file(self) -> Path:
        return self.folder / RESTART

    def _begin_restart(self) -> None:
        """Forget what is there, and leave a note that it counts for nothing until all is done."""
        options = self.options
        self._forget()
        self.parts, self.rows, self._finished = [], {}, None
        make_folder(self.folder)
        with replacing(self._restart_file) as temporary:
            temporary.write_text(json.dumps(options), encoding="utf-8")

    def _shard_files(self) -> list[Path]:
        files = self.folder.iterdir() if self.folder.is_dir() else ()
        return [file for file in files if file.suffix == ".h5" and OURS.fullmatch(file.name)]

    def _forget(self) -> None:
        """Remove the shards: the output holds all that is in them, or they are not wanted.

        Nothing else is removed, and the note of a restart goes first: without its shards it would
        let a finished output count for nothing.
        """
        self._restart_file.unlink(missing_ok=True)
        for file in self.folder.iterdir() if self.folder.is_dir() else ():
            if OURS.fullmatch(file.name):
                file.unlink()
        with suppress(OSError):  # not there, or with something of somebody else's in it
            self.folder.rmdir()

    def _stamp(self, place: tuple[int, int]) -> np.void:
        part, row = place
        stamp: np.void = self.parts[part].stamps[row]
        return stamp

    def _unchanged(
        self, picture: Picture, place: tuple[int, int], root: Path, home: str, verify: bool
    ) -> bool:
        stamp, same_folder = self._stamp(place), self.parts[place[0]].root == home
        if same_folder and not verify:
            return (picture.size, picture.mtime_ns) == (stamp["size"], stamp["mtime_ns"])
        try:
            content = read_picture(root / picture.path)
        except DogsimError as error:
            cause = error.__cause__
            if same_folder and isinstance(cause, OSError) and cause.errno not in GONE:
                why = f"{reason(cause)}: its earlier features are kept"
                self.unread.append(Skipped(printable(picture.path), why))
                return True
            return False  # reading it again will tell
        return bool(bytes_sha256(content).encode() == stamp["sha256"])

    def _holds(
        self, paths: tuple[str, ...], root: str, stamps: NDArray[np.void], recipe: Recipe
    ) -> bool:
        first = self.parts[0]
        found = (first.file, first.paths, first.root, first.recipe)
        return found == (self.out, paths, root, recipe) and np.array_equal(first.stamps, stamps)

    def _gather(self, places: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.float32]]:
        """Yield features in blocks, each row named by its part and its row there.

        One file is open at a time, however many there are. The finished file was mapped when it was
        listed, so its rows are of that file, even if another lies in its place by now.
        """
        for i in range(0, len(places), BLOCK):
            parts, rows = np.array(places[i : i + BLOCK]).T
            block = np.empty((len(parts), self.parts[0].dimension), np.float32)
            for part in np.unique(parts):
                block[parts == part] = self._features(int(part), rows[parts == part])
            yield block
        self._finished = None  # a file that is mapped cannot be replaced on every system

    def _features(self, part: int, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        file = self.parts[part].file
        if file == self.out and self._finished is not None:
            return np.asarray(self._finished[rows])
        try:
            with h5py.File(file) as opened:
                return np.asarray(mapped_rows(opened["features"], file)[rows])
        except OSError as error:
            raise DogsimError(f"Cannot read {file}: {reason(error)}.") from error


def partial_folder(out: Path) -> Path:
    """Where the shards of `out` lie."""
    return out.with_name(f"{out.name}.partial")


def _require_damaged_shard(file: Path, error: DogsimError) -> None:
    """Raise `error` unless a file is what a power cut may leave of a shard."""
    with file.open("rb") as opened:
        start = opened.read(len(HDF5))
    if start.strip(b"\0") and start != HDF5[: len(start)]:
        raise DogsimError(f"{error} It is no shard of create-dataset: move it away.") from error
