"""Distances between images: the axioms of a distance, and all networks."""

import sys
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from dogsim import (
    METRICS,
    DenseNetDistance,
    DogsimError,
    ImageDistance,
    InceptionDistance,
    ResNetDistance,
    VGGDistance,
    load_image,
)
from dogsim.networks.extractor import NetworkOptions

LITE = "efficientnet-lite2"
SEEDS = st.integers(0, 1000)
FEW_EXAMPLES = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def image(seed: int) -> NDArray[np.uint8]:
    """Coloured squares, 4 x 4 of them."""
    colours = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return colours.repeat(16, axis=0).repeat(16, axis=1)


@pytest.fixture(scope="module")
def cosine() -> ImageDistance:
    return ImageDistance(LITE)


@FEW_EXAMPLES
@given(SEEDS, SEEDS)
def test_identity_and_symmetry(cosine: ImageDistance, a: int, b: int) -> None:
    assert cosine.compute(image(a), image(a)) == 0
    forth, back = (cosine.compute(image(x), image(y)) for x, y in ((a, b), (b, a)))
    assert forth == pytest.approx(back, abs=1e-6)
    assert 0 <= forth <= 2
    assert (forth > 1e-3) == (a != b)


@FEW_EXAMPLES
@given(SEEDS)
def test_a_small_change_is_a_small_distance(cosine: ImageDistance, seed: int) -> None:
    original, other = image(seed), image(seed + 1)
    lighter = np.where(original < 250, original + 3, original).astype(np.uint8)
    assert cosine.compute(original, lighter) < 0.3 * cosine.compute(original, other)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("normalize", [True, False])
def test_a_batch_equals_all_its_pairs(cosine: ImageDistance, metric: str, normalize: bool) -> None:
    from scipy.spatial.distance import cdist

    distance = copy(cosine)  # shares the loaded network
    distance.metric, distance.normalize = metric, normalize
    images = [image(seed) for seed in range(5)]
    matrix = distance.compute_batch(images, batch_size=2)
    assert matrix.shape == (5, 5)
    assert np.array_equal(matrix, matrix.T)
    assert not np.diag(matrix).any()
    size = cosine.extractor.recipe.image_size
    x = np.concatenate([cosine.extractor(load_image(each, size)[None]) for each in images])
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if normalize else x
    np.testing.assert_allclose(matrix, cdist(x, x, metric), rtol=1e-3, atol=1e-6)
    assert matrix[1, 3] == pytest.approx(distance.compute(images[1], images[3]), rel=1e-4)


def test_paths_arrays_and_pil_images_are_equivalent(cosine: ImageDistance, tmp_path: Path) -> None:
    Image.fromarray(image(1)).save(tmp_path / "one.png")
    kinds: list[Any] = [
        tmp_path / "one.png",
        str(tmp_path / "one.png"),
        image(1),
        Image.fromarray(image(1)),
    ]
    assert cosine.compute_batch(kinds).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("backbone", ["vgg16", "inceptionv3", "densenet121"])
def test_other_networks(backbone: str, tmp_path: Path) -> None:
    from dogsim.networks.backbones import find_backbone

    find_backbone(backbone).build(top=False).save_weights(tmp_path / "w.weights.h5")
    distance = ImageDistance(backbone, weights=str(tmp_path / "w.weights.h5"))
    assert distance.compute(image(1), image(1)) == 0
    assert distance.compute(image(1), image(2)) > 0


def test_resnet_by_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(
            "dogsim.image_distance.NetworkOptions.load", lambda options: loaded.append(options)
        )
        for depth in (50, 101, 152):
            distance = ResNetDistance(depth, weights="w.h5", layer="avg_pool", metric="cityblock")
            assert (distance.metric, distance.normalize) == ("cityblock", True)
    assert loaded == [
        NetworkOptions(backbone=f"resnet{depth}", weights="w.h5", layer="avg_pool")
        for depth in (50, 101, 152)
    ]
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    for depth in (18, 34):
        with pytest.raises(DogsimError, match=r"pip install .dogsim\[hub\]"):
            ResNetDistance(depth)


def test_other_networks_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    monkeypatch.setattr(
        "dogsim.image_distance.NetworkOptions.load", lambda options: loaded.append(options)
    )
    made = [
        *(VGGDistance(), VGGDistance(19), InceptionDistance(weights="w.h5", metric="cityblock")),
        *(DenseNetDistance(layer="relu"), DenseNetDistance(169), DenseNetDistance(201)),
    ]
    assert [each.metric for each in made] == ["cosine"] * 2 + ["cityblock"] + ["cosine"] * 3
    assert loaded == [
        NetworkOptions(backbone="vgg16"),
        NetworkOptions(backbone="vgg19"),
        NetworkOptions(backbone="inceptionv3", weights="w.h5"),
        NetworkOptions(backbone="densenet121", layer="relu"),
        NetworkOptions(backbone="densenet169"),
        NetworkOptions(backbone="densenet201"),
    ]


@pytest.mark.slow
def test_depth_50_is_resnet50(random_resnet: tuple[Any, Path]) -> None:
    weights = str(random_resnet[1] / "notop.h5")
    deep, same = ResNetDistance(50, weights=weights), ImageDistance("resnet50", weights=weights)
    assert deep.extractor.recipe == same.extractor.recipe


@pytest.mark.slow
@pytest.mark.parametrize("depth", [101, 152])
def test_deeper_resnets_by_depth(random_resnet: tuple[Any, Path], depth: int) -> None:
    with pytest.raises(DogsimError, match=f"do not fit resnet{depth}"):
        ResNetDistance(depth, weights=str(random_resnet[1] / "notop.h5"))


def test_invalid_input(cosine: ImageDistance) -> None:
    calls: list[tuple[Callable[[], Any], str]] = [
        (lambda: ImageDistance(LITE, "cosin"), "Unknown metric 'cosin'; did you mean 'cosine'"),
        (lambda: ImageDistance("vgg61"), "Unknown backbone 'vgg61'; did you mean 'vgg19'"),
        (lambda: ResNetDistance(20), "Received model_depth=20. Expected one of 18"),
        (lambda: VGGDistance(11), "Received model_depth=11. Expected one of 16, 19"),
        (lambda: DenseNetDistance(120), "Received model_depth=120. Expected one of 121, 169, 201"),
        (lambda: cosine.compute("gone.jpg", "gone.jpg"), "There is no image gone.jpg"),
        (lambda: cosine.compute_batch([]), "Received no image"),
    ]
    for call, message in calls:
        with pytest.raises(DogsimError, match=message):
            call()
