"""Prediction sets: sets of breeds that contain the true one with a given confidence.

Conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005).
The share of a breed in the votes on an image is its score. The p-value of a breed for a query is
the fraction of the calibration images whose own breed has a score no larger than the score of the
candidate breed in the votes on the query. The prediction set contains the breeds with p > 1 -
confidence, and always the likeliest one.

If a new image comes from the same distribution as the dataset, its breed is missing from its set
with a probability of at most 1 - confidence: on average over the breeds if all images calibrate all
breeds, and for every breed if each breed is calibrated by its own images, see `BreedPValues`.
(Strictly this requires that the new image is among the neighbours of the known ones as well, see
Cherubin, Chatzikokolakis and Jaggi, "Exact optimization of conformal predictors", 2021; with
thousands of images this changes nothing.)
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, as_number, check_known

if TYPE_CHECKING:
    from dogsim.trust.calibration import Calibration, QueryScores

CoverageKind: TypeAlias = Literal["breed", "average"]
COVERAGES: tuple[CoverageKind, ...] = get_args(CoverageKind)
DEFAULT_COVERAGE: CoverageKind = "breed"
FULL_WEIGHT_IMAGES = 80  # with so many calibration images or more, a breed stands for itself
MIN_POOLED_IMAGES = 200  # calibration images of the breeds that a smaller breed is pooled with
UNKNOWN_THRESHOLD = 0.05  # p-value, and the fraction of known images that are called unknown

Float64Array: TypeAlias = NDArray[np.float64]


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
    p_values: Float64Array
    credibility: float
    novelty_p: float
    unknown: bool


def prediction_sets(
    calibration: "Calibration",
    features: NDArray[np.float32],
    confidence: float,
    rows: NDArray[np.intp] | None = None,
    coverage: str = DEFAULT_COVERAGE,
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
    coverage : {"breed", "average"}
        Whether the confidence holds for the images of every breed, or for all images on average.

    Raises
    ------
    DogsimError
        If `coverage` has another value.
    """
    check_coverage(coverage)
    breeds, sets = calibration.dataset.breeds, []
    for scores in calibration.scores(features, rows):
        breed_p = _breed_p_values(calibration, scores, coverage)  # (b, c)
        # Negated, because large novelty scores are unusual, but small shares.
        excluded = own_scores(-calibration.novelty, scores.place)
        novelty_p = p_values(-calibration.novelty, -scores.novelty, excluded)  # (b,)
        likeliest = np.argsort(-scores.shares, axis=1, kind="stable")  # (b, c)
        for p, order, novel in zip(breed_p, likeliest, novelty_p.tolist(), strict=True):
            inside = p[order] > 1 - confidence
            inside[0] = True  # a set without the likeliest breed would confuse
            names = tuple(breeds[label] for label in order[inside])
            sets.append(PredictionSet(names, p, float(p.max()), novel, novel <= UNKNOWN_THRESHOLD))
    return sets


def _breed_p_values(
    calibration: "Calibration", scores: "QueryScores", coverage: str
) -> Float64Array:
    """Return the p-value of each breed for each query, (b, c)."""
    excluded = own_scores(calibration.own, scores.place)  # (b,)
    if coverage == "average":
        return p_values(calibration.own, scores.shares, excluded)
    own_labels = calibration.dataset.labels[calibration.rows[scores.place]]
    return calibration.by_breed.p_values(scores.shares, excluded, own_labels)


def own_scores(calibration: Float64Array, place: NDArray[np.intp]) -> Float64Array:
    """Return the calibration scores of the queries themselves; NaN for a query without one."""
    return np.where(place >= 0, calibration[place], np.nan)


def p_values(
    calibration: Float64Array,
    scores: Float64Array,
    excluded: Float64Array | None = None,
) -> Float64Array:
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


class BreedPValues:
    """The p-values of each breed among its own images: class-conditional conformal prediction.

    The p-value of a breed compares the query with the calibration images of this breed only, so
    that the coverage holds for every breed and not only on average (Mondrian conformal prediction:
    Vovk, "Conditional validity of inductive conformal predictors", 2012, arXiv:1209.2673). Between
    two calibration scores it is interpolated, and so is never smaller than the exact one.

    A breed with few images supports no small p-value: with 8, the smallest is 1 / 9. Therefore the
    p-value of a breed with fewer than `FULL_WEIGHT_IMAGES` images is a weighted mean of its own
    p-value and that among the images of breeds with a similar number of images.

    Parameters
    ----------
    scores : (m,) float64
        The scores of the calibration images, 0 to 1; NaN does not count.
    labels : (m,) int
        Their labels.
    n_breeds : int
    """

    def __init__(self, scores: Float64Array, labels: NDArray[np.integer], n_breeds: int) -> None:
        counts = ~np.isnan(scores)
        scores, labels = scores[counts], labels[counts]
        self._of_breed = [np.sort(scores[labels == label]) for label in range(n_breeds)]
        self._sizes = np.bincount(labels, minlength=n_breeds)  # (c,)
        self._pools = {}
        for size in np.unique(self._sizes[self._sizes < FULL_WEIGHT_IMAGES]).tolist():
            breeds = pooled_breeds(self._sizes, size)
            self._pools[size] = breeds, np.sort(scores[breeds[labels]])

    def p_values(
        self, shares: Float64Array, excluded: Float64Array, labels: NDArray[np.integer]
    ) -> Float64Array:
        """Compute the p-value of each breed for each query.

        Parameters
        ----------
        shares : (b, c) float64
            The scores of the breeds for the queries.
        excluded : (b,) float64
            The calibration score of the query itself, which does not count; NaN if it has none.
        labels : (b,) int
            The label of that score.

        Returns
        -------
        (b, c) float64
            More than 0, at most 1.
        """
        columns = []
        for label, size in enumerate(self._sizes.tolist()):
            scores, weight = shares[:, label], min(size / FULL_WEIGHT_IMAGES, 1)
            own = np.where(labels == label, excluded, np.nan)
            p = weight * interpolated_p_values(self._of_breed[label], scores, own)
            if weight < 1:
                breeds, pooled = self._pools[size]
                own = np.where(breeds[labels], excluded, np.nan)
                p += (1 - weight) * p_values(pooled, scores, own)
            columns.append(p)
        return np.stack(columns, axis=1)


def pooled_breeds(sizes: NDArray[np.integer], size: int) -> NDArray[np.bool_]:
    """Choose the breeds with a similar number of images, (c,) bool.

    Those whose number differs by the smallest factor are taken, until they have
    `MIN_POOLED_IMAGES` images together, or all.

    Parameters
    ----------
    sizes : (c,) int
        The number of calibration images of each breed.
    size : int

    >>> pooled_breeds(np.array([5, 6, 150, 300, 5000]), 5).tolist()
    [True, True, True, True, False]
    """
    factors = np.abs(np.log(np.maximum(sizes, 1) / max(size, 1)))  # (c,)
    order = np.argsort(factors, kind="stable")
    enough = np.flatnonzero(np.cumsum(sizes[order]) >= MIN_POOLED_IMAGES)
    last = order[enough[0]] if len(enough) else order[-1]
    return np.asarray(factors <= factors[last])


def interpolated_p_values(
    calibration: Float64Array, scores: Float64Array, excluded: Float64Array
) -> Float64Array:
    """Compute `p_values`, with linear interpolation between two calibration scores.

    Parameters
    ----------
    calibration : (m,) float64
        Ascending.
    scores, excluded : (n,) float64
        As for `p_values`.

    >>> no = np.array([np.nan])
    >>> interpolated_p_values(np.array([0.1, 0.3]), np.array([0.2]), no) * 3
    array([2.5])
    """
    p = p_values(calibration, scores, excluded)
    if len(calibration) < 2:
        return p
    counts = np.searchsorted(calibration, scores, side="right")
    between = (counts > 0) & (counts < len(calibration)) & np.isnan(excluded)
    below = calibration[np.maximum(counts, 1) - 1]
    above = calibration[np.minimum(counts, len(calibration) - 1)]
    steps = np.divide(scores - below, above - below, out=np.zeros(len(p)), where=between)
    return np.asarray(p + steps / (len(calibration) + 1))


def check_confidence(confidence: float) -> None:
    """Raise `DogsimError` unless a confidence is more than 0 and less than 1."""
    expected = "more than 0 and less than 1, as 0.9"
    if not 0 < as_number("confidence", confidence, expected) < 1:
        raise DogsimError(f"Received confidence={confidence}. Expected {expected}.")


def check_coverage(coverage: object) -> None:
    """Raise `DogsimError` unless a kind of coverage is one of `COVERAGES`."""
    check_known("coverage", coverage, COVERAGES)
