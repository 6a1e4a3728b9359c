"""Who votes on a picture, and how: softly, the near ones most.

Of pictures that are the same only one votes, and none on itself.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.trust.duplicates import SOUGHT, Duplicates, Found

K = 50  # neighbours that vote
BLOCK = 4096  # pictures at a time

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The voters for each picture of a dataset when it, and what is the same, is left out.

    Attributes
    ----------
    rows : (m,) int
        The rows that vote: of a known breed, and the first of their group.
    place : (n,) int
        For each row of the dataset where in `rows` its group is, -1 for one of no known breed.
    squares : (n, k) float64
        Squared distances on unit vectors, nearest first.
    labels : (n, k) int32
    """

    rows: NDArray[np.intp]
    place: NDArray[np.intp]
    squares: Floats
    labels: NDArray[np.int32]

    def shares(self, dataset: Dataset, temperature: float) -> Iterator[tuple[slice, Floats]]:
        """Yield, block after block, which rows, and each breed's share of their vote."""
        for start in range(0, len(self.squares), BLOCK):
            some = slice(start, start + BLOCK)
            voted = self.squares[some], self.labels[some]
            yield some, soft_votes(*voted, temperature, len(dataset.breeds))


def leave_out(dataset: Dataset, groups: Sequence[Duplicates], found: Found) -> LeftOut:
    """Leave out each picture once, and with it what is the same.

    Parameters
    ----------
    dataset : Dataset
    groups : sequence of Duplicates
        Of each only the first votes.
    found : Found
        `own_neighbours` of the dataset.

    Raises
    ------
    DogsimError
        If less than two pictures vote.
    """
    rows, place = _that_vote(dataset, groups)
    if len(rows) < 2:
        raise DogsimError(
            f"Received a dataset in which {len(rows)} pictures of known breeds count. Expected at "
            "least 9 for a confidence of 0.9: give it more pictures, or photos in breed folders."
        )
    own = np.arange(len(dataset))
    return LeftOut(rows, place, *neighbourhood(dataset, rows, place, dataset.features, own, found))


def neighbourhood(
    dataset: Dataset,
    rows: NDArray[np.intp],
    place: NDArray[np.intp],
    features: NDArray[np.float32],
    own: NDArray[np.intp] | None = None,
    found: Found | None = None,
) -> tuple[Floats, NDArray[np.int32]]:
    """Find the neighbours that vote.

    Parameters
    ----------
    dataset : Dataset
    rows, place
        As in `LeftOut`.
    features : (n, d) float32
        Of the pictures that are asked about.
    own : (n,) int, optional
        For each of them its own row in the dataset, whose group has no vote; -1 where it has none.
    found : Found, optional
        The nearest of the dataset, where they have been sought already; more than vote, for some
        may not.

    Returns
    -------
    squares : (n, k) float64
        Squared distances on unit vectors, nearest first.
    labels : (n, k) int32
    """
    group = np.full(len(features), -1) if own is None else np.where(own >= 0, place[own], -1)
    k = min(K, len(rows) - int((group >= 0).any()))
    if found is None:
        found = nearest(dataset, features, min(SOUGHT, len(dataset)), "cosine")
    distances, indices = found
    votes = np.isin(np.arange(len(dataset)), rows)[indices] & (place[indices] != group[:, None])
    order = np.argsort(~votes, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, order, axis=1)
    labels = dataset.labels[np.take_along_axis(indices, order, axis=1)]
    if len(few := np.flatnonzero(votes.sum(axis=1) < k)):  # too many of the nearest have no vote
        gallery = dataset.take(rows)
        more = min(k + 1, len(rows))
        apart, places = nearest(gallery, features[few], more, "cosine")
        order = np.argsort(places == group[few, None], axis=1, kind="stable")[:, :k]
        distances[few] = np.take_along_axis(apart, order, axis=1)
        labels[few] = gallery.labels[np.take_along_axis(places, order, axis=1)]
    return np.maximum(2 * distances, 0), labels  # |a - b|^2 = 2 - 2 cos


def soft_votes(
    squares: Floats, labels: NDArray[np.int32], temperature: float, breeds: int
) -> Floats:
    """Let neighbours vote with the weight exp(-d^2 / T), and give each breed its share.

    Parameters
    ----------
    squares : (n, k) float64
        Squared distances, nearest first.
    labels : (n, k) int32
    temperature : float
    breeds : int
        How many there are.

    Returns
    -------
    (n, breeds) float64
        Every row sums to 1.

    >>> soft_votes(np.array([[0.0, 0.0, np.inf]]), np.int32([[1, 0, 0]]), 1.0, 2)
    array([[0.5, 0.5]])
    """
    weights = np.exp((squares[:, :1] - squares) / temperature)
    places = np.arange(len(labels))[:, None] * breeds + labels
    counts = np.bincount(places.ravel(), weights.ravel(), minlength=len(labels) * breeds)
    return np.asarray(counts.reshape(-1, breeds) / weights.sum(axis=1, keepdims=True))


def _that_vote(
    dataset: Dataset, groups: Sequence[Duplicates]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows that vote, and the place of each row, as in `LeftOut`."""
    first = np.arange(len(dataset))
    for group in groups:
        first[list(group.rows)] = min(group.rows)
    labelled = np.flatnonzero(dataset.labels >= 0)
    # A group may begin with a picture of no known breed; then the first that has one stands for it.
    _, begins, number = np.unique(first[labelled], return_index=True, return_inverse=True)
    rows = labelled[begins]
    place = np.full(len(dataset), -1, np.intp)
    place[labelled] = np.argsort(np.argsort(rows))[number]
    return np.sort(rows), place
