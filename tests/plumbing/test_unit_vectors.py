"""Vectors of length 1, computed in the requested precision."""

import numpy as np
import pytest

from dogsim.plumbing.arrays import nonzero_lengths, unit_vectors

ROWS = np.array([[3, 4, 0], [0, 0, 0], [1, 2, 2]], np.float32)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_have_length_1_and_zeros_stay(dtype: type) -> None:
    units, lengths = unit_vectors(ROWS, dtype), nonzero_lengths(ROWS, dtype)
    assert units.dtype == lengths.dtype == dtype
    assert lengths.tolist() == [[5], [1], [3]]
    assert units == pytest.approx(ROWS / np.array([[5], [1], [3]]))
