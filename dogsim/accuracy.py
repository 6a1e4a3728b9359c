"""How good the answers are: everybody is asked, and judged for each k."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError
from dogsim.retrieval.by_breed import BreedScore, Confusion
from dogsim.retrieval.by_breed import confusions as confusions  # importable from here as ever
from dogsim.retrieval.by_breed import per_breed as per_breed
from dogsim.retrieval.evaluation import Neighbours, Search
from dogsim.retrieval.query_expansion import expand
from dogsim.retrieval.scores import Accuracy as Accuracy
from dogsim.retrieval.scores import average_precisions
from dogsim.retrieval.scores import map_at_r as map_at_r
from dogsim.retrieval.scores import measure as measure
from dogsim.trust.calibration import calibration_for
from dogsim.trust.conformal import Coverage, check_confidence, coverage
from dogsim.vote import check_vote


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


def compared(
    dataset: Dataset,
    ks: Sequence[int],
    testset: Dataset | None = None,
    n_test: int | None = None,
    seed: int = 0,
    vote: str = "uniform",
) -> list[tuple[str, Accuracy]]:
    """Judge several ways to rank the same pictures, so that nobody has to guess.

    Parameters
    ----------
    dataset, testset, n_test, seed, vote
        As for `accuracy`.
    ks : sequence of int
        Numbers of neighbours.

    Returns
    -------
    list of (str, Accuracy)
        Each way at each k. ``"raw"``: the features as they are; ``"unit"``: of length 1, metric
        cosine; ``"expand"``: as `dogsim.expand` moves them. Of a dataset with views all are of
        these views.

    Raises
    ------
    DogsimError
        As `accuracy` does.
    """
    ways = {
        "raw": (dataset, "euclidean"),
        "unit": (dataset, "cosine"),
        "expand": (expand(dataset), "euclidean"),
    }
    return [
        (name, result)
        for name, (ranked, metric) in ways.items()
        for result in judge(ranked, ks, testset, n_test, metric, seed=seed, vote=vote).results
    ]


def _coverage(search: Search, confidence: float) -> Coverage:
    own = None if search.testset is not None else search.rows
    source = search.dataset if search.testset is None else search.testset
    features = source.features[search.rows]
    calibration = calibration_for(search.dataset, confidence)
    return coverage(calibration, features, search.truth, confidence, own)


def _mean_of_blocks(search: Search) -> float:
    """`map_at_r` of all queries, holding the rankings of some of them at a time."""
    precisions = np.concatenate([average_precisions(found) for found in search.blocks()])
    return float(precisions.mean()) if len(precisions) else 0.0
