"""Exact neighbours by float32 matrix products: a fast sieve, then float64 for what it leaves.

Ranking by ``|g|^2 - 2 q.g`` costs one matrix product, but cancellation eats digits where
neighbours lie close together. So the product only sieves, with a bound on its error.

Let g and q be a gallery and a query vector after a common shift and scale, which change no order;
A the largest norm of a g, B the norm of q, d their length, u = 2^-24 float32's unit roundoff.

1. Rounding g and q to float32 moves each by at most u of its norm, and so the squared distance
   by at most 2.01 u (A + B)^2.
2. A float32 sum of d products is off by at most d u / (1 - d u) times the sum of their absolute
   values, in whatever order it is added up (Higham, "Accuracy and Stability of Numerical
   Algorithms", 2002, section 3.1), here at most A B for q.g. Rounding |g|^2, and the difference,
   adds 2 u (A + B)^2 or less.
3. Numbers below float32's range may be flushed to 0, at most 2^-126 for each of d products.

Hence the score is within E = (d + 8) u / (1 - (d + 8) u) (A + B)^2 + (d + 8) 2^-125 of the squared
distance less |q|^2. Let t be the k-th smallest score of q's row. The k pictures at or below t have
distances of at most t + E, so every true neighbour has one too, and a score of at most t + 2 E.
Exactly these are the candidates; none is missed, and their float64 distances decide. (What float64
itself rounds, (d + 4) 2^-53 (A + B)^2, is covered by the 8.) Where the bound cannot tell pictures
apart, all of them become candidates: slow, and right.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

UNIT_ROUNDOFF = 2.0**-24


def candidates(
    gallery: NDArray[np.floating],
    queries: NDArray[np.floating],
    k: int,
    exclude: NDArray[np.integer] | None,
    block_bytes: int,
    noise: float = 0.0,
) -> Iterator[NDArray[np.intp]]:
    """Yield for each query the rows of the gallery among which its k nearest are for certain.

    Parameters
    ----------
    gallery : (n, d) float
    queries : (m, d) float
    k : int
        From 1 to n, or to n - 1 with `exclude`.
    exclude : (m,) int, optional
        For each query a row that is no candidate.
    block_bytes : int
        How many bytes of scores are held at a time.
    noise : float
        By how much the squared distances that will decide may differ from those of the given
        vectors, beyond float64's rounding of the latter.

    Yields
    ------
    (c,) int
        Rows in ascending order, c >= k.
    """
    centre = gallery.mean(axis=0, dtype=np.float64)
    scale = _scale(gallery, queries, centre)
    known = _shifted(gallery, centre, scale)
    squares = np.einsum("ij,ij->i", known, known, dtype=np.float64)
    longest, d = np.sqrt(squares.max()), gallery.shape[1]
    size = max(1, block_bytes // (4 * len(gallery)))
    for start in range(0, len(queries), size):
        asked = _shifted(queries[start : start + size], centre, scale)
        scores = asked @ known.T
        scores *= -2
        scores += squares.astype(np.float32)
        if exclude is not None:
            scores[np.arange(len(asked)), exclude[start : start + size]] = np.inf
        lengths = np.sqrt(np.einsum("ij,ij->i", asked, asked, dtype=np.float64))
        kth = np.partition(scores, k - 1, axis=1)[:, k - 1]
        limits = kth + 2 * (_error_bound(lengths + longest, d) + noise * scale**2)
        for row, limit in zip(scores, limits, strict=True):
            # limit is float64: comparing in float32 would round it, maybe downwards
            yield np.flatnonzero(row <= np.nextafter(np.float32(limit), np.float32(np.inf)))


def _scale(
    gallery: NDArray[np.floating], queries: NDArray[np.floating], centre: NDArray[np.float64]
) -> float:
    """Find a power of two, whose product is exact, that brings all numbers to at most 1."""
    largest = max(
        float(np.abs(bound - centre).max())
        for x in (gallery, queries)
        for bound in (x.min(axis=0), x.max(axis=0))
    )
    return float(2.0 ** -np.ceil(np.log2(largest))) if largest > 0 else 1.0


def _shifted(
    x: NDArray[np.floating], centre: NDArray[np.float64], scale: float
) -> NDArray[np.float32]:
    result = np.empty(x.shape, np.float32)
    for start in range(0, len(x), 1024):  # so that float64 is never held for all rows at once
        rows = slice(start, start + 1024)
        result[rows] = (x[rows] - centre) * scale
    return result


def _error_bound(reach: NDArray[np.float64], d: int) -> NDArray[np.float64]:
    relative = (d + 8) * UNIT_ROUNDOFF
    if relative >= 0.5:  # the theorem ends here, for vectors of millions of numbers
        return np.full_like(reach, np.inf)
    return relative / (1 - relative) * reach**2 + (d + 8) * 2.0**-125
