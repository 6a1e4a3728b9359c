"""The distances between the images of a dataset: the scale for the distances of a query.

The nearest of 20,000 images is closer than 99.99 % of them, whatever it shows. Its distance says
more: it is compared with the distances between any two images of the dataset. The neighbours of a
query that resembles nothing in the dataset are then closer than few of the pairs.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import dist_calc
from dogsim.errors import DogsimError

MAX_PAIRED_IMAGES = 1000  # 499,500 pairs; their distances are computed in a second
MIN_CLOSER = 0.01  # the text for a smaller fraction is "farther than"


@lru_cache(maxsize=4)
def pair_distances(dataset: Dataset, metric: str) -> NDArray[np.float64]:
    """Compute the distances between the images of a dataset, each pair once, ascending.

    At most `MAX_PAIRED_IMAGES` images are compared, drawn at random from a larger dataset. Empty if
    the dataset has one image, or features for which the metric is not defined.
    """
    n, rng = len(dataset), np.random.default_rng(0)
    rows = np.sort(rng.choice(n, min(MAX_PAIRED_IMAGES, n), replace=False))
    features = np.asarray(dataset.features[rows])  # (m, d)
    try:
        distances = dist_calc(features, features, metric)  # (m, m)
    except DogsimError:
        return np.empty(0)
    return np.sort(distances[np.triu_indices(len(rows), 1)])


def fraction_farther(
    dataset: Dataset, distances: NDArray[np.floating], metric: str
) -> NDArray[np.float64] | None:
    """Compute the fraction of the pairs of images of a dataset that are farther apart, (k,).

    Parameters
    ----------
    dataset : Dataset
    distances : (k,) float
        Distances of a query to its neighbours.
    metric : str

    Returns
    -------
    (k,) float64 or None
        From 0 to 1; None if `pair_distances` is empty.

    >>> line = Dataset(np.array([[0.0], [1.0], [3.0]]), np.zeros(3, int), tuple("abc"), ("pug",))
    >>> fraction_farther(line, np.array([0.5, 1.0, 2.5]), "euclidean").round(3).tolist()
    [1.0, 0.667, 0.333]
    """
    pairs = pair_distances(dataset, metric)
    if not len(pairs):
        return None
    return 1 - np.searchsorted(pairs, distances, side="right") / len(pairs)


def closer_text(fraction: float) -> str:
    """Return a value of `fraction_farther` as text, rounded down and never 100 %.

    The page has the same texts: `closerText` in page.js.

    >>> closer_text(0.517), closer_text(0.9999), closer_text(0.004)
    ('closer than 51 %', 'closer than 99.9 %', 'farther than 99 %')
    """
    if fraction < MIN_CLOSER:
        return f"farther than {100 * (1 - MIN_CLOSER):.0f} %"
    hundredths = round(fraction * 10_000)
    if hundredths < 9900:
        return f"closer than {hundredths // 100} %"
    return f"closer than {min(hundredths // 10, 999) / 10:.1f} %"
