"""Scores of neighbours: precision, recall, F1, vote accuracy, MAP@R, and tables by breed."""

from collections import Counter
from dataclasses import dataclass, replace
from html import escape
from math import sqrt
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.errors import DogsimError, as_integer, counted
from dogsim.plumbing.arrays import WHOLE, as_numbers
from dogsim.plumbing.tables import html_table, table
from dogsim.vote import majority_vote, vote_weights

MAX_BINS = 1_000_000


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The k nearest neighbours of n queries, with the labels that score them.

    Attributes
    ----------
    k : int
    truth : (n,) int32
        Label of each query among the gallery's breeds; the number of breeds if its breed is not in
        the gallery.
    labels : (n, k) int32
        Labels of its neighbours, nearest first. Protocol matlab counts k - 1 of k neighbours, so
        this and the next two arrays have k - 1 columns.
    distances : (n, k) float64
    indices : (n, k) int
        Rows of the neighbours in the gallery.
    rows : (n,) int
        Rows of the queries in their own dataset.
    n_relevant : (n,) int
        Number of gallery images of the query's breed, without those that the query leaves out.
    n_compared : (n,) int
        Number of gallery images that each query is compared with.
    breeds : tuple of str
        Names of the labels; the last one stands for breeds that are not in the gallery.
    protocol, metric, vote : str
    """

    k: int
    truth: NDArray[np.int32]
    labels: NDArray[np.int32]
    distances: NDArray[np.float64]
    indices: NDArray[np.intp]
    rows: NDArray[np.intp]
    n_relevant: NDArray[np.intp]
    n_compared: NDArray[np.intp]
    breeds: tuple[str, ...]
    protocol: str
    metric: str
    vote: str

    def first(self, k: int) -> "Neighbours":
        """Return the k nearest of these neighbours, as views of the same arrays."""
        columns = slice(k - (self.protocol == "matlab"))
        arrays = ("labels", "distances", "indices")
        return replace(self, k=k, **{name: getattr(self, name)[:, columns] for name in arrays})

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether each neighbour has the query's breed, (n, k)."""
        return np.asarray(self.labels == self.truth[:, None])

    @property
    def predictions(self) -> NDArray[np.int32]:
        """Labels that win the vote, (n,)."""
        return majority_vote(self.labels, vote_weights(self.distances, self.vote, self.labels))


@dataclass(frozen=True)
class Accuracy:
    """Mean scores of the k nearest neighbours over all queries.

    Attributes
    ----------
    queries, gallery : int
        Number of queries, and of gallery images that a query is compared with at most.
    k : int
    protocol, metric : str
    precision_at_k : float
        Fraction of the neighbours that have the query's breed.
    recall_at_k : float
        Fraction of the breed's gallery images that are among the neighbours. Queries whose breed
        is not in the gallery are left out.
    f1_at_k : float
        Harmonic mean of precision and recall.
    vote_accuracy : float
        Fraction of the queries whose breed wins the vote of the neighbours.
    vote_accuracy_ci95 : (float, float)
        Wilson score interval of the vote accuracy (Wilson 1927,
        doi:10.1080/01621459.1927.10502953).
    chance : float
        Chance level: the expected `precision_at_k` of neighbours drawn at random.
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
        """Number of queries, gallery, metric and chance level, in one line."""
        queries, gallery = counted(self.queries, "query", "queries"), counted(self.gallery, "image")
        chance = f"chance level {self.chance:.4f}"
        return f"{queries}, gallery of {gallery}, {self.metric} distance; {chance}"

    @property
    def columns(self) -> dict[str, Any]:
        """Scores by their names in tables."""
        return {
            "k": self.k,
            "precision@k": self.precision_at_k,
            "recall@k": self.recall_at_k,
            "F1@k": self.f1_at_k,
            "vote accuracy": self.vote_accuracy,
            "95 % interval": self._interval,
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
            f"({self._interval}), {counted(self.queries, 'query', 'queries')}>"
        )

    def _repr_html_(self) -> str:
        """Return HTML for a notebook."""
        return f"<p>{escape(self.heading)}</p>{html_table([self.columns])}"


@dataclass(frozen=True)
class BreedScore:
    """Scores of the queries of one breed."""

    breed: str
    queries: int
    precision_at_k: float
    vote_accuracy: float


@dataclass(frozen=True)
class Confusion:
    """A pair of breeds that the vote confuses.

    Attributes
    ----------
    breed, taken_for : str
        Breed of the queries, and the breed that won their vote.
    count : int
        Number of these queries.
    part : float
        Their fraction of all queries of that breed.
    """

    breed: str
    taken_for: str
    count: int
    part: float


def measure(found: Neighbours) -> Accuracy:
    """Compute the mean scores of neighbours, see `Accuracy`."""
    n_hits = found.hits.sum(axis=1)  # (n,)
    precision = float(n_hits.mean() / found.labels.shape[1])
    relevant = found.n_relevant > 0
    recalls = n_hits[relevant] / found.n_relevant[relevant]
    recall = float(recalls.mean()) if len(recalls) else 0.0
    correct = int((found.predictions == found.truth).sum())
    return Accuracy(
        queries=len(n_hits),
        gallery=int(found.n_compared.max()),
        k=found.k,
        protocol=found.protocol,
        metric=found.metric,
        precision_at_k=precision,
        recall_at_k=recall,
        f1_at_k=2 * precision * recall / (precision + recall) if n_hits.any() else 0.0,
        vote_accuracy=correct / len(n_hits),
        vote_accuracy_ci95=wilson_interval(correct / len(n_hits), len(n_hits)),
        chance=float((found.n_relevant / found.n_compared).mean()),
    )


def per_breed(found: Neighbours) -> list[BreedScore]:
    """Compute the scores of each breed, lowest vote accuracy first."""
    precision = found.hits.mean(axis=1)  # (n,)
    correct = found.predictions == found.truth
    members = ((label, found.truth == label) for label in np.unique(found.truth))
    scores = [
        BreedScore(
            breed=found.breeds[label],
            queries=int(of_breed.sum()),
            precision_at_k=float(precision[of_breed].mean()),
            vote_accuracy=float(correct[of_breed].mean()),
        )
        for label, of_breed in members
    ]
    return sorted(scores, key=lambda score: (score.vote_accuracy, score.precision_at_k))


def confusions(found: Neighbours) -> list[Confusion]:
    """List the pairs of breeds that the vote confuses, most frequent first."""
    n_queries = Counter(found.truth.tolist())
    pairs = Counter(zip(found.truth.tolist(), found.predictions.tolist(), strict=True))
    return [
        Confusion(
            breed=found.breeds[truth],
            taken_for=found.breeds[answer] if answer >= 0 else "unknown",
            count=count,
            part=count / n_queries[truth],
        )
        for (truth, answer), count in pairs.most_common()
        if truth != answer
    ]


def average_precisions(found: Neighbours) -> NDArray[np.float64]:
    """Compute the average precision at R of each query; their mean is MAP@R.

    R is the number of relevant images; `found` has at least R neighbours of each query. The average
    precision is the mean over i = 1..R of precision@i where neighbour i is relevant, and 0 where it
    is not (Musgrave, Belongie and Lim, "A Metric Learning Reality Check", 2020, arXiv:2003.08505).
    Returns (m,) float64 from 0 to 1, for the m queries that have relevant images.
    """
    ranks = np.arange(1, found.labels.shape[1] + 1)
    hits = found.hits & (ranks <= found.n_relevant[:, None])  # (n, k)
    sums = (np.cumsum(hits, axis=1) / ranks * hits).sum(axis=1)  # (n,)
    relevant = found.n_relevant > 0
    return np.asarray(sums[relevant] / found.n_relevant[relevant])


def calibration_error(probabilities: ArrayLike, labels: ArrayLike, bins: int = 15) -> float:
    """Compute the expected calibration error.

    Predictions are binned by their probability. In each bin, the mean probability is compared with
    the fraction that is correct (Naeini et al. 2015; Guo et al. 2017, arXiv:1706.04599,
    equation 3).

    Parameters
    ----------
    probabilities : (n, c) float
        Probability of each breed, 0 to 1.
    labels : (n,) int
    bins : int

    Returns
    -------
    float
        From 0 (of predictions with probability 0.7, 70 % are correct) to 1.

    Raises `DogsimError` if the shapes do not fit each other or a number is out of range.

    >>> round(calibration_error([[0.7, 0.3], [0.7, 0.3]], [0, 1]), 6)
    0.2
    """
    table = as_numbers("probabilities", probabilities, ndim=2).astype(np.float64)  # (n, c)
    truth = as_numbers("labels", labels, WHOLE, ndim=1)  # (n,)
    bins = as_integer("bins", bins, 1, MAX_BINS)
    possible = table.size and ((table >= 0) & (table <= 1 + 1e-6)).all()  # false for NaN
    if not possible or truth.shape != (len(table),):
        raise DogsimError(
            f"Received probabilities {table.shape} and labels {truth.shape}. Expected (n, c) "
            "numbers from 0 to 1 and (n,), n and c of at least 1."
        )
    confidence, correct = table.max(axis=1), table.argmax(axis=1) == truth  # (n,)
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, confidence - correct, bins)  # (bins,)
    return float(np.abs(gaps).sum() / len(table))


def wilson_interval(fraction: float, n: float) -> tuple[float, float]:
    """Compute the 95 % interval of a fraction of n cases (Wilson 1927)."""
    # scipy.stats has it too (`binomtest`), but takes half a second to import.
    z = NormalDist().inv_cdf(0.975)
    middle = fraction * n + z * z / 2
    half = z * sqrt(n * fraction * (1 - fraction) + z * z / 4)
    return max(middle - half, 0.0) / (n + z * z), min((middle + half) / (n + z * z), 1.0)
