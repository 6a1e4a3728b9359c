"""Who is asked, and who answers: the search that judging shares with all that builds on it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import BLOCK_BYTES, check_k, check_metric, nearest
from dogsim.errors import DogsimError, unknown
from dogsim.image_files.labels import breed_key
from dogsim.retrieval.identity import in_gallery, learned
from dogsim.vote import majority_vote, vote_weights

PROTOCOLS = ("honest", "matlab")


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The neighbours of all queries, ready to be judged.

    Attributes
    ----------
    truth : (n,) int32
        Each query's label among the gallery's breeds; their number if the gallery has not got it.
    labels : (n, k) int32
        Those of its neighbours, nearest first.
    distances : (n, k) float64
        Their distances.
    indices : (n, k) int
        Their rows in the gallery.
    rows : (n,) int
        Those of the queries in their own dataset.
    of_breed : (n,) int
        How many pictures of the query's breed could be found.
    gallery : int
        Among how many pictures each query's neighbours were sought.
    breeds : tuple of str
        Names of the labels; the last one stands for breeds that the gallery has not got.
    protocol, metric : str
        As asked for.
    """

    truth: NDArray[np.int32]
    labels: NDArray[np.int32]
    distances: NDArray[np.float64]
    indices: NDArray[np.intp]
    rows: NDArray[np.intp]
    of_breed: NDArray[np.intp]
    gallery: int
    breeds: tuple[str, ...]
    protocol: str
    metric: str

    def answers(self, k: int, vote: str = "uniform") -> NDArray[np.int32]:
        """What the first k neighbours of each query say it is, (n,): the label that wins."""
        weights = vote_weights(self.distances[:, :k], vote)
        return majority_vote(self.labels[:, :k], weights)


def find_neighbours(
    dataset: Dataset,
    k: int | None,
    testset: Dataset | None = None,
    n_test: int | None = None,
    metric: str = "euclidean",
    protocol: str = "honest",
    seed: int = 0,
) -> Neighbours:
    """Find the neighbours of the queries, see `dogsim.accuracy` for the arguments.

    With k None each query gets as many neighbours as the commonest breed has pictures to be found.
    """
    return Search(dataset, testset, n_test, metric, protocol, seed).neighbours(k)


class Search:
    """Queries and a gallery, ready to be searched; see `dogsim.accuracy` for the arguments.

    Raises
    ------
    DogsimError
        If the metric, the protocol or `n_test` is wrong, no query has a known breed, or the test
        set cannot be compared with the gallery or has no breed in common with it.
    """

    def __init__(
        self,
        dataset: Dataset,
        testset: Dataset | None = None,
        n_test: int | None = None,
        metric: str = "euclidean",
        protocol: str = "honest",
        seed: int = 0,
    ) -> None:
        check_metric(metric)
        _check_protocol(protocol, testset)
        self.dataset, self.metric, self.protocol = dataset, metric, protocol
        source = dataset if testset is None else testset
        self.rows = _drawn(source, n_test, seed)  # of the queries in their own dataset
        self.testset = testset
        self._gallery = _renamed(dataset.labels, _labels_by_name(dataset.breeds, dataset.breeds))
        if testset is None:
            self.truth = self._gallery[self.rows]
        else:
            dataset.require_comparable(testset)
            known = _labels_by_name(testset.breeds, dataset.breeds)
            self.truth = _renamed(testset.labels[self.rows], known)
            _require_common(self.truth, dataset, testset)
        self.left_out = int(testset is None and protocol == "honest")
        counts = np.bincount(self._gallery + 1, minlength=len(dataset.breeds) + 2)
        self.of_breed = counts[self.truth + 1] - self.left_out

    @property
    def most(self) -> int:
        """The largest k."""
        return len(self.dataset) - self.left_out

    @property
    def enough(self) -> int:
        """The k that finds all pictures of every query's breed, should they come first."""
        return max(int(self.of_breed.max()), 1) + (self.protocol == "matlab")

    def check_k(self, k: int) -> None:
        """Raise `DogsimError` unless so many neighbours can be had, and counted."""
        check_k(k, self.most)
        if self.protocol == "matlab" and k < 2:
            raise DogsimError(f"Received k={k}. Protocol matlab counts k - 1 of k: give 2 or more.")

    def in_both(self) -> int:
        """Count the queries whose picture the gallery has as well, though it is another file."""
        if self.testset is None:
            return 0
        return int(in_gallery(self.dataset, self.testset)[self.rows].sum())

    def trained_on(self) -> int:
        """Count the queries that the features' network or head has learned from."""
        source = self.dataset if self.testset is None else self.testset
        return int(learned(source)[self.rows].sum())

    def neighbours(self, k: int | None) -> Neighbours:
        """Find the k nearest of all queries, or with None `enough`."""
        if k is None:
            return self._neighbours(slice(None), self.enough)
        self.check_k(k)
        return self._neighbours(slice(None), k)

    def blocks(self) -> Iterator[Neighbours]:
        """Find as many neighbours as it takes to judge a whole ranking, some queries at a time."""
        size = max(1, BLOCK_BYTES // (32 * self.enough))
        for start in range(0, len(self.rows), size):
            yield self._neighbours(slice(start, start + size), self.enough)

    def _neighbours(self, some: slice, k: int) -> Neighbours:
        distances, indices = self._search(self.rows[some], k)
        return Neighbours(
            truth=self.truth[some],
            labels=self._gallery[indices],
            distances=distances,
            indices=indices,
            rows=self.rows[some],
            of_breed=self.of_breed[some],
            gallery=self.most,
            breeds=(*self.dataset.breeds, "(not in the dataset)"),
            protocol=self.protocol,
            metric=self.metric,
        )

    def _search(
        self, rows: NDArray[np.intp], k: int
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        source = self.dataset if self.testset is None else self.testset
        asked, own = source.features[rows], None if self.testset is not None else rows
        if self.protocol == "honest":
            return nearest(self.dataset, asked, k, self.metric, own)
        distances, indices = np.zeros((len(rows), 1)), rows[:, None]  # itself comes first
        if k == 2:
            return distances, indices
        others = nearest(self.dataset, asked, k - 2, self.metric, own)
        return np.hstack([distances, others[0]]), np.hstack([indices, others[1]])


def _check_protocol(protocol: str, testset: Dataset | None) -> None:
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if protocol == "matlab" and testset is not None:
        raise DogsimError("Protocol matlab takes its queries from the dataset itself.")


def _drawn(source: Dataset, n_test: int | None, seed: int) -> NDArray[np.intp]:
    rows = np.flatnonzero(source.labels >= 0)
    if len(rows) == 0:
        raise DogsimError("No query has a known breed. Expected labels of 0 and more.")
    if n_test is None:
        return rows
    if not 1 <= n_test <= len(rows):
        raise DogsimError(f"Received n_test={n_test}. Expected 1 to {len(rows)} queries.")
    return np.sort(np.random.default_rng(seed).choice(rows, n_test, replace=False))


def _labels_by_name(breeds: Sequence[str], known: Sequence[str]) -> NDArray[np.int32]:
    """For each breed the first label of the same breed among the known, their number if none."""
    label_of: dict[str, int] = {}
    for label, breed in enumerate(known):
        label_of.setdefault(breed_key(breed), label)
    return np.array([label_of.get(breed_key(breed), len(known)) for breed in breeds], np.int32)


def _renamed(labels: NDArray[np.int32], names: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.append(names, np.int32(-1))[labels]  # label -1 (unknown) takes the last place


def _require_common(truth: NDArray[np.int32], dataset: Dataset, testset: Dataset) -> None:
    if (truth == len(dataset.breeds)).all():
        here, there = (", ".join(x.breeds[:3]) or "none" for x in (dataset, testset))
        raise DogsimError(
            f"Received a test set of the breeds {there}, ... None of its pictures is of a breed of "
            f"the dataset: {here}, ... Expected breeds that both call by the same names."
        )
