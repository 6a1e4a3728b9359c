"""Which picture's features lie where in what earlier runs left, and which of them still hold."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, reason
from dogsim.folders.checkpoints import Part
from dogsim.folders.extraction import SHARD
from dogsim.folders.listing import GONE, Listing, Picture, Skipped
from dogsim.image_files.boxes import Box
from dogsim.image_files.files import read_image_file
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.terminal import printable
from dogsim.recipe import DECISIVE, Recipe
from dogsim.storage.dataset_file import WRITE_ROWS
from dogsim.storage.sharded_rows import ShardedRows

FEW = SHARD // 2  # pictures of a shard, below which it is put together with others


class Kept:
    """Files with features, and for each picture the one that was taken last.

    Attributes
    ----------
    parts : list of Part
        The finished file first, if it counts, then the shards.
    rows : dict of str to (int, int)
        Of each picture: its part, its row there.
    unread : list of Skipped
        What is kept although it could not be looked at.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.rows: dict[str, tuple[int, int]] = {}
        self.unread: list[Skipped] = []

    def take(self, part: Part) -> None:
        """Add a file; where others have features of its pictures, its own count."""
        self.rows |= {path: (len(self.parts), row) for row, path in enumerate(part.paths)}
        self.parts.append(part)

    def root(self, path: str) -> str:
        """Tell of which folder a picture was when it was seen."""
        return self.parts[self.rows[path][0]].root

    def stamp(self, path: str) -> np.void:
        """Tell a picture's size, time of change and SHA-256 when it was seen."""
        part, row = self.rows[path]
        stamp: np.void = self.parts[part].stamps[row]
        return stamp

    def box(self, path: str) -> Box | None:
        """Tell which part of a picture was seen, None for all of it."""
        part, row = self.rows[path]
        return self.parts[part].box(row)

    def misfit(self, recipe: Recipe) -> str:
        """Tell what was made in another way than `recipe` says, "" if nothing."""
        for part in self.parts:
            try:
                part.recipe.require(recipe, "this command", (*DECISIVE, "engine", "precision"))
            except DogsimError as error:
                return f"{part.file} was made in another way: {error}"
        return ""

    def unseen(self, listing: Listing, root: Path) -> list[Picture]:
        """List the pictures that are there, and lie where could not be looked this time."""
        home = str(root.resolve())
        hidden = []
        for path in self.rows if listing.unseen else ():
            if listing.hides(path) and self.root(path) == home:
                stamp = self.stamp(path)
                of_file = int(stamp["size"]), int(stamp["mtime_ns"])
                hidden.append(Picture(path, *of_file, self.box(path)))
        return hidden

    def find(self, pictures: Sequence[Picture], root: Path, verify: bool) -> list[Picture]:
        """Keep what has not changed since it was computed, and return the other pictures.

        A picture is the same if its box, its size and time of change are. With `verify`, and where
        the features are of another folder's pictures, it is the same if its box and content are.
        """
        home = str(root.resolve())
        known = [picture for picture in pictures if picture.path in self.rows]
        same = [each.path for each in known if self._unchanged(each, root, home, verify)]
        self.rows = {path: self.rows[path] for path in same}
        return [picture for picture in pictures if picture.path not in self.rows]

    def stored_rows(self, paths: Sequence[str]) -> ShardedRows:
        """Tell where the features of pictures lie; they are not read."""
        firsts = np.cumsum([0, *(len(part.paths) for part in self.parts)])
        parts, rows = np.array([self.rows[path] for path in paths]).T
        whole = ShardedRows.concatenate([part.stored_rows() for part in self.parts])
        return whole.take(firsts[parts] + rows)

    def blocks(self, paths: Sequence[str]) -> Iterator[NDArray[np.float32]]:
        """Yield the features of pictures, at most `WRITE_ROWS` at a time.

        One file is open at a time, however many there are.
        """
        for i in range(0, len(paths), WRITE_ROWS):
            parts, rows = np.array([self.rows[path] for path in paths[i : i + WRITE_ROWS]]).T
            block = np.empty((len(parts), self.parts[0].dimension), np.float32)
            for part in np.unique(parts):
                block[parts == part] = self.parts[part].features(rows[parts == part])
            yield block
        self.parts[0].mapped = None  # a file that is mapped cannot be replaced on every system

    def _unchanged(self, picture: Picture, root: Path, home: str, verify: bool) -> bool:
        stamp = self.stamp(picture.path)
        same_folder = self.root(picture.path) == home
        if picture.box != self.box(picture.path):
            return False
        if same_folder and not verify:
            return (picture.size, picture.mtime_ns) == (stamp["size"], stamp["mtime_ns"])
        try:
            content = read_image_file(root / picture.path)
        except DogsimError as error:
            cause = error.__cause__
            if same_folder and isinstance(cause, OSError) and cause.errno not in GONE:
                why = f"{reason(cause)}: its earlier features are kept"
                self.unread.append(Skipped(printable(picture.path), why))
                return True
            return False  # reading it again will tell
        return bool(bytes_sha256(content).encode() == stamp["sha256"])


def scattered(rows: ShardedRows) -> NDArray[np.intp]:
    """Find the rows that should be put together: those of shards of which little is used.

    Else a folder that is brought up to date every day would end in files that hold nothing. None
    are found where that would bring nothing.
    """
    sizes = np.array([place.rows for place in rows.tables])
    used = np.bincount(rows.runs["place"], rows.runs["rows"], len(sizes))
    few = used < FEW
    if few.sum() < 2 and not (2 * used < sizes)[few].any():
        return np.empty(0, np.intp)
    return np.flatnonzero(np.repeat(few[rows.runs["place"]], rows.runs["rows"]))
