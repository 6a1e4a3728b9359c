"""Which parts of two pictures bring them together, and which apart.

Features that are average-pooled are a mean over the places of a picture, so a distance between them
falls apart into places, exactly. Let the query's features f (D,) be the mean of N places a_i (D,),
7 x 7 for most networks, and the features g (D,) of the other picture that of M places b_j. With
m = (f + g) / 2

    |f - g|^2 = sum_i (a_i - m).(f - g) / N  +  sum_j (m - b_j).(f - g) / M

because the mean of a_i - m is f - m = (f - g) / 2: either sum is |f - g|^2 / 2, so each picture
holds half of the distance. A part above 0 brings the two apart, one below 0 together. It matters
not where the features have their origin, for that moves a_i, b_j and m alike.

Pairs of places tell which parts of the two belong together. For any u (D,)

    (f - u).(g - u) = sum_i sum_j (a_i - u).(b_j - u) / (N M)

and the larger this likeness is, the nearer are the two, since
|f - g|^2 = |f - u|^2 + |g - u|^2 - 2 (f - u).(g - u). With u = 0 hardly a pair is below 0 after a
ReLU (Stylianou, Souvenir and Pless 2019, "Visualizing deep similarity networks", arXiv:1901.00536),
and what all pictures have counts most. With the mean of a dataset for u the pairs come first that
set the two apart from the rest.

The cosine distance 1 - f.g / (|f| |g|) is half the squared distance of f / |f| and g / |g|, which
are the means of a_i / |f| and b_j / |g|: the same sums again, halved, and pairs that with u = 0 add
up to the cosine. Correlation is the cosine of vectors less their own mean, a_i as well as f. A
linear head maps f to z / |z| with z = W f / |f| + c, which is the mean of (W a_i / |f| + c) / |z|.
Of a picture and its mirror, --views flip, the features are (f / |f| + f' / |f'|) / 2, the mean of
(a_i / |f| + a'_i / |f'|) / 2, where a'_i is the mirror's place that shows what a_i shows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.classify import classify
from dogsim.dataset import Dataset
from dogsim.dist_calc import check_metric, dist_calc
from dogsim.errors import DogsimError
from dogsim.images import Source, load_image
from dogsim.networks.extractor import Extractor
from dogsim.networks.extractor_for import extractor_for
from dogsim.networks.places import load_places
from dogsim.recipe import Recipe
from dogsim.sameness import seen

SQUARED, ANGULAR = ("euclidean", "sqeuclidean"), ("cosine", "correlation")
MOST_PLACES = 4096  # of a picture; a table of their pairs is held
SAME = 0.9  # least cosine of a picture's features and the stored ones, whatever their precision
BLOCK = 4096  # rows of a dataset at a time

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the distance of two pictures comes from, place by place.

    Attributes
    ----------
    metric : str
    distance : float
        What `dogsim.dist_calc` gives for the two.
    query_parts, other_parts : (h, w) float64
        What each place of either picture adds to the distance, for metric euclidean to its square:
        above 0 it brings them apart, below 0 together.
    pairs : (h, w, h, w) float64
        What each pair of places, the query's first, adds to the likeness of the two.
    recipe : Recipe
        By what the pictures were seen.
    """

    metric: str
    distance: float
    query_parts: Floats
    other_parts: Floats
    pairs: Floats
    recipe: Recipe

    @property
    def sum(self) -> float:
        """What the parts of both add up to: the distance, for metric euclidean its square."""
        return float(self.query_parts.sum() + self.other_parts.sum())

    @property
    def query_likeness(self) -> Floats:
        """What each place of the query adds to the likeness, (h, w): above 0 it brings together."""
        return np.asarray(self.pairs.sum(axis=(2, 3)))

    @property
    def other_likeness(self) -> Floats:
        """What each place of the other picture adds to the likeness, (h, w)."""
        return np.asarray(self.pairs.sum(axis=(0, 1)))

    def best_pairs(self, n: int = 5) -> NDArray[np.intp]:
        """Find the n pairs of places that add most to the likeness, no place in two of them.

        Returns
        -------
        (n, 4) int
            Row and column in the query, row and column in the other, best first; fewer than n
            where there are not so many places.
        """
        left, found = self.pairs.copy(), []
        for _ in range(min(n, self.query_parts.size, self.other_parts.size)):
            row, column, other_row, other_column = np.unravel_index(left.argmax(), left.shape)
            left[row, column] = left[:, :, other_row, other_column] = -np.inf
            found.append((row, column, other_row, other_column))
        return np.array(found, np.intp)


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
    return _explanation(maps, features, metric, origin, recipe)


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
        sums += _seen_by(metric, rows, rows).sum(axis=0)
    return sums / max(len(dataset), 1)


def check_explained(metric: str) -> None:
    """Raise `DogsimError` unless distances of that metric fall apart into places."""
    check_metric(metric)
    if metric not in SQUARED + ANGULAR:
        raise DogsimError(
            f"Distances of metric {metric!r} are no sum over places. Explained can be: "
            f"{', '.join(SQUARED + ANGULAR)}."
        )


def _require_recipe(dataset: Dataset) -> Recipe:
    if dataset.recipe is None:
        raise DogsimError(
            "This dataset does not say how its features were made, so there are no places to look "
            "at. Explained can be a dataset of dogsim create-dataset, and any two pictures: dogsim "
            "explain A B."
        )
    return dataset.recipe


def _require_pictures(dataset: Dataset, rows: NDArray[np.integer]) -> None:
    gone = [dataset.picture(row) for row in rows if not dataset.picture(row).is_file()]
    if gone:
        raise DogsimError(
            f"There is no picture {gone[0]}, whose places are to be looked at. Tell where the "
            "dataset's pictures lie now, --root FOLDER, or explain two that are there: dogsim "
            "explain A B."
        )


def _explanation(
    maps: NDArray[np.float32],
    features: NDArray[np.float32],
    metric: str,
    origin: Floats | None,
    recipe: Recipe,
) -> Explanation:
    """Take the distance of two pictures apart: maps (2, h, w, D), features (2, D)."""
    shape = maps.shape[1:3]
    if shape[0] * shape[1] > MOST_PLACES:
        raise DogsimError(
            f"Layer {recipe.layer} has {shape[0]} x {shape[1]} places. Explained can be layers of "
            f"up to {MOST_PLACES}: a later one, such as avg_pool."
        )
    places = maps.reshape(2, -1, maps.shape[3]).astype(np.float64)
    a, b = (_seen_by(metric, *each) for each in zip(places, features[:, None], strict=True))
    apart, middle = a.mean(axis=0) - b.mean(axis=0), (a.mean(axis=0) + b.mean(axis=0)) / 2
    half = 2 if metric in ANGULAR else 1
    u = np.zeros(1) if origin is None else origin
    return Explanation(
        metric=metric,
        distance=float(dist_calc(features[1:], features[:1], metric)[0, 0]),
        query_parts=((a - middle) @ apart / (len(a) * half)).reshape(shape),
        other_parts=((middle - b) @ apart / (len(b) * half)).reshape(shape),
        pairs=((a - u) @ (b - u).T / (len(a) * len(b))).reshape(shape * 2),
        recipe=recipe,
    )


def _seen_by(metric: str, places: Floats, features: NDArray[np.floating]) -> Floats:
    """Turn places (N, D) into those whose means are as far apart as the metric says.

    `features` are their mean, (1, D), or one row for each.
    """
    if metric == "correlation":
        places = places - places.mean(axis=1, keepdims=True)
        features = features - features.mean(axis=1, keepdims=True, dtype=np.float64)
    if metric in SQUARED:
        return places
    lengths = np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)
    return places / np.where(lengths > 0, lengths, 1)


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
    return _explanation(maps, features, metric, origin, recipe)


def _require_same(features: NDArray[np.float32], dataset: Dataset, row: int) -> None:
    """Raise `DogsimError` if a picture's features are not those that the dataset has of it."""
    stored = np.asarray(dataset.features[row], np.float64)
    lengths = np.linalg.norm(features.astype(np.float64)) * np.linalg.norm(stored)
    if features @ stored < SAME * lengths:
        raise DogsimError(
            f"The picture {dataset.picture(row)} is not the one that the dataset was made with. "
            "Make it again: dogsim create-dataset."
        )
