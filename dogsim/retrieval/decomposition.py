"""Decompose the distance of two images into parts, one for each place of their feature maps.

Average-pooled features are a mean over the places of an image, so a distance between them is a sum
over places, exactly. Let the query's features f (D,) be the mean of N places a_i (D,), 7 x 7 for
most networks, and the features g (D,) of the other image that of M places b_j. With
m = (f + g) / 2

    |f - g|^2 = sum_i (a_i - m).(f - g) / N  +  sum_j (m - b_j).(f - g) / M

because the mean of a_i - m is f - m = (f - g) / 2: either sum is |f - g|^2 / 2, so each image
contributes half of the distance. A part above 0 increases the distance, a part below 0 reduces it.
The origin of the features does not matter, because it shifts a_i, b_j and m alike.

Pairs of places show which regions of the two images match. For any u (D,)

    (f - u).(g - u) = sum_i sum_j (a_i - u).(b_j - u) / (N M)

and the two images are the nearer, the larger this likeness is, since
|f - g|^2 = |f - u|^2 + |g - u|^2 - 2 (f - u).(g - u). With u = 0 hardly any pair is below 0 after a
ReLU (Stylianou, Souvenir and Pless 2019, "Visualizing deep similarity networks", arXiv:1901.00536),
and what all images have in common counts most. With the mean of a dataset for u, the pairs that
distinguish the two from the rest come first.

The cosine distance 1 - f.g / (|f| |g|) is half the squared distance of f / |f| and g / |g|, which
are the means of a_i / |f| and b_j / |g|: the same sums again, halved, and pairs that with u = 0 add
up to the cosine. Correlation is the cosine of vectors less their own mean, a_i as well as f. A
linear head maps f to z / |z| with z = W f / |f| + c, which is the mean of (W a_i / |f| + c) / |z|.
With --views flip the features are (f / |f| + f' / |f'|) / 2, f' those of the mirrored image, which
is the mean of (a_i / |f| + a'_i / |f'|) / 2, where a'_i is the place of the mirrored image that
shows what a_i shows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dist_calc import check_metric, dist_calc
from dogsim.errors import DogsimError
from dogsim.plumbing.arrays import nonzero_lengths
from dogsim.recipe import Recipe

SQUARED_METRICS, ANGULAR_METRICS = ("euclidean", "sqeuclidean"), ("cosine", "correlation")
MAX_PLACES = 4096  # of an image: the table of all pairs is in memory
MAX_STRONG_PAIRS = 5
STRONG_PAIR_RATIO = 15  # of the likeness of a pair to the mean over all pairs

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """The parts of the distance of two images, one for each place.

    Attributes
    ----------
    metric : str
    distance : float
        What `dogsim.dist_calc` returns for the two.
    query_parts, other_parts : (h, w) float64
        What each place of an image adds to the distance, or to its square for metric euclidean:
        above 0 it increases the distance, below 0 it reduces it.
    pairs : (h, w, h, w) float64
        What each pair of places, the query's first, adds to the likeness of the two.
    recipe : Recipe
        How the features were made.
    """

    metric: str
    distance: float
    query_parts: Floats
    other_parts: Floats
    pairs: Floats
    recipe: Recipe

    @property
    def sum(self) -> float:
        """Sum of all parts: the distance, or its square for metric euclidean."""
        return float(self.query_parts.sum() + self.other_parts.sum())

    @property
    def query_likeness(self) -> Floats:
        """What each place of the query adds to the likeness, (h, w)."""
        return np.asarray(self.pairs.sum(axis=(2, 3)))

    @property
    def other_likeness(self) -> Floats:
        """What each place of the other image adds to the likeness, (h, w)."""
        return np.asarray(self.pairs.sum(axis=(0, 1)))

    def best_pairs(self, n: int = 5) -> NDArray[np.intp]:
        """Find the n pairs of places that add most to the likeness, each place in at most one.

        Returns (n, 4) int: row and column in the query, row and column in the other, best first;
        fewer than n if there are fewer places.
        """
        left, found = self.pairs.copy(), []
        for _ in range(min(n, self.query_parts.size, self.other_parts.size)):
            row, column, other_row, other_column = np.unravel_index(left.argmax(), left.shape)
            left[row, column] = left[:, :, other_row, other_column] = -np.inf
            found.append((row, column, other_row, other_column))
        return np.array(found, np.intp)

    def strong_pairs(self, n: int = MAX_STRONG_PAIRS) -> NDArray[np.intp]:
        """Return those of `best_pairs` that carry weight; (m, 4) int with m <= n, perhaps 0.

        They add at least `STRONG_PAIR_RATIO` times as much as if the likeness were spread evenly
        over all pairs.
        """
        best = self.best_pairs(n)
        likeness = self.pairs[tuple(best.T)]
        even = self.pairs[self.pairs > 0].sum() / self.pairs.size
        strong = (likeness > 0) & (likeness >= STRONG_PAIR_RATIO * even)
        return np.asarray(best[strong], np.intp)


def decompose(
    maps: NDArray[np.float32],
    features: NDArray[np.float32],
    metric: str,
    origin: Floats | None,
    recipe: Recipe,
) -> Explanation:
    """Decompose the distance of two images with feature maps (2, h, w, D) and features (2, D).

    The features are the means of the maps. `origin` (D,) is the u of pairs above, by default 0.
    Raises `DogsimError` if there are more than `MAX_PLACES` places.
    """
    shape = maps.shape[1:3]
    if shape[0] * shape[1] > MAX_PLACES:
        raise DogsimError(
            f"Layer {recipe.layer} has {shape[0]} x {shape[1]} places. Expected a layer with up "
            f"to {MAX_PLACES}: a later one, such as avg_pool."
        )
    places = maps.reshape(2, -1, maps.shape[3]).astype(np.float64)  # (2, h w, D)
    a, b = (in_metric_space(metric, *each) for each in zip(places, features[:, None], strict=True))
    apart, middle = a.mean(axis=0) - b.mean(axis=0), (a.mean(axis=0) + b.mean(axis=0)) / 2
    half = 2 if metric in ANGULAR_METRICS else 1
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
    parts = f"{explanation.query_parts.sum():.4g} + {explanation.other_parts.sum():.4g}"
    if explanation.metric == "euclidean":
        total = f"the square of the distance {explanation.distance:.4g}"
    else:
        total = "the distance"
    return (
        _pairs_caption(explanation),
        f"What the two have in common: the parts of either add up to a likeness of "
        f"{explanation.pairs.sum():.4g}.",
        f"Where the distance comes from: {parts} = {explanation.sum:.4g}, {total}.",
    )


def _pairs_caption(explanation: Explanation) -> str:
    pairs, strong = explanation.pairs, explanation.strong_pairs()
    if not len(strong):
        return "No pair of places stands out: many pairs add a little to the likeness."
    share = float(pairs[tuple(strong.T)].sum() / pairs[pairs > 0].sum())
    times = share * pairs.size / len(strong)
    return (
        f"{len(strong)} of {pairs.size} pairs of places "
        f"{'adds' if len(strong) == 1 else 'add'} {share:.1%} of the likeness, "
        f"{times:.0f} times an even share."
    )


def check_explained(metric: str) -> None:
    """Raise `DogsimError` unless distances of that metric are sums over places."""
    check_metric(metric)
    if metric not in SQUARED_METRICS + ANGULAR_METRICS:
        raise DogsimError(
            f"Distances of metric {metric!r} are not a sum over places. Expected one of: "
            f"{', '.join(SQUARED_METRICS + ANGULAR_METRICS)}."
        )


def in_metric_space(metric: str, places: Floats, features: NDArray[np.floating]) -> Floats:
    """Map places (N, D) into a space whose Euclidean distances are those of the metric.

    `features` is their mean, (1, D), or one row for each place.
    """
    if metric == "correlation":
        places = places - places.mean(axis=1, keepdims=True)
        features = features - features.mean(axis=1, keepdims=True, dtype=np.float64)
    if metric in SQUARED_METRICS:
        return places
    return np.asarray(places / nonzero_lengths(features))
