"""Losses of triplets and pairs."""

import numpy as np
import pytest

from dogsim import DogsimError, contrastive_loss, ranking_loss
from dogsim.learning.ranking_losses import mean_triplet_loss, weighted_ranking_loss


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


def test_contrastive_loss_by_hand() -> None:
    first = np.zeros((4, 2))
    wanted = np.array([12.5, 0, 0.125, 0])
    second = [[3.0, 4.0], [3.0, 4.0], [0.6, 0.8], [0.0, 0.0]]
    same = [True, False, False, True]
    # 5² / 2; beyond the margin; (1.5 - 1)² / 2; equal images
    np.testing.assert_allclose(contrastive_loss(first, second, same, 1.5), wanted, atol=1e-6)
    with pytest.raises(DogsimError, match=r"Received same \(1,\)"):
        contrastive_loss(first, second, [True])
    with pytest.raises(DogsimError, match="Expected two of the same"):
        contrastive_loss(first, second[:2], same)


def test_contrastive_loss_moves_pairs_together_or_apart() -> None:
    import tensorflow as tf

    first = tf.Variable([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    second = [[1.0, 2.5], [1.0, 2.5], [1.0, 2.0]]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(contrastive_loss(first, second, [True, False, True]))
    gradient = np.asarray(tape.gradient(loss, first))
    np.testing.assert_allclose(gradient[:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(gradient[:, 1], [-0.5, 0.5, 0], atol=1e-6)


def test_the_mean_loss_of_triplets_and_of_their_pairs() -> None:
    x = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    query, positive, negative = np.split(x, 3)
    triplets = np.mean(ranking_loss(query, positive, negative, 2))
    assert float(mean_triplet_loss(x, 2)) == pytest.approx(triplets, rel=1e-5)
    pairs = [
        np.asarray(contrastive_loss(query, positive, [True] * 2, 2)),
        np.asarray(contrastive_loss(query, negative, [False] * 2, 2)),
    ]
    assert float(mean_triplet_loss(x, 2, pairs=True)) == pytest.approx(np.mean(pairs), rel=1e-5)
