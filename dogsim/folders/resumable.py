"""Create a dataset from checkpoints, so that a run that was killed can be continued.

A run stores its features in shards beside the output (see `checkpoints`) and replaces the output as
a whole at the end. `ResumableRun` holds the lock of the output and finds all features of earlier
runs.

If the output is a folder of shards, its shards stay and only the index is replaced. Shards that are
no longer used stay until the next run, for processes that have opened the dataset before.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, counted
from dogsim.folders.checkpoints import (
    DATASET_MADE_BY,
    CheckpointFolder,
    FeatureFile,
    checkpoint_folder,
    open_finished,
    options_of,
)
from dogsim.folders.extraction import make_shard
from dogsim.folders.listing import image_fields, skipped_table_path
from dogsim.folders.manifest import Manifest, sparse_rows
from dogsim.folders.walk import ListedImage, Listing
from dogsim.image_files.layout import FolderLayout, SceneRule
from dogsim.plumbing.files import follow_link, locked, remove_temporary_files
from dogsim.plumbing.signals import defer_signals
from dogsim.plumbing.terminal import note
from dogsim.recipe import Recipe
from dogsim.storage.dataset_file import (
    INDEX_NAME,
    WRITE_ROWS,
    check_dataset_path,
    is_sharded,
    known_shards,
    write_dataset,
)
from dogsim.storage.edits import Edit, label_images
from dogsim.storage.sharded_rows import ShardedRows

SceneFinder: TypeAlias = Callable[[Dataset], NDArray[np.int32]]  # the scene of each image, (n,)


class ResumableRun:
    """A run that creates or updates an output, which it locks; it continues earlier runs.

    ``with ResumableRun(out) as run:`` locks `out` and finds the features of earlier runs, to which
    `add` adds shards. The system releases the lock if the process dies.

    Parameters
    ----------
    out : Path
        The dataset file, or folder of shards, to create or update.
    restart, force, forget_edits : bool
        As for `dogsim.create_dataset`.
    wait : bool
        Wait if another process holds the lock.

    Raises
    ------
    DogsimError
        On entry, if another process holds the lock, or if the output or the checkpoint folder
        cannot be read or was not made by this class.
    """

    def __init__(
        self,
        out: Path,
        restart: bool = False,
        force: bool = False,
        wait: bool = False,
        forget_edits: bool = False,
    ) -> None:
        self._target, self._named, self._table = follow_link(out), out, skipped_table_path(out)
        self.sharded = is_sharded(self._target)
        self.out = self._target / INDEX_NAME if self.sharded else self._target
        self.restart, self.force, self.wait = restart, force, wait
        self.forget_edits = forget_edits
        self.finished: FeatureFile | None = None  # the existing output
        self.manifest = Manifest()
        self._stack = ExitStack()

    def __enter__(self) -> "ResumableRun":
        with ExitStack() as stack:
            check_dataset_path(self._target)
            stack.enter_context(locked(self._target, self.wait))
            for written in (self.out, self._named, self._table):  # the link may have been a file
                remove_temporary_files(written)
            self.folder = CheckpointFolder(checkpoint_folder(self._target))
            self.finished = open_finished(self._target, self.force)
            if self.finished:
                self.folder.committed = self._known_shards()
            if self.finished and self.folder.restart_options is None:
                self.manifest.add(self.finished)
            for shard in self.folder.shards():
                self.manifest.add(shard)
            self.manifest.drop_removed(self.edits)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def recipe(self) -> Recipe | None:
        """The recipe of the earlier features; None if there are none or a restart ignores them."""
        files = self.manifest.files
        return files[0].recipe if files and not self.restart else None

    @property
    def options(self) -> dict[str, Any]:
        """The arguments of `dogsim.create_dataset` that continue the earlier runs.

        They are those of an unfinished restart or of the earlier features, else empty.
        """
        if restart_options := self.folder.restart_options:
            return restart_options
        files = self.manifest.files
        return options_of(files[0].recipe) if files else {}

    @property
    def layout(self) -> FolderLayout:
        """The layout of the existing output, by default that of a folder of breed folders."""
        return self.finished.dataset.layout if self.finished else FolderLayout()

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits of the existing output that this run repeats."""
        finished = None if self.forget_edits else self.finished
        return finished.dataset.edits if finished else ()

    @property
    def previous_paths(self) -> frozenset[str]:
        """Paths of the images in the existing output."""
        finished = (each.dataset for each in self.manifest.files if each.file == self.out)
        return frozenset(path for dataset in finished for path in dataset.paths)

    def prepare(self, recipe: Recipe, listing: Listing, root: Path) -> None:
        """Check that the earlier features have this recipe, or begin a restart.

        A restart begins here, when its network has been loaded, so that a network that cannot be
        loaded changes nothing. Checkpoints of a restart with other options are removed. Raises
        `DogsimError` if the recipes differ and no restart was requested, or if a restart would lose
        images of `root` that cannot be read in this run.
        """
        earlier, mismatch = self.folder.restart_options, self.manifest.mismatch(recipe)
        restarting = self.restart or earlier is not None
        finished = self.finished.dataset if self.finished and restarting else None
        paths = finished.paths if finished and finished.root == str(root.resolve()) else ()
        if lost := [path for path in paths if listing.is_inaccessible(path)]:
            why = next(iter(each.reason for each in listing.skipped), "it cannot be read")
            raise DogsimError(
                f"A restart would lose {counted(len(lost), 'image')} of {self._target} that cannot "
                f"be read now, the first {lost[0]} ({why}). Make them readable, or move "
                f"{self._target} away."
            )
        if mismatch and not self.restart:
            raise DogsimError(
                f"{mismatch} Add --restart to compute {self._named.name} again, or name another "
                "output."
            )
        if self.restart and (mismatch or earlier is None):
            self.folder.clear()
            self.manifest = Manifest()
        if restarting and earlier != options_of(recipe):
            self.folder.begin_restart(recipe)

    def add(self, shard: Dataset | Path) -> None:
        """Store the features of a shard, or add the file of a shard that is stored already."""
        if isinstance(shard, Dataset):
            shard = self.folder.add(shard, unique_name=self.sharded)
        self.manifest.add(FeatureFile.open_shard(shard))

    def write(
        self,
        images: Sequence[ListedImage],
        recipe: Recipe,
        root: Path,
        layout: FolderLayout,
        find_scenes: SceneFinder,
    ) -> Dataset:
        """Write the images that have features to the output, and remove the checkpoints.

        An output that contains exactly these images, labels and scenes is not written again.
        """
        done = [image for image in images if image.path in self.manifest.rows]
        stored = (self.manifest.find(image.path) for image in done)
        fields = image_fields(done, [file.stamps["sha256"][row] for file, row in stored])
        hashes = fields["stamps"]["sha256"]
        found = label_images(layout.rule, self.edits, fields["paths"], hashes)
        fields |= {"root": str(root.resolve()), "recipe": recipe, "layout": layout}
        fields |= {"edits": self.edits, "labels": found.labels, "breeds": found.breeds}
        fields["scenes"] = self._scenes(fields, layout.scenes, find_scenes)
        if not self._is_up_to_date(fields):
            self._write_output(done, fields)
        dataset = Dataset.open(self.out)
        previous = self.finished.dataset.features if self.finished else None
        self.folder.committed = _shards_of(dataset.features) | _shards_of(previous)
        with defer_signals():
            self.folder.clear()
        return dataset

    @contextmanager
    def explaining_how_to_continue(self) -> Iterator[None]:
        """Add to errors and Ctrl-C inside the block how to continue from the checkpoints."""
        try:
            yield
        except KeyboardInterrupt as stop:
            raise type(stop)(f"Stopped. {self._how_to_continue()}".rstrip()) from None
        except DogsimError as error:
            raise DogsimError(f"{error} {self._how_to_continue()}".rstrip()) from error

    def _how_to_continue(self) -> str:
        output = {self.out.name, *self._known_shards()}
        n_images = sum(
            len(each.dataset)
            for each in self.manifest.files
            if each.file.name not in output and each.file.exists()
        )
        if not n_images:
            return ""
        return (
            f"The features of {counted(n_images, 'image')} are stored in {self.folder.path}: "
            "run the same command again to continue."
        )

    def _known_shards(self) -> frozenset[str]:
        """Return the names of the shards in the output, and of those that it has replaced."""
        with suppress(DogsimError):
            return known_shards(self.out) if self.sharded else frozenset()
        return frozenset()

    def _scenes(
        self, fields: dict[str, Any], rule: SceneRule, find_scenes: SceneFinder
    ) -> NDArray[np.int32] | None:
        """Return the scenes of the images with these fields; an unchanged output has them."""
        if rule.is_automatic:
            known = self.manifest.files[0].dataset.scenes
            if known is not None and self._is_up_to_date(fields):
                return known
            rows: Any = self.manifest.located_rows(fields["paths"])
            return find_scenes(Dataset(rows, **fields))
        for each in rule.notes(fields["paths"]):
            note(each)
        return rule.number_images(fields["paths"])

    def _is_up_to_date(self, fields: dict[str, Any]) -> bool:
        """Return whether the output has these fields already."""
        first = self.manifest.files[0]
        return first.file == self.out and all(
            _equal(getattr(first.dataset, name), value) for name, value in fields.items()
        )

    def _write_output(self, images: list[ListedImage], fields: dict[str, Any]) -> None:
        manifest, paths = self.manifest, fields["paths"]
        rows = self._merged_rows(images, fields) if self.sharded else manifest.feature_blocks(paths)
        write_dataset(
            self.out,
            rows,
            manifest.files[0].dataset.features.shape[1],
            made_by=DATASET_MADE_BY,
            replaced=self.folder.shard_names() - _shards_of(rows),
            **{**fields, "layout": fields["layout"].attributes},
        )

    def _merged_rows(self, images: list[ListedImage], fields: dict[str, Any]) -> ShardedRows:
        """Return the stored rows of the images, after merging shards with few used rows."""
        rows = self.manifest.stored_rows(fields["paths"])
        moved = sparse_rows(rows)
        if not len(moved):
            return rows
        hashes = fields["stamps"]["sha256"]
        for block in np.split(moved, range(WRITE_ROWS, len(moved), WRITE_ROWS)):
            block_images, block_hashes = [images[row] for row in block], hashes[block].tolist()
            recipe, root = fields["recipe"], fields["root"]
            self.add(make_shard(rows[block], block_images, block_hashes, recipe, root))
        return self.manifest.stored_rows(fields["paths"])


def _shards_of(features: Any) -> set[str]:
    """Return the names of the shards that features are stored in."""
    return {table.file for table in getattr(features, "tables", ())}


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return np.array_equal(one, other)
    return bool(one == other)
