"""Leave-one-out votes: the breed of each image of a dataset, predicted from all other images.

Each image is left out once, and its nearest neighbours vote with the weights exp(-d^2 / T) on unit
vectors. The share of its own breed in the vote is its conformity score, and its distance to the
others is its novelty score. `conformal` is calibrated with both, and `audit` lists unusual values.

Duplicates would confirm each other, and a new image has no duplicate in the dataset. Therefore only
the first image of each group of duplicates votes and calibrates, and never on its own group. In a
dataset with scenes, the images of a scene do not vote on each other either.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import NeighbourArrays, nearest
from dogsim.errors import DogsimError, counted
from dogsim.plumbing.arrays import connected_components

MAX_NEIGHBOURS = 64  # one search serves duplicates, votes and novelty scores
MAX_VOTING_NEIGHBOURS = 50
VOTE_BLOCK_ROWS = 4096  # images at a time
TEMPERATURE_FACTORS = 2.0 ** -np.arange(0, 7, 0.5)  # times the median squared distance at rank k
LABEL_SMOOTHING = 0.01  # a breed without a vote is not impossible
NOVELTY_RANK = 10
NOVELTY_POWER = 0.1  # a larger power accepts cows and horses, a smaller one unknown breeds

Float64Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class VoteScores:
    """Summary of the vote of the neighbours on each image of a dataset.

    Attributes
    ----------
    own : (n,) float64
        The share of the image's own breed, 0 to 1; NaN if its breed is unknown.
    other : (n,) int
        The label of the best other breed.
    other_share : (n,) float64
        The share of that breed.
    novelty : (n,) float64
        See `novelty_scores`.
    """

    own: Float64Array
    other: NDArray[np.intp]
    other_share: Float64Array
    novelty: Float64Array

    @property
    def margins(self) -> Float64Array:
        """`own` - `other_share`, (n,): -1 if all vote for another breed, 1 if all for the own."""
        return self.own - self.other_share


class LeaveOneOut:
    """The images of a dataset, each left out once together with its duplicates.

    Parameters
    ----------
    dataset : Dataset
    neighbours : (distances, indices)
        The nearest rows of each row, see `own_neighbours`, `MAX_NEIGHBOURS` or all.
    groups : sequence of sequence of int
        The rows of each group of duplicates.

    Attributes
    ----------
    n_breeds : int
        The number of breeds of the images that vote.
    rows : (m,) int
        The rows that vote, ascending: of known breeds, one from each group of duplicates.
    place : (n,) int
        For each image the index in `rows` of the image that votes for its group, -1 if its breed
        is unknown.
    units : (n,) int
        See `left_out_together`.
    squares : (n, k) float64
        Squared distances of each image's voting neighbours on unit vectors, nearest first.
    labels : (n, k) int32
        Labels of these neighbours.

    Raises
    ------
    DogsimError
        If fewer than two images vote.
    """

    def __init__(
        self,
        dataset: Dataset,
        neighbours: NeighbourArrays,
        groups: Iterable[Sequence[int]] = (),
    ) -> None:
        self.dataset, self.neighbours = dataset, neighbours
        self.rows, self.place = voting_rows(dataset, groups)
        if len(self.rows) < 2:
            raise DogsimError(
                f"Received a dataset with {counted(len(self.rows), 'image')} of known breeds, "
                "duplicates not counted. Expected at least 9 for a confidence of 0.9: add images, "
                "or give them labels: dogsim create-dataset --labels."
            )
        self.units = left_out_together(dataset, self.place)
        if len(np.unique(self.units[self.rows])) < 2:
            raise DogsimError(
                "All images of known breeds show one scene, so that none is left to vote. Expected "
                "two scenes or more."
            )
        self.n_breeds = len(np.unique(dataset.labels[self.rows]))
        self.squares, self.labels = voting_neighbours(
            dataset, self.rows, self.units, dataset.features, self.place, neighbours
        )

    def best_temperature(self, rows: NDArray[np.intp] | None = None) -> float:
        """Find the temperature T that maximises the likelihood of the true breeds of some rows.

        By default these are the rows that vote.
        """
        uniform = LABEL_SMOOTHING / len(self.dataset.breeds)

        def log_likelihood(temperature: float) -> float:
            share = self.own_shares(temperature, rows)  # (m,)
            return float(np.log((1 - LABEL_SMOOTHING) * share + uniform).mean())

        return max(self.temperatures(rows), key=log_likelihood)

    def temperatures(self, rows: NDArray[np.intp] | None = None) -> list[float]:
        """Return the temperatures to choose from, by default for the rows that vote."""
        rows = self.rows if rows is None else rows
        scale = float(np.median(self.squares[rows, -1])) or 1.0
        return [float(temperature) for temperature in scale * TEMPERATURE_FACTORS]

    def own_shares(self, temperature: float, rows: NDArray[np.intp] | None = None) -> Float64Array:
        """Compute the share of each row's own breed in the vote on it, (m,).

        By default for the rows that vote.
        """
        rows = self.rows if rows is None else rows
        squares = self.squares[rows]  # (m, k)
        correct = self.labels[rows] == self.dataset.labels[rows, None]  # (m, k)
        weights = np.exp((squares[:, :1] - squares) / temperature)
        return np.asarray((weights * correct).sum(axis=1) / weights.sum(axis=1))

    def scores(self, temperature: float | None = None) -> VoteScores:
        """Compute the vote on each image, by default at `best_temperature`."""
        temperature = self.best_temperature() if temperature is None else temperature
        n, n_breeds = len(self.dataset), len(self.dataset.breeds)
        own, other_share, novelty = np.empty((3, n))
        other = np.empty(n, np.intp)
        for start in range(0, n, VOTE_BLOCK_ROWS):
            block = slice(start, start + VOTE_BLOCK_ROWS)
            shares = soft_votes(self.squares[block], self.labels[block], temperature, n_breeds)
            novelty[block] = novelty_scores(self.squares[block], shares)
            labels, rows = self.dataset.labels[block], np.arange(len(shares))
            own[block] = np.where(labels >= 0, shares[rows, labels], np.nan)
            shares[rows, labels] = -1  # (b, c), for the maximum over the other breeds
            other[block] = shares.argmax(axis=1)
            other_share[block] = shares.max(axis=1)
        return VoteScores(own, other, other_share, novelty)


def voting_neighbours(
    dataset: Dataset,
    rows: NDArray[np.intp],
    units: NDArray[np.intp],
    features: NDArray[np.float32],
    group: NDArray[np.intp] | None = None,
    neighbours: NeighbourArrays | None = None,
) -> tuple[Float64Array, NDArray[np.int32]]:
    """Find the nearest neighbours that vote on queries.

    Parameters
    ----------
    dataset : Dataset
    rows, units
        As in `LeaveOneOut`.
    features : (n, d) float32
        Features of the queries.
    group : (n,) int, optional
        The index in `rows` of the image that votes for the group of each query, and therefore does
        not vote on it, nor do the images of its scene; -1 if there is none.
    neighbours : (distances, indices), optional
        The nearest rows of the dataset, voting or not, if they are known already.

    Returns
    -------
    squares : (n, k) float64
        Squared distances on unit vectors, nearest first.
    labels : (n, k) int32
    """
    group = np.full(len(features), -1) if group is None else group
    own = np.where(group >= 0, units[rows][group], -1)  # (m,)
    sizes = np.bincount(units[rows])  # number of images that vote
    largest = int(sizes[own[own >= 0]].max(initial=0))
    k = min(MAX_VOTING_NEIGHBOURS, len(rows) - largest)
    if neighbours is None:
        neighbours = nearest(dataset, features, min(MAX_NEIGHBOURS, len(dataset)), "cosine")
    distances, indices = neighbours
    votes = np.isin(np.arange(len(dataset)), rows)[indices] & (units[indices] != own[:, None])
    order = np.argsort(~votes, axis=1, kind="stable")[:, :k]  # (n, k)
    distances = np.take_along_axis(distances, order, axis=1)
    labels = dataset.labels[np.take_along_axis(indices, order, axis=1)]
    missing = np.flatnonzero(votes.sum(axis=1) < k)  # too many of their nearest rows do not vote
    if len(missing):
        gallery = dataset.take(rows)
        k_and_own = min(k + largest, len(rows))
        all_distances, places = nearest(gallery, features[missing], k_and_own, "cosine")
        excluded = units[rows][places] == own[missing, None]
        order = np.argsort(excluded, axis=1, kind="stable")[:, :k]
        distances[missing] = np.take_along_axis(all_distances, order, axis=1)
        labels[missing] = gallery.labels[np.take_along_axis(places, order, axis=1)]
    return np.maximum(2 * distances, 0), labels  # |a - b|^2 = 2 - 2 cos


def soft_votes(
    squares: Float64Array, labels: NDArray[np.int32], temperature: float, n_breeds: int
) -> Float64Array:
    """Compute each breed's share of a vote with the weights exp(-d^2 / T).

    Parameters
    ----------
    squares : (n, k) float64
        Squared distances, nearest first.
    labels : (n, k) int32
    temperature : float
    n_breeds : int

    Returns
    -------
    (n, n_breeds) float64
        Each row sums to 1.

    >>> soft_votes(np.array([[0.0, 0.0, np.inf]]), np.int32([[1, 0, 0]]), 1.0, 2)
    array([[0.5, 0.5]])
    """
    weights = np.exp((squares[:, :1] - squares) / temperature)  # (n, k)
    cells = np.arange(len(labels))[:, None] * n_breeds + labels  # (n, k)
    counts = np.bincount(cells.ravel(), weights.ravel(), minlength=len(labels) * n_breeds)
    return np.asarray(counts.reshape(-1, n_breeds) / weights.sum(axis=1, keepdims=True))


def novelty_scores(squares: Float64Array, shares: Float64Array) -> Float64Array:
    """Compute novelty scores, (n,) float64, which are large for images unlike the known ones.

    The distance to the tenth neighbour is large for images far from all others (Sun et al.,
    "Out-of-distribution detection with deep nearest neighbors", 2022, arXiv:2204.06507). Divided
    by the tenth root of the largest share of the vote, it is also large for images between breeds.

    Parameters
    ----------
    squares : (n, k) float64
        Squared distances to the k nearest on unit vectors, nearest first.
    shares : (n, c) float64
        The share of each breed in the vote.

    >>> novelty_scores(np.array([[1.0, 4.0]]), np.array([[1.0, 0.0]]))
    array([2.])
    """
    distances = np.sqrt(squares[:, min(NOVELTY_RANK, squares.shape[1]) - 1])
    return np.asarray(distances / shares.max(axis=1) ** NOVELTY_POWER)


def left_out_together(dataset: Dataset, place: NDArray[np.intp]) -> NDArray[np.intp]:
    """Number the images that are left out together, (n,), -1 for those that never vote.

    These are the groups of duplicates, `place` of `LeaveOneOut`; in a dataset with scenes, the
    images of a scene and of all scenes that share a duplicate with it.
    """
    if dataset.scenes is None:
        return place
    n, scenes = int(place.max()) + 1, np.unique(dataset.scenes, return_inverse=True)[1]
    labelled = np.flatnonzero(place >= 0)
    edges = np.column_stack([place[labelled], n + scenes[labelled]])
    numbers = connected_components(edges, n + len(scenes))
    return np.where(place >= 0, numbers[place], -1).astype(np.intp)


def voting_rows(
    dataset: Dataset, groups: Iterable[Sequence[int]]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return `rows` and `place` of `LeaveOneOut`."""
    first = np.arange(len(dataset))
    for group in groups:
        first[list(group)] = min(group)
    labelled = np.flatnonzero(dataset.labels >= 0)
    # If the first image of a group has no known breed, the first that has one votes.
    _, begins, number = np.unique(first[labelled], return_index=True, return_inverse=True)
    rows = labelled[begins]
    place = np.full(len(dataset), -1, np.intp)
    place[labelled] = np.argsort(np.argsort(rows))[number]
    return np.sort(rows), place
