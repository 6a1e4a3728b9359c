"""Audit a dataset: duplicates, leaks, suspicious labels, novel images and poor images.

The parts are independent: one that cannot run is left out, and a line says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError, counted
from dogsim.image_files.facts import image_to_keep
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.image_pairs import PairComparison
from dogsim.retrieval.own_neighbours import own_neighbours
from dogsim.trust.duplicates import (
    CANDIDATE_NEIGHBOURS,
    Duplicates,
    find_duplicates,
    find_shared,
)
from dogsim.trust.findings import Audit, PoorImage
from dogsim.trust.image_checks import UNREADABLE, AuditedDataset, poor_images
from dogsim.trust.leave_one_out import MAX_NEIGHBOURS
from dogsim.trust.vote_findings import vote_findings

LEAK_VOTE_K = 20  # neighbours that vote when leaks are measured

PathPairs: TypeAlias = tuple[tuple[str, str], ...]


def audit(dataset: DatasetOrFile, testset: DatasetOrFile | None = None) -> Audit:
    """Find duplicates, suspicious labels, novel images and images of poor quality.

    What cannot be looked for, such as suspicious labels in a dataset without labels, is left out
    with a line in `Audit.left_out`.

    Parameters
    ----------
    dataset : Dataset or path
        Its image files are read where they exist, cropped to their boxes. Images without a file
        are compared by their features only.
    testset : Dataset or path, optional
        Find its images in the dataset as well.

    Raises
    ------
    DogsimError
        If the dataset and the test set cannot be compared.
    """
    gallery = AuditedDataset.of(as_dataset(dataset), "dataset")
    if testset is None:
        return _audit_dataset(gallery)
    queries = AuditedDataset.of(as_dataset(testset), "test set")
    gallery.dataset.require_comparable(queries.dataset)
    return _with_testset(_audit_dataset(gallery), gallery, queries)


def _audit_dataset(gallery: AuditedDataset) -> Audit:
    compared = gallery.compared
    neighbours = own_neighbours(compared, MAX_NEIGHBOURS)
    duplicates = find_duplicates(PairComparison(compared, compared), neighbours)
    votes = vote_findings(compared, neighbours, duplicates.connected)
    poor = poor_images(gallery.dataset, np.flatnonzero(gallery.exists).tolist())
    found = Audit(
        duplicates=_as_paths(compared, [group.rows for group in duplicates.groups]),
        kinds=tuple(group.kind for group in duplicates.groups),
        scenes=_as_paths(compared, duplicates.scenes),
        labels=votes.labels,
        novel=votes.novel,
        poor=poor,
        missing=int((~gallery.exists).sum()),
        left_out=(*gallery.left_out, *_unread_line(poor), *votes.left_out),
    )
    return _with_facts(found, gallery, duplicates)


def _with_facts(found: Audit, gallery: AuditedDataset, duplicates: Duplicates) -> Audit:
    """Add the facts of the images, and by them the image to keep of each group and the changes."""
    single = {each.path for part in (found.labels, found.novel, found.poor) for each in part}
    images = gallery.facts(single.union(*found.duplicates, *found.scenes))
    keep = tuple(image_to_keep(group, images) for group in found.duplicates)
    changes = tuple(_changes(gallery.compared, duplicates, keep))
    return replace(found, images=images, keep=keep, changes=changes)


def _as_paths(dataset: Dataset, groups: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(dataset.paths[row] for row in rows) for rows in groups)


def _changes(
    dataset: Dataset, duplicates: Duplicates, keep: Sequence[str]
) -> Iterator[tuple[str, ...]]:
    """Yield for each group how its images differ from the one to keep."""
    for group, path in zip(duplicates.groups, keep, strict=True):
        kept = next(row for row in group.rows if dataset.paths[row] == path)
        yield tuple("" if row == kept else duplicates.change(kept, row) for row in group.rows)


def _unread_line(poor: Sequence[PoorImage]) -> Iterator[str]:
    unread = [each.path for each in poor if each.problem == UNREADABLE]
    if unread:
        number = counted(len(unread), "image")
        yield f"{number} cannot be read (the first is {unread[0]}): compared by features only."


def _with_testset(found: Audit, gallery: AuditedDataset, testset: AuditedDataset) -> Audit:
    """Add the images and the scenes that the dataset and the test set share."""
    leaks, scenes = _shared(gallery.compared, testset.compared)
    left_out, added = [*found.left_out, *testset.left_out], None
    try:
        added = _added_accuracy(gallery.dataset, testset.dataset, {path for _, path in leaks})
    except DogsimError as error:
        left_out.append(f"What leaks add to the accuracy is not known: {error}")
    known = {path for path, _ in (*leaks, *scenes)}
    return replace(
        found,
        leaks=leaks,
        leaks_add=added,
        shared_scenes=scenes,
        images=found.images | gallery.facts(known.difference(found.images)),
        left_out=tuple(left_out),
    )


def _shared(dataset: Dataset, testset: Dataset) -> tuple[PathPairs, PathPairs]:
    """Return the leaks and the shared scenes, as paths in the dataset and in the test set."""
    if not (len(dataset) and len(testset)):
        return (), ()
    neighbours = nearest(dataset, testset, min(CANDIDATE_NEIGHBOURS, len(dataset)), "cosine")
    leaks, scenes = find_shared(PairComparison(dataset, testset), neighbours)
    return (
        tuple((dataset.paths[row], testset.paths[query]) for row, query, _ in leaks),
        tuple((dataset.paths[row], testset.paths[query]) for row, query in scenes),
    )


def _added_accuracy(dataset: Dataset, testset: Dataset, leaked: set[str]) -> float | None:
    """Return how much the leaked queries raise the vote accuracy; None if none or all are leaked.

    Raises `DogsimError` if no image of the test set has a known breed.
    """
    if not leaked:
        return None
    evaluation = Evaluation(dataset, testset)
    found = evaluation.neighbours(min(LEAK_VOTE_K, evaluation.max_k))
    correct = found.predictions == found.truth
    others = np.array([testset.paths[row] not in leaked for row in evaluation.rows])
    return float(correct.mean() - correct[others].mean()) if others.any() else None
