"""Proxies: probabilities of the training breeds, and a general embedding for others."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clouds import breeds_in_noise

import measure_proxies
from dogsim import Dataset, DogsimError, accuracy, load_head, project, save_model, train_ranking
from dogsim.learning.proxies import COSINE_SCALE, _initial_proxies, proxy_loss
from dogsim.networks.trained_models import read_trained_breeds
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
    # computed from the layers before: a softmax of scaled cosines, summed over a breed's proxies
    model = load_head(head).model
    proxies, breeds = (model.get_layer(name).get_weights()[0] for name in ("proxies", "breeds"))
    assert proxies.shape[1] == 3 * len(data.breeds)
    assert np.linalg.norm(proxies, axis=0) == pytest.approx(COSINE_SCALE, rel=1e-4)
    general = project(data, head, layer="general").features[:, : proxies.shape[0]]
    units = general / np.linalg.norm(general, axis=1, keepdims=True)
    exponentials = np.exp(units @ proxies) @ breeds
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


def two_appearances(seed: int = 0) -> Dataset:
    """Return four breeds whose images are on two opposite sides: their means are all about 0."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(4), 40).astype(np.int32)
    sides = np.tile([3.0, -3.0], 80)
    features = np.eye(8)[labels] * sides[:, None] + rng.normal(0, 0.3, (160, 8))
    return Dataset(features.astype(np.float32), labels, tuple(map(str, range(160))), tuple("abcd"))


def test_several_proxies_represent_several_appearances(tmp_path: Path) -> None:
    data, queries, votes = two_appearances(), two_appearances(seed=1), {}
    for n in (1, 2):
        options: dict[str, Any] = {"width": 3, "dropout": 0.1, "learning_rate": 0.03, "seed": 1}
        trained = train_ranking(data, max_steps=100, proxies_per_breed=n, **options)
        file = tmp_path / f"{n}.keras"
        save_model(trained.model, file)
        embedded = project(queries, file)
        assert embedded.features.shape == (160, 4)
        votes[n] = accuracy(project(data, file), 5, embedded).vote_accuracy
    assert votes[2] > 0.9 > 0.5 > votes[1]
    # the last layers sum the probabilities of the proxies of each breed
    model = load_head(file).model
    kernel = model.get_layer("breeds").get_weights()[0]
    assert np.array_equal(kernel, np.eye(4)[[0, 0, 1, 1, 2, 2, 3, 3]])
    assert model.get_layer("proxies").get_weights()[0].shape == (3, 8)


def test_the_loss_sums_the_probabilities_of_a_breed() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.5, 0.5]], np.float32))
    owners, rows = np.array([0, 0, 1, 2]), np.array([0, 2], np.float32)
    expected = -(np.log(0.1 + 0.2) + np.log(0.5 / 1.5)) / 2
    assert float(proxy_loss(logits, rows, owners)) == pytest.approx(expected, rel=1e-5)
    many = np.array([[900.0, -900.0, 0.0, 0.0]], np.float32)  # no overflow
    assert float(proxy_loss(many, np.array([1], np.float32), owners)) == pytest.approx(900)


def test_proxies_start_between_the_centres_and_the_mean_of_a_breed() -> None:
    sides = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [-1, 0]], np.float32)
    proxies, owners = _initial_proxies(sides, np.array([0, 0, 0, 0, 1]), 2, seed=0)
    assert owners.tolist() == [0, 0, 1]  # the second breed has one image
    by_side = sorted(proxies.T.tolist(), reverse=True)
    expected = np.array([[0.75, 0.25], [0.25, 0.75]]) / np.hypot(0.75, 0.25)
    assert np.array(by_side) == pytest.approx(np.vstack([expected, [[-1, 0]]]), abs=1e-6)
    same, _ = _initial_proxies(np.ones((4, 2), np.float32), np.zeros(4, np.intp), 3, seed=0)
    assert same == pytest.approx(np.sqrt(0.5))
    one, _ = _initial_proxies(sides, np.array([0, 0, 0, 0, 1]), 1, seed=0)
    assert one[:, 0] == pytest.approx(np.sqrt(0.5))  # the mean


def test_the_script_compares_numbers_of_proxies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    breeds_in_noise().save(tmp_path / "d.h5")
    results = tmp_path / "results.jsonl"
    counts = ("--proxies", "1", "2", "--splits", "1", "--unseen", "1", "--seeds", "1")
    arguments = ["", str(tmp_path / "d.h5"), "--results", str(results), *counts]
    monkeypatch.setattr("sys.argv", arguments)
    monkeypatch.setattr(measure_proxies, "train_ranking", partial(train_ranking, max_steps=20))
    measure_proxies.main()
    table = capsys.readouterr().out
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| 1", "| 2"]
    runs = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    assert [run["run"]["unseen"] for run in runs] == [False, False, True, True]
    assert f"{runs[1]['result']['vote']:.4f}" in table.splitlines()[3]
    monkeypatch.setattr(measure_proxies, "train_ranking", lambda *_, **__: pytest.fail("trains"))
    measure_proxies.main()  # all results are in the file
    assert capsys.readouterr().out == table
