"""The nearest neighbours of each image of a dataset among its other images, cached on disk."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import NeighbourArrays, nearest
from dogsim.plumbing.cache import cache_arrays, read_cached_arrays
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched
from dogsim.retrieval.identity import features_hash

SEARCH_ROWS = 4096  # at a time, for the progress bar


def own_neighbours(dataset: Dataset, k: int) -> NeighbourArrays:
    """Find the k nearest rows of each row by cosine distance, itself left out.

    They are cached in the cache folder by the features of the dataset.

    Parameters
    ----------
    dataset : Dataset
    k : int
        All other rows of a dataset of fewer.

    Returns
    -------
    distances, indices : (n, k) float64 and int
        As `dogsim.nearest` returns them.

    Raises
    ------
    DogsimError
        If the features of a row are all zeros or not finite.

    >>> features = np.array([[0, 1], [1, 0], [1, 1]])
    >>> three = Dataset(features, np.zeros(3, int), ("a", "b", "c"), ("pug",))
    >>> own_neighbours(three, 1)[1].ravel().tolist()
    [2, 2, 0]
    """
    k = min(k, len(dataset) - 1)
    if k < 1:
        nothing = np.empty((len(dataset), 0))
        return nothing, nothing.astype(np.intp)
    name = f"near-{k}-{features_hash(dataset)}"
    arrays = read_cached_arrays(name, ("distances", "rows"))
    if arrays is None:
        arrays = _search(dataset, k)
        cache_arrays(name, **arrays)
    return arrays["distances"], arrays["rows"].astype(np.intp)


def rows_with_direction(features: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which rows of features (n, d) can be compared by cosine distance, (n,) bool.

    These are the rows of finite numbers that are not all zeros.

    >>> rows_with_direction(np.array([[1, 0], [0, 0], [np.nan, 1]])).tolist()
    [True, False, False]
    """
    defined = np.empty(len(features), bool)
    for start in range(0, len(features), SEARCH_ROWS):
        chunk = np.asarray(features[start : start + SEARCH_ROWS])
        defined[start : start + SEARCH_ROWS] = np.isfinite(chunk).all(1) & chunk.any(1)
    return defined


def _search(dataset: Dataset, k: int) -> dict[str, Any]:
    """Return the distances, (n, k) float64, and the rows, int32, which take half of the memory."""
    distances = np.empty((len(dataset), k))
    rows = np.empty((len(dataset), k), np.int32)
    blocks = map(np.array, batched(range(len(dataset)), SEARCH_ROWS))
    for block in track(blocks, len(dataset), "images compared by features"):
        found = nearest(dataset, dataset.features[block], k, "cosine", block)
        distances[block], rows[block] = found
    return {"distances": distances, "rows": rows}
