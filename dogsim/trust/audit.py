"""Audit a dataset: duplicates, leaks, suspicious labels, novel images and poor images.

The parts are independent: one that cannot run is left out, and a line says so.
"""

import numpy as np

from dogsim.dataset import DatasetOrFile, as_dataset
from dogsim.image_files.facts import image_to_keep
from dogsim.retrieval.own_neighbours import own_neighbours
from dogsim.trust.audited import AuditedDataset
from dogsim.trust.duplicates import find_duplicates
from dogsim.trust.findings import Audit
from dogsim.trust.image_quality import poor_images
from dogsim.trust.leave_one_out import MAX_NEIGHBOURS
from dogsim.trust.shared_images import SharedImages, shared_images
from dogsim.trust.vote_findings import vote_findings


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
    queries = None if testset is None else AuditedDataset.of(as_dataset(testset), "test set")
    if queries:
        gallery.dataset.require_comparable(queries.dataset)
    compared = gallery.compared
    neighbours = own_neighbours(compared, MAX_NEIGHBOURS)
    duplicates = find_duplicates(compared, neighbours)
    votes = vote_findings(compared, neighbours, [group.rows for group in duplicates])
    shared = shared_images(compared, queries.compared) if queries else SharedImages()
    poor = poor_images(gallery.dataset, np.flatnonzero(gallery.exists).tolist())
    groups = tuple(tuple(compared.paths[row] for row in group.rows) for group in duplicates)
    single = (each.path for found in (votes.labels, votes.novel, poor) for each in found)
    together = (path for paths in (*groups, *shared.leaks) for path in paths)
    images = gallery.facts({*single, *together})
    return Audit(
        duplicates=groups,
        kinds=tuple(group.kind for group in duplicates),
        changes=tuple(("",) * len(group) for group in groups),
        keep=tuple(image_to_keep(group, images) for group in groups),
        scenes=(),
        leaks=shared.leaks,
        leaks_add=shared.leaks_add,
        shared_scenes=shared.scenes,
        labels=votes.labels,
        novel=votes.novel,
        poor=poor,
        images=images,
        missing=int((~gallery.exists).sum()),
        left_out=(
            *gallery.left_out,
            *(queries.left_out if queries else ()),
            *votes.left_out,
            *shared.left_out,
        ),
    )
