"""ResNet-18 and ResNet-34 of Keras Hub, and downloads from a server on this machine."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from kaggle import kaggle
from server import refuse

from dogsim import DogsimError, Extractor, ResNetDistance, load_extractor
from dogsim.networks import keras_hub
from dogsim.networks.backbones import BACKBONES

pytestmark = pytest.mark.extra
IMAGES = np.random.default_rng(3).integers(0, 256, (2, 224, 224, 3), np.uint8)


@pytest.fixture(autouse=True)
def _keras_hub() -> None:
    pytest.importorskip("keras_hub", reason="Keras Hub: pip install 'dogsim[hub]'")


@pytest.mark.parametrize("depth", [18, 34])
def test_resnet_distance_by_depth(depth: int, tmp_path: Path) -> None:
    model = BACKBONES[f"resnet{depth}"].build(top=False)
    # one convolution per layer except the classifier; the stem of "vd" has 3
    stem, shortcuts = (1, 3) if depth == 18 else (3, 4)
    convolutions = sum(type(layer).__name__ == "Conv2D" for layer in model.layers)
    assert convolutions == depth - 2 + stem + shortcuts
    model.save_weights(tmp_path / "w.weights.h5")
    distance = ResNetDistance(depth, weights=str(tmp_path / "w.weights.h5"))
    assert distance.compute(IMAGES[0], IMAGES[0]) == 0
    assert distance.compute(*IMAGES) > 0


@pytest.mark.parametrize("depth", [18, 34])
def test_unavailable_weights_and_classifier(depth: int) -> None:
    with pytest.raises(DogsimError, match="There is no weight file gone"):
        ResNetDistance(depth, weights="gone.weights.h5")
    with pytest.raises(DogsimError, match=f"weights of resnet{depth} could not be downloaded"):
        ResNetDistance(depth)
    with pytest.raises(DogsimError, match=rf"Keras Hub has no classifier for resnet_.*{depth}"):
        BACKBONES[f"resnet{depth}"].build(top=True)


def test_download_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    preset = tmp_path / "preset"
    model = BACKBONES["resnet18"].build(top=False)
    model.save_to_preset(str(preset))
    with kaggle(preset, tmp_path / "cache", monkeypatch) as (server, requested):
        server.script = [refuse(404)]
        with pytest.raises(DogsimError, match="could not be downloaded") as caught:
            load_extractor("resnet18")
        assert "\n" not in str(caught.value)
        assert keras_hub.weights_file("resnet_18_imagenet") is None
        extractor = load_extractor("resnet18", precision="float32")
    assert requested == [
        ("resnet_18_imagenet", "config.json"),
        ("resnet_18_imagenet", "model.weights.h5"),
    ]
    digest = hashlib.sha256((preset / "model.weights.h5").read_bytes()).hexdigest()
    assert (extractor.recipe.weights, extractor.recipe.weights_sha256) == ("imagenet", digest)
    if (
        extractor.recipe.engine == "openvino"
    ):  # the network is in the cache: no slow import of Keras Hub
        monkeypatch.setattr(keras_hub, "import_hub", None)
    check_same(extractor, load_extractor("resnet18", precision="float32"))  # without a server
    assert capfd.readouterr().out == ""  # stdout belongs to results


def check_same(one: Extractor, other: Extractor) -> None:
    assert one.recipe == other.recipe
    np.testing.assert_allclose(one(IMAGES), other(IMAGES), rtol=1e-4, atol=1e-5)
