"""Whether sets of breeds keep their promise, on average and breed by breed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.trust.conformal import trust


@dataclass(frozen=True)
class BreedCoverage:
    """How often the set holds the breed, for the queries of one breed."""

    breed: str
    queries: int
    coverage: float
    mean_set_size: float
    unknown_rate: float


@dataclass(frozen=True)
class Coverage:
    """How the sets of a confidence turn out, over the queries whose breed the dataset has.

    Attributes
    ----------
    confidence : float
        What was promised.
    coverage : float
        Part of the queries whose breed is in their set. By leave-one-out it is the promise itself,
        by construction; a test set tells more, and so do the breeds.
    mean_set_size : float
        Breeds in a set.
    unknown_rate : float
        Part of the queries that were called unknown, falsely.
    per_breed : tuple of BreedCoverage
        The worst covered first.
    """

    confidence: float
    coverage: float
    mean_set_size: float
    unknown_rate: float
    per_breed: tuple[BreedCoverage, ...]


def coverage(
    dataset: Dataset,
    features: NDArray[np.float32],
    truth: NDArray[np.int32],
    confidence: float,
    rows: NDArray[np.intp] | None = None,
) -> Coverage:
    """Measure how often the set of a query holds its breed.

    Parameters
    ----------
    dataset : Dataset
    features : (n, d) float32
        Of the queries.
    truth : (n,) int32
        Their labels among the dataset's breeds; others are left out.
    confidence : float
    rows : (n,) int, optional
        Their rows in the dataset, where they are its own pictures; each is left out for itself.

    Returns
    -------
    Coverage

    Raises
    ------
    DogsimError
        As `dogsim.trust.conformal.trust` does, or if no query is of a known breed.
    """
    known = np.flatnonzero((truth >= 0) & (truth < len(dataset.breeds)))
    if len(known) == 0:
        raise DogsimError("No query is of a breed of the dataset. Expected one or more.")
    truth = truth[known]
    answers = trust(dataset, features[known], confidence, None if rows is None else rows[known])
    names = [dataset.breeds[label] for label in truth]
    hit = np.array([name in answer.breeds for name, answer in zip(names, answers, strict=True)])
    size = np.array([len(answer.breeds) for answer in answers])
    unknown = np.array([answer.unknown for answer in answers])

    def rates(some: NDArray[np.bool_]) -> tuple[float, float, float]:
        return float(hit[some].mean()), float(size[some].mean()), float(unknown[some].mean())

    labels = np.unique(truth)
    breeds = (
        BreedCoverage(dataset.breeds[label], int((truth == label).sum()), *rates(truth == label))
        for label in labels
    )
    everyone = rates(np.ones(len(truth), bool))
    return Coverage(confidence, *everyone, tuple(sorted(breeds, key=lambda each: each.coverage)))
