"""What proxies teach: of breeds that were learned their probabilities, of others a map."""

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


def test_breeds_that_were_learned_come_first(made: tuple[Any, Path]) -> None:
    trained, head = made
    gallery, queries = breeds_in_noise(), breeds_in_noise(seed=1)  # never seen in training
    before = accuracy(gallery, 20, queries)
    after = accuracy(project(gallery, head), 20, project(queries, head))
    assert after.precision_at_k > before.precision_at_k + 0.3
    assert after.vote_accuracy > before.vote_accuracy + 0.15
    assert trained.history[1] > trained.history[0]
    assert trained.steps == 150
    assert trained.losses[-1] < trained.losses[0]


def test_they_are_probabilities_of_the_breeds(made: tuple[Any, Path]) -> None:
    _, head = made
    data = breeds_in_noise()
    embedded = project(data, head).features
    assert read_trained_breeds(head) == tuple(sorted(data.breeds))
    assert embedded.shape == (len(data), len(data.breeds))
    assert np.linalg.norm(embedded, axis=1) == pytest.approx(1, abs=1e-5)
    assert (embedded.argmax(axis=1) == data.labels).mean() > 0.95
    # By hand from the layers before: cosines to unit vectors, sharpened.
    model = load_head(head).model
    proxies = model.get_layer("proxies").get_weights()[0]
    assert np.linalg.norm(proxies, axis=0) == pytest.approx(COSINE_SCALE, rel=1e-4)
    general = project(data, head, layer="general").features[:, : proxies.shape[0]]
    units = general / np.linalg.norm(general, axis=1, keepdims=True)
    chances = np.exp(units @ proxies)
    assert embedded == pytest.approx(
        chances / np.linalg.norm(chances, axis=1, keepdims=True), abs=1e-4
    )


def test_for_breeds_that_it_has_not_learned_the_head_ends_earlier(
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


def test_breeds_that_nobody_learned_are_not_harmed(tmp_path: Path) -> None:
    """Directions beside the learned ones keep what no breed of the training has taught."""
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(8), 40).astype(np.int32)
    features = np.eye(8)[labels] * 3 + rng.normal(0, 1, (320, 8))
    paths = tuple(map(str, range(320)))
    whole = Dataset(np.abs(features).astype(np.float32), labels, paths, tuple("abcdefgh"))
    seen, unseen = (whole.take(np.flatnonzero(part)) for part in (labels < 4, labels >= 4))
    head = tmp_path / "head.keras"
    save_model(train_ranking(seen, max_steps=100).model, head)
    as_given, through = (
        accuracy(each, 20, metric="cosine").precision_at_k
        for each in (unseen, project(unseen, head))
    )
    assert through > as_given - 0.03
    assert through > 0.6


def test_the_general_part_is_linear(made: tuple[Any, Path]) -> None:
    """A map between unit vectors, affine before the last length: what explain can take apart."""
    from dogsim.networks.feature_maps import _check_linear

    _, head = made
    _check_linear(load_head(head, layer="general"), head)
    with pytest.raises(DogsimError, match=r"has Softmax .* as dogsim project --layer general"):
        _check_linear(load_head(head), head)


def test_the_seed_decides() -> None:
    data = breeds_in_noise()
    one, same, other = (train_ranking(data, max_steps=20, seed=seed) for seed in (3, 3, 4))
    weights = [each.model.get_layer("proxies").get_weights()[0] for each in (one, same, other)]
    assert np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[0], weights[2])
