"""What a folder holds: pictures, and what cannot be one."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.breeds import breed_name
from dogsim.dataset import STAMP
from dogsim.errors import DogsimError, reason
from dogsim.images import PICTURE_SUFFIXES
from dogsim.plumbing.progress import note
from dogsim.plumbing.tables import printable, write_csv

SHOWN = 20  # skipped files that are named on the terminal


@dataclass(frozen=True)
class Picture:
    """A picture file: its path below the root (POSIX), breed, bytes and time of last change."""

    path: str
    breed: str
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Skipped:
    """A file that gives no row, and why."""

    path: str
    reason: str


def list_pictures(root: Path) -> tuple[list[Picture], list[Skipped]]:
    """List the pictures in the breed folders of `root`, sorted by path.

    The folder right below `root` is the breed, however deep the picture lies in it; two folders
    whose names differ in case are one breed. Hidden files and files without a picture's suffix are
    no pictures. Links are followed, each folder is entered once.

    Raises
    ------
    DogsimError
        If there is no such folder, or no picture in it lies in a breed folder.
    """
    if not root.is_dir():
        raise DogsimError(f"There is no folder {root}. Expected a folder of breed folders.")
    pictures: list[Picture] = []
    skipped: list[Skipped] = []
    spelling: dict[str, str] = {}
    for file in sorted(_files(root, skipped), key=lambda file: file.parts):
        found = _look_at(file, file.relative_to(root).as_posix(), spelling)
        (pictures if isinstance(found, Picture) else skipped).append(found)  # type: ignore[arg-type]
    if not pictures:
        why = f" {skipped[0].path}: {skipped[0].reason}." if skipped else ""
        raise DogsimError(
            f"There is no picture in the breed folders of {root}.{why} "
            f"Expected {root}/BREED/picture.jpg, one folder for each breed."
        )
    return pictures, skipped


def stamp_rows(pictures: list[Picture], hashes: list[Any]) -> NDArray[np.void]:
    """Make the stamps of pictures from their listing and the hashes of their content."""
    rows = [(p.size, p.mtime_ns, sha256) for p, sha256 in zip(pictures, hashes, strict=True)]
    return np.array(rows, STAMP)


def find_pictures(path: str | os.PathLike[str]) -> list[Path]:
    """List the pictures that a path stands for: a file itself, or those in a folder and below.

    A folder's pictures are known by their suffix and sorted by path; hidden ones are left out.
    Raises `DogsimError` if there is no such path, or no picture in the folder.

    >>> find_pictures("no/such/folder")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no picture or folder no/such/folder.
    """
    path = Path(path)
    if not path.is_dir():
        if not path.exists():
            raise DogsimError(f"There is no picture or folder {path}.")
        return [path]
    found = sorted(
        file
        for file in path.rglob("*")
        if file.suffix.lower() in PICTURE_SUFFIXES
        and not any(part.startswith(".") for part in file.relative_to(path).parts)
        and not file.is_dir()
    )
    if not found:
        raise DogsimError(f"There is no picture in the folder {path}.")
    return found


def report_skipped(skipped: Sequence[Skipped], out: Path) -> None:
    """Tell on stderr what was skipped, and write all of it to ``OUT.skipped.csv`` beside `out`.

    The list of an earlier run goes if there is nothing to tell.
    """
    table = skipped_table(out)
    if not skipped:
        table.unlink(missing_ok=True)
        return
    write_csv(table, [asdict(each) for each in skipped])
    for each in skipped[:SHOWN]:
        note(f"skipped {each.path}: {each.reason}")
    if len(skipped) > SHOWN:
        note(f"skipped {len(skipped) - SHOWN} more")
    note(f"All that was skipped is listed in {table}")


def skipped_table(out: Path) -> Path:
    """Where the skipped files of a dataset are listed: ``dogs.skipped.csv`` for ``dogs.h5``."""
    return out.with_name(f"{out.name.removesuffix('.h5')}.skipped.csv")


def _files(root: Path, skipped: list[Skipped]) -> Iterator[Path]:
    """Yield all files that have a picture's suffix; a link back up is not followed for ever."""

    def unreadable(error: OSError) -> None:
        folder = Path(error.filename).relative_to(root).as_posix()
        skipped.append(Skipped(printable(folder), f"folder: {reason(error)}"))

    entered = set()
    for folder, subfolders, names in os.walk(root, onerror=unreadable, followlinks=True):
        status = os.stat(folder)  # noqa: PTH116
        if (status.st_dev, status.st_ino) in entered:
            subfolders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in names:
            if Path(name).suffix.lower() in PICTURE_SUFFIXES and not name.startswith("."):
                yield Path(folder, name)


def _look_at(file: Path, path: str, spelling: dict[str, str]) -> Picture | Skipped:
    try:
        path.encode()
    except UnicodeEncodeError:
        return Skipped(printable(path), "its name is not UTF-8")
    if "/" not in path:
        return Skipped(printable(path), "it lies in no breed folder")
    try:
        status = file.stat()
    except OSError as error:
        return Skipped(printable(path), reason(error))
    breed = breed_name(path.split("/")[0])
    breed = spelling.setdefault(breed.casefold(), breed)
    return Picture(path, breed, status.st_size, status.st_mtime_ns)
