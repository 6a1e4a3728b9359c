"""Find the features of earlier runs that are still valid."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, reason
from dogsim.folders.checkpoints import FeatureFile
from dogsim.folders.extraction import SHARD_IMAGES
from dogsim.folders.walk import MISSING_FILE_ERRNOS, ListedImage, Listing, SkippedFile
from dogsim.image_files.files import read_image_file
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.terminal import printable
from dogsim.recipe import DECISIVE_FIELDS, Recipe
from dogsim.storage.dataset_file import WRITE_ROWS
from dogsim.storage.edits import Edit
from dogsim.storage.sharded_rows import ShardedRows

MIN_SHARD_ROWS = SHARD_IMAGES // 2  # shards with fewer used rows are merged


class Manifest:
    """The features of earlier runs: their files, and the row of each image.

    Attributes
    ----------
    files : list of FeatureFile
        The finished dataset first, if it is used, then the shards.
    rows : dict of str to (int, int)
        Path of an image to the index of its file and its row there.
    unreadable : list of SkippedFile
        Images that could not be read; their earlier features are kept.
    """

    def __init__(self) -> None:
        self.files: list[FeatureFile] = []
        self.rows: dict[str, tuple[int, int]] = {}
        self.unreadable: list[SkippedFile] = []

    def add(self, file: FeatureFile) -> None:
        """Add a file; its features replace those of the same images in earlier files."""
        self.rows |= {path: (len(self.files), row) for row, path in enumerate(file.dataset.paths)}
        self.files.append(file)

    def find(self, path: str) -> tuple[FeatureFile, int]:
        """Return the file with the features of an image, and its row there."""
        file, row = self.rows[path]
        return self.files[file], row

    def drop_removed(self, edits: Iterable[Edit]) -> None:
        """Drop images that `dogsim apply` removed: a shard of an unfinished run may have them."""
        for edit in edits:
            if edit.removed:
                self.rows.pop(edit.path, None)

    def mismatch(self, recipe: Recipe) -> str:
        """Return the message for the first file with another recipe, "" if there is none."""
        for file in self.files:
            try:
                file.recipe.require(
                    recipe, "this command", (*DECISIVE_FIELDS, "engine", "precision")
                )
            except DogsimError as error:
                return f"{file.file} was made with other options: {error}"
        return ""

    def inaccessible(self, listing: Listing, root: Path) -> list[ListedImage]:
        """Return the known images of `root` that could not be read in this run."""
        home = str(root.resolve())
        images = []
        for path in self.rows if listing.inaccessible else ():
            file, row = self.find(path)
            if listing.is_inaccessible(path) and file.dataset.root == home:
                size, mtime_ns, _ = file.stamps[row].tolist()
                images.append(ListedImage(path, size, mtime_ns, file.dataset.box(row)))
        return images

    def keep_up_to_date(
        self, images: Sequence[ListedImage], root: Path, verify: bool
    ) -> list[ListedImage]:
        """Keep the images whose features are up to date and return the rest.

        Features are up to date if box, size and modification time of the image have not changed.
        With `verify`, or if they were computed in another folder, box and content are compared.
        """
        home = str(root.resolve())
        known = [image for image in images if image.path in self.rows]
        valid = [image.path for image in known if self._is_up_to_date(image, root, home, verify)]
        self.rows = {path: self.rows[path] for path in valid}
        return [image for image in images if image.path not in self.rows]

    def stored_rows(self, paths: Sequence[str]) -> ShardedRows:
        """Return the stored features (m, d) of m images without reading them."""
        tables: list[Any] = [file.dataset.features for file in self.files]
        return self._rows_of(tables, paths)

    def located_rows(self, paths: Sequence[str]) -> ShardedRows:
        """Return the features (m, d) of m images in files of any folder without reading them."""
        return self._rows_of([file.located_rows for file in self.files], paths)

    def _rows_of(self, tables: Sequence[ShardedRows], paths: Sequence[str]) -> ShardedRows:
        firsts = np.cumsum([0, *(len(file.dataset) for file in self.files)])
        files, rows = np.array([self.rows[path] for path in paths]).T
        return ShardedRows.concatenate(tables).take(firsts[files] + rows)

    def feature_blocks(self, paths: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        """Yield the features (m, d) of images, m at most `WRITE_ROWS`; opens one file at a time."""
        first = self.files[0]
        for i in range(0, len(paths), WRITE_ROWS):
            files, rows = np.array([self.rows[path] for path in paths[i : i + WRITE_ROWS]]).T
            block = np.empty((len(files), first.dataset.features.shape[1]), np.float32)
            for file in np.unique(files):
                block[files == file] = self.files[file].features(rows[files == file])
            yield block
        # Unmap the finished dataset: some systems cannot replace a file that is mapped.
        nothing = np.empty((len(first.dataset), 0), np.float32)
        first.dataset = replace(first.dataset, features=nothing)

    def _is_up_to_date(self, image: ListedImage, root: Path, home: str, verify: bool) -> bool:
        file, row = self.find(image.path)
        stamp, same_folder = file.stamps[row], file.dataset.root == home
        if image.box != file.dataset.box(row):
            return False
        if same_folder and not verify:
            return (image.size, image.mtime_ns) == (stamp["size"], stamp["mtime_ns"])
        try:
            content = read_image_file(root / image.path)
        except DogsimError as error:
            cause = error.__cause__
            exists = isinstance(cause, OSError) and cause.errno not in MISSING_FILE_ERRNOS
            if cause and exists and same_folder:
                why = f"{reason(cause)}: its earlier features are kept"
                self.unreadable.append(SkippedFile(printable(image.path), why))
                return True
            return False  # the extraction reads it again and reports the error
        return bool(bytes_sha256(content).encode() == stamp["sha256"])


def sparse_rows(rows: ShardedRows) -> NDArray[np.intp]:
    """Return the rows (m,) in shards with few used rows, so that these shards can be merged.

    Without merging, a folder that is updated every day would consist of many nearly empty shards.
    Returns no rows if merging would not save a shard.
    """
    sizes = np.array([table.rows for table in rows.tables])
    used = np.bincount(rows.runs["place"], rows.runs["rows"], len(sizes))
    sparse = used < MIN_SHARD_ROWS
    if sparse.sum() < 2 and not (2 * used < sizes)[sparse].any():
        return np.empty(0, np.intp)
    return np.flatnonzero(np.repeat(sparse[rows.runs["place"]], rows.runs["rows"]))
