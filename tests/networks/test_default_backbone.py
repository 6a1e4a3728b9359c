"""The backbone that is used if none is named, on a machine without network access."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import dogsim, dogsim_json, refusal

from dogsim import (
    DogsimError,
    ImageDistance,
    ResNetDistance,
    create_dataset,
    extract_features,
    feature_extract,
    load_extractor,
)
from dogsim.networks import extractor
from dogsim.networks.backbones import default_backbone, find_backbone
from dogsim.networks.extractor import NetworkOptions
from dogsim.networks.protocols import BackboneProtocol
from dogsim.networks.weights import OFFLINE_BACKBONE, WeightsUnavailableError

IMAGE = np.random.default_rng(0).integers(0, 256, (50, 80, 3), np.uint8)
NOTE = f"{OFFLINE_BACKBONE} is used, whose weights are installed."


@pytest.fixture(autouse=True)
def new_process() -> Iterator[None]:
    """Forget the choice of an earlier test."""
    default_backbone.cache_clear()
    yield
    default_backbone.cache_clear()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on ResNet-50 would be chosen."""
    monkeypatch.setattr(extractor, "default_backbone", lambda: "resnet50")


def test_the_offline_backbone_is_used_after_one_attempt(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    attempts = []

    def find(name: str) -> BackboneProtocol:
        attempts.append(name)
        return find_backbone(name)

    monkeypatch.setattr("dogsim.networks.backbones.find_backbone", find)
    recipe = load_extractor().recipe
    assert (recipe.backbone, recipe.weights) == (OFFLINE_BACKBONE, "imagenet")
    features = feature_extract(IMAGE, load_extractor(resize="crop"))
    assert ImageDistance().compute(IMAGE, 255 - IMAGE) > 0
    assert features.shape == (1280,)
    assert attempts == ["resnet50"]
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "downloaded" in line)
    assert line.startswith("The weights of resnet50 could not be downloaded (")
    assert line.endswith(f"). {NOTE}")


def test_a_named_network_fails_with_the_ways_out() -> None:
    for load in (
        lambda: load_extractor("resnet50"),
        lambda: load_extractor(weights="imagenet"),
        lambda: ImageDistance("resnet50"),
        ResNetDistance,
    ):
        with pytest.raises(WeightsUnavailableError, match=f"--backbone {OFFLINE_BACKBONE}"):
            load()


def test_wrong_options_are_found_before_the_download(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> str:
        raise AssertionError

    monkeypatch.setattr(extractor, "default_backbone", never)
    for options in ({"mean": 0.5}, {"resize": "fit"}, {"engine": "fast"}):
        with pytest.raises(DogsimError, match=r"Received|Unknown"):
            load_extractor(**options)


def test_weights_of_a_file_are_those_of_resnet50(colours: str) -> None:
    assert load_extractor(weights=colours).recipe.backbone == "resnet50"


def test_an_extractor_stays_the_same_in_another_process(online: None) -> None:
    offline = NetworkOptions(backbone=default_backbone()).load()
    known = NetworkOptions().resolved()
    assert (known.backbone, known.weights) == ("resnet50", "imagenet")
    copied = pickle.loads(pickle.dumps(offline))
    assert copied.recipe == offline.recipe
    np.testing.assert_array_equal(
        extract_features([IMAGE], copied), extract_features([IMAGE], offline)
    )


def test_a_dataset_keeps_its_backbone(
    breeds_dir: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """An update, and the continuation of a run, on a machine that has ResNet-50."""
    out = tmp_path / "d.h5"
    made = create_dataset(breeds_dir, out)
    assert made.recipe
    assert made.recipe.backbone == OFFLINE_BACKBONE
    request.getfixturevalue("online")
    again = dogsim_json("create-dataset", breeds_dir, "-o", out, "--verify")
    assert (again["backbone"], again["kept"]) == (OFFLINE_BACKBONE, 6)
    restarted = dogsim_json("create-dataset", breeds_dir, "-o", out, "--restart")
    assert (restarted["backbone"], restarted["new"] + restarted["changed"]) == (OFFLINE_BACKBONE, 6)
    message = refusal("create-dataset", breeds_dir, "-o", tmp_path / "new.h5")
    assert "The weights of resnet50 could not be downloaded" in message


def test_commands_without_a_name(breeds_dir: Path) -> None:
    """What README shows, and no more than one line about it."""
    pair = [breeds_dir / "striped" / f"{number}.png" for number in (0, 1)]
    explained = dogsim("explain", *pair, "--save", breeds_dir.parent / "figures")
    assert explained.stderr.count(NOTE) == 1
    assert dogsim_json("distance", *pair)["backbone"] == OFFLINE_BACKBONE


def test_a_fitted_transformer_keeps_its_backbone(request: pytest.FixtureRequest) -> None:
    from dogsim.estimators import ImageFeatures

    fitted = ImageFeatures().fit([IMAGE])
    assert fitted.backbone_ == OFFLINE_BACKBONE
    request.getfixturevalue("online")
    copied = pickle.loads(pickle.dumps(fitted))
    assert copied.transform([IMAGE]).shape == (1, 1280)
    with pytest.raises(WeightsUnavailableError):
        ImageFeatures().transform([IMAGE])


def test_the_message_survives_a_pickle() -> None:
    """Workers send their errors to the driver."""
    error = pickle.loads(pickle.dumps(WeightsUnavailableError("No weights.", "Give a file.")))
    assert (str(error), error.problem) == ("No weights. Give a file.", "No weights.")
