"""What is in a dataset: what is wrong with it, and how its breeds are related."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dogsim.cli.common import (
    Cluster,
    DatasetFile,
    File,
    Force,
    Json,
    Metric,
    Root,
    Weights,
    open_dataset,
    print_result,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dogsim.trust.audit import Audit

NAMED = 10  # findings of a kind


def audit(
    dataset: File,
    test: Annotated[
        Path | None, typer.Option(help="Dataset file whose pictures should not be in the other.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write audit.html and audit.csv to this folder.")
    ] = None,
    force: Force = False,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Find copies, suspicious labels, what fits nowhere and poor pictures; change nothing.

    Example: `dogsim audit dogs.h5 --save findings`
    """
    from dogsim.dataset import Dataset
    from dogsim.plumbing.files import check_replaceable
    from dogsim.trust.audit import audit
    from dogsim.trust.report import PAGE, TABLE, is_ours, save_audit

    if save:
        for name in (PAGE, TABLE):
            check_replaceable(save / name, is_ours, force)
    known = open_dataset(dataset, None, cluster)
    asked = Dataset.open(test) if test else None
    found = audit(known, asked)
    written = [str(path) for path in save_audit(found, known, save, asked)] if save else []
    lines = [*_found(found, test is not None), *written]
    print_result({**asdict(found), "written": written}, as_json, "\n".join(lines))


def _found(found: "Audit", tested: bool) -> "Iterator[str]":
    """Say how much was found of each kind, and name the first few."""
    yield f"{len(found.duplicates)} groups of the same picture"
    yield from (f"  {' = '.join(each)}" for each in found.duplicates[:NAMED])
    if tested:
        adds = (
            "" if found.leaks_add is None else f" (they add {found.leaks_add:.4f} to the accuracy)"
        )
        yield f"{len(found.leaks)} pictures of the test set are in the dataset{adds}"
        yield from (f"  {of_test} = {own}" for own, of_test in found.leaks[:NAMED])
    yield f"{len(found.labels)} suspicious labels"
    yield from (f"  {x.path}: {x.breed}, or {x.suggested}?" for x in found.labels[:NAMED])
    yield f"{len(found.novel)} pictures that fit nowhere"
    yield from (f"  {each.path}" for each in found.novel[:NAMED])
    yield f"{len(found.poor)} poor pictures"
    yield from (f"  {each.path}: {each.problem}" for each in found.poor[:NAMED])


def tree(
    save: Annotated[Path, typer.Option(help="The PNG file to write.")],
    dataset: DatasetFile = None,
    weights: Weights = None,
    metric: Metric = "euclidean",
    root: Root = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw the family tree of the breeds, as the network sees them.

    Example: `dogsim tree --dataset dogs.h5 --save tree.png`
    """
    from dogsim.figures.display import save_figure
    from dogsim.figures.tree import LINKAGE, breed_tree

    known = open_dataset(dataset, weights)
    known = replace(known, root=str(root)) if root else known
    save_figure(breed_tree(known, metric), save, force)
    result = {"figure": str(save), "breeds": len(known.breeds), "metric": metric}
    print_result({**result, "linkage": LINKAGE}, as_json, str(save))
