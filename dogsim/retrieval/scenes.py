"""Neighbours of other scenes: shots of one scene count as one image.

Several shots of one object or place are more alike than two images of one breed. If the dataset has
such shots of a query, leaving out the query alone says little about a new image: its neighbours
are the other shots. Therefore all images of the query's scene are left out.
"""

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest


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
