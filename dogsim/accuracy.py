"""How good the answers are, on average and in all."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from dogsim.by_breed import BreedScore, Confusion
from dogsim.by_breed import confusions as confusions  # importable from here as ever
from dogsim.by_breed import per_breed as per_breed
from dogsim.dataset import DatasetOrFile, as_dataset
from dogsim.errors import DogsimError
from dogsim.neighbours import Neighbours, Search
from dogsim.trust.confidence import check_confidence
from dogsim.trust.coverage import Coverage, coverage
from dogsim.vote import check_vote


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


@dataclass(frozen=True)
class Judgement:
    """What `judge` found; what was not asked for is None.

    Attributes
    ----------
    results : tuple of Accuracy
        One for each k.
    map_at_r : float, optional
    per_breed : tuple of BreedScore, optional
    confusions : tuple of Confusion, optional
    in_both : int, optional
        How many of a test set's pictures are in the dataset as well.
    trained_on : int
        How many of the queries the network or the head has learned from, see
        `dogsim.sameness.learned`.
    coverage : Coverage, optional
        How often sets of breeds hold the true one.
    """

    results: tuple[Accuracy, ...]
    map_at_r: float | None = None
    per_breed: tuple[BreedScore, ...] | None = None
    confusions: tuple[Confusion, ...] | None = None
    in_both: int | None = None
    trained_on: int = 0
    coverage: Coverage | None = None


def accuracy(
    dataset: DatasetOrFile,
    k: int = 20,
    testset: DatasetOrFile | None = None,
    n_test: int | None = None,
    metric: str = "euclidean",
    protocol: str = "honest",
    seed: int = 0,
    vote: str = "uniform",
) -> Accuracy:
    """Judge the neighbours that a dataset gives.

    MATLAB: ``accuracy.m``.

    Parameters
    ----------
    dataset : Dataset or path
        The gallery.
    k : int
        How many neighbours.
    testset : Dataset or path, optional
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
    vote : {"uniform", "distance"}
        Every neighbour has one vote, or one that weighs 1 / distance.

    Returns
    -------
    Accuracy

    Raises
    ------
    DogsimError
        If k, `n_test`, the metric or the protocol is wrong, or no query has a known breed.

    >>> from dogsim import Dataset
    >>> four = Dataset(np.array([[0.0], [1.0], [5.0], [6.0]]), np.array([0, 0, 1, 1]),
    ...                ("a", "b", "c", "d"), ("pug", "whippet"))
    >>> accuracy(four, k=1).precision_at_k, accuracy(four, k=3).recall_at_k
    (1.0, 1.0)
    """
    return judge(dataset, [k], testset, n_test, metric, protocol, seed, vote).results[0]


def judge(
    dataset: DatasetOrFile,
    ks: Sequence[int],
    testset: DatasetOrFile | None = None,
    n_test: int | None = None,
    metric: str = "euclidean",
    protocol: str = "honest",
    seed: int = 0,
    vote: str = "uniform",
    with_map: bool = False,
    with_breeds: bool = False,
    with_confusions: bool = False,
    confidence: float | None = None,
    found: Neighbours | None = None,
) -> Judgement:
    """Judge a dataset for several k by one search, and look closer where that is asked for.

    Parameters
    ----------
    dataset, testset, n_test, metric, protocol, seed, vote
        As for `accuracy`.
    ks : sequence of int
        Numbers of neighbours; breeds and confusions are judged at the largest.
    with_map, with_breeds, with_confusions : bool
        Whether to fill the fields `map_at_r`, `per_breed` and `confusions` as well.
    confidence : float, optional
        Fill the field `coverage` as well, for sets of breeds with that promise.
    found : Neighbours, optional
        Of `find_neighbours` with the same arguments and the largest k or more, where that has been
        done already.

    Returns
    -------
    Judgement

    Raises
    ------
    DogsimError
        As `accuracy` does.
    """
    gallery, queries = as_dataset(dataset), None if testset is None else as_dataset(testset)
    search = Search(gallery, queries, n_test, metric, protocol, seed)
    check_vote(vote)
    if confidence is not None:
        check_confidence(confidence)
    if not ks:
        raise DogsimError("Received no k. Expected one k or more.")
    for k in ks:
        search.check_k(k)
    largest = max(ks)
    found = search.neighbours(largest) if found is None else found
    return Judgement(
        results=tuple(measure(found, k, vote) for k in ks),
        map_at_r=_mean_of_blocks(search) if with_map else None,
        per_breed=tuple(per_breed(found, largest, vote)) if with_breeds else None,
        confusions=tuple(confusions(found, largest, vote)) if with_confusions else None,
        in_both=None if queries is None else search.in_both(),
        trained_on=search.trained_on(),
        coverage=None if confidence is None else _coverage(search, confidence),
    )


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
    precisions = _average_precisions(found)
    return float(precisions.mean()) if len(precisions) else 0.0


def _coverage(search: Search, confidence: float) -> Coverage:
    own = None if search.testset is not None else search.rows
    source = search.dataset if search.testset is None else search.testset
    features = source.features[search.rows]
    return coverage(search.dataset, features, search.truth, confidence, own)


def _mean_of_blocks(search: Search) -> float:
    """`map_at_r` of all queries, holding the rankings of some of them at a time."""
    precisions = np.concatenate([_average_precisions(found) for found in search.blocks()])
    return float(precisions.mean()) if len(precisions) else 0.0


def _average_precisions(found: Neighbours) -> NDArray[np.float64]:
    """Average precision at R of each query that could find something."""
    ranks = np.arange(1, found.labels.shape[1] + 1)
    hits = (found.labels == found.truth[:, None]) & (ranks <= found.of_breed[:, None])
    sums = (np.cumsum(hits, axis=1) / ranks * hits).sum(axis=1)
    findable = found.of_breed > 0
    return np.asarray(sums[findable] / found.of_breed[findable])


def _wilson(right: int, n: int) -> tuple[float, float]:
    # Wilson 1927; scipy.stats has it too (`binomtest`), but takes half a second to import.
    z = NormalDist().inv_cdf(0.975)
    middle = right + z * z / 2
    half = z * sqrt(right * (n - right) / n + z * z / 4)
    return max(middle - half, 0.0) / (n + z * z), min((middle + half) / (n + z * z), 1.0)
