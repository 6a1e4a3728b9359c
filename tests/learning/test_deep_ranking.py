"""Training of a head on stored features."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clouds import breeds_in_noise

from dogsim import (
    DogsimError,
    accuracy,
    project,
    save_model,
    train_ranking,
)


@pytest.fixture(scope="module")
def trained() -> Any:
    return train_ranking(breeds_in_noise(), "near", max_steps=100, seed=3)


def test_training_finds_the_features_that_separate_breeds(trained: Any, tmp_path: Path) -> None:
    gallery, queries = breeds_in_noise(), breeds_in_noise(seed=1)  # not in the training
    save_model(trained.model, tmp_path / "head.keras")
    before = accuracy(gallery, 20, queries)
    after = accuracy(
        project(gallery, tmp_path / "head.keras"), 20, project(queries, tmp_path / "head.keras")
    )
    assert before.precision_at_k < 0.4
    assert after.precision_at_k > before.precision_at_k + 0.3
    assert after.vote_accuracy > before.vote_accuracy + 0.15
    assert trained.steps == trained.best * 25 <= 100


def test_the_seed_determines_the_result(trained: Any) -> None:
    again = train_ranking(breeds_in_noise(), "near", max_steps=100, seed=3)
    assert again.history == trained.history
    assert np.array_equal(again.model.get_weights()[0], trained.model.get_weights()[0])
    other = train_ranking(breeds_in_noise(), "near", max_steps=100, seed=4)
    assert other.history != trained.history


def test_training_stops_without_improvement() -> None:
    data = breeds_in_noise()
    noise = np.random.default_rng(5).normal(size=data.features.shape).astype(np.float32)
    ranking = train_ranking(replace(data, features=noise), "near", max_steps=2000, patience=2)
    assert len(ranking.history) < 60
    assert len(ranking.history) - 1 - ranking.best == 2


@pytest.mark.parametrize("negatives", ["drawn", "in-class", "mixture", "pairs"])
def test_training_with_triplets_drawn_beforehand(negatives: Any) -> None:
    ranking = train_ranking(breeds_in_noise(), negatives, max_steps=50)
    assert ranking.history[ranking.best] == max(ranking.history)
    assert ranking.model.output_shape == (None, 5)


def test_training_on_pairs_from_random_weights() -> None:
    options = {"max_steps": 100, "start": "random", "learning_rate": 0.03}
    ranking = train_ranking(breeds_in_noise(), "pairs", gap=1, **options)  # type: ignore[arg-type]
    assert ranking.history[ranking.best] > ranking.history[0] + 0.3
    assert ranking.losses[-1] < 0.7 * ranking.losses[0]


def test_training_from_random_weights() -> None:
    ranking = train_ranking(
        breeds_in_noise(), "near", max_steps=100, start="random", learning_rate=0.03
    )
    assert ranking.history[0] < 0.4
    assert ranking.history[ranking.best] > ranking.history[0] + 0.4
    assert len(ranking.losses) == len(ranking.history) - 1
    assert ranking.losses[-1] < 0.7 * ranking.losses[0]


def test_small_and_unknown_breeds_are_left_out() -> None:
    data = breeds_in_noise()
    labels = data.labels.copy()
    labels[:22] = -1  # two of breed "a" remain
    narrow = train_ranking(replace(data, labels=labels), "near", max_steps=25, width=2)
    assert narrow.model.output_shape == (None, 2)
    with pytest.raises(DogsimError, match="with 1 breed of 4 images or more"):
        train_ranking(replace(data, labels=np.where(labels == 1, 1, -1).astype(np.int32)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"negatives": "hard"}, "Unknown negatives 'hard'"),
        ({"gap": 0}, "Received gap=0"),
        ({"max_steps": 0}, "Received max_steps=0"),
        ({"dropout": 1.0}, "Received dropout=1.0"),
        ({"width": 0}, "Received width=0"),
        ({"start": "cold"}, "Unknown start 'cold'"),
        ({"proxies_per_breed": 0}, "Received proxies_per_breed=0"),
        ({"proxies_per_breed": 2, "negatives": "near"}, "Received proxies_per_breed=2 with neg"),
    ],
)
def test_invalid_options(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DogsimError, match=message):
        train_ranking(breeds_in_noise(), **wrong)


def test_the_number_of_steps() -> None:
    for negatives in ("near", "drawn"):
        data = breeds_in_noise()
        one = train_ranking(data, negatives, max_steps=1, learning_rate=0.01)
        assert one.steps in (0, 1)
        assert len(one.history) == 2
        more = train_ranking(data, negatives, max_steps=26, patience=9)
        assert len(more.history) == 3
        assert more.steps in (0, 25, 26)


def test_k_is_smaller_for_few_images() -> None:
    """With all images as neighbours, every ranking would have the same precision."""
    small = breeds_in_noise(breeds=2, images_per_breed=6)
    ranking = train_ranking(small, "near", max_steps=25)
    assert ranking.k == 5
    assert ranking.raw < 1


def test_raw_is_the_precision_of_the_features() -> None:
    ranking = train_ranking(breeds_in_noise(), "near", max_steps=1, seed=3)
    assert ranking.raw < ranking.history[0]  # the start, from linear discriminant analysis
