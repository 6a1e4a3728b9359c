"""Features that are kept while a dataset is being made, so that a killed run goes on.

Beside ``OUT.h5`` stands the folder ``OUT.h5.partial`` of shards, each a small dataset file of the
pictures done in one stretch. A shard is written under another name, flushed to the disk and then
renamed (`files.replacing`), and never touched again; so is ``OUT.h5`` itself. HDF5 files are
endangered only while they are written, and at any moment of a kill every file with a final name is
closed and whole. A kill, a full disk and a power cut cost the stretch that was being worked on,
about `reading.SHARD` pictures; a file system that loses renames at a power cut may cost the shard
before.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from dogsim.dataset import BLOCK, Dataset, write_dataset
from dogsim.errors import DogsimError
from dogsim.folders.listing import Picture, skipped_table, stamp_rows
from dogsim.plumbing.files import file_sha256, remove_left_overs
from dogsim.recipe import Recipe


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
        Forget what is there; the file itself stays until it is replaced.

    Raises
    ------
    DogsimError
        On entry, if another process holds the lock or the file is not one of ours.
    """

    def __init__(self, out: Path, restart: bool = False) -> None:
        self.out, self.folder = out, partial_folder(out)
        self.restart = restart
        self.lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
        self.parts: list[Part] = []  # the finished file first, then the shards
        self.rows: dict[str, tuple[int, int]] = {}  # of each picture: its part, its row there

    def __enter__(self) -> "Shards":
        try:
            self.lock.acquire()
        except Timeout:
            raise DogsimError(
                f"Another run is writing {self.out}. Wait for it, or stop it."
            ) from None
        try:
            for written in (self.out, skipped_table(self.out)):
                remove_left_overs(written)
            if self.restart:
                self._forget()
            else:
                self._open()
        except BaseException:
            self.lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()

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
        """Raise `DogsimError` unless all that is there can be compared with what is to come."""
        for part in self.parts:
            try:
                part.recipe.require(recipe, "this command")
            except DogsimError as error:
                raise DogsimError(
                    f"{part.file} was made in another way: {error} "
                    f"Give --restart to make {self.out.name} anew, or name another output."
                ) from error

    def find(self, pictures: Sequence[Picture], root: Path, verify: bool) -> list[Picture]:
        """Find what has not changed since it was computed, and return the other pictures.

        A picture is the same if its size and time of change are; with `verify`, if its content is.
        """
        kept = {}
        for picture in pictures:
            place = self.rows.get(picture.path)
            if place and self._unchanged(picture, place, root if verify else None):
                kept[picture.path] = place
        self.rows = kept
        return [picture for picture in pictures if picture.path not in kept]

    def add(self, shard: Dataset) -> None:
        """Keep the features of a stretch of pictures: a file, whole or not at all."""
        self.folder.mkdir(exist_ok=True)
        number = max((int(file.stem) for file in self.folder.glob("*.h5")), default=-1) + 1
        file = self.folder / f"{number:06d}.h5"
        shard.save(file)
        self._take(file)

    def write(self, pictures: Sequence[Picture], recipe: Recipe, root: Path) -> Dataset:
        """Write those pictures that have features to the output, and forget the shards.

        The file is left alone if it holds just these already.
        """
        done = [picture for picture in pictures if picture.path in self.rows]
        places = [self.rows[picture.path] for picture in done]
        stamps = stamp_rows(done, [self._stamp(place)["sha256"] for place in places])
        paths, home = tuple(picture.path for picture in done), str(root.resolve())
        if not self._holds(paths, home, stamps):
            breeds, labels = np.unique([picture.breed for picture in done], return_inverse=True)
            write_dataset(
                self.out,
                self._gather(places),
                self.parts[0].dimension,
                labels=labels,
                paths=paths,
                breeds=breeds.tolist(),
                recipe=recipe,
                root=home,
                stamps=stamps,
            )
        self._forget()
        return Dataset.open(self.out)

    @contextmanager
    def telling_how_to_go_on(self) -> Iterator[None]:
        """Add to an error, and to Ctrl-C, what is kept of the work until then."""
        try:
            yield
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Stopped. {self._how_to_go_on()}") from None
        except DogsimError as error:
            raise DogsimError(f"{error} {self._how_to_go_on()}".rstrip()) from error

    def _how_to_go_on(self) -> str:
        if not self.folder.is_dir():
            return ""
        return f"What is done is kept in {self.folder}: run the same command again to go on."

    def _open(self) -> None:
        """Open what earlier runs left. A shard that cannot be read is removed: computed again."""
        if self.out.exists():
            self._take(self.out)
        for file in sorted(self.folder.glob("*.h5")):
            try:
                self._take(file)
            except DogsimError:
                file.unlink()

    def _take(self, file: Path) -> None:
        dataset = Dataset.open(file)
        if dataset.stamps is None or dataset.recipe is None:
            raise DogsimError(
                f"{file} exists and was not made by create-dataset. Name another output, or give "
                "--restart to replace it."
            )
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

    def _forget(self) -> None:
        """Remove the shards: the output holds all that is in them, or they are not wanted."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stamp(self, place: tuple[int, int]) -> np.void:
        part, row = place
        stamp: np.void = self.parts[part].stamps[row]
        return stamp

    def _unchanged(self, picture: Picture, place: tuple[int, int], root: Path | None) -> bool:
        stamp = self._stamp(place)
        if root:
            return bool(file_sha256(root / picture.path).encode() == stamp["sha256"])
        return (picture.size, picture.mtime_ns) == (stamp["size"], stamp["mtime_ns"])

    def _holds(self, paths: tuple[str, ...], root: str, stamps: NDArray[np.void]) -> bool:
        first = self.parts[0]
        same = (first.file, first.paths, first.root) == (self.out, paths, root)
        return same and np.array_equal(first.stamps, stamps)

    def _gather(self, places: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.float32]]:
        """Yield features in blocks, each row named by its part and its row there."""
        with ExitStack() as stack:
            sources = [stack.enter_context(h5py.File(part.file))["features"] for part in self.parts]
            for i in range(0, len(places), BLOCK):
                yield np.stack([sources[part][row] for part, row in places[i : i + BLOCK]])


def partial_folder(out: Path) -> Path:
    """Where the shards of `out` lie."""
    return out.with_name(f"{out.name}.partial")
