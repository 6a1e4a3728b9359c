"""Features that are kept while a dataset is being made, so that a killed run goes on.

What a run has done lies in shards beside the output (see `partial`), and the output itself is
replaced whole at the end. This one object knows of all of it (`kept`), for the run that holds the
output's lock.

Where the output is a folder of shards they stay, and what is replaced is its index. Shards that are
no part of it any more stay until the next run, for whoever has opened it before.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.folders.checkpoints import MADE_BY, Part, PartialFolder, options_of
from dogsim.folders.extraction import shard_of
from dogsim.folders.listing import (
    Listing,
    Picture,
    box_rows,
    skipped_table,
    stamp_rows,
)
from dogsim.folders.manifest import Kept, scattered
from dogsim.image_files.labels import labels_of_folders
from dogsim.plumbing.files import (
    check_replaceable,
    follow_link,
    locked,
    remove_temporary_files,
)
from dogsim.plumbing.signals import defer_signals
from dogsim.recipe import Recipe
from dogsim.storage.dataset_file import (
    INDEX_NAME,
    WRITE_ROWS,
    check_dataset_path,
    is_sharded,
    known_shards,
    made_by,
    write_dataset,
)
from dogsim.storage.sharded_rows import ShardedRows


class Shards:
    """What earlier runs left of an output: find it, add to it, and write the output.

    ``with Shards(out) as shards:`` holds the lock on `out`, which dies with its process.

    Parameters
    ----------
    out : Path
        The dataset file, or folder of shards, that is to be made or brought up to date.
    restart : bool
        Compute everything anew, or go on with a restart that is under way, see `settle`.
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
        self._place, self._named, self._table = follow_link(out), out, skipped_table(out)
        self.sharded = is_sharded(self._place)
        self.out = self._place / INDEX_NAME if self.sharded else self._place  # the file
        self.restart, self.force, self.wait = restart, force, wait
        self.finished: Part | None = None  # the output as it is
        self.kept = Kept()
        self._held = ExitStack()

    def __enter__(self) -> "Shards":
        with ExitStack() as held:
            check_dataset_path(self._place)
            held.enter_context(locked(self._place, self.wait))
            for written in (self.out, self._named, self._table):  # its link was a file, perhaps
                remove_temporary_files(written)
            self._open()
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def recipe(self) -> Recipe | None:
        """How the features that are there were made; None if there are none, or none wanted."""
        return self.kept.parts[0].recipe if self.kept.parts and not self.restart else None

    @property
    def options(self) -> dict[str, Any]:
        """How a run without options works: as the restart that is under way, or as what is there.

        Empty, or by name the arguments of `dogsim.create_dataset`.
        """
        if noted := self.folder.restart:
            return noted
        parts = self.kept.parts
        return options_of(parts[0].recipe) if parts else {}

    @property
    def before(self) -> frozenset[str]:
        """Paths of the pictures in the finished file, where there was one."""
        return frozenset(
            path for part in self.kept.parts if part.file == self.out for path in part.paths
        )

    def settle(self, recipe: Recipe) -> None:
        """Make sure that all that is there can be compared with what is to come.

        A restart begins here and not before: its network has been loaded by now, and one that
        cannot be loaded leaves everything as it was. What a restart of other options has left is
        forgotten. Raises `DogsimError` if something does not fit, and no restart was asked for.
        """
        noted, misfit = self.folder.restart, self.kept.misfit(recipe)
        if misfit and not self.restart:
            raise DogsimError(
                f"{misfit} Give --restart to make {self._named.name} anew, or name another output."
            )
        if self.restart and (misfit or noted is None):
            self.folder.clear()
            self.kept = Kept()
        if (self.restart or noted is not None) and noted != options_of(recipe):
            self.folder.note_restart(recipe)

    def require_seen(self, listing: Listing, root: Path) -> None:
        """Raise `DogsimError` if a restart would lose what cannot be looked at this time."""
        restarting = self.restart or self.folder.restart is not None
        if not restarting or self.finished is None or self.finished.root != str(root.resolve()):
            return
        if lost := [path for path in self.finished.paths if listing.hides(path)]:
            why = next(iter(each.reason for each in listing.skipped), "it is hidden")
            raise DogsimError(
                f"A restart would lose {len(lost)} pictures of {self._place}, which cannot be "
                f"looked at now, the first {lost[0]} ({why}). Let it be read, or move "
                f"{self._place} away."
            )

    def add(self, shard: Dataset | Path) -> None:
        """Keep the features of a stretch of pictures, or take the file in which they are kept."""
        if isinstance(shard, Path):
            self.kept.take(Part.of(shard, Dataset.open(shard)))
        else:
            self.kept.take(self.folder.add(shard, drawn=self.sharded))

    def write(self, pictures: Sequence[Picture], recipe: Recipe, root: Path) -> Dataset:
        """Write those pictures that have features to the output, and forget the other shards.

        The file is left alone if it holds just these already.
        """
        done = [picture for picture in pictures if picture.path in self.kept.rows]
        hashes = [self.kept.stamp(picture.path)["sha256"] for picture in done]
        stamps, boxes = stamp_rows(done, hashes), box_rows(done)
        paths, home = tuple(picture.path for picture in done), str(root.resolve())
        if not self._holds(paths, home, stamps, boxes, recipe):
            rows = (
                self._condensed(done, hashes, recipe, home)
                if self.sharded
                else self.kept.blocks(paths)
            )
            folders = [path.split("/")[0] if "/" in path else "" for path in paths]
            labels, breeds = labels_of_folders(folders)
            write_dataset(
                self.out,
                rows,
                self.kept.parts[0].dimension,
                labels=labels,
                paths=paths,
                breeds=breeds,
                recipe=recipe,
                root=home,
                stamps=stamps,
                boxes=boxes,
                made_by=MADE_BY,
                replaced=self.folder.names() - _shards_of(rows),
            )
        dataset = Dataset.open(self.out)
        before = self.finished.mapped if self.finished else None
        self.folder.settled = _shards_of(dataset.features) | _shards_of(before)
        with defer_signals():
            self.folder.clear()
        return dataset

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
        done = {self.out.name, *self._known()}
        shards = [
            part for part in self.kept.parts if part.file.name not in done and part.file.exists()
        ]
        kept = sum(len(part.paths) for part in shards)
        if not kept:
            return ""
        return (
            f"What is done, {kept} pictures, is kept in {self.folder.path}: "
            "run the same command again to go on."
        )

    def _open(self) -> None:
        """Open what earlier runs left."""
        self.folder = PartialFolder(partial_folder(self._place))
        self.finished = self._finished()
        if self.finished:
            self.folder.settled = self._known()
        if self.finished and self.folder.restart is None:
            self.kept.take(self.finished)
        for shard in self.folder.shards():
            self.kept.take(shard)

    def _finished(self) -> Part | None:
        """Open the output, if it is there and made by this class, else see that it may go."""
        if not self.out.exists():
            if self.sharded:
                check_replaceable(self._place, PartialFolder.made, self.force)
            return None
        check_replaceable(self.out, h5py.is_hdf5, self.force)
        try:
            dataset, maker = Dataset.open(self.out), made_by(self.out)
        except DogsimError:
            if self.force:
                return None
            raise
        made_here = maker in (MADE_BY, "") and dataset.stamps is not None  # "": by version 0.1.0
        made_here &= isinstance(dataset.features, ShardedRows) == self.sharded
        if made_here and dataset.recipe and not dataset.recipe.head_sha256:
            return Part.of(self.out, dataset, mapped=True)
        check_replaceable(self.out, lambda _: False, self.force)
        return None

    def _known(self) -> frozenset[str]:
        """Names of the shards in the output, and of those that it has replaced."""
        with suppress(DogsimError):
            return known_shards(self.out) if self.sharded else frozenset()
        return frozenset()

    def _holds(
        self,
        paths: tuple[str, ...],
        root: str,
        stamps: NDArray[np.void],
        boxes: NDArray[np.float64] | None,
        recipe: Recipe,
    ) -> bool:
        first = self.kept.parts[0]
        found = (first.file, first.paths, first.root, first.recipe)
        same = np.array_equal(first.stamps, stamps) and np.array_equal(first.boxes, boxes)  # type: ignore[arg-type]
        return same and found == (self.out, paths, root, recipe)

    def _condensed(
        self, pictures: list[Picture], hashes: list[Any], recipe: Recipe, root: str
    ) -> ShardedRows:
        """Put together what is used of shards of which little is, so that they can go."""
        paths = [picture.path for picture in pictures]
        rows = self.kept.stored_rows(paths)
        moved = scattered(rows)
        if not len(moved):
            return rows
        for some in np.split(moved, range(WRITE_ROWS, len(moved), WRITE_ROWS)):
            own, digests = [pictures[row] for row in some], [hashes[row] for row in some]
            self.add(shard_of(rows[some], own, digests, recipe, root))
        return self.kept.stored_rows(paths)


def partial_folder(out: Path) -> Path:
    """Where the shards of `out` lie: beside it, or in it if they stay there."""
    return out if is_sharded(out) else out.with_name(f"{out.name}.partial")


def _shards_of(features: Any) -> set[str]:
    """Names of the shards in which features lie."""
    return {place.file for place in getattr(features, "tables", ())}
