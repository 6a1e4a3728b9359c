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

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dist_calc import check_metric, dist_calc
from dogsim.errors import DogsimError
from dogsim.recipe import Recipe

SQUARED, ANGULAR = ("euclidean", "sqeuclidean"), ("cosine", "correlation")
MOST_PLACES = 4096  # of a picture; a table of their pairs is held

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


def explanation_of(
    maps: NDArray[np.float32],
    features: NDArray[np.float32],
    metric: str,
    origin: Floats | None,
    recipe: Recipe,
) -> Explanation:
    """Take the distance of two pictures apart.

    Parameters
    ----------
    maps : (2, h, w, D) float32
        What the network saw at each place of either.
    features : (2, D) float32
        Their features, of which the maps are the places.
    metric : {"euclidean", "sqeuclidean", "cosine", "correlation"}
    origin : (D,) float64, optional
        What pairs are counted from, u above; by default 0.
    recipe : Recipe
        By what the pictures were seen.

    Raises `DogsimError` if there are more than `MOST_PLACES` places.
    """
    shape = maps.shape[1:3]
    if shape[0] * shape[1] > MOST_PLACES:
        raise DogsimError(
            f"Layer {recipe.layer} has {shape[0]} x {shape[1]} places. Explained can be layers of "
            f"up to {MOST_PLACES}: a later one, such as avg_pool."
        )
    places = maps.reshape(2, -1, maps.shape[3]).astype(np.float64)
    a, b = (seen_by(metric, *each) for each in zip(places, features[:, None], strict=True))
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


def captions(explanation: Explanation) -> tuple[str, str, str]:
    """Return three sentences: on the best pairs, the likeness and the sum of the parts."""
    pairs = explanation.pairs
    best = explanation.best_pairs()
    held = sum(float(pairs[tuple(pair)]) for pair in best)
    share = held / max(float(pairs[pairs > 0].sum()), np.finfo(float).tiny)
    parts = f"{explanation.query_parts.sum():.4g} + {explanation.other_parts.sum():.4g}"
    if explanation.metric == "euclidean":
        total = f"the square of the distance {explanation.distance:.4g}"
    else:
        total = "the distance"
    return (
        f"The {len(best)} best of {pairs.size} pairs of places hold {share:.1%} of all that "
        "brings the two together.",
        f"What the two have in common: the parts of either add up to a likeness of "
        f"{pairs.sum():.4g}.",
        f"Where the distance comes from: {parts} = {explanation.sum:.4g}, {total}.",
    )


def check_explained(metric: str) -> None:
    """Raise `DogsimError` unless distances of that metric fall apart into places."""
    check_metric(metric)
    if metric not in SQUARED + ANGULAR:
        raise DogsimError(
            f"Distances of metric {metric!r} are no sum over places. Explained can be: "
            f"{', '.join(SQUARED + ANGULAR)}."
        )


def seen_by(metric: str, places: Floats, features: NDArray[np.floating]) -> Floats:
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
