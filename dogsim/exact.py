"""Exact neighbours by float32 matrix products: a fast sieve, then float64 for what it leaves.

Ranking by ``|g|^2 - 2 q.g`` costs one matrix product, but cancellation eats digits where
neighbours lie close together. So the product only sieves, with a bound on its error.

Let g and q be a gallery and a query vector after a common shift and scale, which change no order;
A the largest norm of a g, B the norm of q, d their length, u = 2^-24 float32's unit roundoff.

1. Rounding g and q to float32 moves each by at most u of its norm, and so the squared distance
   by at most 2.01 u (A + B)^2. (Shifting float32 numbers in float32 is that rounding; a scale of
   less than 2^60 keeps what it may flush to 0 far below it.)
2. A float32 sum of d products is off by at most d u / (1 - d u) times the sum of their absolute
   values, in whatever order it is added up (Higham, "Accuracy and Stability of Numerical
   Algorithms", 2002, section 3.1), here at most A B for q.g. Rounding |g|^2, and the difference,
   adds 2 u (A + B)^2 or less.
3. Numbers below float32's range may be flushed to 0, at most 2^-126 for each of d products.

Hence the score is within E = (d + 8) u / (1 - (d + 8) u) (A + B)^2 + (d + 8) 2^-125 of the squared
distance less |q|^2. The gallery comes in chunks, each with an A and so an E of its own. Let t be
the k-th smallest of score + E in q's row so far. These k pictures have distances of at most t, so
every true neighbour has one too, and score - E <= t. Exactly these are the candidates; t only
sinks from chunk to chunk, so none is missed, and their float64 distances decide. (What float64
itself rounds, (d + 4) 2^-53 (A + B)^2, is covered by the 8.) Where the bound cannot tell pictures
apart, a row gets so many candidates that it is given up, to be computed in full: slow, and right.

For few queries the preparation would cost more than the product saves, so their differences are
taken as they are. Rounding each number of g - q, its square, and the sum of d of these in whatever
order, leaves |g - q|^2 (1 + e) with |e| <= (d + 8) u / (1 - (d + 8) u), where u = 2^-53 for float64
numbers; what is flushed to 0 adds (d + 8) 2^-124 at most. Nothing cancels: the bound is a part of
the distance itself. With t the k-th smallest score, every true neighbour has a squared distance
of at most (t + a) / (1 - e), a being the absolute part, and so a score of at most 1 + e times
that, and a.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

UNIT_ROUNDOFF = 2.0**-24
CHUNK = 1024  # pictures of the gallery at a time
FEW = 4  # queries whose differences are taken one by one
FEW_BYTES = 1 << 19  # of differences at a time, which stay in a processor's cache

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
    """Find for each query the rows of the gallery among which its k nearest are for certain.

    Parameters
    ----------
    gallery : (n, d) float
        Read once, chunk after chunk; may lie on disk.
    queries : (m, d) float
    k : int
        From 1 to n, or to n - 1 with `exclude`.
    exclude : (m,) int, optional
        For each query a row that is no candidate.
    transform : callable
        Maps vectors (c, d) to those between which Euclidean distances rank the same.
    noise : float
        By how much the squared distances that will decide may differ from those of the transformed
        vectors, beyond float64's rounding of the latter.

    Returns
    -------
    list of m
        Rows in ascending order, (c,) int with c >= k; None where they would be too many, or where
        a number is not finite.
    """
    if len(queries) <= FEW:
        own = [None] * len(queries) if exclude is None else exclude
        each = zip(transform(queries), own, strict=True)
        return [_of_one(gallery, query, k, row, transform, noise) for query, row in each]
    size = max(CHUNK, 4 * k)
    first, asked = transform(gallery[:size]), transform(queries)
    centre = first.mean(axis=0, dtype=np.float64)
    scale = _scale(first, asked, centre)
    if 2.0**-60 < scale < 2.0**60:  # here float32's differences are float64's, rounded once
        centre = centre.astype(np.result_type(first, asked))
    asked = _shifted(asked, centre, scale)
    lengths = np.sqrt(np.einsum("ij,ij->i", asked, asked, dtype=np.float64))
    asked *= -2  # exactly, and once for all chunks
    best = np.full((len(queries), k), np.inf, np.float32)  # the k smallest of score + E
    sieve = _Sieve(len(queries), most=_most(k))
    for start in range(0, len(gallery), size):
        known = _shifted(transform(gallery[start : start + size]), centre, scale)
        scores, error = _scores(known, asked, lengths)
        error += noise * scale**2
        if exclude is not None:
            own = np.flatnonzero((exclude >= start) & (exclude < start + len(known)))
            scores[own, exclude[own] - start] = np.inf
        if start == 0 and len(known) >= k:
            best = _up(np.partition(scores, k - 1, axis=1)[:, :k] + error[:, None])
        limits = np.where(sieve.given_up, -np.inf, best.max(axis=1))
        passing = np.flatnonzero(scores <= _up(limits + error)[:, None])
        rows, columns = np.divmod(passing, scores.shape[1])
        kept = scores[rows, columns]
        if start > 0 or len(known) < k:
            _merge(best, rows, _up(kept + error[rows]))
        sieve.add(rows, columns + start, kept - error[rows])
    return sieve.results(best.max(axis=1))


def _of_one(
    gallery: Floats,
    query: Floats,
    k: int,
    exclude: np.integer | None,
    transform: Transform,
    noise: float,
) -> NDArray[np.intp] | None:
    """Find the candidates of one query by its differences to every row."""
    scores, d = _squared_distances(gallery, query, transform), len(query)
    # Of the score, and of the float64 distances that will decide.
    relative = (d + 8) * (np.finfo(scores.dtype).eps / 2 + 2.0**-53)
    if not np.isfinite(scores).all() or relative >= 0.25:
        return None
    if exclude is not None:
        scores[exclude] = np.inf
    error, least = relative / (1 - relative), (d + 8) * 2.0**-124 + noise
    bound = (float(np.partition(scores, k - 1)[k - 1]) + least) * (1 + error) / (1 - error) + least
    limit = np.nextafter(scores.dtype.type(bound), scores.dtype.type(np.inf))
    rows = np.flatnonzero(scores <= limit)
    return rows if len(rows) <= _most(k) else None


def _squared_distances(gallery: Floats, query: Floats, transform: Transform) -> Floats:
    """Compute (n,) in the numbers' own precision; infinite where they leave its range."""
    n, d = gallery.shape
    dtype = np.result_type(transform(gallery[:1]), query)
    squares, size = np.empty(n, dtype), max(1, FEW_BYTES // (dtype.itemsize * d))
    space = np.empty((min(size, n), d), dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, n, size):
            known = transform(gallery[start : start + size])
            off = np.subtract(known, query, out=space[: len(known)])
            products = np.matmul(off[:, None], off[:, :, None])  # each row by BLAS
            squares[start : start + size] = products[:, 0, 0]
    return squares


def bytes_of_a_query(k: int, d: int) -> int:
    """How much memory `candidates`, and their distances, take for each query, at most."""
    return 4 * max(CHUNK, 4 * k) + 40 * _most(k) + 4 * d


def _most(k: int) -> int:
    """How many candidates a query may have before it is given up."""
    return 512 + 32 * k


class _Sieve:
    """What has passed so far: pairs of query and gallery row, each with score - E."""

    def __init__(self, queries: int, most: int) -> None:
        self.most = most
        self.counts = np.zeros(queries, np.intp)
        self.pairs: list[tuple[NDArray[np.intp], NDArray[np.intp], Floats]] = []

    @property
    def given_up(self) -> NDArray[np.bool_]:
        return self.counts > self.most

    def add(self, rows: NDArray[np.intp], columns: NDArray[np.intp], lower: Floats) -> None:
        self.counts += np.bincount(rows, minlength=len(self.counts))
        few = ~self.given_up[rows]
        self.pairs.append((rows[few], columns[few], lower[few]))

    def results(self, limits: NDArray[np.float32]) -> list[NDArray[np.intp] | None]:
        rows, columns, lower = (np.concatenate(parts) for parts in zip(*self.pairs, strict=True))
        passing = lower <= limits[rows]
        rows, columns = rows[passing], columns[passing]
        order = np.argsort(rows, kind="stable")  # keeps the columns of a row ascending
        ends = np.cumsum(np.bincount(rows, minlength=len(limits)))[:-1]
        found = np.split(columns[order], ends)
        return [None if lost else chosen for lost, chosen in zip(self.given_up, found, strict=True)]


def _scores(
    known: NDArray[np.float32], doubled: NDArray[np.float32], lengths: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Score a chunk, (m, c), and bound the error of each query's scores, (m,).

    The queries are given as -2 q, with the lengths of q.
    """
    squares = np.einsum("ij,ij->i", known, known, dtype=np.float64)
    longest, d = np.sqrt(squares.max()), known.shape[1]
    relative = (d + 8) * UNIT_ROUNDOFF
    if not longest < 2.0**60 or relative >= 0.5:  # float32 or the theorem ends here
        return np.zeros((len(doubled), len(known)), np.float32), np.full(len(doubled), np.inf)
    scores = doubled @ known.T
    scores += squares.astype(np.float32)
    error = relative / (1 - relative) * (lengths + longest) ** 2 + (d + 8) * 2.0**-125
    return scores, error


def _merge(best: NDArray[np.float32], rows: NDArray[np.intp], upper: NDArray[np.float32]) -> None:
    """Put new numbers, sorted by row, among the k smallest of their rows."""
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
    """Round to float32, never downwards."""
    rounded = x.astype(np.float32)
    return np.asarray(np.nextafter(rounded, np.float32(np.inf)))


def _scale(first: Floats, asked: Floats, centre: NDArray[np.float64]) -> float:
    """Find a power of two, whose product is exact, that brings numbers to about 1."""
    largest = max(
        float(np.abs(bound - centre).max())
        for x in (first, asked)
        for bound in (x.min(axis=0), x.max(axis=0))
    )
    return float(2.0 ** -np.ceil(np.log2(largest))) if largest > 0 else 1.0


def _shifted(x: Floats, centre: Floats, scale: float) -> NDArray[np.float32]:
    result = np.empty(x.shape, np.float32)
    for start in range(0, len(x), CHUNK):  # so that float64 is never held for all rows at once
        rows = slice(start, start + CHUNK)
        result[rows] = (x[rows] - centre) * scale
    return result
