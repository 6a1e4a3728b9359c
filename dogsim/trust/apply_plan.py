"""Apply the plan of an audit, with the decisions of its owner, to a dataset."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError, counted
from dogsim.plumbing.edited_tables import TableRow
from dogsim.plumbing.terminal import note, printable
from dogsim.storage.edits import Edit, breeds_of_labels, merge_edits, relabel
from dogsim.storage.sharded_rows import take_rows
from dogsim.trust.duplicates import DUPLICATE_KINDS
from dogsim.trust.plan import Plan

NO_LABEL = "unknown"  # in the column label, unless there is such a breed


@dataclass(frozen=True)
class AppliedPlan:
    """The result of `apply_plan`.

    Attributes
    ----------
    dataset : Dataset
    removed : tuple of str
        Paths of the removed images, in their order in the earlier dataset.
    relabelled : dict of str to str
        Path of each image with another label to that label, "" for none.
    """

    dataset: Dataset
    removed: tuple[str, ...]
    relabelled: dict[str, str]


def apply_plan(dataset: DatasetOrFile, plan: Plan) -> AppliedPlan:
    """Return a dataset without the images that a plan removes and with its labels.

    The features are not computed again. Features in a file are read on access. The new dataset
    remembers what was removed and relabelled, see `Dataset.edits`.

    Raises
    ------
    DogsimError
        If the plan is that of another dataset, has two labels for an image, or removes all images.
    """
    dataset = as_dataset(dataset)
    row_of = {path: row for row, path in reversed([*enumerate(dataset.paths)])}
    _check_paths(plan, dataset, row_of)
    removed = {path for path in plan.rows if path in row_of and plan.removes(path)}
    changes = dict(_changes(plan, dataset, row_of, removed))
    kept = np.array([path not in removed for path in dataset.paths], bool)
    if not kept.any():
        raise DogsimError(
            f"{plan.file} removes all {counted(len(dataset), 'image')}. Expected at least one with "
            "the decision keep."
        )
    edits = [_edit(dataset, row_of[path], "", removed=True) for path in removed]
    edits += [_edit(dataset, row_of[path], label) for path, label in changes.items()]
    labels, breeds = relabel(dataset.labels, dataset.breeds, dataset.paths, changes, kept)
    _note_lost_groups(plan)
    applied = replace(
        _lazy_rows(dataset, np.flatnonzero(kept)),
        labels=labels,
        breeds=breeds,
        edits=merge_edits(dataset.edits, edits),
    )
    return AppliedPlan(applied, tuple(path for path in row_of if path in removed), changes)


def _lazy_rows(dataset: Dataset, rows: NDArray[np.intp]) -> Dataset:
    """Return what `Dataset.take` returns, but with features that are read on access."""
    few = replace(dataset, features=np.empty((len(dataset), 0), np.float32)).take(rows)
    return replace(few, features=take_rows(dataset.features, rows))


def _check_paths(plan: Plan, dataset: Dataset, row_of: Mapping[str, int]) -> None:
    """Raise `DogsimError` unless all images are in the dataset, or were removed from it."""
    removed = {edit.path for edit in dataset.edits if edit.removed}
    for path, (row, *_) in plan.rows.items():
        if path in removed and path not in row_of and not plan.removes(path):
            raise row.error(
                f"{path} was removed from this dataset. dogsim create-dataset --forget-edits "
                "includes all removed images again."
            )
        if path not in row_of and path not in removed:
            others = len({*plan.rows}.difference(row_of, removed)) - 1
            more = f" and {others} more" if others else ""
            raise row.error(
                f"The dataset has no image {path}{more}. Expected the plan of an audit of this "
                "dataset."
            )


def _changes(
    plan: Plan, dataset: Dataset, row_of: Mapping[str, int], removed: set[str]
) -> Iterator[tuple[str, str]]:
    """Yield the path and the new label of each kept image whose label the owner has changed.

    A row with an empty label, or the present one, changes nothing.
    """
    texts = {row.text("label").strip() for rows in plan.rows.values() for row in rows}
    breed_of = breeds_of_labels(texts, dataset.breeds)
    if NO_LABEL not in dataset.breeds:
        breed_of[NO_LABEL] = ""
    for path in plan.rows:
        if path in removed or path not in row_of:
            continue
        label = int(dataset.labels[row_of[path]])
        present = dataset.breeds[label] if label >= 0 else ""
        found: dict[str, TableRow] = {}
        for row in plan.rows[path]:
            text = row.text("label").strip()
            if text and breed_of[text] != present:
                found.setdefault(breed_of[text], row)
        if len(found) > 1:
            (one, first), (other, second) = [*found.items()][:2]
            raise second.error(
                f"Received the label {other!r} for {path}, and {one!r} in line {first.line}. "
                "Expected one new label."
            )
        yield from ((path, new) for new in found)


def _note_lost_groups(plan: Plan) -> None:
    """Print the number of groups of copies of which no image is kept."""
    groups: dict[str, list[str]] = defaultdict(list)
    for path, rows in plan.rows.items():
        for row in rows:
            if row.word("kind") in DUPLICATE_KINDS and row.word("group"):
                groups[row.word("group")].append(path)
    lost = [group for group, paths in groups.items() if all(map(plan.removes, paths))]
    if lost:
        first = printable(groups[lost[0]][0])
        note(
            f"The plan keeps no image of {counted(len(lost), 'group')} of copies, such as group "
            f"{lost[0]} with {first}."
        )


def _edit(dataset: Dataset, row: int, label: str, *, removed: bool = False) -> Edit:
    stamp = (0, 0, b"") if dataset.stamps is None else dataset.stamps[row].tolist()
    size, mtime_ns, sha256 = stamp
    return Edit(dataset.paths[row], removed, label, size, mtime_ns, sha256.decode())
