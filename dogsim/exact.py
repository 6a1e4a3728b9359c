"""Exact nearest neighbours: candidates from float32 matrix products, decided in float64.

Ranking by ``|g|^2 - 2 q.g`` costs one matrix product, but cancellation loses digits where
neighbours lie close together. So the product only selects candidates, with a bound on its error.

Let g be a vector of the gallery and q a query, d their length, u = 2^-24 the unit roundoff of
float32, and c = (d + 16) u / (1 - (d + 16) u), which has to be at most 1/4.

1. A float32 sum of d products has an error of at most d u / (1 - d u) times the sum of their
   absolute values, in any order of summation (Higham, "Accuracy and Stability of Numerical
   Algorithms", 2002, section 3.1). That sum is at most |q| |g| for q.g, and |g|^2 for |g|^2.
2. Rounding q, |g|^2 or a result to float32 changes it by at most u times its size.
3. Numbers below the range of float32 may be flushed to 0: at most 2^-126 for each product.

Hence the computed |g|^2 - 2 q.g differs from the squared distance minus |q|^2 by at most
c (|g|^2 + 2 |q| |g|) + a with a = (d + 16) 2^-125. Since 2 |q| |g| <= |q|^2 + |g|^2, this is at
most 2 c |g|^2 for the row, plus e = c |q|^2 + a for the query. Let s = 2 c (1 + 2 c) times the
computed |g|^2, which is at least 2 c |g|^2. The score of a row is |g|^2 - s - 2 q.g, computed in
float32. So the squared distance minus |q|^2 is at least score - e and at most score + 2 s + e.

Let t be the largest score + 2 s of any k images. These have squared distances minus |q|^2 of at
most t + e, so each of the k nearest has one of at most t + e, too, and a score of at most t + 2 e.
Exactly the images with such a score are the candidates, and their float64 distances decide. The
gallery is read in chunks, from which t never increases, so no neighbour is missed: see `Sieve`.
(The rounding error of the float64 distances, at most (d + 8) 2^-52 (|g|^2 + |q|^2), which also
makes ties, is covered by the 16, as is the rounding of the score and its parts.)

The cosine distance minus 1 is -w.g / |g|, where w = q / |q|. The float32 product has an error of at
most c |g|, and 1 / |g| from the computed |g|^2 one of at most 0.7 c / |g|. So the score, their
product, is within e = 2 c, and s is 0. The lengths have to be in a range in which the numbers that
are flushed to 0 are too small to matter.

If the bound cannot separate the images, a query gets too many candidates. This happens if the
distances are small compared to the lengths, so the vectors are shifted by a mean, and scaled by a
power of two. That does not change the order. Rounding them to float32 moves each by at most u times
its length and so changes the squared distance by at most 2.01 u (|g| + |q|)^2, which the 16 covers,
too. (Shifting float32 numbers in float32 is the same rounding. With a scale of less than 2^60, the
numbers that it may flush to 0 are far below the bound.) If there are too many candidates again, all
distances of the query are computed, which is slow but correct.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.plumbing.arrays import unit_vectors
from dogsim.plumbing.sieve import Candidates, Sieve
from dogsim.storage.gallery import Floats, Gallery, squared_lengths

PRODUCT_METRICS = ("euclidean", "sqeuclidean", "cosine")
UNIT_ROUNDOFF = 2.0**-24
MAX_RELATIVE_ERROR = 0.25  # c
MAX_LENGTH = 2.0**60  # whose square is in the range of float32
MIN_COSINE_LENGTH, MAX_COSINE_LENGTH = 2.0**-60, 2.0**120
MAX_CHUNK_ROWS = 1 << 14  # of the gallery at a time
MAX_CHUNK_BYTES = 1 << 27
MAX_TILE_QUERIES = 512  # with a chunk at a time
MAX_TILE_BYTES = 1 << 24  # of scores
CHUNK_ROWS = 1024  # of shifted vectors at a time
MAX_DIRECT_QUERIES = 4  # up to here, computing all distances is faster than shifting the gallery

Exclude = NDArray[np.integer] | None


def candidates(
    gallery: Gallery | Floats,
    queries: Floats,
    k: int,
    exclude: Exclude = None,
    metric: str = "euclidean",
) -> Candidates:
    """Find for each query rows of the gallery that certainly include its k nearest neighbours.

    Parameters
    ----------
    gallery : Gallery or (n, d) array
        Read in chunks; may be on disk.
    queries : (m, d) float
    k : int
        At most n / 3.
    exclude : (m,) int, optional
        For each query a row that is not a candidate.
    metric : str
        One of `PRODUCT_METRICS`.

    Returns
    -------
    list of m
        Rows in ascending order, (c,) int with c >= k; None if there would be too many, or if a
        number is out of range.
    """
    gallery = gallery if isinstance(gallery, Gallery) else Gallery(gallery)
    found: Candidates = [None] * len(queries)
    if ranking := _ranking(gallery, queries, metric):
        found = ranking.select(len(gallery), k, exclude)
    rest = [i for i, rows in enumerate(found) if rows is None]
    if len(rest) > MAX_DIRECT_QUERIES:
        ranking = _shifted_ranking(gallery, queries[rest], metric)
        own = None if exclude is None else exclude[rest]
        for i, rows in zip(rest, ranking.select(len(gallery), k, own), strict=True):
            found[i] = rows
    return found


def bytes_per_query(k: int, d: int) -> int:
    """Return the maximum memory of `candidates` and their distances for each query."""
    return 8 * k + 40 * _max_candidates(k) + 16 * d


def _max_candidates(k: int) -> int:
    """Return the number of candidates above which all distances of a query are computed."""
    return 512 + 32 * k


@dataclass
class _Chunk:
    """Consecutive rows of a gallery, and what makes scores of their products with queries."""

    rows: NDArray[np.float32]  # (c, d)
    combine: np.ufunc  # of a product and the operand of its row
    operand: NDArray[np.float32]  # (c,)
    slack: NDArray[np.float64]  # (c,), the s of the proof

    def scores(
        self, queries: NDArray[np.float32], memory: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Compute the scores (t, c) of queries (t, d), in the given memory (t c or more,)."""
        shape = len(queries), len(self.rows)
        products = memory[: shape[0] * shape[1]].reshape(shape)
        np.matmul(queries, self.rows.T, out=products)
        scores: NDArray[np.float32] = self.combine(products, self.operand, out=products)
        return scores


@dataclass
class _Ranking:
    """Queries as they are multiplied, the errors of their scores, and the chunks of a gallery."""

    queries: NDArray[np.float32]  # (m, d)
    errors: NDArray[np.float64]  # (m,), the e of the proof
    max_rows: int  # of a chunk
    chunk: Callable[[slice], _Chunk | None]  # None if its numbers are out of range

    def select(self, n: int, k: int, exclude: Exclude) -> Candidates:
        """Return the candidates of each query among the n rows, as `candidates` does."""
        tiles = -(-len(self.queries) // MAX_TILE_QUERIES)
        t = -(-len(self.queries) // tiles)  # queries of a tile
        c = min(n, max(4 * k, min(self.max_rows, MAX_TILE_BYTES // (4 * t))))  # its rows
        memory = np.empty(t * c, np.float32)
        sieve = Sieve(k, n, self.errors, _max_candidates(k))
        for row in range(0, n, c):
            chunk = self.chunk(slice(row, row + c))
            if chunk is None:
                return [None] * len(self.queries)
            for query in range(0, len(self.queries), t):
                scores = chunk.scores(self.queries[query : query + t], memory)  # (t, c)
                if exclude is not None:
                    own = exclude[query : query + t] - row
                    inside = np.flatnonzero((own >= 0) & (own < scores.shape[1]))
                    scores[inside, own[inside]] = np.inf
                sieve.add(query, row, scores, chunk.slack)
        return sieve.results()


def _ranking(gallery: Gallery, queries: Floats, metric: str) -> _Ranking | None:
    """Return the ranking by products of the vectors; None if they are float64 or out of range."""
    if gallery.dtype != np.float32 or _relative_error(gallery) > MAX_RELATIVE_ERROR:
        return None
    d = gallery.shape[1]
    max_rows = min(MAX_CHUNK_ROWS, max(1, MAX_CHUNK_BYTES // (4 * d)))
    make = _cosine_ranking if metric == "cosine" else _euclidean_ranking
    return make(gallery, queries, max_rows)


def _euclidean_ranking(gallery: Gallery, queries: Floats, max_rows: int) -> _Ranking | None:
    squares, c, lengths = gallery.squares, _relative_error(gallery), _lengths(queries)
    if not (squares.max() < MAX_LENGTH**2 and lengths.max(initial=0.0) < MAX_LENGTH):
        return None

    def chunk(some: slice) -> _Chunk:
        return _euclidean_chunk(gallery[some], squares[some], c)

    return _Ranking(_doubled(queries), c * lengths**2 + _flushed(gallery), max_rows, chunk)


def _cosine_ranking(gallery: Gallery, queries: Floats, max_rows: int) -> _Ranking | None:
    lengths = np.sqrt(gallery.squares)  # (n,)
    if not (lengths.min() > MIN_COSINE_LENGTH and lengths.max() < MAX_COSINE_LENGTH):
        return None
    factors = (1 / lengths).astype(np.float32)
    slack = np.zeros(len(lengths))

    def chunk(some: slice) -> _Chunk:
        return _Chunk(gallery[some], np.multiply, factors[some], slack[some])

    units = unit_vectors(queries).astype(np.float32)
    errors = np.full(len(queries), 2 * _relative_error(gallery))
    return _Ranking(-units, errors, max_rows, chunk)


def _shifted_ranking(gallery: Gallery, queries: Floats, metric: str) -> _Ranking:
    """Return the ranking by products of shifted and scaled vectors, for cosine of unit vectors."""
    transform = unit_vectors if metric == "cosine" else np.asarray
    c = _relative_error(gallery)
    first, queries = transform(gallery[:CHUNK_ROWS]), transform(queries)
    centre = first.mean(axis=0, dtype=np.float64)
    scale = _scale(first, queries, centre)
    if 2.0**-60 < scale < 2.0**60:  # float32 differences are then float64 differences, rounded once
        centre = centre.astype(np.result_type(first, queries))
    queries = _shifted(queries, centre, scale)
    errors = c * _lengths(queries) ** 2 + _flushed(gallery)
    if metric == "cosine":
        # 2 (1 - cos) is the squared distance of the unit vectors. The absolute error of 1 - cos in
        # float64 is about 2 d 2^-53, that of the unit vectors half of it.
        errors += 16 * (gallery.shape[1] + 8) * 2.0**-53 * scale**2

    def chunk(some: slice) -> _Chunk | None:
        rows = _shifted(transform(gallery[some]), centre, scale)
        squares = squared_lengths(rows)
        in_range = c <= MAX_RELATIVE_ERROR and squares.max() < MAX_LENGTH**2
        return _euclidean_chunk(rows, squares, c) if in_range else None

    return _Ranking(_doubled(queries), errors, CHUNK_ROWS, chunk)


def _euclidean_chunk(rows: NDArray[np.float32], squares: NDArray[np.float64], c: float) -> _Chunk:
    slack = 2 * c * (1 + 2 * c) * squares
    return _Chunk(rows, np.add, (squares - slack).astype(np.float32), slack)


def _doubled(queries: Floats) -> NDArray[np.float32]:
    """Return -2 q for each query, (m, d); only the conversion to float32 rounds."""
    doubled = queries.astype(np.float32)
    doubled *= -2
    return doubled


def _relative_error(gallery: Gallery) -> float:
    """Return the c of the proof, infinite if the theorem does not hold."""
    product = float((gallery.shape[1] + 16) * UNIT_ROUNDOFF)
    return product / (1 - product) if product < 0.5 else np.inf


def _flushed(gallery: Gallery) -> float:
    """Return the a of the proof."""
    return float((gallery.shape[1] + 16) * 2.0**-125)


def _lengths(vectors: Floats) -> NDArray[np.float64]:
    squares: NDArray[np.float64] = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares)  # (m,)


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
