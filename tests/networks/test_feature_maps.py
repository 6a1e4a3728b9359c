"""Feature maps: cached like any network, and equal in both engines."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import loaded_after, python

from dogsim.engines import model_cache
from dogsim.errors import DogsimError
from dogsim.explain import feature_maps_of
from dogsim.networks import feature_maps
from dogsim.networks.extractor import load_extractor
from dogsim.networks.keras_network import KerasNetwork

IMAGES = np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nothing loaded."""
    feature_maps_of.cache_clear()
    monkeypatch.setattr(model_cache, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_the_second_time_needs_no_keras(
    folder: Path, colours: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("openvino")
    recipe = load_extractor(weights=colours).recipe
    capsys.readouterr()
    first = feature_maps_of(recipe)(IMAGES)
    assert "Converting the feature maps of resnet50" in capsys.readouterr().err
    feature_maps_of.cache_clear()
    monkeypatch.setattr(KerasNetwork, "convert", None)
    again = feature_maps_of(recipe)(IMAGES)
    assert capsys.readouterr().err == ""
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)


def test_either_engine_gives_the_same(colours: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    recipe = load_extractor(weights=colours).recipe
    found = feature_maps_of(recipe)(IMAGES)
    feature_maps_of.cache_clear()
    monkeypatch.setattr(feature_maps, "choose_engine", lambda _: ("tensorflow", "float32"))
    other = feature_maps_of(recipe)(IMAGES)
    assert [each.shape for each in found] == [(3, 32, 32, 3), (3, 3)]
    for one, two in zip(found, other, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found[0].mean(axis=(1, 2)), found[1], rtol=1e-5, atol=1e-4)


def test_other_weights_are_refused(colours: str) -> None:
    recipe = load_extractor(weights=colours).recipe
    with pytest.raises(DogsimError, match="weights"):
        feature_maps_of(replace(recipe, weights_sha256="ab" * 32))


@pytest.mark.slow
def test_a_cached_network_explains_without_tensorflow(stored: Path, breeds_dir: Path) -> None:
    pytest.importorskip("openvino")
    image, out = breeds_dir / "striped" / "1.png", stored.parent / "why"
    arguments = ["explain", str(image), "--dataset", str(stored), "-k", "2", "--save", str(out)]
    code = f"from dogsim.cli import app; app({arguments}, standalone_mode=False)"
    python("-c", code)  # caches the network
    assert "tensorflow" not in loaded_after(code)
