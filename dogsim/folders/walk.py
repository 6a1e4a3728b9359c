"""Walk through a folder and find its image files."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from errno import ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR
from pathlib import Path
from typing import TYPE_CHECKING

from dogsim.errors import reason
from dogsim.image_files.boxes import Box
from dogsim.image_files.files import IMAGE_SUFFIXES, has_image_content, has_image_suffix
from dogsim.plumbing.terminal import printable

if TYPE_CHECKING:
    from dogsim.image_files.layout import FolderLayout

MISSING_FILE_ERRNOS = (ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG)  # no such file, not merely unreadable
# Folders that operating systems and photo servers add: thumbnails, deleted files, metadata. Those
# that are hidden, such as .thumbnails, are ignored in any case.
SYSTEM_FOLDERS = {
    *("@eaDir", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot"),
    *("$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"),
}


@dataclass(frozen=True)
class ListedImage:
    """An image file: path relative to the root (POSIX), size in bytes, modification time, box."""

    path: str
    size: int
    mtime_ns: int
    box: Box | None = None


@dataclass(frozen=True)
class SkippedFile:
    """A file without a row in the dataset, and the reason."""

    path: str
    reason: str


@dataclass
class Listing:
    """Contents of a folder of images.

    Attributes
    ----------
    images : list of ListedImage
        Sorted by path.
    skipped : list of SkippedFile
        Files that cannot be used.
    left_out : list of SkippedFile
        Symbolic links to files or folders that are listed already, and folders of the system.
    inaccessible : list of str
        Paths relative to the root that could not be read. Earlier features of their images stay
        valid.
    excluded : list of str
        Paths relative to the root that match a pattern of the layout.
    others : list of str
        Paths relative to the root of files that are not images.
    """

    images: list[ListedImage] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    left_out: list[SkippedFile] = field(default_factory=list)
    inaccessible: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def is_inaccessible(self, path: str) -> bool:
        """Return whether an image, or a folder above it, could not be read."""
        return any(path == each or path.startswith(f"{each}/") for each in self.inaccessible)

    def add_inaccessible(self, path: str, error: OSError, what: str = "") -> None:
        """Add a path that could not be read to `skipped`, and to `inaccessible` if it exists."""
        self.skipped.append(SkippedFile(printable(path), f"{what}{reason(error)}"))
        if error.errno not in MISSING_FILE_ERRNOS:
            self.inaccessible.append(path)


class ImageFiles:
    """The image files of a folder and the folders below it; iteration walks through them.

    Yields the path of each file, and whether it is a symbolic link. Linked folders come after all
    real ones, so that a file is found by its real path first. Each folder is entered once, so that
    a link to a parent folder ends.

    Parameters
    ----------
    root : Path
    listing : Listing
        Receives the files that are not yielded.
    layout : FolderLayout
    """

    def __init__(self, root: Path, listing: Listing, layout: "FolderLayout") -> None:
        self.root, self.listing, self.layout = root, listing, layout
        self._entered: set[tuple[int, int]] = set()

    def __iter__(self) -> Iterator[tuple[Path, bool]]:
        waiting, linked = [self.root], list[Path]()  # a loop: folders can be nested 1,000 deep
        while waiting or linked:
            folder = waiting.pop() if waiting else linked.pop(0)
            try:
                if not self._enter(folder):
                    continue
                with os.scandir(folder) as entries:
                    is_folder = {entry.name: _is_folder(entry) for entry in entries}
            except OSError as error:
                self.listing.add_inaccessible(self._relative(folder), error, "folder: ")
                continue
            visible = self._visible(folder, is_folder)
            subfolders = [
                path for path in visible if is_folder[path.name] and self._is_user_folder(path)
            ]
            linked += [path for path in subfolders if path.is_symlink()]
            waiting += [path for path in reversed(subfolders) if not path.is_symlink()]
            for path in visible:
                if not is_folder[path.name] and self._is_image(path):
                    yield path, path.is_symlink()

    def _relative(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _leave_out(self, path: Path, why: str) -> None:
        self.listing.left_out.append(SkippedFile(printable(self._relative(path)), why))

    def _enter(self, folder: Path) -> bool:
        """Return whether a folder is entered for the first time."""
        identity = file_identity(folder.stat())
        if identity in self._entered:
            self._leave_out(folder, "a link to a listed folder")
            return False
        self._entered.add(identity)
        return True

    def _visible(self, folder: Path, names: Iterable[str]) -> list[Path]:
        """Return the paths that are neither hidden nor excluded, in order."""
        paths = [Path(folder, name) for name in sorted(names) if name[0] != "."]
        if not self.layout.exclude:
            return paths
        visible = []
        for path in paths:
            if self.layout.excludes(relative := self._relative(path)):
                self.listing.excluded.append(relative)
            else:
                visible.append(path)
        return visible

    def _is_user_folder(self, folder: Path) -> bool:
        if folder.name in SYSTEM_FOLDERS:
            self._leave_out(folder, "a folder of the system, not of images")
            return False
        return True

    def _is_image(self, path: Path) -> bool:
        """Return whether a file is an image, by its suffix or else by its content."""
        if path.suffix.lower() in IMAGE_SUFFIXES or has_image_content(path):
            return True
        if has_image_suffix(path):
            why = "its format is not supported: convert it to JPEG or PNG"
            self.listing.skipped.append(SkippedFile(printable(self._relative(path)), why))
        else:
            self.listing.others.append(self._relative(path))
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def file_identity(status: os.stat_result) -> tuple[int, int]:
    """Return device and inode of a file, which are the same for all its names."""
    return status.st_dev, status.st_ino
