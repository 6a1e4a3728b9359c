"""What a folder holds: pictures, and what cannot be one."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from errno import ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, reason
from dogsim.image_files.boxes import Box, BoxError, BoxFolder
from dogsim.image_files.files import IMAGE_SUFFIXES
from dogsim.plumbing.files import check_output, check_replaceable
from dogsim.plumbing.tables import write_csv
from dogsim.plumbing.terminal import note, printable
from dogsim.storage.dataset_file import STAMP_DTYPE, check_dataset_path

GONE = (ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG)  # nothing is there: not only out of sight
SHOWN = 20  # skipped files that are named on the terminal
LATEST = 2**63 - 1  # time of change, in nanoseconds, that a stamp can hold: in the year 2262


@dataclass(frozen=True)
class Picture:
    """A picture file: its path below the root (POSIX), bytes, time of last change, and box."""

    path: str
    size: int
    mtime_ns: int
    box: Box | None = None


@dataclass(frozen=True)
class Skipped:
    """A file that gives no row, and why."""

    path: str
    reason: str


@dataclass
class Listing:
    """What a folder holds.

    Attributes
    ----------
    pictures : list of Picture
        Sorted by path.
    skipped : list of Skipped
        Files that can be no row.
    linked : list of Skipped
        Symbolic links to what is listed elsewhere: once is enough.
    unseen : list of str
        Paths below the root of what could not be looked at. What is known of it stays true.
    """

    pictures: list[Picture] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    linked: list[Skipped] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def hides(self, path: str) -> bool:
        """Tell whether a picture lies where could not be looked."""
        return any(path == unseen or path.startswith(f"{unseen}/") for unseen in self.unseen)


def list_images(root: Path) -> Listing:
    """List the pictures in the breed folders of `root`.

    The folder right below `root` is the breed, however deep the picture lies in it. Where there is
    no picture in any folder, those in `root` itself are listed, of unknown breed. Hidden files and
    files without a picture's suffix are no pictures. Symbolic links are followed, but what they
    lead to is listed once, and at its real place if that lies below `root`.

    Raises
    ------
    DogsimError
        If there is no such folder, or no picture in it.
    """
    if not root.is_dir():
        raise DogsimError(f"There is no folder {root}. Expected a folder of breed folders.")
    listing = _walk(root)
    listing.pictures.sort(key=in_order)
    stray = [picture for picture in listing.pictures if "/" not in picture.path]
    if 0 < len(stray) < len(listing.pictures):
        listing.pictures = [picture for picture in listing.pictures if "/" in picture.path]
        why = "it lies in no breed folder"
        listing.skipped += [Skipped(printable(picture.path), why) for picture in stray]
    if not listing.pictures:
        first = next(iter(listing.skipped), None)
        why = f" {first.path}: {first.reason}." if first else ""
        raise DogsimError(
            f"There is no picture in the breed folders of {root}.{why} "
            f"Expected {root}/BREED/picture.jpg, one folder for each breed."
        )
    return listing


def in_order(picture: Picture) -> list[str]:
    """Key by which pictures are sorted: folder by folder."""
    return picture.path.split("/")


def stamp_rows(pictures: Sequence[Picture], hashes: list[Any]) -> NDArray[np.void]:
    """Make the stamps of pictures from their listing and the hashes of their content."""
    rows = [(p.size, p.mtime_ns, sha256) for p, sha256 in zip(pictures, hashes, strict=True)]
    return np.array(rows, STAMP_DTYPE)


def with_boxes(pictures: list[Picture], boxes: BoxFolder) -> tuple[list[Picture], list[Skipped]]:
    """Give each picture its box, and tell which have one that cannot be right.

    Pictures without a box stay whole. Raises `DogsimError` if no picture has one.
    """
    if boxes.folder is None:
        return pictures, []
    boxed, skipped = [], []
    for picture in pictures:
        try:
            boxed.append(replace(picture, box=boxes.box_of(picture.path)))
        except BoxError as error:
            skipped.append(Skipped(printable(picture.path), str(error)[:-1]))
    whole = [picture for picture in boxed if picture.box is None]
    if len(whole) == len(pictures):
        raise DogsimError(
            f"There is no box in {boxes.folder} for any of the {len(pictures)} pictures. Expected "
            f"{boxes.folder / PurePath(pictures[0].path).with_suffix('.xml')}, and the like."
        )
    if whole:
        first = printable(whole[0].path)
        note(f"{len(whole)} of {len(pictures)} pictures have no box and stay whole, as {first}.")
    return boxed, skipped


def box_rows(pictures: Sequence[Picture]) -> NDArray[np.float64] | None:
    """Make the boxes of pictures as a dataset keeps them, None if all are whole."""
    rows = [picture.box.row if picture.box else (0.0,) * 6 for picture in pictures]
    return np.array(rows) if any(picture.box for picture in pictures) else None


def find_images(path: str | os.PathLike[str]) -> list[Path]:
    """List the pictures that a path stands for: a file itself, or those in a folder and below.

    A folder's pictures are known by their suffix and sorted by path; hidden ones are left out, and
    symbolic links are followed as `dogsim.create_dataset` does.
    Raises `DogsimError` if there is no such path, or no picture in the folder.

    >>> find_images("no/such/folder")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no picture or folder no/such/folder.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise DogsimError(f"There is no picture or folder {path}.")
        return [path]
    found = sorted(file for file, _ in _files(path, Listing()))
    if not found:
        raise DogsimError(f"There is no picture in the folder {path}.")
    return found


def report_skipped(skipped: Sequence[Skipped], out: Path) -> None:
    """Tell on stderr what was skipped, and write all of it to ``OUT.skipped.csv`` beside `out`.

    The list of an earlier run goes if there is nothing to tell. `check_table` comes first.
    """
    table = skipped_table(out)
    if not skipped:
        table.unlink(missing_ok=True)
        return
    write_csv(table, [asdict(each) for each in skipped], [each.name for each in fields(Skipped)])
    for each in skipped[:SHOWN]:
        note(f"skipped {each.path}: {each.reason}")
    if len(skipped) > SHOWN:
        note(f"skipped {len(skipped) - SHOWN} more")
    note(f"All that was skipped is listed in {table}")


def check_table(out: Path, force: bool) -> None:
    """Raise `DogsimError` if the list of `report_skipped` would replace a file of another kind."""
    check_dataset_path(out)
    table = skipped_table(out)
    if table.is_symlink() or table.exists():
        check_output(table)
    check_replaceable(table, _is_our_table, force)


def skipped_table(out: Path) -> Path:
    """Where the skipped files of a dataset are listed: ``dogs.h5.skipped.csv`` for ``dogs.h5``."""
    return out.with_name(f"{out.name}.skipped.csv")


def _is_our_table(table: Path) -> bool:
    with table.open("rb") as file:
        return file.readline().strip() == b"path,reason"


def _walk(root: Path) -> Listing:
    listing, files, links = Listing(), set(), []
    for file, is_link in _files(root, listing):
        path = file.relative_to(root).as_posix()
        try:
            path.encode()
            status = file.stat()
        except UnicodeEncodeError:
            listing.skipped.append(Skipped(printable(path), "its name is not UTF-8"))
            continue
        except OSError as error:
            _note_unseen(listing, path, error)
            continue
        time = min(max(status.st_mtime_ns, -LATEST), LATEST)  # Windows begins in 1601
        picture = Picture(path, status.st_size, time)
        identity = status.st_dev, status.st_ino
        if is_link:
            links.append((picture, identity))
        else:
            files.add(identity)
            listing.pictures.append(picture)
    for picture, identity in links:
        if identity in files:
            listing.linked.append(Skipped(printable(picture.path), "a link to a listed picture"))
        else:
            files.add(identity)  # a second link to a file outside is one to a listed picture
            listing.pictures.append(picture)
    return listing


def _files(root: Path, listing: Listing) -> Iterator[tuple[Path, bool]]:
    """Yield all files that have a picture's suffix, and whether each is a link.

    Real folders come first, so that a link never takes a picture from its real place. Each folder
    is entered once; a link back up is not followed for ever.
    """

    def unreadable(error: OSError) -> None:
        folder = Path(error.filename).relative_to(root).as_posix()
        _note_unseen(listing, folder, error, "folder: ")

    entered: set[tuple[int, int]] = set()
    starts = [root]
    for start in starts:  # grows by the linked folders that are met
        for folder, subfolders, names in os.walk(start, onerror=unreadable):
            identity = _identity(folder)
            if identity in entered:
                path = Path(folder).relative_to(root).as_posix()
                listing.linked.append(Skipped(printable(path), "a link to a folder that is listed"))
                subfolders.clear()
                continue
            entered.add(identity)
            shown = [Path(folder, name) for name in sorted(subfolders) if name[0] != "."]
            starts += [path for path in shown if path.is_symlink()]
            subfolders[:] = [path.name for path in shown if not path.is_symlink()]
            for name in sorted(names):
                if name[0] != "." and Path(name).suffix.lower() in IMAGE_SUFFIXES:
                    yield Path(folder, name), Path(folder, name).is_symlink()


def _note_unseen(listing: Listing, path: str, error: OSError, what: str = "") -> None:
    listing.skipped.append(Skipped(printable(path), f"{what}{reason(error)}"))
    if error.errno not in GONE:
        listing.unseen.append(path)


def _identity(folder: str) -> tuple[int, int]:
    status = os.stat(folder)  # noqa: PTH116
    return status.st_dev, status.st_ino
