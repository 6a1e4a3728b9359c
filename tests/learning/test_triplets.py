"""Triplets and their ranking losses."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dogsim import (
    DogsimError,
    ranking_loss,
    sample_triplets,
)
from dogsim.learning.triplets import weighted_ranking_loss

# a busy machine must not fail a test
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PATIENT
@given(st.lists(st.integers(-1, 3), min_size=2, max_size=20), st.integers(0, 9))
def test_triplets_are_valid(labels: list[int], seed: int) -> None:
    known = [label for label in labels if label >= 0]
    if len(set(known)) < 2 or len(set(known)) == len(known):
        with pytest.raises(DogsimError, match="Expected 2 breeds or more"):
            sample_triplets(labels, 5, seed)
        return
    triplets = sample_triplets(labels, 50, seed)
    query, positive, negative = np.array(labels)[triplets].T
    assert triplets.shape == (50, 3)
    assert (query >= 0).all()
    assert (negative >= 0).all()
    assert (query == positive).all()
    assert (query != negative).all()
    assert (triplets[:, 0] != triplets[:, 1]).all()
    assert np.array_equal(triplets, sample_triplets(labels, 50, seed))


def test_triplets_are_uniform() -> None:
    labels = [5, 1, 5, -1, 1, 5, 2]  # 5: rows 0, 2, 5; 1: rows 1, 4; 2: row 6, never a query
    triplets, counts = np.unique(sample_triplets(labels, 40_000), axis=0, return_counts=True)
    of_query_0 = counts[triplets[:, 0] == 0]
    assert len(of_query_0) == 2 * 3  # positives 2 and 5, negatives 1, 4 and 6
    assert len(triplets) == 3 * 6 + 2 * 4
    np.testing.assert_allclose(of_query_0, 40_000 / 5 / 6, rtol=0.12)
    with pytest.raises(DogsimError, match="Received n=0"):
        sample_triplets(labels, 0)


def test_ranking_loss_by_hand() -> None:
    query = np.zeros((4, 2))
    positive = [[3.0, 4.0], [0.0, 1.0], [0.0, 1.0], [0.0, 0.0]]
    negative = [[0.0, 1.0], [3.0, 4.0], [0.0, 1.5], [0.0, 0.0]]
    np.testing.assert_allclose(ranking_loss(query, positive, negative), [5, 0, 0.5, 1], atol=1e-5)
    loss = ranking_loss(query, positive, negative, gap=0.2)
    np.testing.assert_allclose(loss, [4.2, 0, 0, 0.2], atol=1e-5)


def test_ranking_loss_is_differentiable_for_equal_images() -> None:
    import tensorflow as tf

    query = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        loss = ranking_loss(query, [[1.0, 2.0]], [[1.0, 2.5]])
    assert np.allclose(loss, 0.5)
    assert np.isfinite(tape.gradient(loss, query)).all()


def test_weighted_ranking_loss_is_the_weighted_mean_of_ranking_losses() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    losses = []
    for i in range(6):
        others = [j for j in range(6) if j // 2 != i // 2]
        distances = np.linalg.norm(x[i] - x[others], axis=1)
        weights = np.exp(-distances / 0.05) / np.exp(-distances / 0.05).sum()
        positive = np.repeat(x[[i ^ 1]], 4, axis=0)
        each = ranking_loss(np.repeat(x[[i]], 4, axis=0), positive, x[others], 0.3)
        losses.append((weights * np.asarray(each)).sum())
    assert float(weighted_ranking_loss(x, 2, 0.3)) == pytest.approx(np.mean(losses), rel=1e-4)
