"""Triplets, their loss, and what training makes of features and of pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from dogsim import (
    Dataset,
    DogsimError,
    accuracy,
    create_dataset,
    discriminant,
    fine_tune,
    load_image,
    project,
    ranking_loss,
    sample_triplets,
    save_model,
    train_ranking,
)
from dogsim.learning.fine_tune import load_batches
from dogsim.learning.triplets import near_loss

# a machine that is busy with something else must not fail a test
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def breeds_in_noise(breeds: int = 6, pictures: int = 24, seed: int = 0) -> Dataset:
    """Eight numbers tell the breed; 24 louder ones are noise that hides it."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(breeds), pictures).astype(np.int32)
    means = np.random.default_rng(99).normal(0, 2, (breeds, 8))
    signal = means[labels] + rng.normal(0, 1, (len(labels), 8))
    features = np.hstack([signal, rng.normal(0, 4, (len(labels), 24))]).astype(np.float32)
    paths = tuple(f"{label}/{i}.jpg" for i, label in enumerate(labels))
    return Dataset(features, labels, paths, tuple("abcdefghij"[:breeds]))


@PATIENT
@given(st.lists(st.integers(-1, 3), min_size=2, max_size=20), st.integers(0, 9))
def test_triplets_are_what_they_promise(labels: list[int], seed: int) -> None:
    known = [label for label in labels if label >= 0]
    if len(set(known)) < 2 or len(set(known)) == len(known):
        with pytest.raises(DogsimError, match="Expected n of at least 1 and 2 breeds"):
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


def test_every_triplet_has_the_same_chance() -> None:
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


def test_ranking_loss_can_be_differentiated_where_pictures_coincide() -> None:
    import tensorflow as tf

    query = tf.Variable([[1.0, 2.0]])
    with tf.GradientTape() as tape:
        loss = ranking_loss(query, [[1.0, 2.0]], [[1.0, 2.5]])
    assert np.allclose(loss, 0.5)
    assert np.isfinite(tape.gradient(loss, query)).all()


def test_near_loss_is_the_weighted_mean_of_ranking_losses() -> None:
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
    assert float(near_loss(x, 2, 0.3)) == pytest.approx(np.mean(losses), rel=1e-4)


def test_discriminant_is_scikit_learns() -> None:
    data = breeds_in_noise()
    mean, directions = discriminant(data.features, data.labels, shrinkage=0.3)
    ours = (data.features - mean) @ directions
    lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=0.3)
    theirs = lda.fit(data.features, data.labels).transform(data.features)
    # scikit-learn shrinks after scaling, so directions agree nearly, and up to sign and length
    agreement = np.abs(np.diag(np.corrcoef(ours.T, theirs.T)[: ours.shape[1], ours.shape[1] :]))
    assert (agreement > 0.97).all()
    with pytest.raises(DogsimError, match="1 breed"):
        discriminant(data.features, data.labels * 0)
    with pytest.raises(DogsimError, match="all the same"):
        discriminant(data.features, np.arange(len(data)))


@pytest.fixture(scope="module")
def trained() -> Any:
    return train_ranking(breeds_in_noise(), max_steps=100, seed=3)


def test_training_finds_what_tells_breeds_apart(trained: Any, tmp_path: Path) -> None:
    gallery, queries = breeds_in_noise(), breeds_in_noise(seed=1)  # never seen in training
    save_model(trained.model, tmp_path / "head.keras")
    before = accuracy(gallery, 20, queries)
    after = accuracy(
        project(gallery, tmp_path / "head.keras"), 20, project(queries, tmp_path / "head.keras")
    )
    assert before.precision_at_k < 0.4
    assert after.precision_at_k > before.precision_at_k + 0.3
    assert after.vote_accuracy > before.vote_accuracy + 0.15
    assert trained.steps == trained.best * 25 <= 100


def test_the_seed_decides(trained: Any) -> None:
    again = train_ranking(breeds_in_noise(), max_steps=100, seed=3)
    assert again.history == trained.history
    assert np.array_equal(again.model.get_weights()[0], trained.model.get_weights()[0])
    other = train_ranking(breeds_in_noise(), max_steps=100, seed=4)
    assert other.history != trained.history


def test_training_stops_when_nothing_gets_better() -> None:
    data = breeds_in_noise()
    noise = np.random.default_rng(5).normal(size=data.features.shape).astype(np.float32)
    ranking = train_ranking(replace(data, features=noise), max_steps=2000, patience=2)
    assert len(ranking.history) < 60
    assert len(ranking.history) - 1 - ranking.best == 2


def test_triplets_drawn_beforehand_train_as_well() -> None:
    ranking = train_ranking(breeds_in_noise(), "drawn", max_steps=50)
    assert ranking.history[ranking.best] == max(ranking.history)
    assert ranking.model.output_shape == (None, 5)


def test_small_breeds_and_unknown_ones_are_left_out() -> None:
    data = breeds_in_noise()
    labels = data.labels.copy()
    labels[:22] = -1  # two of breed "a" are left
    narrow = train_ranking(replace(data, labels=labels), max_steps=25, width=2)
    assert narrow.model.output_shape == (None, 2)
    with pytest.raises(DogsimError, match="in which 1 breeds have 4 pictures or more"):
        train_ranking(replace(data, labels=np.where(labels == 1, 1, -1).astype(np.int32)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"negatives": "hard"}, "Unknown negatives 'hard'"),
        ({"gap": 0}, "Received gap=0"),
        ({"max_steps": 0}, "Received max_steps=0"),
        ({"dropout": 1.0}, "Received dropout=1.0"),
        ({"width": 0}, "Received width=0"),
    ],
)
def test_wrong_numbers(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DogsimError, match=message):
        train_ranking(breeds_in_noise(), **wrong)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """Stripes across against stripes along, and a small untrained network that took them in."""
    import keras
    from PIL import Image

    root = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    for name in ("across", "along"):
        (root / name).mkdir()
        for number in range(40):
            pixels = rng.integers(0, 120, (32, 32, 3), np.uint8)
            pixels[rng.integers(4) :: 4] += 30
            pixels += rng.integers(0, 100, 3, np.uint8)  # a tint that means nothing
            pixels = pixels if name == "across" else pixels.swapaxes(0, 1)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 64, name="scale"),
            layers.Conv2D(4, 3, activation="relu", name="low"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(8, 3, activation="relu", name="high"),
            layers.GlobalAveragePooling2D(name="avg_pool"),
        ]
    )
    network.save(root / "network.keras")
    file = root / "stripes.h5"
    return create_dataset(root, file, weights=str(root / "network.keras")), root


def test_fine_tuning_teaches_the_named_layers(pictures: tuple[Dataset, Path]) -> None:
    data, root = pictures
    tuned = fine_tune(data, "norm", learning_rate=0.01, batch_size=8, max_steps=100)
    import keras

    before = keras.models.load_model(root / "network.keras")
    for name, learns in (("low", False), ("norm", False), ("high", True)):
        old, new = before.get_layer(name).get_weights(), tuned.model.get_layer(name).get_weights()
        same = all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))
        assert same is not learns, name
    save_model(tuned.model, root / "tuned.keras")
    after = create_dataset(root, root / "tuned.h5", weights=str(root / "tuned.keras"))
    k = 5
    gained = accuracy(after, k, metric="cosine").precision_at_k
    assert gained > accuracy(data, k, metric="cosine").precision_at_k + 0.3
    assert tuned.history[tuned.best] > tuned.history[0]


def test_fine_tuning_refuses(pictures: tuple[Dataset, Path], tmp_path: Path) -> None:
    data, _ = pictures
    assert data.recipe
    for dataset, layer, message in [
        (data, "nrom", "Unknown layer 'nrom'; did you mean 'norm'"),
        (data, "avg_pool", "No layer from avg_pool up has weights"),
        (replace(data, recipe=None), "norm", "does not say how its features were made"),
        (
            replace(data, recipe=replace(data.recipe, head="h.keras", head_sha256="ab")),
            "norm",
            "through the head h.keras",
        ),
        (
            replace(data, recipe=replace(data.recipe, weights_sha256="ab")),
            "norm",
            "The dataset needs weights_sha256=ab",
        ),
        (replace(data, root=str(tmp_path)), "norm", "There is no picture"),
    ]:
        with pytest.raises(DogsimError, match=message):
            fine_tune(dataset, layer)


@settings(PATIENT, max_examples=10)
@given(st.lists(st.integers(1, 3), max_size=6))
def test_batches_come_in_order(sizes: list[int]) -> None:
    colours = iter(range(100))
    arrays = [[np.full((4, 4, 3), next(colours), np.uint8) for _ in range(n)] for n in sizes]
    loaded = list(load_batches(arrays, 4, "squash"))
    assert len(loaded) == len(arrays)
    for images, batch in zip(loaded, arrays, strict=True):
        assert np.array_equal(images, np.stack([load_image(x, 4) for x in batch]))
