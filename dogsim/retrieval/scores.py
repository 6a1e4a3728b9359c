"""The numbers that judge answers, on average over the queries."""

from dataclasses import dataclass
from html import escape
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.plumbing.tables import html_table, table
from dogsim.retrieval.evaluation import Neighbours

BINS = 15


@dataclass(frozen=True)
class Accuracy:
    """How good the k nearest neighbours are, on average over the queries.

    Attributes
    ----------
    queries, gallery : int
        How many pictures were asked, and among how many each one's neighbours were sought.
    k : int
    protocol, metric : str
    precision_at_k : float
        Part of the neighbours that have the query's breed.
    recall_at_k : float
        Part of the breed's pictures in the gallery that are among the neighbours. Queries whose
        breed the gallery does not have are left out.
    f1_at_k : float
        Harmonic mean of the two.
    vote_accuracy : float
        Part of the queries whose breed wins the vote of the neighbours.
    vote_accuracy_ci95 : (float, float)
        Its Wilson score interval (Wilson 1927, doi:10.1080/01621459.1927.10502953).
    chance : float
        What `precision_at_k` would be for neighbours drawn at random.
    """

    queries: int
    gallery: int
    k: int
    protocol: str
    metric: str
    precision_at_k: float
    recall_at_k: float
    f1_at_k: float
    vote_accuracy: float
    vote_accuracy_ci95: tuple[float, float]
    chance: float

    @property
    def heading(self) -> str:
        """Who was asked, in a line; the numbers are `columns`."""
        return (
            f"{self.queries} queries, {self.gallery} pictures to choose from, {self.metric} "
            f"distance; a neighbour by chance is right with {self.chance:.4f}"
        )

    @property
    def columns(self) -> dict[str, Any]:
        """The numbers under the names by which tables show them."""
        return {
            "k": self.k,
            "precision@k": self.precision_at_k,
            "recall@k": self.recall_at_k,
            "F1@k": self.f1_at_k,
            "vote accuracy": self.vote_accuracy,
            "its 95 % interval": self._interval,
        }

    @property
    def _interval(self) -> str:
        low, high = self.vote_accuracy_ci95
        return f"{low:.4f} to {high:.4f}"

    def __str__(self) -> str:
        return f"{self.heading}\n\n{table([self.columns])}"

    def __repr__(self) -> str:
        return (
            f"<Accuracy: P@{self.k} {self.precision_at_k:.4f}, vote {self.vote_accuracy:.4f} "
            f"({self._interval}), {self.queries} queries>"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return f"<p>{escape(self.heading)}</p>{html_table([self.columns])}"


def measure(found: Neighbours, k: int, vote: str = "uniform") -> Accuracy:
    """Judge the first k of the neighbours that were found, see `accuracy`."""
    counted = k - (found.protocol == "matlab")
    hits = (found.labels[:, :counted] == found.truth[:, None]).sum(axis=1)
    precision = float(hits.mean() / counted)
    findable = found.of_breed > 0
    recall = float((hits[findable] / found.of_breed[findable]).mean()) if findable.any() else 0.0
    right = int((found.answers(counted, vote) == found.truth).sum())
    return Accuracy(
        queries=len(hits),
        gallery=found.gallery,
        k=k,
        protocol=found.protocol,
        metric=found.metric,
        precision_at_k=precision,
        recall_at_k=recall,
        f1_at_k=2 * precision * recall / (precision + recall) if hits.any() else 0.0,
        vote_accuracy=right / len(hits),
        vote_accuracy_ci95=_wilson(right, len(hits)),
        chance=float(found.of_breed.mean() / found.gallery),
    )


def map_at_r(found: Neighbours) -> float:
    """Mean average precision at R, R being how many pictures of its breed a query could find.

    For each query the mean over i = 1..R of precision@i where neighbour i is right, and 0 where it
    is wrong (Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020,
    arXiv:2003.08505). Queries that could find none are left out.

    Parameters
    ----------
    found : Neighbours
        As many for each query as it could find at most, R. Under protocol matlab the query itself
        is the first of them, so k is R + 1.

    Returns
    -------
    float
        From 0 to 1; 1 if all R come before any other.
    """
    precisions = average_precisions(found)
    return float(precisions.mean()) if len(precisions) else 0.0


def average_precisions(found: Neighbours) -> NDArray[np.float64]:
    """Average precision at R of each query that could find something."""
    ranks = np.arange(1, found.labels.shape[1] + 1)
    hits = (found.labels == found.truth[:, None]) & (ranks <= found.of_breed[:, None])
    sums = (np.cumsum(hits, axis=1) / ranks * hits).sum(axis=1)
    findable = found.of_breed > 0
    return np.asarray(sums[findable] / found.of_breed[findable])


def calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = BINS) -> float:
    """Compute the expected calibration error: how far probability and being right lie apart.

    Answers are put into `bins` by the probability of the breed that is named; in each, the mean
    probability is held against the part that is right (Naeini et al. 2015; Guo et al. 2017,
    arXiv:1706.04599, equation 3).

    Parameters
    ----------
    probabilities : (n, c) float
        Of each breed, 0 to 1.
    labels : (n,) int
    bins : int

    Returns
    -------
    float
        From 0, where of answers at 0.7 seven of ten are right, to 1.

    >>> round(calibration_error([[0.7, 0.3], [0.7, 0.3]], [0, 1]), 6)
    0.2
    """
    table = np.asarray(probabilities, np.float64)
    sure, right = table.max(axis=1), table.argmax(axis=1) == np.asarray(labels)
    which = np.minimum((sure * bins).astype(int), bins - 1)
    gaps = np.bincount(which, sure - right, bins)
    return float(np.abs(gaps).sum() / len(table))


def _wilson(right: int, n: int) -> tuple[float, float]:
    # Wilson 1927; scipy.stats has it too (`binomtest`), but takes half a second to import.
    z = NormalDist().inv_cdf(0.975)
    middle = right + z * z / 2
    half = z * sqrt(right * (n - right) / n + z * z / 4)
    return max(middle - half, 0.0) / (n + z * z), min((middle + half) / (n + z * z), 1.0)
