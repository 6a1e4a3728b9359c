"""Checks of array arguments, and numerics that NumPy lacks: unit vectors, distances, components."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from dogsim.errors import DogsimError, shown

WHOLE, REAL = "ui", "uif"  # kinds of dtypes


def as_numbers(name: str, values: Any, kinds: str = REAL, ndim: int | None = None) -> Any:
    """Return an array or a nested sequence of numbers as an array.

    Parameters
    ----------
    name : str
        The name of the argument, for the message.
    values : array_like
        An array is returned unchanged; an empty list has the last of `kinds`.
    kinds : str
        `WHOLE`, or `REAL` if the numbers may have fractions.
    ndim : int, optional
        The number of dimensions; by default any.

    Raises
    ------
    DogsimError
        If it is no array of such numbers, such as a list of rows of different lengths.

    >>> as_numbers("labels", [[1, 2], [3]])
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received labels as a list. Expected an array of numbers.
    """
    expected = f"an array of {'whole ' if kinds == WHOLE else ''}numbers"
    try:
        unchanged = isinstance(values, np.memmap) or type(values) is np.ndarray
        array: NDArray[Any] = values if unchanged else np.asarray(values)
    except Exception as error:  # the conversion of an object can raise anything
        raise DogsimError(f"Received {name} as {shown(values)}. Expected {expected}.") from error
    if array.size == 0 and not isinstance(values, np.ndarray):
        array = array.astype(np.dtype(kinds[-1]))  # an empty list is float
    if np.ma.is_masked(values):
        raise DogsimError(f"Received {name} with masked values. Expected {expected}.")
    if array.dtype.kind not in kinds or ndim not in (None, array.ndim):
        dimensions = "" if ndim is None else f" of {ndim} dimensions"
        raise DogsimError(
            f"Received {name} {array.shape} of {array.dtype}. Expected {expected}{dimensions}."
        )
    return array


def as_row_indices(name: str, rows: ArrayLike, n: int) -> NDArray[np.intp]:
    """Return rows of a dataset of n images as an array (m,); raise `DogsimError` for others."""
    array = as_numbers(name, rows, WHOLE, ndim=1)
    if len(array) and not (array.min() >= 0 and array.max() < n):
        raise DogsimError(
            f"Received {name} from {array.min()} to {array.max()}. "
            f"Expected 0 to {n - 1}, the rows of the dataset."
        )
    return np.asarray(array, np.intp)


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


def connected_components(edges: ArrayLike, n: int) -> NDArray[np.intp]:
    """Number the connected components of an undirected graph, in the order of their first node.

    Parameters
    ----------
    edges : (m, 2) int
        The two nodes of each edge, 0 to n - 1.
    n : int
        The number of nodes.

    Returns
    -------
    (n,) int
        The component of each node.

    >>> connected_components([[3, 1], [0, 2]], 5)
    array([0, 1, 0, 1, 2])
    """
    from scipy.sparse import coo_array, csgraph

    first, second = np.asarray(edges, np.intp).reshape(-1, 2).T
    graph = coo_array((np.ones(len(first), bool), (first, second)), (n, n))
    return np.asarray(csgraph.connected_components(graph, directed=False)[1], np.intp)
