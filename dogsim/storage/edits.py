"""Decisions on single images that a dataset remembers, and that an update repeats."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError
from dogsim.image_files.labels import breed_key
from dogsim.plumbing.files import is_unchanged
from dogsim.plumbing.terminal import note, printable
from dogsim.storage.hdf5 import open_table

if TYPE_CHECKING:
    from dogsim.image_files.label_rule import LabelRule, Labels

# The names of these tables and fields are part of the file format.
EDITED_PATHS, EDITED_LABELS, EDITS = "edited_paths", "edited_labels", "edits"
EDIT_DTYPE = np.dtype([("removed", "?"), ("size", "<i8"), ("mtime_ns", "<i8"), ("sha256", "S64")])
REMEDY = "--forget-edits undoes all of them"


@dataclass(frozen=True)
class Edit:
    """A decision of `dogsim apply` on an image: it is removed, or it has another label.

    Attributes
    ----------
    path : str
        Of the image, relative to the root of the dataset, so that the root may move.
    removed : bool
    label : str
        The new label of an image that is not removed, "" for none.
    size, mtime_ns, sha256 : int, int and str
        The image file at that time, as in `Dataset.stamps`; 0, 0 and "" if they are unknown.
    """

    path: str
    removed: bool
    label: str = ""
    size: int = 0
    mtime_ns: int = 0
    sha256: str = ""


def merge_edits(earlier: Iterable[Edit], later: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return the last edit of each path, sorted by path."""
    last = {edit.path: edit for edits in (earlier, later) for edit in edits}
    return tuple(last[path] for path in sorted(last))


def changed_labels(edits: Iterable[Edit]) -> dict[str, str]:
    """Map the path of each image with another label to that label."""
    return {edit.path: edit.label for edit in edits if not edit.removed}


def count_edits(edits: Iterable[Edit]) -> dict[str, int]:
    """Return the numbers of removed and of relabelled images."""
    removed = [edit.removed for edit in edits]
    return {"removed": sum(removed), "relabelled": len(removed) - sum(removed)}


def relabel(
    labels: NDArray[np.int32],
    breeds: Sequence[str],
    paths: Sequence[str],
    changes: Mapping[str, str],
    kept: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Change the labels of some images, and keep only some of the images.

    Parameters
    ----------
    labels : (n,) int32
        Index into `breeds`; -1 if the breed is unknown.
    breeds : sequence of str
    paths : sequence of n str
    changes : mapping of str to str
        Path of an image to its new label, see `breeds_of_labels`; "" for none.
    kept : (n,) bool, optional
        The m images whose labels are returned; by default all.

    Returns
    -------
    labels : (m,) int32
    breeds : tuple of str
        With the new breeds, and without those that have lost their last image. Sorted if `breeds`
        is, else the new ones come last.

    >>> relabel(np.array([0, 0], np.int32), ["pug"], ["a.jpg", "b.jpg"], {"b.jpg": "akita"})
    (array([1, 0], dtype=int32), ('akita', 'pug'))
    """
    kept = np.ones(len(paths), bool) if kept is None else kept
    rows = [row for row in np.flatnonzero(kept).tolist() if paths[row] in changes]
    breed_of = breeds_of_labels((changes[paths[row]] for row in rows), breeds)
    names = (*breeds, *sorted({*breed_of.values()}.difference(breeds)))
    number_of = {name: number for number, name in reversed([*enumerate(names)])}
    changed = np.array(labels, np.int32)
    for row in rows:
        label = changes[paths[row]]
        changed[row] = number_of[breed_of[label]] if label else -1
    changed = changed[kept]
    lost = {*np.setdiff1d(labels, changed).tolist()}
    remaining = [number for number in range(len(names)) if number not in lost]
    if list(breeds) == sorted(breeds):
        remaining.sort(key=names.__getitem__)
    new_number = np.full(len(names) + 1, -1, np.int32)  # the last entry is for -1
    new_number[remaining] = np.arange(len(remaining))
    return new_number[changed], tuple(names[number] for number in remaining)


def breeds_of_labels(labels: Iterable[str], breeds: Sequence[str]) -> dict[str, str]:
    """Return the breed of each label that is not empty.

    A label that differs from a breed in its spelling only, see `breed_key`, is that breed. Every
    other label is a new breed.

    >>> breeds_of_labels(["Cocker_Spaniel", "pug"], ["cocker spaniel"])
    {'Cocker_Spaniel': 'cocker spaniel', 'pug': 'pug'}
    """
    spelling = {breed_key(name): name for name in reversed(breeds)}
    exact = {*breeds}
    return {
        label: label if label in exact else spelling.setdefault(breed_key(label), label)
        for label in sorted({*labels} - {""})
    }


def without_removed(paths: Sequence[str], edits: Iterable[Edit], root: Path) -> list[str]:
    """Return the images that `dogsim apply` has not removed, and print the number of the others.

    An image stays removed if its file has changed since; a line says so. Raises `DogsimError` if
    no image remains.
    """
    edit_of = {edit.path: edit for edit in edits if edit.removed}
    kept = [path for path in paths if path not in edit_of]
    removed = [path for path in paths if path in edit_of]
    if paths and not kept:
        raise DogsimError(
            f"dogsim apply removed all images of {root} from the dataset, the first {removed[0]}. "
            "Expected one that remains: --forget-edits includes them again."
        )
    _note("Left out images that dogsim apply removed", removed)
    changed = [path for path in removed if _has_changed(edit_of[path], root)]
    _note("They have changed since, but stay left out", changed)
    return kept


def label_images(
    rule: "LabelRule", edits: Sequence[Edit], paths: Sequence[str], hashes: NDArray[np.bytes_]
) -> "Labels":
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
    labels, breeds = relabel(found.labels, found.breeds, paths, changes)
    return replace(found, labels=labels, breeds=breeds)


def _note(what: str, paths: Sequence[str]) -> None:
    if paths:
        note(f"{what}: {len(paths)}, such as {printable(paths[0])}. {REMEDY}.")


def _has_changed(edit: Edit, root: Path) -> bool:
    """Return whether the file of an image differs from that at the time of the edit."""
    if not edit.sha256:
        return False
    with suppress(OSError):
        return not is_unchanged(root / edit.path, edit.size, edit.mtime_ns, edit.sha256)
    return False


def write_edits(file: Any, edits: Sequence[Edit]) -> None:
    """Write edits to an open file; without edits it gets no table."""
    if not edits:
        return
    text = h5py.string_dtype("utf-8")
    file.create_dataset(EDITED_PATHS, data=[edit.path for edit in edits], dtype=text)
    file.create_dataset(EDITED_LABELS, data=[edit.label for edit in edits], dtype=text)
    rows = [(edit.removed, edit.size, edit.mtime_ns, edit.sha256.encode()) for edit in edits]
    file[EDITS] = np.array(rows, EDIT_DTYPE)


def read_edits(file: Any) -> tuple[Edit, ...]:
    """Read the edits of an open file; older files have none."""
    if EDITS not in file:
        return ()
    rows = np.asarray(open_table(file, EDITS), EDIT_DTYPE).tolist()
    paths, labels = (open_table(file, name).asstr()[:] for name in (EDITED_PATHS, EDITED_LABELS))
    return tuple(
        Edit(path, removed, label, size, mtime_ns, sha256.decode("ascii"))
        for path, label, (removed, size, mtime_ns, sha256) in zip(paths, labels, rows, strict=True)
    )
