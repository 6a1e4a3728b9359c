"""Proxies: probabilities of the training breeds, and a general embedding for others."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clouds import breeds_in_noise

from dogsim import Dataset, DogsimError, accuracy, load_head, project, save_model, train_ranking
from dogsim.learning.proxies import COSINE_SCALE
from dogsim.networks.training_record import read_trained_breeds
from dogsim.recipe import Recipe

RECIPE = Recipe("resnet50", "imagenet", "ab" * 32, "avg_pool", 224)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    trained = train_ranking(replace(breeds_in_noise(), recipe=RECIPE), max_steps=150, seed=3)
    head = tmp_path_factory.mktemp("proxies") / "head.keras"
    save_model(trained.model, head)
    return trained, head


def test_training_breeds_are_ranked_better(made: tuple[Any, Path]) -> None:
    trained, head = made
    gallery, queries = breeds_in_noise(), breeds_in_noise(seed=1)  # not in the training
    before = accuracy(gallery, 20, queries)
    after = accuracy(project(gallery, head), 20, project(queries, head))
    assert after.precision_at_k > before.precision_at_k + 0.3
    assert after.vote_accuracy > before.vote_accuracy + 0.15
    assert trained.history[1] > trained.history[0]
    assert trained.steps == 150
    assert trained.losses[-1] < trained.losses[0]


def test_the_output_is_breed_probabilities(made: tuple[Any, Path]) -> None:
    _, head = made
    data = breeds_in_noise()
    embedded = project(data, head).features
    assert read_trained_breeds(head) == tuple(sorted(data.breeds))
    assert embedded.shape == (len(data), len(data.breeds))
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(1, abs=1e-5)
    assert (embedded.argmax(axis=1) == data.labels).mean() > 0.95
    # computed from the layers before: a softmax of scaled cosines
    model = load_head(head).model
    proxies = model.get_layer("proxies").get_weights()[0]
    assert np.linalg.norm(proxies, axis=0) == pytest.approx(COSINE_SCALE, rel=1e-4)
    general = project(data, head, layer="general").features[:, : proxies.shape[0]]
    units = general / np.linalg.norm(general, axis=1, keepdims=True)
    exponentials = np.exp(units @ proxies)
    assert embedded == pytest.approx(
        exponentials / np.linalg.norm(exponentials, axis=1, keepdims=True), abs=1e-4
    )


def test_new_breeds_use_the_general_layer(
    made: tuple[Any, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, head = made
    data = replace(breeds_in_noise(), recipe=RECIPE)
    known = project(data, head)
    assert getattr(known.recipe, "head_layer", None) == ""
    assert capsys.readouterr().err == ""
    others = project(replace(data, breeds=(*data.breeds[:-1], "new")), head)
    assert getattr(others.recipe, "head_layer", None) == "general"
    assert (
        "The head was not trained on new: its output layer is --layer general."
        in capsys.readouterr().err
    )
    assert others.features.shape[1] > known.features.shape[1]
    with pytest.raises(DogsimError, match="head_layer=general. The dataset needs head_layer=none"):
        accuracy(known, 5, others)
    with pytest.raises(DogsimError, match="has no layer generl. It has: unit_normalization"):
        project(data, head, layer="generl")


def test_new_breeds_keep_their_precision(tmp_path: Path) -> None:
    """The feature directions keep information that the training breeds do not need."""
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(8), 40).astype(np.int32)
    features = np.eye(8)[labels] * 3 + rng.normal(0, 1, (320, 8))
    paths = tuple(map(str, range(320)))
    whole = Dataset(np.abs(features).astype(np.float32), labels, paths, tuple("abcdefgh"))
    trained, new = (whole.take(np.flatnonzero(part)) for part in (labels < 4, labels >= 4))
    head = tmp_path / "head.keras"
    save_model(train_ranking(trained, max_steps=100).model, head)
    before, after = (
        accuracy(each, 20, metric="cosine").precision_at_k for each in (new, project(new, head))
    )
    assert after > before - 0.03
    assert after > 0.6


def test_the_general_layer_is_linear(made: tuple[Any, Path]) -> None:
    """It is affine up to the last normalisation, so that explain can decompose it."""
    from dogsim.networks.feature_maps import _check_affine

    _, head = made
    _check_affine(load_head(head, layer="general"), head)
    with pytest.raises(DogsimError, match=r"has Softmax .* as dogsim project --layer general"):
        _check_affine(load_head(head), head)


def test_the_seed_determines_the_result() -> None:
    data = breeds_in_noise()
    one, same, other = (train_ranking(data, max_steps=20, seed=seed) for seed in (3, 3, 4))
    weights = [each.model.get_layer("proxies").get_weights()[0] for each in (one, same, other)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
