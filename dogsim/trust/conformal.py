"""Prediction sets: sets of breeds that contain the true one with a given confidence.

Conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005).
The p-value of a breed is the fraction of the calibration images whose own breed has no larger
share of their neighbours' vote; the prediction set holds the breeds with p > 1 - confidence. If a
new image comes from the same distribution as the dataset, its breed is missing from its set with a
probability of at most 1 - confidence, on average over the breeds. (Strictly this requires that the
new image is among the neighbours of the known ones as well, see Cherubin, Chatzikokolakis and
Jaggi, "Exact optimization of conformal predictors", 2021; with thousands of images this changes
nothing.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.trust.calibration import Calibration, calibration_for
from dogsim.trust.leave_one_out import (
    VOTE_BLOCK_ROWS,
    Float64Array,
    novelty_scores,
    p_values,
    soft_votes,
    voting_neighbours,
)

UNKNOWN_THRESHOLD = 0.05  # p-value, and the fraction of known images that are called unknown


@dataclass(frozen=True, eq=False)
class PredictionSet:
    """The breeds that an image may have at a given confidence.

    Attributes
    ----------
    breeds : tuple of str
        The breeds in the set, the likeliest first; at least one.
    p_values : (c,) float64
        One for each breed of the dataset, in its order.
    credibility : float
        The largest p-value; small if the image is unusual for every breed.
    novelty_p : float
        p-value of the novelty score: the fraction of the known images that fit as badly.
    unknown : bool
        Whether the image has none of the known breeds: novelty_p is at most 0.05.
    """

    breeds: tuple[str, ...]
    p_values: Float64Array
    credibility: float
    novelty_p: float
    unknown: bool


@dataclass(frozen=True)
class BreedCoverage:
    """Coverage of the prediction sets for the queries of one breed."""

    breed: str
    queries: int
    coverage: float
    mean_set_size: float
    unknown_rate: float


@dataclass(frozen=True)
class Coverage:
    """Coverage of the prediction sets for all queries of known breeds.

    Attributes
    ----------
    confidence : float
        The coverage to expect.
    coverage : float
        The fraction of the queries whose breed is in their set. With leave-one-out it equals the
        confidence by construction; only a test set, and `per_breed`, tell more.
    mean_set_size : float
        Breeds in a set.
    unknown_rate : float
        The fraction of the queries that are wrongly called unknown.
    per_breed : tuple of BreedCoverage
        The lowest coverage first.
    """

    confidence: float
    coverage: float
    mean_set_size: float
    unknown_rate: float
    per_breed: tuple[BreedCoverage, ...]


def prediction_sets(
    dataset: Dataset,
    features: NDArray[np.float32],
    confidence: float,
    rows: NDArray[np.intp] | None = None,
    calibration: Calibration | None = None,
) -> list[PredictionSet]:
    """Find the set of breeds for each query that contains its own with a given confidence.

    Parameters
    ----------
    dataset : Dataset
        The known images. Their calibration is computed once and cached.
    features : (n, d) float32
        Features of the queries.
    confidence : float
        More than 0, less than 1: with 0.9 the set is right in nine of ten cases.
    rows : (n,) int, optional
        The row of each query in the dataset, which is left out; -1 if it has none.
    calibration : Calibration, optional
        The result of `calibration_for`, to calibrate only once.

    Returns
    -------
    list of PredictionSet

    Raises
    ------
    DogsimError
        If the confidence is out of range; if too few images calibrate (9 for 0.9, 19 for 0.95),
        not counting those that the network or the head has learned from; if the head does not
        record which these are; or if so many images have no neighbour of their own breed that
        each set would contain every breed.
    """
    calibration = calibration or calibration_for(dataset, confidence)
    answers = []
    for breed_p, novelty_p in _p_values(dataset, calibration, features, rows):
        for p, new in zip(breed_p, novelty_p.tolist(), strict=True):
            order = np.argsort(-p, kind="stable")[: max(1, int((p > 1 - confidence).sum()))]
            breeds = tuple(dataset.breeds[label] for label in order)
            unknown = new <= UNKNOWN_THRESHOLD
            answers.append(PredictionSet(breeds, p, float(p.max()), new, unknown))
    return answers


def coverage(
    dataset: Dataset,
    features: NDArray[np.float32],
    truth: NDArray[np.int32],
    confidence: float,
    rows: NDArray[np.intp] | None = None,
) -> Coverage:
    """Measure how often the prediction set of a query contains its breed.

    Parameters
    ----------
    dataset : Dataset
    features : (n, d) float32
        Features of the queries.
    truth : (n,) int32
        Their labels among the breeds of the dataset; queries with other labels are left out.
    confidence : float
    rows : (n,) int, optional
        Their rows in the dataset, if they are its own images; each is left out for itself.

    Returns
    -------
    Coverage

    Raises
    ------
    DogsimError
        As `prediction_sets` does, or if no query has a known breed.
    """
    known = np.flatnonzero((truth >= 0) & (truth < len(dataset.breeds)))
    if len(known) == 0:
        raise DogsimError("No query is of a breed of the dataset. Expected one or more.")
    truth, rows = truth[known], None if rows is None else rows[known]
    sets = prediction_sets(dataset, features[known], confidence, rows)
    true_breeds = [dataset.breeds[label] for label in truth]
    covered = np.array(
        [breed in each.breeds for breed, each in zip(true_breeds, sets, strict=True)]
    )
    sizes = np.array([len(each.breeds) for each in sets])
    unknown = np.array([each.unknown for each in sets])

    def rates(some: NDArray[np.bool_]) -> tuple[float, float, float]:
        return float(covered[some].mean()), float(sizes[some].mean()), float(unknown[some].mean())

    per_breed = (
        BreedCoverage(dataset.breeds[label], int((truth == label).sum()), *rates(truth == label))
        for label in np.unique(truth)
    )
    ordered = tuple(sorted(per_breed, key=lambda each: each.coverage))
    return Coverage(confidence, *rates(np.ones(len(truth), bool)), ordered)


def _p_values(
    dataset: Dataset,
    calibration: Calibration,
    features: NDArray[np.float32],
    rows: NDArray[np.intp] | None,
) -> Iterator[tuple[Float64Array, Float64Array]]:
    """Yield the p-values of all breeds (b, c) and of the novelty (b,), one block at a time."""
    rows = np.full(len(features), -1) if rows is None else rows
    places = np.where(rows >= 0, calibration.place[rows], -1)
    for start in range(0, len(features), VOTE_BLOCK_ROWS):
        block = slice(start, start + VOTE_BLOCK_ROWS)
        squares, labels = voting_neighbours(
            dataset, calibration.rows, calibration.place, features[block], rows[block]
        )
        shares = soft_votes(squares, labels, calibration.temperature, len(dataset.breeds))
        own, novelty = (
            np.where(places[block] >= 0, scores[places[block]], np.nan)
            for scores in (calibration.own, calibration.novelty)
        )
        # Negated, because large novelty scores are unusual, and small shares.
        novel = p_values(-calibration.novelty, -novelty_scores(squares, shares), -novelty)
        yield p_values(calibration.own, shares, own), novel
