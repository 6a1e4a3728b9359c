"""Who is asked, and who answers: the search that judging shares with all that builds on it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError, unknown

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
    of_breed : (n,) int
        How many pictures of the query's breed could be found.
    gallery : int
        Among how many pictures each query's neighbours were sought.
    breeds : tuple of str
        Names of the labels; the last one stands for breeds that the gallery has not got.
    in_both : int
        How many queries are pictures of the gallery as well, though they come from another file.
    protocol, metric : str
        As asked for.
    """

    truth: NDArray[np.int32]
    labels: NDArray[np.int32]
    distances: NDArray[np.float64]
    of_breed: NDArray[np.intp]
    gallery: int
    breeds: tuple[str, ...]
    in_both: int
    protocol: str
    metric: str


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
    queries = _queries(dataset, testset, n_test, seed)
    left_out = int(testset is None and protocol == "honest")
    in_gallery = np.bincount(dataset.labels + 1, minlength=len(dataset.breeds) + 2)
    of_breed = in_gallery[queries.truth + 1] - left_out
    k = max(int(of_breed.max()), 1) if k is None else k
    distances, indices = _search(dataset, queries, k, metric, protocol)
    return Neighbours(
        truth=queries.truth,
        labels=dataset.labels[indices],
        distances=distances,
        of_breed=of_breed,
        gallery=len(dataset) - left_out,
        breeds=(*dataset.breeds, "(not in the dataset)"),
        in_both=0 if testset is None else _in_both(dataset, testset),
        protocol=protocol,
        metric=metric,
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


def _search(
    dataset: Dataset, queries: _Queries, k: int, metric: str, protocol: str
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    if protocol not in PROTOCOLS:
        raise unknown("protocol", protocol, PROTOCOLS)
    if protocol == "honest":
        return nearest(dataset, queries.features, k, metric, queries.rows)
    if queries.rows is None:
        raise DogsimError("Protocol matlab takes its queries from the dataset itself.")
    if k < 2:
        raise DogsimError(f"Received k={k}. Protocol matlab counts k - 1 of k: give 2 or more.")
    distances, others = nearest(dataset, queries.features, k - 1, metric, queries.rows)
    itself = np.column_stack([np.zeros(len(others)), distances])
    return itself[:, : k - 1], np.column_stack([queries.rows, others])[:, : k - 1]


def _in_both(dataset: Dataset, testset: Dataset) -> int:
    """Count the pictures of a test set whose path or features the dataset has too."""
    paths = set(dataset.paths)
    rows = {row.tobytes() for row in np.asarray(dataset.features, np.float32)}
    features = np.asarray(testset.features, np.float32)
    return sum(
        path in paths or row.tobytes() in rows
        for path, row in zip(testset.paths, features, strict=True)
    )
