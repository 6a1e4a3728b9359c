"""How good the answers are."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.classify import majority_vote
from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError, unknown

PROTOCOLS = ("honest", "matlab")


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


def accuracy(
    dataset: Dataset,
    k: int = 20,
    testset: Dataset | None = None,
    n_test: int | None = None,
    metric: str = "euclidean",
    protocol: str = "honest",
    seed: int = 0,
) -> Accuracy:
    """Judge the neighbours that a dataset gives.

    MATLAB: ``accuracy.m``.

    Parameters
    ----------
    dataset : Dataset
        The gallery.
    k : int
        How many neighbours.
    testset : Dataset, optional
        The queries. By default the dataset's own pictures, each one left out of its gallery.
    n_test : int, optional
        Draw that many queries at random. MATLAB: 50.
    metric : str
        One of `dogsim.METRICS`.
    protocol : {"honest", "matlab"}
        ``"matlab"`` counts as the MATLAB project did: the query is its own first neighbour, and
        the first k - 1 of the k neighbours count.
    seed : int
        For drawing the queries.

    Returns
    -------
    Accuracy

    Raises
    ------
    DogsimError
        If k, `n_test`, the metric or the protocol is wrong, or no query has a known breed.

    >>> four = Dataset(np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1]),
    ...                ("a", "b", "c", "d"), ("pug", "whippet"))
    >>> accuracy(four, k=1).precision_at_k, accuracy(four, k=3).recall_at_k
    (1.0, 1.0)
    """
    queries = _queries(dataset, testset, n_test, seed)
    neighbours = dataset.labels[_neighbours(dataset, queries, k, metric, protocol)]
    in_gallery = np.bincount(dataset.labels + 1, minlength=len(dataset.breeds) + 2)
    left_out = int(queries.rows is not None and protocol == "honest")
    of_breed = in_gallery[queries.truth + 1] - left_out
    hits = (neighbours == queries.truth[:, None]).sum(axis=1)
    precision = float(hits.mean() / neighbours.shape[1])
    findable = of_breed > 0
    recall = float((hits[findable] / of_breed[findable]).mean()) if findable.any() else 0.0
    right = int((majority_vote(neighbours) == queries.truth).sum())
    return Accuracy(
        queries=len(queries.truth),
        gallery=len(dataset) - left_out,
        k=k,
        protocol=protocol,
        metric=metric,
        precision_at_k=precision,
        recall_at_k=recall,
        f1_at_k=2 * precision * recall / (precision + recall) if hits.any() else 0.0,
        vote_accuracy=right / len(hits),
        vote_accuracy_ci95=_wilson(right, len(hits)),
        chance=float(of_breed.mean() / (len(dataset) - left_out)),
    )


@dataclass(frozen=True, eq=False)
class _Queries:
    truth: NDArray[np.int32]  # (n,) label among the gallery's breeds; their number if not there
    features: NDArray[np.float32]  # (n, d)
    rows: NDArray[np.intp] | None  # (n,) own rows in the gallery, None for another test set


def _queries(dataset: Dataset, testset: Dataset | None, n_test: int | None, seed: int) -> _Queries:
    source = dataset if testset is None else testset
    rows = np.flatnonzero(source.labels >= 0)
    if len(rows) == 0:
        raise DogsimError("No query has a known breed. Expected labels of 0 and more.")
    if n_test is not None:
        if not 1 <= n_test <= len(rows):
            raise DogsimError(f"Received n_test={n_test}. Expected 1 to {len(rows)} queries.")
        rows = np.sort(np.random.default_rng(seed).choice(rows, n_test, replace=False))
    if testset is None:
        return _Queries(dataset.labels[rows], dataset.features[rows], rows)
    dataset.require_comparable(testset)
    label_of = {breed: label for label, breed in enumerate(dataset.breeds)}
    here = np.array([label_of.get(breed, len(dataset.breeds)) for breed in testset.breeds])
    return _Queries(here[testset.labels[rows]].astype(np.int32), testset.features[rows], None)


def _neighbours(
    dataset: Dataset, queries: _Queries, k: int, metric: str, protocol: str
) -> NDArray[np.intp]:
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if protocol == "honest":
        return nearest(dataset, queries.features, k, metric, queries.rows)[1]
    if queries.rows is None:
        raise DogsimError("Protocol matlab takes its queries from the dataset itself.")
    if k < 2:
        raise DogsimError(f"Received k={k}. Protocol matlab counts k - 1 of k: give 2 or more.")
    others = nearest(dataset, queries.features, k - 1, metric, queries.rows)[1]
    return np.column_stack([queries.rows, others])[:, : k - 1]


def _wilson(right: int, n: int) -> tuple[float, float]:
    from scipy.stats import binomtest  # slow to import, and needed here only

    interval = binomtest(right, n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)
