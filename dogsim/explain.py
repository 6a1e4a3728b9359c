"""Explain pictures, and a dataset's answers: which parts bring two together, and which apart.

What the parts are, and why they add up to the distance, is derived in `dogsim.parts`. Here the
pictures are looked at again, by the network that made their features.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dogsim.classify import classify
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.images import Source, load_image
from dogsim.networks.extractor import Extractor
from dogsim.networks.extractor_for import extractor_for
from dogsim.networks.feature_maps import load_places
from dogsim.recipe import Recipe
from dogsim.retrieval.decomposition import (
    Explanation,
    Floats,
    check_explained,
    explanation_of,
    seen_by,
)
from dogsim.retrieval.identity import seen

SAME = 0.9  # least cosine of a picture's features and the stored ones, whatever their precision
BLOCK = 4096  # rows of a dataset at a time


def explain(
    image: Source,
    other: Source,
    extractor: Extractor,
    metric: str = "euclidean",
    origin: Floats | None = None,
) -> Explanation:
    """Tell which parts of two pictures bring them together, and which apart.

    Parameters
    ----------
    image, other : path, array or PIL image
        As `dogsim.load_image` takes them.
    extractor : Extractor
        From `dogsim.load_extractor` or `dogsim.extractor_for`. Its network is loaded once more, in
        float32 and so that it gives its last map, at the first call.
    metric : {"euclidean", "sqeuclidean", "cosine", "correlation"}
    origin : (D,) float64, optional
        What pairs are counted from, u above: `origin_of` a dataset; by default 0.

    Returns
    -------
    Explanation

    Raises
    ------
    DogsimError
        If a picture cannot be read, or this metric, layer or head cannot be explained exactly.

    >>> from dogsim import load_extractor
    >>> lite = load_extractor("efficientnet-lite0")
    >>> black, white = np.zeros((8, 8), np.uint8), np.full((8, 8), 255, np.uint8)
    >>> why = explain(black, white, lite, "sqeuclidean")
    >>> why.query_parts.shape, bool(abs(why.sum / why.distance - 1) < 1e-5)
    ((7, 7), True)
    """
    check_explained(metric)
    recipe = extractor.recipe
    pictures = [load_image(each, recipe.image_size, recipe.resize) for each in (image, other)]
    maps, features = load_places(recipe)(np.stack(pictures))
    return explanation_of(maps, features, metric, origin, recipe)


def explain_neighbours(
    images: Sequence[Source],
    dataset: Dataset,
    k: int = 3,
    metric: str = "euclidean",
    extractor: Extractor | None = None,
) -> list[list[tuple[int, Explanation]]]:
    """Explain to pictures their k nearest in a dataset, whose pictures are looked at again.

    Parameters
    ----------
    images, dataset, k, extractor
        As for `dogsim.classify`.
    metric
        As for `explain`; pairs are counted from the mean of the dataset.

    Returns
    -------
    list of list of (int, Explanation)
        For each picture its neighbours' rows in the dataset, nearest first, with what explains
        them.

    Raises
    ------
    DogsimError
        As `explain` and `dogsim.classify` do, or if the dataset has no recipe or a neighbour's
        picture is gone or has changed since.
    """
    check_explained(metric)
    extractor = extractor or extractor_for(_require_recipe(dataset))
    recipe = extractor.recipe
    places = load_places(recipe)  # says at once what cannot be explained
    images = [seen(image, dataset) for image in images]
    answers = classify(images, dataset, k, metric, extractor)
    _require_pictures(dataset, np.unique([answer.indices for answer in answers]))
    origin, found = origin_of(dataset, metric), []
    for image, answer in zip(images, answers, strict=True):
        query = places(load_image(image, recipe.image_size, recipe.resize)[None])
        rows = answer.indices.tolist()
        found.append([(row, _to_row(query, dataset, row, recipe, metric, origin)) for row in rows])
    return found


def explain_row(
    image: Source,
    dataset: Dataset,
    row: int,
    extractor: Extractor,
    metric: str = "euclidean",
    origin: Floats | None = None,
) -> Explanation:
    """Explain to a picture one of a dataset, whose file is looked at again.

    Takes and raises what `explain` and `explain_neighbours` do.
    """
    check_explained(metric)
    recipe = extractor.recipe
    _require_pictures(dataset, np.array([row]))
    query = load_places(recipe)(load_image(image, recipe.image_size, recipe.resize)[None])
    return _to_row(query, dataset, row, recipe, metric, origin)


def origin_of(dataset: Dataset, metric: str = "euclidean") -> Floats:
    """Compute the mean of a dataset's features, as the metric sees them, (D,) float64."""
    check_explained(metric)
    sums = np.zeros(dataset.features.shape[1])
    for start in range(0, len(dataset), BLOCK):
        rows = np.asarray(dataset.features[start : start + BLOCK], np.float64)
        sums += seen_by(metric, rows, rows).sum(axis=0)
    return sums / max(len(dataset), 1)


def _require_recipe(dataset: Dataset) -> Recipe:
    if dataset.recipe is None:
        raise DogsimError(
            "This dataset does not say how its features were made, so there are no places to look "
            "at. Explained can be a dataset of dogsim create-dataset, and any two pictures: dogsim "
            "explain A B."
        )
    return dataset.recipe


def _require_pictures(dataset: Dataset, rows: NDArray[np.integer]) -> None:
    gone = [dataset.image_file(row) for row in rows if not dataset.image_file(row).is_file()]
    if gone:
        raise DogsimError(
            f"There is no picture {gone[0]}, whose places are to be looked at. Tell where the "
            "dataset's pictures lie now, --root FOLDER, or explain two that are there: dogsim "
            "explain A B."
        )


def _to_row(
    query: tuple[NDArray[np.float32], NDArray[np.float32]],
    dataset: Dataset,
    row: int,
    recipe: Recipe,
    metric: str,
    origin: Floats | None,
) -> Explanation:
    """Explain a picture of the dataset to a query, whose places and features are there."""
    picture = load_image(dataset.source(row), recipe.image_size, recipe.resize)
    other = load_places(recipe)(picture[None])
    _require_same(other[1][0], dataset, row)
    maps, features = (np.concatenate(each) for each in zip(query, other, strict=True))
    return explanation_of(maps, features, metric, origin, recipe)


def _require_same(features: NDArray[np.float32], dataset: Dataset, row: int) -> None:
    """Raise `DogsimError` if a picture's features are not those that the dataset has of it."""
    stored = np.asarray(dataset.features[row], np.float64)
    lengths = np.linalg.norm(features.astype(np.float64)) * np.linalg.norm(stored)
    if features @ stored < SAME * lengths:
        raise DogsimError(
            f"The picture {dataset.image_file(row)} is not the one that the dataset was made with. "
            "Make it again: dogsim create-dataset."
        )
