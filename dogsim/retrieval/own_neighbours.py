"""The neighbours of a dataset's own images, among all other images or those of other scenes.

Several shots of one object or place are more alike than two images of one breed. If the dataset has
such shots of a query, leaving out the query alone says little about a new image: its neighbours
are the other shots. Therefore an evaluation leaves out all images of the query's scene.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import NeighbourArrays, nearest
from dogsim.errors import DogsimError
from dogsim.plumbing.cache import cache_arrays, read_cached_arrays
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched
from dogsim.retrieval.identity import features_hash

SEARCH_ROWS = 4096  # at a time, for the progress bar
MAX_SAMPLED_IMAGES = 200  # whose nearest-neighbour distances are the scale of a dataset
FAR_THRESHOLD = 0.05  # the fraction of the images that are as far from their nearest neighbour
MAX_SAMPLED_PAIRS = 40_000_000  # of these images and all images; compared in seconds


def own_neighbours(dataset: Dataset, k: int, other_scenes: bool = False) -> NeighbourArrays:
    """Find the k nearest rows of each row by cosine distance, itself left out.

    They are cached in the cache folder by the features of the dataset, and by its scenes if these
    are left out.

    Parameters
    ----------
    dataset : Dataset
    k : int
        All other rows of a dataset of fewer.
    other_scenes : bool
        Whether all images of a row's scene are left out, too.

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
    sizes = count_scenes(dataset, np.arange(len(dataset))) if other_scenes else np.ones(1, int)
    k = min(k, len(dataset) - int(sizes.max(initial=1)))
    if k < 1:
        nothing = np.empty((len(dataset), 0))
        return nothing, nothing.astype(np.intp)
    name = f"near-{k}-{features_hash(dataset)}"
    if other_scenes and dataset.scenes is not None:
        name += f"-{sha256(dataset.scenes.astype('<i4').tobytes()).hexdigest()[:16]}"
    arrays = read_cached_arrays(name, ("distances", "rows"))
    if arrays is None:
        arrays = _search(dataset, k, other_scenes)
        cache_arrays(name, **arrays)
    return arrays["distances"], arrays["rows"].astype(np.intp)


@lru_cache(maxsize=4)
def own_nearest(dataset: Dataset, metric: str) -> NDArray[np.float64]:
    """Compute the distances of images of a dataset to their nearest image of another scene, (n,).

    They are ascending, and give a scale for other distances. At most `MAX_SAMPLED_IMAGES` images
    are drawn at random, fewer of more than 200,000. Empty if the dataset has one image or scene, or
    features for which the metric is not defined.
    """
    n, rng = len(dataset), np.random.default_rng(0)
    n_sampled = min(MAX_SAMPLED_IMAGES, n, max(MAX_SAMPLED_PAIRS // n, 1))
    rows = np.sort(rng.choice(n, n_sampled, replace=False))
    rows = rows[count_scenes(dataset, rows) < n]
    try:
        return np.sort(nearest_in_other_scenes(dataset, rows, 1, metric)[0].ravel())
    except DogsimError:
        return np.empty(0)


def far_queries(dataset: Dataset, distances: NDArray[np.float64], metric: str) -> NDArray[np.bool_]:
    """Find the queries that are farther from the dataset than 95 % of its own images, (n,) bool.

    The scale is `own_nearest`: a sample, which leaves out an image's scene.

    Parameters
    ----------
    dataset : Dataset
    distances : (n, k) float64
        The distances of each query to its neighbours, nearest first.
    metric : str
    """
    own = own_nearest(dataset, metric)
    as_far = len(own) - np.searchsorted(own, distances[:, 0], side="left")  # (n,)
    return np.asarray((as_far + 1) / (len(own) + 1) <= FAR_THRESHOLD)


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


def scene_numbers(dataset: Dataset) -> NDArray[np.int32]:
    """Return a number of the scene of each image, (n,); without scenes each image has its own."""
    if dataset.scenes is None:
        return np.arange(len(dataset), dtype=np.int32)
    return dataset.scenes


def count_scenes(dataset: Dataset, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Count the images in the scene of each row of a dataset, itself included: (m,)."""
    _, scene, sizes = np.unique(scene_numbers(dataset), return_inverse=True, return_counts=True)
    return np.asarray(sizes[scene[rows]])


def count_in_scene_and_breed(
    dataset: Dataset, labels: NDArray[np.int32], rows: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Count the images in the scene of each row that have its label, itself included: (m,)."""
    pairs = np.stack([scene_numbers(dataset), labels], axis=1)  # (n, 2)
    _, pair, sizes = np.unique(pairs, axis=0, return_inverse=True, return_counts=True)
    return np.asarray(sizes[pair.ravel()[rows]])


def nearest_in_other_scenes(
    dataset: Dataset, rows: NDArray[np.intp], k: int, metric: str = "euclidean"
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Find the k nearest neighbours of images of a dataset among the images of other scenes.

    Parameters
    ----------
    dataset : Dataset
    rows : (m,) int
        The rows of the queries.
    k : int
        From 1 to the number of images that no query shares its scene with.
    metric : str
        As for `dogsim.dist_calc`.

    Returns
    -------
    distances, indices : (m, k) float64 and int
        Nearest first; ties go to the lower index.

    >>> shots = Dataset(np.array([[0.0], [0.1], [2.0], [5.0]]), np.zeros(4, int), tuple("abcd"),
    ...                 ("pug",), scenes=np.array([7, 7, 8, 9], np.int32))
    >>> nearest_in_other_scenes(shots, np.array([0, 3]), 2)[1]
    array([[2, 3],
           [2, 1]])
    """
    scenes, others = scene_numbers(dataset), count_scenes(dataset, rows) - 1  # (n,), (m,)
    distances, indices = np.empty((len(rows), k)), np.empty((len(rows), k), np.intp)
    # The k nearest of other scenes are among the k + s nearest images, where s is the number of
    # other images in the scene. Queries with a similar s are searched together.
    limits = np.where(others > 0, 2 ** np.ceil(np.log2(np.maximum(others, 1))).astype(int), 0)
    for limit in np.unique(limits):
        chosen = np.flatnonzero(limits == limit)
        n_searched = min(k + int(limit), len(dataset) - 1)
        queries = dataset.features[rows[chosen]]  # (b, d)
        found = nearest(dataset, queries, n_searched, metric, rows[chosen])
        own = scenes[found[1]] == scenes[rows[chosen], None]  # (b, k + s)
        order = np.argsort(own, axis=1, kind="stable")[:, :k]  # (b, k)
        distances[chosen] = np.take_along_axis(found[0], order, axis=1)
        indices[chosen] = np.take_along_axis(found[1], order, axis=1)
    return distances, indices


def _search(dataset: Dataset, k: int, other_scenes: bool) -> dict[str, Any]:
    """Return the distances, (n, k) float64, and the rows, int32, which take half of the memory."""
    distances = np.empty((len(dataset), k))
    rows = np.empty((len(dataset), k), np.int32)
    blocks = map(np.array, batched(range(len(dataset)), SEARCH_ROWS))
    for block in track(blocks, len(dataset), "images compared by features"):
        if other_scenes:
            found = nearest_in_other_scenes(dataset, block, k, "cosine")
        else:
            found = nearest(dataset, dataset.features[block], k, "cosine", block)
        distances[block], rows[block] = found
    return {"distances": distances, "rows": rows}
