"""List the images in a folder of breed folders, and the files that cannot be used."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field, replace
from errno import ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from dogsim.errors import DogsimError, reason
from dogsim.image_files.boxes import Box, BoxError, BoxFolder
from dogsim.image_files.files import IMAGE_SUFFIXES
from dogsim.plumbing.files import check_output, check_replaceable
from dogsim.plumbing.tables import has_csv_header, write_csv
from dogsim.plumbing.terminal import note, printable
from dogsim.storage.dataset_file import STAMP_DTYPE, check_dataset_path

MISSING_FILE_ERRNOS = (ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG)  # no such file, not merely unreadable
MAX_SKIPPED_SHOWN = 20
SKIPPED_COLUMNS = ("path", "reason")
MAX_MTIME_NS = 2**63 - 1  # a stamp stores times from 1677 to 2262; those of Windows begin in 1601


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
    linked : list of SkippedFile
        Symbolic links to files or folders that are listed already.
    inaccessible : list of str
        Paths relative to the root that could not be read. Earlier features of their images stay
        valid.
    """

    images: list[ListedImage] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)
    linked: list[SkippedFile] = field(default_factory=list)
    inaccessible: list[str] = field(default_factory=list)

    def is_inaccessible(self, path: str) -> bool:
        """Return whether an image, or a folder above it, could not be read."""
        return any(path == each or path.startswith(f"{each}/") for each in self.inaccessible)

    def add_inaccessible(self, path: str, error: OSError, what: str = "") -> None:
        """Add a path that could not be read to `skipped`, and to `inaccessible` if it exists."""
        self.skipped.append(SkippedFile(printable(path), f"{what}{reason(error)}"))
        if error.errno not in MISSING_FILE_ERRNOS:
            self.inaccessible.append(path)


def list_images(root: Path) -> Listing:
    """List the images in the breed folders of `root`.

    The name of the folder directly below `root` is the breed; the image can be in any folder below
    it. If no folder contains an image, the images in `root` itself are listed, without a breed.
    Hidden files and files without the suffix of an image are ignored. Symbolic links are followed,
    but each file is listed once, by its real path if that is below `root`.

    Raises
    ------
    DogsimError
        If the folder does not exist, or contains no image.
    """
    if not root.is_dir():
        raise DogsimError(f"There is no folder {root}. Expected a folder of breed folders.")
    listing = _walk(root)
    listing.images.sort(key=path_key)
    stray = [image for image in listing.images if "/" not in image.path]
    if 0 < len(stray) < len(listing.images):
        listing.images = [image for image in listing.images if "/" in image.path]
        why = "it is in no breed folder"
        listing.skipped += [SkippedFile(printable(image.path), why) for image in stray]
    if not listing.images:
        first = next(iter(listing.skipped), None)
        why = f" {first.path}: {first.reason}." if first else ""
        raise DogsimError(
            f"There is no image in the breed folders of {root}.{why} "
            f"Expected {root}/BREED/image.jpg, one folder for each breed."
        )
    return listing


def path_key(image: ListedImage) -> list[str]:
    """Return the key that sorts images folder by folder."""
    return image.path.split("/")


def image_fields(images: Sequence[ListedImage], hashes: Sequence[Any]) -> dict[str, Any]:
    """Return the fields `paths`, `stamps` and `boxes` of a `Dataset` of n images.

    `hashes` are the SHA-256 of the n files. `boxes` is None if all images are whole.
    """
    stamps = [
        (each.size, each.mtime_ns, sha256) for each, sha256 in zip(images, hashes, strict=True)
    ]
    boxes = [astuple(image.box) if image.box else (0.0,) * 6 for image in images]
    return {
        "paths": tuple(image.path for image in images),
        "stamps": np.array(stamps, STAMP_DTYPE),
        "boxes": np.array(boxes) if any(image.box for image in images) else None,
    }


def assign_boxes(
    images: list[ListedImage], boxes: BoxFolder
) -> tuple[list[ListedImage], list[SkippedFile]]:
    """Return the images with their boxes, and the images whose box is invalid.

    An image without a box stays whole. Raises `DogsimError` if no image has one.
    """
    if boxes.folder is None:
        return images, []
    boxed, skipped = [], []
    for image in images:
        try:
            boxed.append(replace(image, box=boxes.box_of(image.path)))
        except BoxError as error:
            skipped.append(SkippedFile(printable(image.path), str(error)[:-1]))
    whole = [image for image in boxed if image.box is None]
    if len(whole) == len(images):
        raise DogsimError(
            f"There is no box in {boxes.folder} for any of the {len(images)} images. Expected "
            f"{boxes.folder / PurePath(images[0].path).with_suffix('.xml')}, and the like."
        )
    if whole:
        first = printable(whole[0].path)
        note(f"{len(whole)} of {len(images)} images have no box and stay whole, such as {first}.")
    return boxed, skipped


def find_images(path: str | os.PathLike[str]) -> list[Path]:
    """List the images in a folder and the folders below it; a file is its own only image.

    The images of a folder are recognised by their suffix and sorted by path. Hidden files are
    ignored, and symbolic links are followed as by `dogsim.create_dataset`.
    Raises `DogsimError` if the path does not exist, or the folder contains no image.

    >>> find_images("no/such/folder")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no image or folder no/such/folder.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise DogsimError(f"There is no image or folder {path}.")
        return [path]
    found = sorted(file for file, _ in _image_files(path, Listing()))
    if not found:
        raise DogsimError(f"There is no image in the folder {path}.")
    return found


def report_skipped(skipped: Sequence[SkippedFile], out: Path) -> None:
    """Print the first skipped files on stderr, and write all to ``OUT.skipped.csv`` beside `out`.

    If no file was skipped, the table of an earlier run is removed. Call `check_skipped_table`
    before.
    """
    table = skipped_table_path(out)
    if not skipped:
        table.unlink(missing_ok=True)
        return
    write_csv(table, [asdict(each) for each in skipped], SKIPPED_COLUMNS)
    for each in skipped[:MAX_SKIPPED_SHOWN]:
        note(f"skipped {each.path}: {each.reason}")
    if len(skipped) > MAX_SKIPPED_SHOWN:
        note(f"skipped {len(skipped) - MAX_SKIPPED_SHOWN} more")
    note(f"All skipped files are listed in {table}")


def check_skipped_table(out: Path, force: bool) -> None:
    """Raise `DogsimError` if the table of `report_skipped` would replace a file of another kind."""
    check_dataset_path(out)
    table = skipped_table_path(out)
    if table.is_symlink() or table.exists():
        check_output(table)
    check_replaceable(table, partial(has_csv_header, columns=SKIPPED_COLUMNS), force)


def skipped_table_path(out: Path) -> Path:
    """Return the path of the table of skipped files: ``dogs.h5.skipped.csv`` for ``dogs.h5``."""
    return out.with_name(f"{out.name}.skipped.csv")


def _walk(root: Path) -> Listing:
    listing, listed, links = Listing(), set[tuple[int, int]](), []
    for file, is_link in _image_files(root, listing):
        path = file.relative_to(root).as_posix()
        try:
            path.encode()
            status = file.stat()
        except UnicodeEncodeError:
            listing.skipped.append(SkippedFile(printable(path), "its name is not UTF-8"))
        except OSError as error:
            listing.add_inaccessible(path, error)
        else:
            mtime_ns = min(max(status.st_mtime_ns, -MAX_MTIME_NS), MAX_MTIME_NS)
            image = ListedImage(path, status.st_size, mtime_ns)
            if is_link:
                links.append((image, _identity(status)))
            else:
                listing.images.append(image)
                listed.add(_identity(status))
    for image, identity in links:  # after all files: a link must not replace the real path
        if identity in listed:
            listing.linked.append(SkippedFile(printable(image.path), "a link to a listed image"))
        else:
            listing.images.append(image)
            listed.add(identity)
    return listing


def _image_files(root: Path, listing: Listing) -> Iterator[tuple[Path, bool]]:
    """Yield all files with the suffix of an image, and whether each is a symbolic link.

    Linked folders come after all real ones, so that a file is found by its real path first. Each
    folder is entered once, so that a link to a parent folder ends.
    """

    def add_unreadable(error: OSError) -> None:
        folder = Path(error.filename).relative_to(root).as_posix()
        listing.add_inaccessible(folder, error, "folder: ")

    entered: set[tuple[int, int]] = set()
    starts = [root]
    for start in starts:  # the loop appends the linked folders that it finds
        for folder, subfolders, names in os.walk(start, onerror=add_unreadable):
            identity = _identity(os.stat(folder))  # noqa: PTH116
            if identity in entered:
                path = Path(folder).relative_to(root).as_posix()
                listing.linked.append(SkippedFile(printable(path), "a link to a listed folder"))
                subfolders.clear()
                continue
            entered.add(identity)
            visible = [Path(folder, name) for name in sorted(subfolders) if name[0] != "."]
            starts += [path for path in visible if path.is_symlink()]
            subfolders[:] = [path.name for path in visible if not path.is_symlink()]
            for name in sorted(names):
                if name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                    yield Path(folder, name), Path(folder, name).is_symlink()


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
