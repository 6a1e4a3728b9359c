"""Coverage of prediction sets, and a test without labels whether it holds for some images.

Coverage is how often a set contains the breed of the query. If queries come from the same
distribution as the dataset, their novelty p-values are uniform: a twentieth of them is at most
0.05. More of them show that the images differ, so that the accuracy and the coverage that were
measured on the dataset do not hold for them.
"""

from dataclasses import dataclass
from math import exp, lgamma

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.errors import DogsimError
from dogsim.retrieval.scores import wilson_interval
from dogsim.trust.calibration import Calibration
from dogsim.trust.conformal import (
    DEFAULT_COVERAGE,
    UNKNOWN_THRESHOLD,
    PredictionSet,
    prediction_sets,
)

MIN_TESTED_IMAGES = 20
SIGNIFICANCE_LEVEL = 0.01


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
    coverage_kind : str
        "breed" or "average", see `dogsim.trust.conformal.prediction_sets`.
    coverage : float
        The fraction of the queries whose breed is in their set. With leave-one-out it equals the
        confidence by construction; a test set and `per_breed` measure more.
    coverage_ci95 : (float, float)
        Its 95 % interval (Wilson). It also allows for the finite number of calibration images: n
        queries and m of these count as n m / (n + m).
    coverage_reached : bool
        Whether the confidence is not above that interval.
    coverage_of_shown : float, optional
        The coverage for the queries that are not called unknown, whose sets are shown; None if
        there are none.
    mean_set_size : float
        Mean number of breeds in a set.
    unknown_rate : float
        The fraction of the queries that are wrongly called unknown.
    differs_from_dataset : bool, optional
        Whether the novelty of the queries shows that they differ from the dataset, see
        `novelty_test`; None for fewer than 20.
    per_breed : tuple of BreedCoverage
        The lowest coverage first.
    """

    confidence: float
    coverage_kind: str
    coverage: float
    coverage_ci95: tuple[float, float]
    coverage_reached: bool
    coverage_of_shown: float | None
    mean_set_size: float
    unknown_rate: float
    differs_from_dataset: bool | None
    per_breed: tuple[BreedCoverage, ...]

    @property
    def shortfall(self) -> str:
        """One line if the confidence is not reached, "" if it is."""
        if self.coverage_reached:
            return ""
        low, high = self.coverage_ci95
        return (
            f"coverage {self.coverage:.2f} (95 % interval {low:.2f} to {high:.2f}) is below the "
            f"target {self.confidence:.2f}"
        )

    @property
    def difference(self) -> str:
        """One line if the queries differ from the dataset, "" if not."""
        return difference_text(self.unknown_rate) if self.differs_from_dataset else ""


def measure_coverage(
    calibration: Calibration,
    features: NDArray[np.float32],
    truth: NDArray[np.int32],
    confidence: float,
    rows: NDArray[np.intp] | None = None,
    coverage: str = DEFAULT_COVERAGE,
) -> Coverage:
    """Measure how often the prediction set of a query contains its breed.

    Parameters
    ----------
    calibration, features, confidence, rows, coverage
        As for `dogsim.trust.conformal.prediction_sets`.
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
    sets = prediction_sets(calibration, features[known], confidence, rows, coverage)
    results = SetResults.of(sets, [breeds[label] for label in truth])
    fraction, size, unknown_rate = results.means()
    interval = _interval(fraction, len(known), calibration.n_calibrating)
    novelty = novelty_test([each.novelty_p for each in sets], calibration.n_calibrating)
    return Coverage(
        confidence=confidence,
        coverage_kind=coverage,
        coverage=fraction,
        coverage_ci95=interval,
        coverage_reached=confidence <= interval[1],
        coverage_of_shown=results.coverage_of_shown,
        mean_set_size=size,
        unknown_rate=unknown_rate,
        differs_from_dataset=novelty.differs if novelty else None,
        per_breed=_by_breed(results, truth, breeds),
    )


def _interval(fraction: float, n: int, n_calibrating: int) -> tuple[float, float]:
    return wilson_interval(fraction, n * n_calibrating / (n + n_calibrating))


@dataclass(frozen=True, eq=False)
class SetResults:
    """What is measured on the prediction set of each query, three arrays (n,)."""

    covered: NDArray[np.bool_]
    sizes: NDArray[np.intp]
    unknown: NDArray[np.bool_]

    @classmethod
    def of(cls, sets: list[PredictionSet], truth: list[str]) -> "SetResults":
        """Compare prediction sets with the true breeds."""
        return cls(
            covered=np.array([breed in x.breeds for breed, x in zip(truth, sets, strict=True)]),
            sizes=np.array([len(each.breeds) for each in sets]),
            unknown=np.array([each.unknown for each in sets]),
        )

    def means(self, some: NDArray[np.bool_] | slice = slice(None)) -> tuple[float, float, float]:
        """Return the means over some queries."""
        arrays = self.covered[some], self.sizes[some], self.unknown[some]
        coverage, size, unknown_rate = (float(each.mean()) for each in arrays)
        return coverage, size, unknown_rate

    @property
    def coverage_of_shown(self) -> float | None:
        """The coverage of the queries that are not called unknown, None if there are none."""
        return None if self.unknown.all() else float(self.covered[~self.unknown].mean())


def _by_breed(
    results: SetResults, truth: NDArray[np.int32], breeds: tuple[str, ...]
) -> tuple[BreedCoverage, ...]:
    per_breed = (
        BreedCoverage(breeds[label], int((truth == label).sum()), *results.means(truth == label))
        for label in np.unique(truth)
    )
    return tuple(sorted(per_breed, key=lambda each: each.coverage))


@dataclass(frozen=True)
class NoveltyTest:
    """The result of the test.

    Attributes
    ----------
    fraction : float
        The fraction of the images with a novelty p-value of at most 0.05.
    p : float
        The probability of this fraction or a larger one for images like those of the dataset.
    """

    fraction: float
    p: float

    @property
    def differs(self) -> bool:
        """Whether the images differ from the dataset."""
        return self.p <= SIGNIFICANCE_LEVEL

    @property
    def text(self) -> str:
        """One line if the images differ, "" if not."""
        return difference_text(self.fraction) if self.differs else ""


def difference_text(fraction: float) -> str:
    """Return the line for images of which a fraction is novel."""
    return (
        f"these images differ from the dataset ({100 * fraction:.0f} % have a higher novelty score "
        "than 95 % of the dataset): expect worse answers"
    )


def novelty_test(novelty_p: ArrayLike, n_calibrating: int) -> NoveltyTest | None:
    """Test whether images differ from a dataset; None for fewer than 20 images.

    Exact: of n images like the m that calibrate, the number with a higher score than 95 % of these
    has a beta-binomial distribution, because the l-th largest of m scores is exceeded with a
    probability of Beta(l, m + 1 - l).

    Parameters
    ----------
    novelty_p : (n,) float
        See `dogsim.trust.conformal.PredictionSet`.
    n_calibrating : int
        m.

    >>> novelty_test([0.01] * 6 + [0.5] * 24, 1000).differs, novelty_test([0.5] * 24, 1000).differs
    (True, False)
    """
    values = np.asarray(novelty_p, np.float64)
    n, level = len(values), int(UNKNOWN_THRESHOLD * (n_calibrating + 1) + 1e-9)
    if n < MIN_TESTED_IMAGES or level == 0:
        return None
    count = int((values <= UNKNOWN_THRESHOLD).sum())
    others = n_calibrating + 1 - level
    terms = (exp(_log_beta_binomial(k, n, level, others)) for k in range(count, n + 1))
    return NoveltyTest(count / n, min(sum(terms), 1.0))


def _log_beta_binomial(k: int, n: int, a: float, b: float) -> float:
    binomial = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)
    return binomial + _log_beta(k + a, n - k + b) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
