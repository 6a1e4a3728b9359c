"""Repeat the edits of `dogsim apply` when a dataset is updated."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError
from dogsim.folders.walk import ListedImage
from dogsim.image_files.label_rule import LabelRule, Labels
from dogsim.plumbing.files import is_unchanged
from dogsim.plumbing.terminal import note, printable
from dogsim.storage.edits import Edit, changed_labels, relabel

REMEDY = "--forget-edits undoes all of them"


def without_removed(
    images: Sequence[ListedImage], edits: Iterable[Edit], root: Path
) -> list[ListedImage]:
    """Return the images that `dogsim apply` has not removed, and print the number of the others.

    An image stays removed if its file has changed since; a line says so. Raises `DogsimError` if
    no image remains.
    """
    edit_of = {edit.path: edit for edit in edits if edit.removed}
    kept = [image for image in images if image.path not in edit_of]
    removed = [image for image in images if image.path in edit_of]
    if images and not kept:
        raise DogsimError(
            f"dogsim apply removed all images of {root} from the dataset, the first "
            f"{removed[0].path}. Expected one that remains: --forget-edits includes them again."
        )
    _note("Left out images that dogsim apply removed", [image.path for image in removed])
    changed = [image.path for image in removed if _has_changed(image, edit_of[image.path], root)]
    _note("They have changed since, but stay left out", changed)
    return kept


def label_images(
    rule: LabelRule, edits: Sequence[Edit], paths: Sequence[str], hashes: NDArray[np.bytes_]
) -> Labels:
    """Label n images by a rule, except those that `dogsim apply` has relabelled; print the notes.

    `hashes` (n,) are the SHA-256 of the files. An image keeps its changed label if its file has
    changed since; a line says so.
    """
    found, changes = rule.label_images(paths), changed_labels(edits)
    for each in found.notes:
        note(each)
    hash_of = {path: sha256.decode() for path, sha256 in zip(paths, hashes.tolist(), strict=True)}
    present = [edit for edit in edits if edit.path in changes and edit.path in hash_of]
    _note("Kept labels that dogsim apply changed", [edit.path for edit in present])
    changed = [edit.path for edit in present if edit.sha256 not in ("", hash_of[edit.path])]
    _note("Their images have changed since, but they stay", changed)
    return Labels(*relabel(found.labels, found.breeds, paths, changes), found.notes)


def _note(what: str, paths: Sequence[str]) -> None:
    if paths:
        note(f"{what}: {len(paths)}, such as {printable(paths[0])}. {REMEDY}.")


def _has_changed(image: ListedImage, edit: Edit, root: Path) -> bool:
    """Return whether the file of an image differs from that at the time of the edit."""
    if not edit.sha256:
        return False
    with suppress(OSError):
        return not is_unchanged(root / image.path, edit.size, edit.mtime_ns, edit.sha256)
    return False
