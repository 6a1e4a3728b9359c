"""Audit a dataset: duplicates, leaks, suspicious labels, novel images and poor images.

The parts are independent: one that cannot run is left out, and a line says so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError, counted
from dogsim.image_files.facts import image_to_keep
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.own_neighbours import own_neighbours
from dogsim.trust.audited import AuditedDataset
from dogsim.trust.duplicates import find_duplicates
from dogsim.trust.findings import Audit, PoorImage
from dogsim.trust.image_quality import UNREADABLE, poor_images
from dogsim.trust.leave_one_out import MAX_NEIGHBOURS
from dogsim.trust.shared_images import shared_images
from dogsim.trust.vote_findings import vote_findings

LEAK_VOTE_K = 20  # neighbours that vote when leaks are measured


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
    duplicates = find_duplicates(compared, neighbours)
    groups = tuple(tuple(compared.paths[row] for row in group.rows) for group in duplicates)
    votes = vote_findings(compared, neighbours, [group.rows for group in duplicates])
    poor = poor_images(gallery.dataset, np.flatnonzero(gallery.exists).tolist())
    single = (each.path for found in (votes.labels, votes.novel, poor) for each in found)
    images = gallery.facts({*single, *(path for group in groups for path in group)})
    return Audit(
        duplicates=groups,
        kinds=tuple(group.kind for group in duplicates),
        changes=tuple(("",) * len(group) for group in groups),
        keep=tuple(image_to_keep(group, images) for group in groups),
        scenes=(),
        leaks=(),
        leaks_add=None,
        shared_scenes=(),
        labels=votes.labels,
        novel=votes.novel,
        poor=poor,
        images=images,
        missing=int((~gallery.exists).sum()),
        left_out=(*gallery.left_out, *_unread_line(poor), *votes.left_out),
    )


def _unread_line(poor: Sequence[PoorImage]) -> Iterator[str]:
    unread = [each.path for each in poor if each.problem == UNREADABLE]
    if unread:
        number = counted(len(unread), "image")
        yield f"{number} cannot be read (the first is {unread[0]}): compared by features only."


def _with_testset(found: Audit, gallery: AuditedDataset, testset: AuditedDataset) -> Audit:
    """Add the images that the dataset and the test set share."""
    shared = shared_images(gallery.compared, testset.compared)
    left_out, added = [*found.left_out, *testset.left_out], None
    try:
        added = _added_accuracy(
            gallery.dataset, testset.dataset, {path for _, path in shared.leaks}
        )
    except DogsimError as error:
        left_out.append(f"What leaks add to the accuracy is not known: {error}")
    known = {path for path, _ in (*shared.leaks, *shared.scenes)}
    return replace(
        found,
        leaks=shared.leaks,
        leaks_add=added,
        shared_scenes=shared.scenes,
        images=found.images | gallery.facts(known.difference(found.images)),
        left_out=tuple(left_out),
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
