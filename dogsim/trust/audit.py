"""Audit a dataset: duplicates, leaks, suspicious labels, novel images and poor images."""

from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.images import open_image
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.evaluation import Evaluation
from dogsim.trust.conformal import p_values
from dogsim.trust.duplicates import TYPICAL_RANK, Pair, find_leaks
from dogsim.trust.findings import Audit, NovelImage, PoorImage, SuspiciousLabel
from dogsim.trust.leave_one_out import LeaveOneOut, VoteScores

LABEL_THRESHOLD, NOVELTY_THRESHOLD = 0.1, 0.01  # p-values up to which an image is listed
MIN_SIDE = 64  # pixels
MIN_DEVIATION = 10  # standard deviation of the grey levels
MIN_SHARPNESS = 0.05  # mean second difference in units of that deviation, at 224 x 224 pixels
LEAK_VOTE_K = 20  # neighbours that vote when leaks are measured


def audit(dataset: DatasetOrFile, testset: DatasetOrFile | None = None) -> Audit:
    """Find duplicates, suspicious labels, novel images and images of poor quality.

    Parameters
    ----------
    dataset : Dataset or path
        Its image files are read where they exist, cropped to their boxes; without them the audit
        uses the features only.
    testset : Dataset or path, optional
        Find its images in the dataset as well.

    Raises
    ------
    DogsimError
        If the dataset has fewer than two images of known breeds, or the two cannot be compared.
    """
    gallery = as_dataset(dataset)
    queries = None if testset is None else as_dataset(testset)
    if queries:
        gallery.require_comparable(queries)
    left_out = LeaveOneOut(gallery)
    scores = left_out.scores()
    leaks = _leaks(gallery, queries) if queries else []
    leaked = np.array([query for _, query, _ in leaks], np.intp)
    groups = tuple(tuple(gallery.paths[row] for row in group.rows) for group in left_out.groups)
    return Audit(
        duplicates=groups,
        kinds=tuple(group.kind for group in left_out.groups),
        changes=tuple(("",) * len(group) for group in groups),
        keep=tuple(group[0] for group in groups),
        scenes=(),
        leaks=tuple((gallery.paths[i], queries.paths[j]) for i, j, _ in leaks if queries),
        leaks_add=_added_accuracy(gallery, queries, leaked) if queries and leaks else None,
        shared_scenes=(),
        labels=_suspicious_labels(left_out, scores),
        novel=_novel_images(left_out, scores),
        poor=_poor_images(gallery),
        images={},
        missing=_n_missing(gallery),
        left_out=(),
    )


def _suspicious_labels(left_out: LeaveOneOut, scores: VoteScores) -> tuple[SuspiciousLabel, ...]:
    dataset = left_out.dataset
    margins = scores.margins
    rare = p_values(scores.own[left_out.rows], scores.own) <= LABEL_THRESHOLD
    listed = np.flatnonzero(rare & (margins < 0) & (dataset.labels >= 0))

    def nearest_of(label: int, row: int) -> str:
        neighbours = left_out.neighbours[1][row]
        of_breed = neighbours[dataset.labels[neighbours] == label]
        return dataset.paths[of_breed[0]] if len(of_breed) else ""

    return tuple(
        SuspiciousLabel(
            path=dataset.paths[row],
            breed=dataset.breed(row),
            suggested=dataset.breeds[scores.other[row]],
            score=float(margins[row]),
            chance=float(scores.other_share[row]),
            like=nearest_of(scores.other[row], row),
        )
        for row in listed[np.argsort(margins[listed], kind="stable")].tolist()
    )


def _novel_images(left_out: LeaveOneOut, scores: VoteScores) -> tuple[NovelImage, ...]:
    calibration, place = scores.novelty[left_out.rows], left_out.place
    excluded = np.where(place >= 0, calibration[place], np.nan)  # (n,): the image's own score
    p = p_values(-calibration, -scores.novelty, -excluded)
    listed = np.flatnonzero(p <= NOVELTY_THRESHOLD)
    order = listed[np.argsort(p[listed], kind="stable")].tolist()
    return tuple(NovelImage(left_out.dataset.paths[row], float(p[row])) for row in order)


def _leaks(dataset: Dataset, testset: Dataset) -> list[Pair]:
    neighbours = nearest(dataset, testset, min(TYPICAL_RANK, len(dataset)), "cosine")
    return find_leaks(dataset, testset, neighbours)


def _n_missing(dataset: Dataset) -> int:
    return sum(not dataset.image_file(row).is_file() for row in range(len(dataset)))


def _added_accuracy(dataset: Dataset, testset: Dataset, leaked: NDArray[np.intp]) -> float | None:
    """Return how much the leaked queries raise the vote accuracy; None if all are leaked."""
    evaluation = Evaluation(dataset, testset)
    found = evaluation.neighbours(min(LEAK_VOTE_K, evaluation.max_k))
    correct = found.predictions == found.truth
    others = ~np.isin(evaluation.rows, leaked)
    return float(correct.mean() - correct[others].mean()) if others.any() else None


def _poor_images(dataset: Dataset) -> tuple[PoorImage, ...]:
    if not (len(dataset) and dataset.image_file(0).is_file()):
        return ()
    rows = range(len(dataset))
    results = prefetch(partial(_problem, dataset), rows, ahead=64, threads=usable_cpus())
    batches = track(batched(results, 64), len(dataset), "images")
    problems = (problem for batch in batches for problem in batch)
    found = zip(dataset.paths, problems, strict=True)
    return tuple(PoorImage(path, problem) for path, problem in found if problem)


def _problem(dataset: Dataset, row: int) -> str:
    """Return the problem with the quality of an image, "" if it has none."""
    try:
        image = open_image(dataset.source(row))
    except DogsimError:
        return "cannot be read"
    if min(image.size) < MIN_SIDE:
        return f"tiny: {image.width} x {image.height} pixels"
    resized = image.convert("L").resize((224, 224), Image.Resampling.BICUBIC)
    grey = np.asarray(resized, np.float64)  # (224, 224)
    deviation = float(grey.std())
    if deviation < MIN_DEVIATION:
        return "nearly one colour"
    vertical = grey[:-2, 1:-1] + grey[2:, 1:-1]
    second = np.abs(vertical + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1])
    return "blurred" if second.mean() < MIN_SHARPNESS * deviation else ""
