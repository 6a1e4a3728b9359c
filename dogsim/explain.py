"""Explain distances: which places of two images increase their distance, and which reduce it.

`dogsim.retrieval.decomposition` proves that the parts of the places add up to the distance. This
module computes the feature maps of the images.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import check_k, k_or_default, nearest
from dogsim.errors import DogsimError
from dogsim.feature_extract import check_extractor
from dogsim.images import Source, load_image
from dogsim.networks.extractor import Extractor
from dogsim.networks.extractor_for import check_own_weights, extractor_for
from dogsim.networks.feature_maps import FeatureMaps, load_feature_maps
from dogsim.plumbing.arrays import as_numbers
from dogsim.recipe import Recipe
from dogsim.retrieval.decomposition import (
    Explanation,
    Floats,
    check_explained,
    decompose,
    in_metric_space,
)
from dogsim.retrieval.query import Query

EXPLAINED_K = 3  # neighbours, unless another number is given
MIN_FEATURE_COSINE = 0.9  # between new and stored features of an image, whatever their precision
MEAN_BLOCK_ROWS = 4096  # rows of a dataset in memory at a time


def explain(
    image: Source,
    other: Source,
    extractor: Extractor,
    metric: str = "euclidean",
    origin: Floats | None = None,
) -> Explanation:
    """Compute which places of two images increase their distance, and which reduce it.

    Parameters
    ----------
    image, other : path, array or PIL image
        As `dogsim.load_image` takes them.
    extractor : Extractor
        From `dogsim.load_extractor` or `dogsim.extractor_for`. At the first call its network is
        loaded once more, in float32 and with its last feature map as an output.
    metric : {"euclidean", "sqeuclidean", "cosine", "correlation"}
        Of the features as the network computes them; `dogsim.ImageDistance` scales them to length 1
        by default.
    origin : (D,) float64, optional
        The origin u of pairs, `origin_of` a dataset; by default 0.

    Raises
    ------
    DogsimError
        If an image cannot be read, or this metric, layer or head cannot be explained exactly.

    >>> from dogsim import load_extractor
    >>> lite = load_extractor("efficientnet-lite2")
    >>> black, white = np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)
    >>> why = explain(black, white, lite, "sqeuclidean")
    >>> why.query_parts.shape, bool(abs(why.sum / why.distance - 1) < 1e-5)
    ((9, 9), True)
    """
    check_explained(metric)
    check_extractor(extractor)
    recipe = extractor.recipe
    pixels = [load_image(each, recipe.image_size, recipe.resize) for each in (image, other)]
    maps, features = feature_maps_of(recipe)(np.stack(pixels))  # (2, h, w, D), (2, D)
    if origin is not None:
        origin = as_numbers("origin", origin, ndim=1)
        if origin.shape != features.shape[1:]:
            raise DogsimError(f"Received origin {origin.shape}. Expected {features.shape[1:]}.")
    return decompose(maps, features, metric, origin, recipe)


def explain_neighbours(
    images: Sequence[Source | Query],
    dataset: Dataset,
    k: int | None = None,
    metric: str = "euclidean",
    extractor: Extractor | None = None,
) -> list[list[tuple[int, Explanation]]]:
    """Explain the distances of images to their k nearest neighbours in a dataset.

    The image files of the neighbours are read again. Returns for each image the rows of its
    neighbours, nearest first, with their explanations.

    Parameters
    ----------
    images, dataset, extractor
        As for `dogsim.classify`.
    k : int, optional
        Number of neighbours; by default 3, or all other images of a smaller dataset.
    metric
        As for `explain`; the origin of pairs is the mean of the dataset.

    Raises
    ------
    DogsimError
        As `explain` and `dogsim.classify` do, or if the dataset has no recipe or the image file
        of a neighbour is missing or has changed.
    """
    check_explained(metric)
    if extractor is None and dataset.recipe is None:
        raise DogsimError(
            "This dataset does not say how its features were made, so its distances cannot be "
            "explained. Expected a dataset of dogsim create-dataset, or any two images: dogsim "
            "explain A B."
        )
    extractor = extractor_for(dataset.recipe) if extractor is None else extractor
    check_extractor(extractor, dataset.recipe)
    n_others = max(len(dataset) - 1, 1)  # of an image of the dataset
    k = check_k(k_or_default(k, EXPLAINED_K, n_others), len(dataset))
    recipe = extractor.recipe
    feature_maps = feature_maps_of(recipe)  # raises before any search
    queries = [each if isinstance(each, Query) else Query.resolve(each, dataset) for each in images]
    rows = [_nearest_rows(query, dataset, k, metric, extractor) for query in queries]
    _require_image_files(dataset, np.unique(rows))
    origin = origin_of(dataset, metric)
    query_maps = (feature_maps(query.pixels(recipe)[None]) for query in queries)
    return [
        [(row, _to_row(query, dataset, row, recipe, metric, origin)) for row in neighbours]
        for query, neighbours in zip(query_maps, rows, strict=True)
    ]


def explain_row(
    image: Source,
    dataset: Dataset,
    row: int,
    extractor: Extractor,
    metric: str = "euclidean",
    origin: Floats | None = None,
) -> Explanation:
    """Explain the distance of an image to one image of a dataset, whose file is read again.

    Parameters and errors are those of `explain` and `explain_neighbours`.
    """
    check_explained(metric)
    recipe = extractor.recipe
    _require_image_files(dataset, np.array([row]))
    query = feature_maps_of(recipe)(load_image(image, recipe.image_size, recipe.resize)[None])
    return _to_row(query, dataset, row, recipe, metric, origin)


@lru_cache(maxsize=1)
def feature_maps_of(recipe: Recipe) -> FeatureMaps:
    """Load the network that computes the feature maps of images; the last one is cached.

    Raises `DogsimError` as `load_feature_maps` does, or if the weight file is missing or has
    changed.
    """
    return load_feature_maps(recipe, check_own_weights(recipe, None).network)


@lru_cache(maxsize=8)
def origin_of(dataset: Dataset, metric: str = "euclidean") -> Floats:
    """Compute the mean of a dataset's features in the space of the metric, (D,) float64."""
    check_explained(metric)
    sums = np.zeros(dataset.features.shape[1])
    for start in range(0, len(dataset), MEAN_BLOCK_ROWS):
        rows = np.asarray(dataset.features[start : start + MEAN_BLOCK_ROWS], np.float64)
        sums += in_metric_space(metric, rows, rows).sum(axis=0)
    return sums / max(len(dataset), 1)


def _nearest_rows(
    query: Query, dataset: Dataset, k: int, metric: str, extractor: Extractor
) -> list[int]:
    """Return the rows of the k nearest; an image of the dataset is not its own neighbour."""
    if query.row is None:
        features = extractor(query.pixels(extractor.recipe)[None])  # (1, D)
        _, indices = nearest(dataset, features, k, metric)
    else:
        features = np.asarray(dataset.features[[query.row]])
        _, indices = nearest(dataset, features, k, metric, [query.row])
    return list(map(int, indices[0]))


def _require_image_files(dataset: Dataset, rows: NDArray[np.integer]) -> None:
    missing = [dataset.image_file(row) for row in rows if not dataset.image_file(row).is_file()]
    if missing:
        raise DogsimError(
            f"There is no image {missing[0]}, which an explanation needs. Name the folder of the "
            "dataset's images, --root FOLDER, or explain two images: dogsim explain A B."
        )


def _to_row(
    query: tuple[NDArray[np.float32], NDArray[np.float32]],
    dataset: Dataset,
    row: int,
    recipe: Recipe,
    metric: str,
    origin: Floats | None,
) -> Explanation:
    """Explain the distance to a row of the dataset; `query` is its map and its features."""
    pixels = load_image(dataset.source(row), recipe.image_size, recipe.resize)
    other = feature_maps_of(recipe)(pixels[None])
    maps, features = (np.concatenate(each) for each in zip(query, other, strict=True))
    computed, stored = features[1].astype(np.float64), np.asarray(dataset.features[row], np.float64)
    lengths = np.linalg.norm(computed) * np.linalg.norm(stored)
    if computed @ stored < MIN_FEATURE_COSINE * lengths:
        raise DogsimError(
            f"The image {dataset.image_file(row)} is not the one that the dataset was made with. "
            "Make the dataset again: dogsim create-dataset."
        )
    return decompose(maps, features, metric, origin, recipe)
