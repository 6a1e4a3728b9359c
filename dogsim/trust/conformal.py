"""Prediction sets: sets of breeds that contain the true one with a given confidence.

Conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005).
The share of a breed in the vote on an image is its score. The p-value of a breed for a query is the
fraction of the calibration images whose own breed has a score no larger than the score of the
candidate breed in the vote on the query. The prediction set contains the breeds with p > 1 -
confidence. If a new image comes from the same distribution as the dataset, its breed is missing
from its set with a probability of at most 1 - confidence, on average over the breeds. (Strictly
this requires that the new image is among the neighbours of the known ones as well, see Cherubin,
Chatzikokolakis and Jaggi, "Exact optimization of conformal predictors", 2021; with thousands of
images this changes nothing.)
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, as_number

if TYPE_CHECKING:
    from dogsim.trust.calibration import Calibration

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
        p-value of the novelty score: the fraction of the known images with such a score or more.
    unknown : bool
        Whether the image has none of the known breeds: novelty_p is at most 0.05.
    """

    breeds: tuple[str, ...]
    p_values: NDArray[np.float64]
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
        confidence by construction; a test set and `per_breed` measure more.
    mean_set_size : float
        Mean number of breeds in a set.
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
    calibration: "Calibration",
    features: NDArray[np.float32],
    confidence: float,
    rows: NDArray[np.intp] | None = None,
) -> list[PredictionSet]:
    """Find for each query the set of breeds that contains its own with a given confidence.

    Parameters
    ----------
    calibration : Calibration
        The result of `dogsim.trust.calibration.calibration_for` for the same confidence.
    features : (n, d) float32
        Features of the queries.
    confidence : float
        More than 0, less than 1: with 0.9, nine of ten sets contain the breed of the query.
    rows : (n,) int, optional
        The row of each query in the dataset, which is left out; -1 if it has none.
    """
    sets = []
    for shares, novelty, excluded, excluded_novelty in calibration.scores(features, rows):
        breed_p = p_values(calibration.own, shares, excluded)  # (b, c)
        # Negated, because large novelty scores are unusual, but small shares.
        novelty_p = p_values(-calibration.novelty, -novelty, -excluded_novelty)  # (b,)
        for p, novel in zip(breed_p, novelty_p.tolist(), strict=True):
            order = np.argsort(-p, kind="stable")[: max(1, int((p > 1 - confidence).sum()))]
            breeds = tuple(calibration.dataset.breeds[label] for label in order)
            sets.append(PredictionSet(breeds, p, float(p.max()), novel, novel <= UNKNOWN_THRESHOLD))
    return sets


def coverage(
    calibration: "Calibration",
    features: NDArray[np.float32],
    truth: NDArray[np.int32],
    confidence: float,
    rows: NDArray[np.intp] | None = None,
) -> Coverage:
    """Measure how often the prediction set of a query contains its breed.

    Parameters
    ----------
    calibration, features, confidence, rows
        As for `prediction_sets`.
    truth : (n,) int32
        Labels of the queries among the breeds of the dataset; queries with other labels are left
        out.

    Raises
    ------
    DogsimError
        If no query has a known breed.
    """
    breeds = calibration.dataset.breeds
    known = np.flatnonzero((truth >= 0) & (truth < len(breeds)))
    if len(known) == 0:
        raise DogsimError("No query is of a breed of the dataset. Expected one or more.")
    truth, rows = truth[known], None if rows is None else rows[known]
    sets = prediction_sets(calibration, features[known], confidence, rows)
    covered = np.array([breeds[i] in each.breeds for i, each in zip(truth, sets, strict=True)])
    sizes = np.array([len(each.breeds) for each in sets])
    unknown = np.array([each.unknown for each in sets])

    def rates(some: NDArray[np.bool_]) -> tuple[float, float, float]:
        return float(covered[some].mean()), float(sizes[some].mean()), float(unknown[some].mean())

    per_breed = (
        BreedCoverage(breeds[label], int((truth == label).sum()), *rates(truth == label))
        for label in np.unique(truth)
    )
    ordered = tuple(sorted(per_breed, key=lambda each: each.coverage))
    return Coverage(confidence, *rates(np.ones(len(truth), bool)), ordered)


def p_values(
    calibration: NDArray[np.float64],
    scores: NDArray[np.float64],
    excluded: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Compute conformal p-values: the fraction of scores, its own included, that are no larger.

    Parameters
    ----------
    calibration : (m,) float64
        Conformity scores of the calibration images; NaN does not count.
    scores : (n, c) or (n,) float64
    excluded : (n,) float64, optional
        For each row one calibration score that does not count for it; NaN if all count.

    Returns
    -------
    (n, c) or (n,) float64
        From 1 / (m + 1) to 1.

    >>> p_values(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.2, 1.0]))
    array([0.25, 0.75, 1.  ])
    """
    calibration = np.sort(calibration[~np.isnan(calibration)])
    counts = np.searchsorted(calibration, scores, side="right")
    total = np.full(len(scores), len(calibration))
    column = (-1, *[1] * (scores.ndim - 1))  # the shape that broadcasts (n,) over (n, c)
    if excluded is not None:
        counts = counts - (excluded.reshape(column) <= scores)
        total -= ~np.isnan(excluded)
    return np.asarray((counts + 1) / (total.reshape(column) + 1))


def check_confidence(confidence: float) -> None:
    """Raise `DogsimError` unless a confidence is more than 0 and less than 1."""
    expected = "more than 0 and less than 1, as 0.9"
    if not 0 < as_number("confidence", confidence, expected) < 1:
        raise DogsimError(f"Received confidence={confidence}. Expected {expected}.")
