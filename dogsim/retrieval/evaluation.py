"""Evaluation of a dataset: its queries are searched once, and all scores use their neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import (
    DEFAULT_K,
    MAX_BLOCK_BYTES,
    check_k,
    check_metric,
    k_or_default,
    nearest,
)
from dogsim.errors import DogsimError, as_integer, check_known
from dogsim.image_files.labels import breed_key
from dogsim.retrieval import scores
from dogsim.retrieval.identity import in_gallery, learned
from dogsim.retrieval.own_neighbours import (
    count_in_scene_and_breed,
    count_scenes,
    nearest_in_other_scenes,
    scene_numbers,
)
from dogsim.retrieval.scores import Accuracy, Neighbours
from dogsim.vote import check_vote

PROTOCOLS = ("honest", "matlab")
BYTES_PER_NEIGHBOUR = 32  # of memory for each neighbour of each query


@dataclass(eq=False)
class Evaluation:
    """Queries, their gallery, and the neighbours found so far.

    The neighbours of the largest k so far are cached, and those of a smaller k are a slice of them.
    Therefore use the largest k first.

    Parameters
    ----------
    dataset, testset, n_test, metric, protocol, seed, vote
        As for `dogsim.accuracy`.

    Attributes
    ----------
    rows : (n,) int
        Rows of the queries in their own dataset.
    truth : (n,) int32
        Their labels, see `Neighbours`.
    max_k : int
        The largest possible k: the number of images that no query leaves out.

    Raises
    ------
    DogsimError
        As `dogsim.accuracy` does.
    """

    dataset: Dataset
    testset: Dataset | None = None
    n_test: int | None = None
    metric: str = "euclidean"
    protocol: str = "honest"
    seed: int = 0
    vote: str = "uniform"

    def __post_init__(self) -> None:
        check_metric(self.metric)
        check_vote(self.vote)
        _check_protocol(self.protocol, self.testset)
        self.rows = _drawn_rows(self._source, self.n_test, self.seed)
        self._gallery_labels = _renamed(self.dataset, self.dataset.breeds)  # (n_dataset,)
        no_testset = self.testset is None
        self.truth = self._gallery_labels[self.rows] if no_testset else self._test_labels()
        sizes = np.bincount(self._gallery_labels + 1, minlength=len(self.dataset.breeds) + 2)
        left_out, relevant_left_out = self._count_left_out()  # (n,), (n,)
        self.max_k = int((len(self.dataset) - left_out).min())
        self._n_compared = len(self.dataset) - left_out  # (n,)
        self._n_relevant = sizes[self.truth + 1] - relevant_left_out  # (n,)
        self._found: Neighbours | None = None

    @property
    def features(self) -> NDArray[np.float32]:
        """Features of the queries, (n, d) float32."""
        return self._source.features[self.rows]

    @property
    def rows_in_gallery(self) -> NDArray[np.intp] | None:
        """Rows of the queries in the gallery, (n,); None if they come from a test set."""
        return self.rows if self.testset is None else None

    def check_k(self, k: int | None) -> int:
        """Return k as an `int`, by default `DEFAULT_K` or all images of a smaller gallery.

        Raises `DogsimError` unless it is possible.
        """
        if self.leaves_scenes_out and self.max_k < 1:
            raise DogsimError(
                "All images of the dataset show one scene, and no other image is left to be a "
                "neighbour. Expected two scenes or more."
            )
        k = check_k(k_or_default(k, DEFAULT_K, self.max_k), self.max_k)
        if self.protocol == "matlab" and k < 2:
            raise DogsimError(
                f"Received k={k}. Protocol matlab counts k - 1 of k neighbours. Expected 2 or more."
            )
        return k

    def neighbours(self, k: int) -> Neighbours:
        """Find the k nearest neighbours of all queries; raise `DogsimError` for a wrong k."""
        return self._cached(self.check_k(k))

    def accuracy(self, k: int | None = None) -> Accuracy:
        """Compute the scores of the k nearest neighbours; k as for `check_k`."""
        return scores.measure(self._cached(self.check_k(k)))

    def accuracies(self, ks: Sequence[int]) -> list[Accuracy]:
        """Compute the scores for each of several k; raise `DogsimError` if one is wrong."""
        if not ks:
            raise DogsimError("Received no k. Expected one k or more.")
        ks = [self.check_k(k) for k in ks]
        found = self._cached(max(ks))
        return [scores.measure(found.first(k)) for k in ks]

    def map_at_r(self) -> float:
        """Compute the mean average precision at R, see `dogsim.retrieval.scores`.

        It is 1 if all relevant images come before any other, and 0 if no query has relevant images.
        """
        k = max(int(self._n_relevant.max()), 1) + (self.protocol == "matlab")
        size = max(1, MAX_BLOCK_BYTES // (BYTES_PER_NEIGHBOUR * k))
        if len(self.rows) <= size:
            precisions = scores.average_precisions(self._cached(k))
        else:  # if one breed is most of the gallery, these may not fit in memory
            blocks = (slice(start, start + size) for start in range(0, len(self.rows), size))
            found = (self._search(k, block) for block in blocks)
            precisions = np.concatenate([scores.average_precisions(each) for each in found])
        return float(precisions.mean()) if len(precisions) else 0.0

    def compare(
        self, rankings: Mapping[str, tuple[Dataset, str]], ks: Sequence[int]
    ) -> list[tuple[str, Accuracy]]:
        """Compute the scores of the same queries at each k, for each ranking by its name.

        `rankings` is the result of `dogsim.retrieval.query_expansion.rankings` for the dataset.
        Raises `DogsimError` if a k is wrong.
        """
        found = []
        for name, (dataset, metric) in rankings.items():
            ranked = self
            if dataset is not self.dataset or metric != self.metric:
                ranked = replace(self, dataset=dataset, metric=metric)
            found += [(name, each) for each in ranked.accuracies(ks)]
        return found

    def count_in_gallery(self) -> int:
        """Count the queries of a test set whose image is in the gallery as well."""
        if self.testset is None:
            return 0
        return int(in_gallery(self.dataset, self.testset)[self.rows].sum())

    def count_trained_on(self) -> int:
        """Count the queries that the network or the head was trained on."""
        return int(learned(self._source)[self.rows].sum())

    @property
    def leaves_scenes_out(self) -> bool:
        """Whether all images of a query's scene are left out, and not only the query."""
        return self._leaves_itself_out and self.dataset.scenes is not None

    @property
    def n_scenes(self) -> int | None:
        """Number of scenes of the queries; None if scenes are not left out."""
        if not self.leaves_scenes_out:
            return None
        return len(np.unique(scene_numbers(self.dataset)[self.rows]))

    @property
    def n_single_scene_breeds(self) -> int | None:
        """Number of breeds whose images show one scene, so that their queries find no other.

        None if scenes are not left out.
        """
        if not self.leaves_scenes_out:
            return None
        return len(np.unique(self.truth[self._n_relevant == 0]))

    @property
    def _leaves_itself_out(self) -> bool:
        """Whether a query is an image of the dataset, and does not count as its own neighbour."""
        return self.testset is None and self.protocol == "honest"

    @property
    def _source(self) -> Dataset:
        """The dataset of the queries."""
        return self.dataset if self.testset is None else self.testset

    def _count_left_out(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Count the images that each query leaves out, and those of its own breed: (n,), (n,)."""
        if self.leaves_scenes_out:
            return (
                count_scenes(self.dataset, self.rows),
                count_in_scene_and_breed(self.dataset, self._gallery_labels, self.rows),
            )
        itself = np.full(len(self.rows), self._leaves_itself_out, int)
        return itself, itself

    def _test_labels(self) -> NDArray[np.int32]:
        """Check that the test set is comparable; return the labels of its queries, (n,)."""
        self.dataset.require_comparable(self._source)
        truth = _renamed(self._source, self.dataset.breeds)[self.rows]
        if (truth == len(self.dataset.breeds)).all():
            expected, received = (
                ", ".join(each.breeds[:3]) or "none" for each in (self.dataset, self._source)
            )
            raise DogsimError(
                f"Received a test set of the breeds {received}, ... None of its images has a breed "
                f"of the dataset: {expected}, ... Expected breeds with the same names in both."
            )
        return truth

    def _cached(self, k: int) -> Neighbours:
        if self._found is None or self._found.k < k:
            self._found = self._search(k, slice(None))
        return self._found.first(k)

    def _search(self, k: int, block: slice) -> Neighbours:
        distances, indices = self._nearest(k, self.rows[block])
        return Neighbours(
            k=k,
            truth=self.truth[block],
            labels=self._gallery_labels[indices],
            distances=distances,
            indices=indices,
            rows=self.rows[block],
            n_relevant=self._n_relevant[block],
            n_compared=self._n_compared[block],
            breeds=(*self.dataset.breeds, "(not in the dataset)"),
            protocol=self.protocol,
            metric=self.metric,
            vote=self.vote,
        )

    def _nearest(
        self, k: int, rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        queries = self._source.features[rows]  # (n, d)
        exclude = None if self.testset is not None else rows
        if self.leaves_scenes_out:
            return nearest_in_other_scenes(self.dataset, rows, k, self.metric)
        if self.protocol == "honest":
            return nearest(self.dataset, queries, k, self.metric, exclude)
        distances, indices = np.zeros((len(rows), 1)), rows[:, None]  # the query itself comes first
        if k == 2:
            return distances, indices
        others = nearest(self.dataset, queries, k - 2, self.metric, exclude)
        return np.hstack([distances, others[0]]), np.hstack([indices, others[1]])  # (n, k - 1)


def _check_protocol(protocol: str, testset: Dataset | None) -> None:
    check_known("protocol", protocol, PROTOCOLS)
    if protocol == "matlab" and testset is not None:
        raise DogsimError(
            "Received a test set with protocol matlab, whose queries are images of the dataset. "
            "Expected protocol honest, or no test set."
        )


def _drawn_rows(source: Dataset, n_test: int | None, seed: int) -> NDArray[np.intp]:
    """Return the rows of known breed, or `n_test` of them drawn at random, ascending."""
    rows = np.flatnonzero(source.labels >= 0)
    if len(rows) == 0:
        raise DogsimError(
            "No query has a known breed. Expected images in one folder for each breed, or labels "
            "from another source: dogsim create-dataset --labels."
        )
    if n_test is None:
        return rows
    n_test = as_integer("n_test", n_test, 1, len(rows), "the queries of known breed")
    return np.sort(np.random.default_rng(seed).choice(rows, n_test, replace=False))


def _renamed(dataset: Dataset, breeds: Sequence[str]) -> NDArray[np.int32]:
    """Return the labels of a dataset as indices into `breeds`, (n_dataset,).

    Breeds are matched by `breed_key`, the first of several. A breed without a match becomes
    len(breeds), an unknown one stays -1.
    """
    label_of: dict[str, int] = {}
    for label, breed in enumerate(breeds):
        label_of.setdefault(breed_key(breed), label)
    labels = [label_of.get(breed_key(breed), len(breeds)) for breed in dataset.breeds]
    return np.array([*labels, -1], np.int32)[dataset.labels]  # label -1 is the last
