"""The k smallest of many numbers, and candidates for them if there are errors.

A number with an error is at least ``score - e`` and at most ``score + 2 s + e``, where e depends on
its row and s on its column. Let t be the largest ``score + 2 s`` of any k columns. These k numbers
are at most t + e, so each of the k smallest is at most t + e, too, and its score at most t + 2 e.
"""

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError

MAX_SORTED_COLUMNS = 128  # up to here, sorting a whole row is faster than partitioning it
MAX_GROUP_SIZE = 8  # of scores, whose smallest stands for all of them
MIN_GROUPS = 16  # for each of the k: then few scores are hidden behind a smaller one
MIN_GROUPED_COLUMNS = 2048  # below, partitioning all scores is as fast
MAX_SLACK_RATIO = 4.0  # of the largest s to the mean, without columns of much larger s than others

Candidates = list[NDArray[np.intp] | None]


def k_smallest(rows: NDArray[np.float64], k: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k smallest numbers of each row of (m, n), as `dogsim.mink` does."""
    if np.isnan(rows).any():
        raise DogsimError("Received a distance that is NaN. Expected numbers only.")
    if rows.shape[1] <= MAX_SORTED_COLUMNS:
        indices = np.argsort(rows, axis=1, kind="stable")[:, :k]
    else:
        indices = np.empty((len(rows), k), np.intp)
        bounds = np.partition(rows, k - 1, axis=1)[:, k - 1]
        for row, bound, chosen in zip(rows, bounds, indices, strict=True):
            # At least k; more if the k-th smallest is tied.
            candidates = np.flatnonzero(row <= bound)
            chosen[:] = candidates[np.argsort(row[candidates], kind="stable")[:k]]
    return rows[np.arange(len(rows))[:, None], indices], indices


class Sieve:
    """The candidates of m rows so far, among the columns that were added.

    Parameters
    ----------
    k : int
    n : int
        The number of columns.
    errors : (m,) float64
        The e of each row.
    max_candidates : int
        A row with more candidates is given up.
    """

    def __init__(self, k: int, n: int, errors: NDArray[np.float64], max_candidates: int) -> None:
        self.k, self.n, self.errors, self.max_candidates = k, n, errors, max_candidates
        self.counts = np.zeros(len(errors), np.intp)
        self.best = np.full((len(errors), k), np.inf, np.float32)  # the k smallest score + 2 s
        self.several = False  # parts of the columns
        self.pairs: list[tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]] = []

    def add(
        self, row: int, column: int, scores: NDArray[np.float32], slack: NDArray[np.float64]
    ) -> None:
        """Add scores (r, c) of the rows from `row` and the columns from `column` on.

        For each row the columns are added in ascending order, at first more than k. `slack` (c,) is
        the s of each column. A score of infinity is no candidate.
        """
        some, self.several = slice(row, row + len(scores)), scores.shape[1] < self.n
        best, counts = self.best[some], self.counts[some]
        largest = best.max(axis=1) if column else _largest_of_k(scores, slack, self.k)  # (r,)
        limits = _up(largest + 2 * self.errors[some])
        limits[counts > self.max_candidates] = -np.inf
        rows, columns, passing = _passing(scores, limits)
        counts += np.bincount(rows, minlength=len(scores))
        self.pairs.append((rows + row, columns + column, passing))
        if self.several:
            _merge(best, rows, _up(passing + 2 * slack[columns]))

    def results(self) -> Candidates:
        """Return the candidates of each row in ascending order, None for a row given up."""
        rows, columns, scores = self.pairs[0]
        if len(self.pairs) > 1:
            rows, columns, scores = map(np.concatenate, zip(*self.pairs, strict=True))
        given_up = self.counts > self.max_candidates
        if self.several:
            limits = self.best.max(axis=1) + 2 * self.errors
            passing = scores <= limits[rows]
            rows, columns = rows[passing], columns[passing]
            order = np.argsort(rows, kind="stable")  # keeps the columns of a row ascending
            rows, columns = rows[order], columns[order]
        ends = np.cumsum(np.bincount(rows, minlength=len(given_up))).tolist()
        return [
            None if up else columns[start:end]
            for up, start, end in zip(given_up.tolist(), [0, *ends], ends, strict=False)
        ]


def _largest_of_k(
    scores: NDArray[np.float32], slack: NDArray[np.float64], k: int
) -> NDArray[np.float64]:
    """Return the largest score + 2 s of at least k columns for each row, (r,), the t above."""
    bounds, most = _bounds(scores, k), slack.max()
    if (
        most * len(slack) <= MAX_SLACK_RATIO * slack.sum()
    ):  # usual; the next lines would be little tighter
        return np.asarray(bounds + 2 * most, np.float64)
    rows, columns, passing = _passing(scores, bounds)
    firsts = np.searchsorted(rows, np.arange(len(scores)))
    largest: NDArray[np.float64] = np.maximum.reduceat(passing + 2 * slack[columns], firsts)
    return largest


def _passing(
    scores: NDArray[np.float32], limits: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Return the rows, columns and scores up to the limit of each row, ascending."""
    places = np.flatnonzero(scores <= limits[:, None])
    rows, columns = np.divmod(places, scores.shape[1])
    return rows, columns, scores.ravel()[places]


def _bounds(scores: NDArray[np.float32], k: int) -> NDArray[np.float32]:
    """Return for each row of (r, c) a number that at least k of its scores do not exceed, (r,)."""
    r, c = scores.shape
    size, smallest = min(MAX_GROUP_SIZE, c // (MIN_GROUPS * k)), scores
    if size > 1 and c >= MIN_GROUPED_COLUMNS:
        groups = scores[:, : c // size * size].reshape(r, size, c // size)
        smallest = groups.min(axis=1)  # (r, c // size)
    return np.asarray(np.partition(smallest, k - 1, axis=1)[:, k - 1])


def _merge(best: NDArray[np.float32], rows: NDArray[np.intp], upper: NDArray[np.float32]) -> None:
    """Update the k smallest numbers of each row, in place, with new ones sorted by row."""
    counts = np.bincount(rows, minlength=len(best))
    active = np.flatnonzero(counts)
    if len(active) == 0:
        return
    starts = np.cumsum(counts) - counts
    table = np.full((len(best), counts.max()), np.inf, np.float32)
    table[rows, np.arange(len(rows)) - starts[rows]] = upper
    k = best.shape[1]
    both = np.concatenate([best[active], table[active]], axis=1)
    best[active] = np.partition(both, k - 1, axis=1)[:, :k]


def _up(x: NDArray[np.floating]) -> NDArray[np.float32]:
    """Round up to float32."""
    return np.asarray(np.nextafter(x.astype(np.float32), np.float32(np.inf)))
