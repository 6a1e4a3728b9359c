"""The vote of the breed means: each breed has one vote, weighted by the distance to its mean.

A query is compared with the mean of the unit vectors of each breed, as in nearest class mean
classification (Mensink et al., "Distance-based image classification: generalizing to new classes at
near-zero cost", 2013, doi:10.1109/TPAMI.2013.83). The neighbours see only the images around the
query; the means are less precise, but they use all images.
"""

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.plumbing.arrays import unit_vectors

SUMMED_ROWS = 4096  # images at a time
MIN_LENGTH = 1e-3  # of a sum of unit vectors; a shorter one is rounding error


class BreedMeans:
    """The sums of the unit vectors of the images of each breed that vote.

    Parameters
    ----------
    dataset : Dataset
    rows : (m,) int
        The rows that vote.
    numbers : (n,) int
        Images with the same number, 0 or more, are left out together, see `left_out_together`.
    """

    def __init__(self, dataset: Dataset, rows: NDArray[np.intp], numbers: NDArray[np.intp]) -> None:
        self._features, self._labels = dataset.features, dataset.labels
        self._numbers = numbers[rows]  # (m,)
        order = np.argsort(self._numbers, kind="stable")
        self._sorted_numbers, self._sorted_rows = self._numbers[order], rows[order]
        shape = len(dataset.breeds), dataset.features.shape[1]
        self._sums = np.zeros(shape, np.float32)  # (c, d)
        for start in range(0, len(rows), SUMMED_ROWS):
            block = rows[start : start + SUMMED_ROWS]
            labels, sums = _sums_by_number(self._labels[block], self._units(block))
            self._sums[labels] += sums

    def shares(
        self, features: NDArray[np.float32], place: NDArray[np.intp], temperature: float
    ) -> NDArray[np.float64]:
        """Compute each breed's share of the vote of the means, with the weights exp(-d^2 / T).

        Parameters
        ----------
        features : (b, d) float32
            Features of the queries.
        place : (b,) int
            For each query the index in `rows` of the image that is left out, with those of its
            number; -1 if none.
        temperature : float

        Returns
        -------
        (b, c) float64
            Each row sums to 1; 0 for a breed of which no image is left.
        """
        units = unit_vectors(features, np.float32)  # (b, d)
        lengths = np.linalg.norm(self._sums, axis=1)  # (c,)
        cosines = (units @ unit_vectors(self._sums, np.float32).T).astype(np.float64)  # (b, c)
        cosines[:, lengths < MIN_LENGTH] = -np.inf
        queries, labels, rest = self._without(place)  # (e,), (e,), (e, d)
        lengths = np.linalg.norm(rest, axis=1)
        own = np.einsum("ed,ed->e", units[queries], rest) / np.maximum(lengths, MIN_LENGTH)
        cosines[queries, labels] = np.where(lengths < MIN_LENGTH, -np.inf, own)
        nearest = np.maximum(cosines.max(axis=1, keepdims=True), -1)
        weights = np.exp(2 * (cosines - nearest) / temperature)  # |a - b|^2 = 2 - 2 cos
        return np.asarray(weights / np.maximum(weights.sum(axis=1, keepdims=True), 1))

    def _without(
        self, place: NDArray[np.intp]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        """Return the sums that change because images are left out: query, label and new sum."""
        own = self._numbers[place]
        starts = np.searchsorted(self._sorted_numbers, own, side="left")  # (b,)
        sizes = np.searchsorted(self._sorted_numbers, own, side="right") - starts  # (b,)
        sizes[place < 0] = 0
        queries = np.repeat(np.arange(len(place)), sizes)  # (p,): one entry for each image left out
        offsets = np.arange(len(queries)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        rows = self._sorted_rows[np.repeat(starts, sizes) + offsets]
        n_breeds = len(self._sums)
        cells, left_out = _sums_by_number(
            queries * n_breeds + self._labels[rows], self._units(rows)
        )
        labels = cells % n_breeds
        return cells // n_breeds, labels, self._sums[labels] - left_out

    def _units(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        return unit_vectors(self._features[rows], np.float32)


def _sums_by_number(
    numbers: NDArray[np.integer], vectors: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the numbers that occur, ascending, and the sum of the vectors of each."""
    order = np.argsort(numbers, kind="stable")
    found, starts = np.unique(numbers[order], return_index=True)
    if len(found) == len(numbers):  # faster, and `reduceat` needs one or more
        return found.astype(np.intp), vectors[order]
    return found.astype(np.intp), np.add.reduceat(vectors[order], starts, axis=0)
