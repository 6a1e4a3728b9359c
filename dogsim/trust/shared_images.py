"""Find the images that a dataset and a test set share, and what they add to an accuracy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.retrieval.evaluation import Evaluation
from dogsim.trust.duplicates import TYPICAL_RANK, find_leaks

LEAK_VOTE_K = 20  # neighbours that vote when leaks are measured


@dataclass(frozen=True)
class SharedImages:
    """Leaks and shared scenes, as paths in the dataset and in the test set, see `Audit`."""

    leaks: tuple[tuple[str, str], ...] = ()
    scenes: tuple[tuple[str, str], ...] = ()
    leaks_add: float | None = None
    left_out: tuple[str, ...] = ()


def shared_images(dataset: Dataset, testset: Dataset) -> SharedImages:
    """Find the images of a test set that are in the dataset as well."""
    if not (len(dataset) and len(testset)):
        return SharedImages()
    neighbours = nearest(dataset, testset, min(TYPICAL_RANK, len(dataset)), "cosine")
    pairs = find_leaks(dataset, testset, neighbours)
    leaks = tuple((dataset.paths[row], testset.paths[query]) for row, query, _ in pairs)
    leaked = np.array([query for _, query, _ in pairs], np.intp)
    if not len(leaked):
        return SharedImages()
    try:
        return SharedImages(leaks, leaks_add=_added_accuracy(dataset, testset, leaked))
    except DogsimError as error:
        return SharedImages(leaks, left_out=(f"What the leaks add to the accuracy: {error}",))


def _added_accuracy(dataset: Dataset, testset: Dataset, leaked: NDArray[np.intp]) -> float | None:
    """Return how much the leaked queries raise the vote accuracy; None if all are leaked.

    Raises `DogsimError` if no image of the test set has a breed.
    """
    evaluation = Evaluation(dataset, testset)
    found = evaluation.neighbours(min(LEAK_VOTE_K, evaluation.max_k))
    correct = found.predictions == found.truth
    others = ~np.isin(evaluation.rows, leaked)
    return float(correct.mean() - correct[others].mean()) if others.any() else None
