"""Neighbours vote: counted here and nowhere else.

MATLAB: ``mode(labels(indices), 2)``, which takes the smallest label where several are as frequent;
here the one wins whose nearest neighbour is nearest.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.errors import DogsimError, unknown

VOTES = ("uniform", "distance")
PLACES = 1 << 22  # of votes that are counted at a time


def majority_vote(
    labels: ArrayLike, weights: NDArray[np.float64] | None = None
) -> NDArray[np.int32]:
    """Let neighbours vote: the label with most votes in each row.

    Among labels with equally many the one wins whose nearest neighbour is nearest. Label -1
    (unknown) has no vote, and wins only where it is alone.

    Parameters
    ----------
    labels : (n, k) int
        Row i holds the labels of picture i's neighbours, nearest first.
    weights : (n, k) float64, optional
        What each vote weighs, see `vote_weights`; by default all weigh the same.

    Returns
    -------
    (n,) int32

    Raises
    ------
    DogsimError
        If `labels` is not of two dimensions or has no column.

    >>> majority_vote([[2, 7, 7, 2, 5], [3, -1, -1, -1, -1]])
    array([2, 3], dtype=int32)
    """
    rows = np.asarray(labels, np.int32)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise DogsimError(f"Received labels {rows.shape}. Expected (n, k) with k of at least 1.")
    first_of_most = count_votes(rows, weights).argmax(axis=1)
    winners: NDArray[np.int32] = rows[np.arange(len(rows)), first_of_most]
    return winners


def two_most_voted(labels: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    """Return the labels with the most and the second most votes in each row, and their votes.

    Parameters
    ----------
    labels : (n, k) int32
        As for `majority_vote`.

    Returns
    -------
    winners, votes, seconds, second_votes : (n,) int
        A row without a second label has second_votes 0.

    >>> two_most_voted(np.int32([[2, 7, 7, -1]]))[:2]
    (array([7], dtype=int32), array([2]))
    """
    winners, votes = majority_vote(labels), count_votes(labels).max(axis=1)  # (n,), (n,)
    others = np.where(labels == winners[:, None], -1, labels)  # (n, k)
    return winners, votes, majority_vote(others), count_votes(others).max(axis=1)


def count_votes(
    labels: NDArray[np.int32], weights: NDArray[np.float64] | None = None
) -> NDArray[np.floating | np.integer]:
    """Count for each neighbour how many of its row have its label.

    Parameters
    ----------
    labels : (n, k) int32
    weights : (n, k) float64, optional
        As for `majority_vote`; their sum is taken then.

    Returns
    -------
    (n, k) int or float64
        0 where the label is -1 (unknown), which has no vote.

    >>> count_votes(np.int32([[2, 7, 7, -1]]))
    array([[1, 2, 2, 0]])
    """
    width = int(labels.max(initial=-1)) + 2
    rows = max(1, PLACES // width)
    sums: NDArray[Any] = np.zeros(labels.shape, np.intp if weights is None else np.float64)
    for start in range(0, len(labels), rows):  # a table of rows x breeds, but not of all rows
        block = labels[start : start + rows]
        places = np.arange(len(block))[:, None] * width + block + 1
        weigh = None if weights is None else weights[start : start + rows].ravel()
        counts = np.bincount(places.ravel(), weigh, minlength=len(block) * width)
        sums[start : start + rows] = np.where(block >= 0, counts[places], 0)
    return sums


def vote_weights(distances: NDArray[np.float64], vote: str) -> NDArray[np.float64] | None:
    """Tell what each neighbour's vote weighs.

    Parameters
    ----------
    distances : (n, k) float64
    vote : {"uniform", "distance"}
        One each, or 1 / distance. Where neighbours have distance 0, only they vote.

    Returns
    -------
    (n, k) float64, or None where all weigh the same

    Raises
    ------
    DogsimError
        If `vote` is neither.

    >>> vote_weights(np.array([[0.5, 2.0], [0.0, 1.0]]), "distance")
    array([[2. , 0.5],
           [1. , 0. ]])
    """
    check_vote(vote)
    if vote == "uniform":
        return None
    zero = distances == 0
    inverse = 1 / np.where(zero, 1, distances)
    return np.where(zero.any(axis=1, keepdims=True), zero, inverse)


def check_vote(vote: str) -> None:
    """Raise `DogsimError` unless `vote` is one of `VOTES`."""
    if vote not in VOTES:
        raise unknown("vote", vote, VOTES)
