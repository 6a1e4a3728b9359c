"""Commands that inspect a dataset: its errors, and how its breeds are related."""

from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dogsim.cli import option
from dogsim.cli.common import open_dataset, print_result
from dogsim.errors import counted
from dogsim.plumbing.terminal import note, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from dogsim.trust.findings import Audit

MAX_FINDINGS_NAMED = 10  # of a kind


def audit(
    dataset: option.File,
    test: Annotated[
        Path | None, typer.Option(help="Test set whose images should not be in the dataset.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write audit.html, plan.csv and audit.csv to this folder.")
    ] = None,
    root: option.Root = None,
    force: option.Force = False,
    cluster: option.Cluster = None,
    as_json: option.Json = False,
) -> None:
    """Find duplicates, suspicious labels, images that fit no breed and poor images; change nothing.

    Duplicates are the same file, the same pixels or a copy: the same photo edited, cropped or
    rotated. Other shots of one scene are listed separately. The list of suspicious labels ends
    where its estimated precision falls below 0.5. What cannot be looked for is named on stderr.

    Example: `dogsim audit dogs.h5 --save findings`
    """
    from dogsim.dataset import Dataset
    from dogsim.plumbing.files import check_replaceable
    from dogsim.trust.audit import audit
    from dogsim.trust.plan import labels_by_path
    from dogsim.trust.report import PAGE_NAME, TABLE_NAME, is_audit_file, save_audit

    if save:
        for name in (PAGE_NAME, TABLE_NAME):
            check_replaceable(save / name, is_audit_file, force)
    gallery = open_dataset(dataset, None, cluster, root)
    testset = Dataset.open(test) if test else None
    found = audit(gallery, testset)
    for line in found.left_out:
        note(line)
    written = [str(path) for path in save_audit(found, gallery, save, testset)] if save else []
    if as_json:
        print_result({**asdict(found), "written": written}, as_json, "")
    else:
        for line in (*_summary(found, labels_by_path(gallery), test is not None), *written):
            say(line)


def _summary(found: "Audit", labels: "Mapping[str, str]", has_testset: bool) -> "Iterator[str]":
    """Yield the number of findings of each kind, and the first of them."""
    shown = slice(MAX_FINDINGS_NAMED)
    yield f"{counted(len(found.duplicates), 'group')} of duplicates"
    yield from _group_lines(found, labels)
    if found.scenes:
        yield f"{counted(len(found.scenes), 'scene')} with several shots, which are no duplicates"
        yield from (f"  {', '.join(paths)}" for paths in found.scenes[shown])
    if has_testset:
        added = found.leaks_add
        effect = "" if added is None else f" (they add {added:.4f} to the accuracy)"
        yield f"{counted(len(found.leaks), 'image')} shared with the test set{effect}"
        yield from (f"  {query} = {known}" for known, query in found.leaks[shown])
    if found.shared_scenes:
        yield f"{counted(len(found.shared_scenes), 'scene')} shared with the test set"
        yield from (f"  {query}, {known}" for known, query in found.shared_scenes[shown])
    hint = " (look at each image: a common background misleads)" if found.labels else ""
    yield f"{counted(len(found.labels), 'suspicious label')}{hint}"
    yield from (
        f"  {x.path}: {x.breed}, or {x.suggested}? (chance {x.chance:.2f})"
        for x in found.labels[shown]
    )
    yield f"{counted(len(found.novel), 'image')} fitting no breed"
    yield from (f"  {each.path}" for each in found.novel[shown])
    yield counted(len(found.poor), "poor image")
    yield from (f"  {each.path}: {each.problem}" for each in found.poor[shown])
    if found.missing:
        yield f"{counted(found.missing, 'image file')} missing"


def _group_lines(found: "Audit", labels: "Mapping[str, str]") -> "Iterator[str]":
    """Yield a line for each of the first groups of duplicates, with the image to keep first.

    If their labels differ, the line says so, and no image is marked to keep.
    """
    from dogsim.trust.plan import label_conflict

    groups = zip(found.duplicates, found.kinds, found.changes, found.keep, strict=True)
    for paths, kind, changes, keep in islice(groups, MAX_FINDINGS_NAMED):
        others = [
            f"{path} ({kind}{f': {change}' if change else ''})"
            for path, change in zip(paths, changes, strict=True)
            if path != keep
        ]
        conflict = label_conflict(paths, labels)
        note_on_labels = f"{conflict}. Which one is right?" if conflict else ""
        yield f"  {keep}{'' if conflict else ' (keep)'} = {' = '.join(others)}{note_on_labels}"


def tree(
    save: Annotated[Path, typer.Option(help="The PNG file to write.")],
    dataset: option.DatasetFile = None,
    weights: option.Weights = None,
    metric: option.Metric = "euclidean",
    root: option.Root = None,
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Draw the family tree of the breeds by the distances of their features.

    Example: `dogsim tree --dataset dogs.h5 --save tree.png`
    """
    from dogsim.figures.display import save_figure
    from dogsim.figures.distances import LINKAGE, breed_tree

    gallery = open_dataset(dataset, weights, root=root)
    save_figure(breed_tree(gallery, metric), save, force)
    result = {"figure": str(save), "breeds": len(gallery.breeds), "metric": metric}
    print_result({**result, "linkage": LINKAGE}, as_json, str(save))
