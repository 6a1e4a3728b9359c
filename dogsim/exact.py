"""Exact nearest neighbours: candidates from float32 matrix products, decided in float64.

Ranking by ``|g|^2 - 2 q.g`` costs one matrix product, but cancellation loses digits where
neighbours lie close together. So the product only selects candidates, with a bound on its error.

Let g and q be a gallery and a query vector after a common shift and scale, which do not change the
order. Let A be the largest norm of a g, B the norm of q, d their length, and u = 2^-24 the unit
roundoff of float32.

1. Rounding g and q to float32 moves each by at most u times its norm, and so changes the squared
   distance by at most 2.01 u (A + B)^2. (Shifting float32 numbers in float32 is the same rounding.
   With a scale of less than 2^60, the numbers that it may flush to 0 are far below this bound.)
2. A float32 sum of d products has an error of at most d u / (1 - d u) times the sum of their
   absolute values, in any order of summation (Higham, "Accuracy and Stability of Numerical
   Algorithms", 2002, section 3.1). For q.g the sum of absolute values is at most A B. Rounding
   |g|^2 and the difference adds at most 2 u (A + B)^2.
3. Numbers below the range of float32 may be flushed to 0: at most 2^-126 for each of d products.

Hence the score is within E = (d + 8) u / (1 - (d + 8) u) (A + B)^2 + (d + 8) 2^-125 of the squared
distance minus |q|^2. The gallery is read in chunks; each has its own A and so its own E. Let t be
the k-th smallest score + E of the query so far. The images of these k scores have distances of at
most t, so every true neighbour has a distance of at most t, too, and score - E <= t. Exactly the
images with score - E <= t are the candidates. From chunk to chunk t never increases, so no
neighbour is missed, and the float64 distances of the candidates decide. (The rounding error of
float64, (d + 4) 2^-53 (A + B)^2, is covered by the 8.) If the bound cannot separate the images, a
query gets too many candidates. Then all its distances are computed, which is slow but correct.

For few queries the preparation would cost more than the product saves, so their differences are
computed directly. Rounding each number of g - q, its square, and the sum of d squares in any order
gives |g - q|^2 (1 + e) with |e| <= (d + 8) u / (1 - (d + 8) u), where u = 2^-53 for float64
numbers. Flushing to 0 adds at most (d + 8) 2^-124. There is no cancellation: the bound is a
fraction of the distance itself. Let t be the k-th smallest score and a the absolute part of the
bound. Every true neighbour has a squared distance of at most (t + a) / (1 - e), and so a score of
at most 1 + e times that, plus a.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

UNIT_ROUNDOFF = 2.0**-24
CHUNK_ROWS = 1024  # of the gallery at a time
MAX_DIRECT_QUERIES = 4  # whose differences are computed directly
DIRECT_BLOCK_BYTES = 1 << 19  # of differences at a time: they stay in a processor's cache

Floats = NDArray[np.floating]
Transform = Callable[[Floats], Floats]


def candidates(
    gallery: Floats,
    queries: Floats,
    k: int,
    exclude: NDArray[np.integer] | None = None,
    transform: Transform = np.asarray,
    noise: float = 0.0,
) -> list[NDArray[np.intp] | None]:
    """Find for each query rows of the gallery that certainly include its k nearest neighbours.

    Parameters
    ----------
    gallery : (n, d) float
        Read once, in chunks; may be on disk.
    queries : (m, d) float
    k : int
        From 1 to n, or to n - 1 with `exclude`.
    exclude : (m,) int, optional
        For each query a row that is not a candidate.
    transform : callable
        Maps vectors (c, d) to vectors whose Euclidean distances have the same order.
    noise : float
        Maximum difference between the squared distances that decide and those of the transformed
        vectors, beyond the rounding of the latter in float64.

    Returns
    -------
    list of m
        Rows in ascending order, (c,) int with c >= k; None if there would be too many, or if a
        number is not finite.
    """
    if len(queries) <= MAX_DIRECT_QUERIES:
        own = [None] * len(queries) if exclude is None else exclude
        each = zip(transform(queries), own, strict=True)
        return [_candidates_of_one(gallery, query, k, row, transform, noise) for query, row in each]
    size = max(CHUNK_ROWS, 4 * k)
    first, queries = transform(gallery[:size]), transform(queries)
    centre = first.mean(axis=0, dtype=np.float64)
    scale = _scale(first, queries, centre)
    if 2.0**-60 < scale < 2.0**60:  # float32 differences are then float64 differences, rounded once
        centre = centre.astype(np.result_type(first, queries))
    queries = _shifted(queries, centre, scale)
    lengths = np.sqrt(np.einsum("ij,ij->i", queries, queries, dtype=np.float64))  # (m,)
    queries *= -2  # exact, and done once for all chunks
    best = np.full((len(queries), k), np.inf, np.float32)  # the k smallest of score + E
    sieve = _Sieve(len(queries), _max_candidates(k))
    for start in range(0, len(gallery), size):
        chunk = _shifted(transform(gallery[start : start + size]), centre, scale)
        scores, error = _scores(chunk, queries, lengths)
        error += noise * scale**2
        if exclude is not None:
            own = np.flatnonzero((exclude >= start) & (exclude < start + len(chunk)))
            scores[own, exclude[own] - start] = np.inf
        if start == 0 and len(chunk) >= k:
            best = _up(np.partition(scores, k - 1, axis=1)[:, :k] + error[:, None])
        limits = np.where(sieve.given_up, -np.inf, best.max(axis=1))
        passing = np.flatnonzero(scores <= _up(limits + error)[:, None])
        rows, columns = np.divmod(passing, scores.shape[1])
        kept = scores[rows, columns]
        if start > 0 or len(chunk) < k:
            _merge(best, rows, _up(kept + error[rows]))
        sieve.add(rows, columns + start, kept - error[rows])
    return sieve.results(best.max(axis=1))


def _candidates_of_one(
    gallery: Floats,
    query: Floats,
    k: int,
    exclude: np.integer | None,
    transform: Transform,
    noise: float,
) -> NDArray[np.intp] | None:
    """Find the candidates of one query from its differences to all rows."""
    scores, d = _squared_distances(gallery, query, transform), len(query)
    # Rounding of the score, and of the float64 distances that decide.
    relative = (d + 8) * (np.finfo(scores.dtype).eps / 2 + 2.0**-53)
    if not np.isfinite(scores).all() or relative >= 0.25:
        return None
    if exclude is not None:
        scores[exclude] = np.inf
    error, least = relative / (1 - relative), (d + 8) * 2.0**-124 + noise
    bound = (float(np.partition(scores, k - 1)[k - 1]) + least) * (1 + error) / (1 - error) + least
    limit = np.nextafter(scores.dtype.type(bound), scores.dtype.type(np.inf))
    rows = np.flatnonzero(scores <= limit)
    return rows if len(rows) <= _max_candidates(k) else None


def _squared_distances(gallery: Floats, query: Floats, transform: Transform) -> Floats:
    """Compute squared distances (n,) in the precision of the vectors; infinite on overflow."""
    n, d = gallery.shape
    dtype = np.result_type(transform(gallery[:1]), query)
    squares, size = np.empty(n, dtype), max(1, DIRECT_BLOCK_BYTES // (dtype.itemsize * d))
    space = np.empty((min(size, n), d), dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, n, size):
            rows = transform(gallery[start : start + size])  # (b, d)
            differences = np.subtract(rows, query, out=space[: len(rows)])
            # (b, 1, 1): a matrix product for each row, by BLAS
            products = np.matmul(differences[:, None], differences[:, :, None])
            squares[start : start + size] = products[:, 0, 0]
    return squares


def bytes_per_query(k: int, d: int) -> int:
    """Return the maximum memory of `candidates` and their distances for each query."""
    return 4 * max(CHUNK_ROWS, 4 * k) + 40 * _max_candidates(k) + 4 * d


def _max_candidates(k: int) -> int:
    """Return the number of candidates above which all distances of a query are computed."""
    return 512 + 32 * k


class _Sieve:
    """The candidates so far: pairs of query and gallery row, each with score - E."""

    def __init__(self, queries: int, max_candidates: int) -> None:
        self.max_candidates = max_candidates
        self.counts = np.zeros(queries, np.intp)
        self.pairs: list[tuple[NDArray[np.intp], NDArray[np.intp], Floats]] = []

    @property
    def given_up(self) -> NDArray[np.bool_]:
        return self.counts > self.max_candidates

    def add(self, rows: NDArray[np.intp], columns: NDArray[np.intp], lower: Floats) -> None:
        self.counts += np.bincount(rows, minlength=len(self.counts))
        wanted = ~self.given_up[rows]
        self.pairs.append((rows[wanted], columns[wanted], lower[wanted]))

    def results(self, limits: NDArray[np.float32]) -> list[NDArray[np.intp] | None]:
        rows, columns, lower = map(np.concatenate, zip(*self.pairs, strict=True))
        passing = lower <= limits[rows]
        rows, columns = rows[passing], columns[passing]
        order = np.argsort(rows, kind="stable")  # keeps the columns of a row ascending
        ends = np.cumsum(np.bincount(rows, minlength=len(limits)))[:-1]
        found = np.split(columns[order], ends)
        return [None if up else each for up, each in zip(self.given_up, found, strict=True)]


def _scores(
    chunk: NDArray[np.float32], doubled: NDArray[np.float32], lengths: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return the scores of a chunk (m, c) and a bound on the error of each query's scores (m,).

    `doubled` is -2 q of the queries, `lengths` the norms of q.
    """
    squares = np.einsum("ij,ij->i", chunk, chunk, dtype=np.float64)  # (c,)
    longest, d = np.sqrt(squares.max()), chunk.shape[1]
    relative = (d + 8) * UNIT_ROUNDOFF
    if not longest < 2.0**60 or relative >= 0.5:  # out of range for float32 or the theorem
        return np.zeros((len(doubled), len(chunk)), np.float32), np.full(len(doubled), np.inf)
    scores = doubled @ chunk.T  # (m, c)
    scores += squares.astype(np.float32)
    error = relative / (1 - relative) * (lengths + longest) ** 2 + (d + 8) * 2.0**-125
    return scores, error


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


def _up(x: Floats) -> NDArray[np.float32]:
    """Round up to float32."""
    rounded = x.astype(np.float32)
    return np.asarray(np.nextafter(rounded, np.float32(np.inf)))


def _scale(first: Floats, queries: Floats, centre: NDArray[np.float64]) -> float:
    """Return the power of two that scales the numbers to about 1; its products are exact."""
    largest = max(
        float(np.abs(bound - centre).max())
        for x in (first, queries)
        for bound in (x.min(axis=0), x.max(axis=0))
    )
    return float(2.0 ** -np.ceil(np.log2(largest))) if largest > 0 else 1.0


def _shifted(x: Floats, centre: Floats, scale: float) -> NDArray[np.float32]:
    result = np.empty(x.shape, np.float32)
    for start in range(0, len(x), CHUNK_ROWS):  # without float64 copies of all rows at once
        rows = slice(start, start + CHUNK_ROWS)
        result[rows] = (x[rows] - centre) * scale
    return result
