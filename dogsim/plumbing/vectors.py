"""Lengths of vectors, vectors of length 1, and distances between vectors."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def unit_vectors(vectors: ArrayLike, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Divide each row of (n, d) by its length, computed in `dtype`; a row of zeros stays zeros.

    >>> unit_vectors([[3, 4], [0, 0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    return np.asarray(np.asarray(vectors, dtype) / nonzero_lengths(vectors, dtype))


def nonzero_lengths(vectors: ArrayLike, dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Compute the lengths of the rows of (n, d), (n, 1) of `dtype`; 1 for a row of zeros."""
    lengths = np.linalg.norm(np.asarray(vectors, dtype), axis=1, keepdims=True)
    return np.asarray(np.where(lengths > 0, lengths, 1), dtype)


def cdist(
    queries: NDArray[Any], rows: NDArray[Any], metric: str, out: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Compute the distances (m, n) of queries (m, d) to rows (n, d) with SciPy's `cdist`.

    SciPy is imported at the first call: its import takes a quarter of a second, which commands that
    compare nothing save.
    """
    from scipy.spatial import distance

    distances: NDArray[np.float64] = distance.cdist(queries, rows, metric, out=out)
    return distances
