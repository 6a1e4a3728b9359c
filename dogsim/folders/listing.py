"""List the images in a folder of breed folders, and report the files that cannot be used."""

import os
from collections.abc import Sequence
from dataclasses import asdict, astuple, replace
from functools import partial
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from dogsim.errors import DogsimError, as_path, counted, not_found
from dogsim.folders.walk import ImageFiles, ListedImage, Listing, SkippedFile, file_identity
from dogsim.image_files.boxes import BoxError, BoxFolder
from dogsim.image_files.layout import FolderLayout
from dogsim.plumbing.files import check_output, check_replaceable
from dogsim.plumbing.tables import has_csv_header, write_csv
from dogsim.plumbing.terminal import note, printable
from dogsim.storage.dataset_file import STAMP_DTYPE, check_dataset_path
from dogsim.storage.edits import Edit, without_removed

MAX_MTIME_NS = 2**63 - 1  # a stamp stores times from 1677 to 2262; those of Windows begin in 1601
MAX_SKIPPED_SHOWN = 20
SKIPPED_COLUMNS = ("path", "reason")


def list_images(
    root: Path, layout: FolderLayout | None = None, edits: Sequence[Edit] = ()
) -> Listing:
    """List the images in a folder and the folders below it, and note what else is there.

    If folders label the images, those in `root` itself are listed only if no folder contains one.
    Hidden files, folders of the system and files that match a pattern of the layout are left out.
    A file with an unknown suffix, or none, is an image if its content is. Symbolic links are
    followed, but each file is listed once, by its real path if that is below `root`. Images that
    were removed by `edits` are left out.

    Raises
    ------
    DogsimError
        If the folder does not exist, or contains no image.
    """
    if not root.is_dir():
        message = f"There is no folder {root}. Expected a folder of breed folders."
        raise not_found(root, message)
    layout = layout or FolderLayout()
    listing = _walk(root, layout)
    listing.images.sort(key=path_key)
    _note_others(listing, layout)
    stray = [image for image in listing.images if "/" not in image.path]
    if layout.rule.by_folder and 0 < len(stray) < len(listing.images):
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
    remaining = {*without_removed([image.path for image in listing.images], edits, root)}
    listing.images = [image for image in listing.images if image.path in remaining]
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

    An image without a box stays whole. A note says how many images have a box, and warns if only
    some have. Raises `DogsimError` if no image has one.
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
            f"There is no box in {boxes.folder} for any of {counted(len(images), 'image')}. "
            f"Expected {boxes.folder / PurePath(images[0].path).with_suffix('.xml')}, and the like."
        )
    with_box = f"Images with a box: {len(boxed) - len(whole)} of {len(images)}."
    if whole:
        first = printable(whole[0].path)
        with_box += (
            f" Those without one, such as {first}, stay whole. Whole and cropped images are less "
            "comparable: add the missing boxes, or leave --boxes out."
        )
    note(with_box)
    return boxed, skipped


def find_images(path: str | os.PathLike[str]) -> list[Path]:
    """List the images in a folder and the folders below it, or the one image of a file.

    The images of a folder are found as by `dogsim.create_dataset`, and sorted by path.
    Raises `DogsimError` if the path does not exist, or the folder contains no image.

    >>> find_images("no/such/folder")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no image or folder no/such/folder.
    """
    path = as_path("the images", path)
    is_folder = path.is_dir()
    if not path.exists():
        raise not_found(path, f"There is no image or folder {path}.")
    if not is_folder:
        return [path]
    found = sorted(file for file, _ in ImageFiles(path, Listing(), FolderLayout()))
    if not found:
        raise DogsimError(f"There is no image in the folder {path}.")
    return found


def _note_others(listing: Listing, layout: FolderLayout) -> None:
    """Print the numbers of files that are not images, and of excluded files."""
    if others := listing.others:
        note(f"Files that are not images: {len(others)}, such as {printable(others[0])}.")
    if layout.exclude:
        patterns = ", ".join(layout.exclude)
        note(f"Files and folders excluded by {printable(patterns)}: {len(listing.excluded)}.")


def _walk(root: Path, layout: FolderLayout) -> Listing:
    listing, listed, links = Listing(), set[tuple[int, int]](), []
    for file, is_link in ImageFiles(root, listing, layout):
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
                links.append((image, file_identity(status)))
            else:
                listing.images.append(image)
                listed.add(file_identity(status))
    for image, identity in links:  # after all files: a link must not replace the real path
        if identity in listed:
            listing.left_out.append(SkippedFile(printable(image.path), "a link to a listed image"))
        else:
            listing.images.append(image)
            listed.add(identity)
    return listing


def report_skipped(skipped: Sequence[SkippedFile], out: Path) -> None:
    """Print the first skipped files on stderr, and write all to ``OUT.skipped.csv`` beside `out`.

    If no file was skipped, the table of an earlier run is removed. Call `check_skipped_table`
    first.
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
