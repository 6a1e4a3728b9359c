"""The plan of an audit: a table with a decision on each image, which its owner edits.

`save_plan` proposes the decisions and changes nothing else; `Plan` reads what its owner decided.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from dogsim.dataset import Dataset
from dogsim.errors import as_path
from dogsim.image_files.facts import ImageFacts
from dogsim.plumbing.edited_tables import TableRow, read_table
from dogsim.plumbing.files import make_folder
from dogsim.plumbing.tables import exact_cell, has_csv_lines, write_csv_lines
from dogsim.plumbing.terminal import note
from dogsim.trust.findings import UNCOMPARED, Audit

Decision: TypeAlias = Literal["keep", "remove"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
KEEP, REMOVE = DECISIONS

PLAN_NAME = "plan.csv"
PLAN_COLUMNS = ("path", "kind", "group", "decision", "label", "suggested label", "reason")


@dataclass(frozen=True)
class PlanRow:
    """One image in one finding of an audit. All rows of an image have the same decision.

    Attributes
    ----------
    path : str
        Of the image in the dataset.
    kind : str
        Of the finding: "same file", "same pixels", "copy", "same features", "same scene", "leak",
        "shared scene", "suspicious label", "novel" or "poor".
    group : int
        The number of the group of copies, or of images of one scene; 0 without a group.
    decision : {"keep", "remove"}
    label : str
        The label of the image, "" if it has none.
    suggested : str
        The label that its neighbours suggest, "" without a suggestion.
    reason : str
        What the audit has found.
    """

    path: str
    kind: str
    group: int
    decision: Decision
    label: str
    suggested: str
    reason: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of `PLAN_COLUMNS`."""
        texts = self.path, self.kind, str(self.group or ""), self.decision
        return tuple(map(exact_cell, (*texts, self.label, self.suggested, self.reason)))


def save_plan(found: Audit, dataset: Dataset, folder: str | os.PathLike[str]) -> Path:
    """Write ``plan.csv`` with the decisions that an audit proposes, and return its path.

    An earlier plan in the folder that differs, because its owner has edited it or the dataset has
    changed, is renamed to ``plan-1.csv``, ``plan-2.csv`` and so on. Raises `DogsimError` if a file
    cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    plan, lines = folder / PLAN_NAME, plan_lines(plan_rows(found, dataset))
    if plan.exists() and not has_csv_lines(plan, lines):
        earlier = _free_name(plan)
        plan.rename(earlier)
        note(f"The earlier {plan} differs from the new plan. It was renamed to {earlier.name}.")
    write_csv_lines(plan, lines)
    return plan


def plan_lines(rows: Iterable[PlanRow]) -> list[tuple[str, ...]]:
    """Return the lines of a plan, of cells, with the header."""
    return [PLAN_COLUMNS, *(row.cells for row in rows)]


def plan_rows(found: Audit, dataset: Dataset) -> list[PlanRow]:
    """Return the plan that an audit of a dataset proposes.

    Of each group of copies all images but the one to keep are to be removed. If the labels of a
    group differ, all are kept, because one of the labels is wrong and its owner knows which. Images
    of which only the features are known to be equal are kept, and so are those of all other
    findings.
    """
    labels = labels_by_path(dataset)
    rows = [*_copies(found, labels), *_scenes(found), *_shared(found), *_labels(found)]
    rows += [
        _row(each.path, "novel", f"unlike all others: p = {each.p:.4f}") for each in found.novel
    ]
    rows += [_row(each.path, "poor", each.problem) for each in found.poor]
    removed = {row.path for row in rows if row.decision == REMOVE}.difference(found.keep)
    return [
        replace(
            row,
            decision=REMOVE if row.path in removed else KEEP,
            label=labels.get(row.path, ""),
        )
        for row in rows
    ]


def labels_by_path(dataset: Dataset) -> dict[str, str]:
    """Map each path of a dataset to its label, "" for an image without one."""
    numbers = zip(dataset.paths, dataset.labels.tolist(), strict=True)
    return {path: dataset.breeds[number] if number >= 0 else "" for path, number in numbers}


def label_conflict(paths: Iterable[str], labels: Mapping[str, str]) -> str:
    """Return the different labels of copies as a part of a sentence, "" if they agree.

    >>> label_conflict(["a", "b"], {"a": "hat", "b": "dress"})
    "; the labels differ: 'dress', 'hat'"
    """
    names = sorted({labels.get(path, "") for path in paths})
    return f"; the labels differ: {', '.join(map(repr, names))}" if names[1:] else ""


def _row(path: str, kind: str, reason: str, group: int = 0, suggested: str = "") -> PlanRow:
    return PlanRow(path, kind, group, KEEP, "", suggested, reason)


def _copies(found: Audit, labels: Mapping[str, str]) -> Iterator[PlanRow]:
    groups = zip(found.duplicates, found.kinds, found.changes, found.keep, strict=True)
    for number, (group, kind, changes, kept) in enumerate(groups, 1):
        differ = label_conflict(group, labels)
        for path, change in zip(group, changes, strict=True):
            if path == kept:
                best = f"the best of {len(group)} copies"
                yield _row(
                    path, kind, best + _size_and_date(found.images.get(path)) + differ, number
                )
            else:
                row = _row(path, kind, _relation(kind, kept, change) + differ, number)
                is_kept = differ or kind == UNCOMPARED
                yield row if is_kept else replace(row, decision=REMOVE)


def _relation(kind: str, kept: str, change: str) -> str:
    relation = f"{kind} of {kept}" if kind == "copy" else f"{kind} as {kept}"
    return f"{relation}: {change}" if change else relation


def _size_and_date(facts: ImageFacts | None) -> str:
    if facts is None:
        return ""
    return f": {facts.width} x {facts.height} pixels, {facts.bytes:,} bytes, {facts.date}"


def _scenes(found: Audit) -> Iterator[PlanRow]:
    for number, group in enumerate(found.scenes, len(found.duplicates) + 1):
        for path in group:
            other = group[path == group[0]]
            yield _row(path, "same scene", f"another shot of the scene of {other}", number)


def _shared(found: Audit) -> Iterator[PlanRow]:
    for path, query in found.leaks:
        yield _row(path, "leak", f"also in the test set: {query}")
    for path, query in found.shared_scenes:
        yield _row(path, "shared scene", f"the test set has another shot of its scene: {query}")


def _labels(found: Audit) -> Iterator[PlanRow]:
    for each in found.labels:
        why = f"its neighbours vote for {each.suggested}, such as {each.like}"
        yield _row(each.path, "suspicious label", why, suggested=each.suggested)


def _free_name(file: Path) -> Path:
    """Return the first of ``plan-1.csv``, ``plan-2.csv`` ... that does not exist."""
    names = (file.with_name(f"{file.stem}-{number}{file.suffix}") for number in count(1))
    return next(name for name in names if not name.exists())


@dataclass(frozen=True)
class Plan:
    """The decisions of a plan that its owner may have edited.

    Attributes
    ----------
    file : Path
    rows : dict of str to list of TableRow
        The rows of each image by its path; all have the same decision.
    """

    file: Path
    rows: Mapping[str, Sequence[TableRow]]

    @classmethod
    def read(cls, file: str | os.PathLike[str]) -> "Plan":
        """Read a plan; raise `DogsimError` if it is none, or contradicts itself."""
        path = as_path("the plan", file)
        rows: dict[str, list[TableRow]] = defaultdict(list)
        for row in read_table(path, ("path", "decision")).rows:
            image, decision = row.text("path"), row.word("decision")
            if decision not in DECISIONS:
                raise row.error(f"Received the decision {decision!r}. Expected keep or remove.")
            for other in rows[image][:1]:
                if other.word("decision") != decision:
                    raise row.error(
                        f"Received the decision {decision} for {image}, and "
                        f"{other.word('decision')} in line {other.line}. Expected one decision."
                    )
            rows[image].append(row)
        return cls(path, dict(rows))

    def removes(self, path: str) -> bool:
        """Return whether an image is to be removed."""
        return self.rows[path][0].word("decision") == REMOVE
