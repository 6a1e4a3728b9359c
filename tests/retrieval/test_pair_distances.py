"""The distances of pairs of images agree with scipy, and are a sample of a large dataset."""

from dataclasses import replace

import numpy as np
import pytest
from clouds import cloud
from scipy.spatial.distance import pdist

from dogsim.retrieval import pair_distances as module
from dogsim.retrieval.pair_distances import fraction_farther, pair_distances


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "chebyshev"])
def test_each_pair_counts_once(metric: str) -> None:
    known = cloud(60)
    expected = np.sort(pdist(known.features.astype(np.float64), metric))
    np.testing.assert_allclose(pair_distances(known, metric), expected, rtol=1e-9, atol=1e-12)


def test_the_fraction_counts_pairs_that_are_farther_apart() -> None:
    known = cloud(60)
    pairs = pair_distances(known, "euclidean")
    distances = np.array([0, pairs[0], pairs[884], pairs[-1], 1e9])  # of 1,770
    fractions = fraction_farther(known, distances, "euclidean")
    assert fractions is not None
    np.testing.assert_allclose(fractions, [1, 1769 / 1770, 0.5, 0, 0])


def test_a_large_dataset_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRED_IMAGES", 100)
    known = cloud(400)
    assert len(pair_distances(known, "euclidean")) == 4950
    everything = pdist(known.features)
    for quantile in (0.05, 0.5):
        sampled = fraction_farther(known, np.quantile(everything, [quantile]), "euclidean")
        assert sampled == pytest.approx(1 - quantile, abs=0.05)


def test_without_a_scale_there_is_no_fraction() -> None:
    known = cloud(20)
    zeros = replace(known, features=np.zeros_like(known.features))
    assert fraction_farther(zeros, np.ones(2), "cosine") is None
    assert fraction_farther(known.take([0]), np.ones(2), "euclidean") is None
