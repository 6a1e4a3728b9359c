"""Ranking by more than one picture: each is moved towards its own nearest.

Database-side augmentation and query expansion (Arandjelovic and Zisserman 2012,
doi:10.1109/CVPR.2012.6248018), weighted by a power of the cosine (Radenovic, Tolias and Chum 2018,
arXiv:1711.02512). No label is looked at. What the nearest have in common stays, and what is one
picture's own goes: more of the k nearest are right, while their vote is hardly better.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import Floats, nearest, unit_vectors
from dogsim.errors import DogsimError, unknown
from dogsim.plumbing.cache import cache_arrays, read_cached_arrays
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched
from dogsim.retrieval.identity import features_hash

RANKS = ("plain", "expand")
METRICS = ("euclidean", "sqeuclidean", "cosine")  # that are of directions, where lengths are 1
NEIGHBOURS, POWER = 10, 3.0  # how many are taken in, each by its cosine to this power
BLOCK = 1024  # pictures at a time


def expand(dataset: DatasetOrFile) -> Dataset:
    """Let a dataset rank by more than one picture.

    Whoever seeks in it, `dogsim.classify`, `dogsim.accuracy` or `dogsim.nearest`, finds the nearest
    among its pictures when each of them and the one that is asked has been moved towards its own
    `NEIGHBOURS` nearest, as unit vectors.

    Parameters
    ----------
    dataset : Dataset or path
        Its pictures are moved at the first question, which takes a search for each of them; which
        of them are near each other is kept in the cache folder.

    Returns
    -------
    Dataset
        The same, features and all; but distances are from 0 to 2, as between unit vectors. What
        `Dataset.take` takes of it ranks plainly.

    Raises
    ------
    DogsimError
        At a question, if a picture's features are all zeros, or for a metric other than euclidean,
        sqeuclidean and cosine, or with a confidence.

    >>> angles = np.array([0.0, 0.1, 1.5])
    >>> three = Dataset(np.c_[np.cos(angles), np.sin(angles)], np.zeros(3, int), tuple("abc"),
    ...                 ("pug",))
    >>> nearest(expand(three), three, 2, exclude=[0, 1, 2])[0].round(2).tolist()
    [[0.0, 1.32], [0.0, 1.32], [1.32, 1.32]]
    """
    dataset = as_dataset(dataset)
    return replace(dataset, search=_Expanded(dataset))


def check_rank(rank: str, metric: str, protocol: str = "honest") -> None:
    """Raise `DogsimError` for a way to rank that is unknown, or does not go with the rest."""
    if rank not in RANKS:
        raise unknown("rank", rank, RANKS)
    if rank == RANKS[0]:
        return
    if metric not in METRICS:
        raise DogsimError(
            f"Received metric {metric!r} with rank 'expand', which moves unit vectors. "
            f"Expected {', '.join(METRICS[:-1])} or {METRICS[-1]}."
        )
    if protocol == "matlab":
        raise DogsimError("Received rank 'expand' with protocol matlab, which is of plain ones.")


def rank_of(dataset: Dataset) -> str:
    """Tell by which of `RANKS` a dataset ranks."""
    return RANKS[isinstance(dataset.search, _Expanded)]


def as_ranked(dataset: Dataset) -> Dataset:
    """Give a dataset whose features are those by which this one ranks: moved, if it is expanded."""
    search = dataset.search
    return (
        replace(search.plain, features=search.moved) if isinstance(search, _Expanded) else dataset
    )


def require_plain(dataset: Dataset) -> None:
    """Raise `DogsimError` if a dataset ranks by moved pictures where plain ones are counted on."""
    if rank_of(dataset) != RANKS[0]:
        raise DogsimError(
            "Received rank 'expand' with a confidence, which is of plain neighbours. Expected one "
            "of the two."
        )


def ranking(dataset: Dataset, rank: str) -> Dataset:
    """Let a dataset rank as one of `RANKS` says."""
    return dataset if rank == RANKS[0] else expand(dataset)


@dataclass(frozen=True, eq=False)
class _Expanded:
    """Finds neighbours among moved pictures; it stands where `dogsim.dataset.Search` does."""

    plain: Dataset

    def __call__(
        self, queries: Floats, k: int, metric: str, exclude: NDArray[np.intp] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        check_rank("expand", metric)
        if exclude is not None and np.array_equal(queries, self.plain.features[exclude]):
            asked = self.moved[exclude]
        else:
            asked = _moved(self.plain, queries, _nearest(self.plain, queries, exclude))
        return nearest(self.moved, asked, k, metric, exclude)

    @cached_property
    def moved(self) -> NDArray[np.float32]:
        """The features of the dataset's own pictures, moved; which are near each other is kept."""
        name = f"near-{NEIGHBOURS}-{features_hash(self.plain)}"
        kept = read_cached_arrays(name, ("rows",))
        rows = kept["rows"] if kept else self._own_nearest()
        if not kept:
            cache_arrays(name, rows=rows.astype(np.int32))
        return _moved(self.plain, self.plain.features, rows)

    def _own_nearest(self) -> NDArray[np.intp]:
        blocks = map(np.array, batched(range(len(self.plain)), BLOCK))
        found = (_nearest(self.plain, self.plain.features[rows], rows) for rows in blocks)
        return np.concatenate(list(track(found, len(self.plain), "pictures moved")))


def _nearest(
    dataset: Dataset, features: Floats, exclude: NDArray[np.intp] | None
) -> NDArray[np.intp]:
    """Find the rows (b, k) of the nearest of features (b, d), as many as there are."""
    k = min(NEIGHBOURS, len(dataset) - (exclude is not None))
    if k == 0:
        return np.empty((len(features), 0), np.intp)
    return nearest(dataset, features, k, "cosine", exclude)[1]


def _moved(dataset: Dataset, features: Floats, near: NDArray[np.integer]) -> NDArray[np.float32]:
    """Move features (b, d) towards rows (b, k) of a dataset, as unit vectors."""
    moved = np.empty(features.shape, np.float32)
    for start in range(0, len(features), BLOCK):
        some = slice(start, start + BLOCK)
        units = sums = unit_vectors(np.asarray(features[some]))
        for rows in near[some].T:  # one neighbour of all at a time
            others = unit_vectors(np.asarray(dataset.features[rows]))
            cosines = np.einsum("ij,ij->i", units, others)
            sums = sums + (np.clip(cosines, 0, None) ** POWER)[:, None] * others
        moved[some] = unit_vectors(sums)
    return moved
