"""The vote of the k nearest neighbours: each has one vote, or one weighted by its distance.

Confidences use another vote, with the weights exp(-d^2 / T): `trust.leave_one_out.soft_votes`.

MATLAB: ``mode(labels(indices), 2)``, which returns the smallest label in a tie; here the tied label
with the nearest neighbour wins.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.errors import DogsimError, check_known, counted
from dogsim.plumbing.arrays import WHOLE, as_numbers

VOTES = ("uniform", "distance")
MAX_TABLE_CELLS = 1 << 22  # of the table of rows and labels that votes are counted in
MAX_LABEL = 2**31 - 1
MIN_DISTANCE = 1e-300  # the inverse of a smaller one might be infinite


def majority_vote(
    labels: ArrayLike, weights: NDArray[np.float64] | None = None
) -> NDArray[np.int32]:
    """Find the label with the most votes in each row, (n,) int32.

    In a tie, the label with the nearest neighbour wins. Label -1 (unknown) has no vote, and wins
    only in a row without other labels.

    Parameters
    ----------
    labels : (n, k) int
        Row i has the labels of the neighbours of image i, nearest first.
    weights : (n, k) float64, optional
        The weight of each vote, 0 or more, see `vote_weights`; by default all are equal.

    Raises
    ------
    DogsimError
        If `labels` does not have two dimensions, has no column or has other numbers than -1 and
        up, or if `weights` has another shape or other numbers than 0 and up.

    >>> majority_vote([[2, 7, 7, 2, 5], [3, -1, -1, -1, -1]])
    array([2, 3], dtype=int32)
    """
    rows = as_numbers("labels", labels, WHOLE)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise DogsimError(f"Received labels {rows.shape}. Expected (n, k) with k of at least 1.")
    if rows.size and not (rows.min() >= -1 and rows.max() <= MAX_LABEL):
        raise DogsimError(
            f"Received labels from {rows.min()} to {rows.max()}. Expected -1 (unknown) and more, "
            "of up to 32 bits."
        )
    if weights is not None:
        weights = as_numbers("weights", weights)
        if weights.shape != rows.shape or not (weights >= 0).all():  # false for NaN
            raise DogsimError(
                f"Received weights {weights.shape}. Expected {rows.shape}, as the labels, and "
                "numbers from 0 up."
            )
    rows = rows.astype(np.int32)
    votes = np.where(rows >= 0, count_votes(rows, weights), -1)  # (n, k)
    # argmax returns the first maximum: the nearest neighbour with one of the tied labels.
    winners: NDArray[np.int32] = rows[np.arange(len(rows)), votes.argmax(axis=1)]
    return winners


def two_most_voted(labels: NDArray[np.int32]) -> tuple[NDArray[Any], ...]:
    """Return the winner of each row, its votes, the second label and its votes, each (n,) int.

    `labels` (n, k) is that of `majority_vote`. A row without a second label has 0 second votes.

    >>> two_most_voted(np.int32([[2, 7, 7, -1]]))[:2]
    (array([7], dtype=int32), array([2]))
    """
    winners, votes = majority_vote(labels), count_votes(labels).max(axis=1)  # (n,), (n,)
    others = np.where(labels == winners[:, None], -1, labels)  # (n, k)
    return winners, votes, majority_vote(others), count_votes(others).max(axis=1)


def count_votes(
    labels: NDArray[np.int32], weights: NDArray[np.float64] | None = None
) -> NDArray[np.floating | np.integer]:
    """Count for each neighbour the neighbours in its row that have its label, (n, k) int.

    Parameters are those of `majority_vote`. With weights, the result is the sum of the weights,
    float64. It is 0 where the label is -1 (unknown), which has no vote.

    >>> count_votes(np.int32([[2, 7, 7, -1]]))
    array([[1, 2, 2, 0]])
    """
    votes = labels >= 0
    if labels.max(initial=-1) > labels.size:  # number the labels that occur, for a small table
        labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    width = int(labels.max(initial=-1)) + 2
    rows = max(1, MAX_TABLE_CELLS // width)
    sums: NDArray[Any] = np.zeros(labels.shape, np.intp if weights is None else np.float64)
    for start in range(0, len(labels), rows):  # a table of all rows may not fit in memory
        block = labels[start : start + rows]  # (b, k)
        cells = np.arange(len(block))[:, None] * width + block + 1  # (b, k)
        block_weights = None if weights is None else weights[start : start + rows].ravel()
        counts = np.bincount(cells.ravel(), block_weights, minlength=len(block) * width)
        sums[start : start + rows] = counts[cells]
    return np.where(votes, sums, 0)


def vote_weights(
    distances: NDArray[np.float64], vote: str, labels: NDArray[np.int32] | None = None
) -> NDArray[np.float64] | None:
    """Return the weight of each neighbour's vote, (n, k) float64, or None if all are equal.

    Parameters
    ----------
    distances : (n, k) float64
    vote : {"uniform", "distance"}
        1, or 1 / distance. If neighbours with a label have distance 0, only they vote.
    labels : (n, k) int32, optional
        Their labels; by default all neighbours have one.

    Raises
    ------
    DogsimError
        If `vote` is unknown.

    >>> vote_weights(np.array([[0.5, 2.0], [0.0, 1.0]]), "distance")
    array([[2. , 0.5],
           [1. , 0. ]])
    """
    check_vote(vote)
    if vote == "uniform":
        return None
    zero = distances == 0 if labels is None else (distances == 0) & (labels >= 0)
    inverse = 1 / np.maximum(distances, MIN_DISTANCE)
    return np.where(zero.any(axis=1, keepdims=True), zero, inverse)


def small_breeds_warning(k: int, sizes: NDArray[np.integer]) -> str:
    """Return a warning if k exceeds the size of half of the breeds and others are larger, or "".

    `sizes` (c,) are the numbers of images of the breeds.

    >>> small_breeds_warning(5, np.array([6, 6, 9]))
    ''
    """
    if not len(sizes):
        return ""
    middle = int(np.sort(sizes)[len(sizes) // 2])
    if not middle < min(k, sizes.max()):
        return ""
    return (
        f"k is {k}, but half of the breeds have {counted(middle, 'image')} or fewer, and the "
        f"largest has {sizes.max()}: it can win a vote by its size. Use a smaller k; dogsim "
        f"accuracy --k 1 --k {max(min(middle // 2, 5), 2)} compares two."
    )


def check_vote(vote: str) -> None:
    """Raise `DogsimError` unless `vote` is one of `VOTES`."""
    check_known("vote", vote, VOTES)
