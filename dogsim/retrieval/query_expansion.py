"""Query expansion: each image's features are averaged with those of its nearest neighbours.

Database-side augmentation and query expansion (Arandjelovic and Zisserman 2012,
doi:10.1109/CVPR.2012.6248018), weighted by a power of the cosine similarity (Radenovic, Tolias and
Chum 2018, arXiv:1711.02512). Labels are not used. The average keeps what the neighbours have in
common and removes what is particular to one image: precision at k rises, the vote hardly changes.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError, check_known
from dogsim.plumbing.arrays import unit_vectors
from dogsim.retrieval.own_neighbours import own_neighbours
from dogsim.storage.gallery import Floats

RANKS = ("plain", "expand")
EXPANSION_METRICS = ("euclidean", "sqeuclidean", "cosine")  # they rank unit vectors alike
EXPANSION_NEIGHBOURS = 10
COSINE_POWER = 3.0  # a neighbour's weight is its cosine similarity to this power
EXPANSION_BLOCK_ROWS = 1024


def expand(dataset: DatasetOrFile) -> Dataset:
    """Return a dataset that is searched with query expansion.

    `dogsim.classify`, `dogsim.accuracy` and `dogsim.nearest` then compare expanded features. The
    expanded features of an image are the weighted mean of its own unit vector and those of its
    `EXPANSION_NEIGHBOURS` nearest neighbours in the dataset, scaled to length 1. Queries and
    dataset images are expanded alike.

    Parameters
    ----------
    dataset : Dataset or path
        Its images are expanded at the first search, which takes one search for each of them. Their
        nearest neighbours are cached in the cache folder. If the dataset has scenes, an image is
        expanded with images of other scenes.

    Returns
    -------
    Dataset
        The same dataset with the same features. Distances are between unit vectors, 0 to 2. A
        subset from `Dataset.take` is searched without expansion.

    Raises
    ------
    DogsimError
        At a search, if an image's features are all zeros, if the metric is not one of
        `EXPANSION_METRICS`, or if a confidence is given.

    >>> angles = np.array([0.0, 0.1, 1.5])
    >>> three = Dataset(np.c_[np.cos(angles), np.sin(angles)], np.zeros(3, int), tuple("abc"),
    ...                 ("pug",))
    >>> nearest(expand(three), three, 2, exclude=[0, 1, 2])[0].round(2).tolist()
    [[0.0, 1.32], [0.0, 1.32], [1.32, 1.32]]
    """
    dataset = as_dataset(dataset)
    return replace(dataset, search=_ExpandedSearch(dataset))


def rankings(dataset: Dataset) -> dict[str, tuple[Dataset, str]]:
    """Return the rankings that are worth comparing, each as a dataset and a metric.

    ``"raw"``: Euclidean distance of the features. ``"unit"``: cosine distance. ``"expand"``: with
    query expansion.
    """
    search = dataset.search
    plain = search.plain if isinstance(search, _ExpandedSearch) else dataset
    expanded = expand(dataset) if plain is dataset else dataset
    return {
        "raw": (plain, "euclidean"),
        "unit": (plain, "cosine"),
        "expand": (expanded, "euclidean"),
    }


def check_rank(rank: str, metric: str, protocol: str = "honest") -> None:
    """Raise `DogsimError` if a rank is unknown or incompatible with the metric or the protocol."""
    check_known("rank", rank, RANKS)
    if rank == RANKS[0]:
        return
    if metric not in EXPANSION_METRICS:
        raise DogsimError(
            f"Received metric {metric!r} with rank 'expand', which compares unit vectors. "
            f"Expected {', '.join(EXPANSION_METRICS[:-1])} or {EXPANSION_METRICS[-1]}."
        )
    if protocol == "matlab":
        raise DogsimError(
            "Received rank 'expand' with protocol matlab. Expected rank plain, or protocol honest."
        )


def rank_of(dataset: Dataset) -> str:
    """Return the rank of a dataset's search, one of `RANKS`."""
    return RANKS[isinstance(dataset.search, _ExpandedSearch)]


def as_ranked(dataset: Dataset) -> Dataset:
    """Return the dataset with expanded features if it uses query expansion."""
    search = dataset.search
    if not isinstance(search, _ExpandedSearch):
        return dataset
    return replace(search.plain, features=search.expanded)


def require_plain(dataset: Dataset) -> Dataset:
    """Return the dataset; raise `DogsimError` if it is searched with query expansion."""
    if rank_of(dataset) != RANKS[0]:
        raise DogsimError(
            "Received rank 'expand' with a confidence, which is calibrated without expansion. "
            "Expected one of the two."
        )
    return dataset


def ranking(dataset: Dataset, rank: str) -> Dataset:
    """Return the dataset with a search of the given rank, one of `RANKS`."""
    return dataset if rank == RANKS[0] else expand(dataset)


@dataclass(frozen=True, eq=False)
class _ExpandedSearch:
    """The `search` of a dataset with query expansion, see `dogsim.dataset.Dataset`."""

    plain: Dataset

    def __call__(
        self, queries: Floats, k: int, metric: str, exclude: NDArray[np.intp] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        check_rank("expand", metric)
        if exclude is not None and np.array_equal(queries, self.plain.features[exclude]):
            expanded = self.expanded[exclude]  # the queries are images of the dataset
        else:
            rows = _nearest_rows(self.plain, queries, exclude)
            expanded = _expanded(self.plain, queries, rows)
        return nearest(self.expanded, expanded, k, metric, exclude)

    @cached_property
    def expanded(self) -> NDArray[np.float32]:
        """Expanded features of the dataset's images, (n, d); their neighbours are cached."""
        _, rows = own_neighbours(self.plain, EXPANSION_NEIGHBOURS, other_scenes=True)
        expanded = _expanded(self.plain, self.plain.features, rows)
        expanded.flags.writeable = False  # so that searches keep the lengths of its rows
        return expanded


def _nearest_rows(
    dataset: Dataset, features: Floats, exclude: NDArray[np.intp] | None
) -> NDArray[np.intp]:
    """Find the rows of the nearest images of features (n, d): (n, k), k smaller in a small set."""
    k = min(EXPANSION_NEIGHBOURS, len(dataset) - (exclude is not None))
    if k == 0:
        return np.empty((len(features), 0), np.intp)
    return nearest(dataset, features, k, "cosine", exclude)[1]


def _expanded(
    dataset: Dataset, features: Floats, neighbours: NDArray[np.integer]
) -> NDArray[np.float32]:
    """Average features (n, d) with those of their neighbours, rows (n, k) of a dataset."""
    expanded = np.empty(features.shape, np.float32)
    for start in range(0, len(features), EXPANSION_BLOCK_ROWS):
        block = slice(start, start + EXPANSION_BLOCK_ROWS)
        units = sums = unit_vectors(np.asarray(features[block]))  # (b, d)
        for rows in neighbours[block].T:  # (b,): one neighbour of each image at a time
            others = unit_vectors(np.asarray(dataset.features[rows]))  # (b, d)
            cosines = np.einsum("ij,ij->i", units, others)  # (b,)
            sums = sums + (np.clip(cosines, 0, None) ** COSINE_POWER)[:, None] * others
        expanded[block] = unit_vectors(sums)
    return expanded
