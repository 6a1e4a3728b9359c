from pathlib import Path

import numpy as np
import pytest
from clouds import breeds_in_noise
from commands import dogsim, dogsim_json, refusal

from dogsim import (
    Dataset,
    create_dataset,
    hold_out,
    load_head,
)
from dogsim.plumbing.files import file_sha256


def test_deep_ranking_and_project(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 12).astype(np.int32)
    features = np.eye(4)[labels].repeat(5, axis=1) + rng.normal(0, 1, (48, 20))
    paths = tuple(f"{i}.jpg" for i in range(48))
    Dataset(features.astype(np.float32), labels, paths, ("a", "b", "c", "d")).save(
        tmp_path / "plain.h5"
    )
    head = tmp_path / "head.keras"
    learned = dogsim_json("deep-ranking", tmp_path / "plain.h5", "-o", head, "--max-steps", 50)
    assert learned["precision_after"] >= learned["precision_before"] > learned["precision_raw"]
    assert learned["k"] == 20
    made = dogsim_json("project", tmp_path / "plain.h5", "--head", head, "-o", tmp_path / "g.h5")
    assert made["features"] == 4  # probabilities of the breeds
    assert load_head(head).sha256 == file_sha256(head)
    before, after = (
        dogsim_json("accuracy", "--dataset", tmp_path / name, "-k", 5)
        for name in ("plain.h5", "g.h5")
    )
    assert after["precision_at_k"] > before["precision_at_k"] + 0.1
    with_confidence = ("accuracy", "--dataset", tmp_path / "g.h5", "-k", 5, "--confidence", 0.9)
    assert "--hold-back" in refusal(*with_confidence)
    back = ("--hold-back", 0.5, "--max-steps", 25, "--proxies-per-breed", 2, "--force")
    dogsim("deep-ranking", tmp_path / "plain.h5", "-o", head, *back)
    assert load_head(head).model.get_layer("proxies").units == 8
    dogsim("project", tmp_path / "plain.h5", "--head", head, "-o", tmp_path / "g.h5", "--force")
    result = dogsim_json(*with_confidence)
    assert result["trained_on"] == 24
    assert result["coverage"] > 0.8


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("deep-ranking", "gone.h5", "-o", "head.h5"), "ends in .keras"),
        (("deep-ranking", "gone.h5", "-o", "no/head.keras"), "There is no folder no"),
        (("deep-ranking", "gone.h5", "-o", "head.keras"), "There is no dataset file gone.h5"),
        (("project", "gone.h5", "--head", "h.keras", "-o", "g.h5"), "There is no dataset file"),
    ],
)
def test_errors_are_one_line(
    args: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = dogsim(*args, code=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_classifier_beside_the_vote(tmp_path: Path) -> None:
    train, test = hold_out(breeds_in_noise(4, 60), 0.3)
    for name, part in {"train": train, "test": test}.items():
        part.save(tmp_path / f"{name}.h5")
    few, file = ("--max-epochs", 12), tmp_path / "c.keras"
    made = dogsim_json("train-classifier", tmp_path / "train.h5", "-o", file, *few)
    assert made["breeds"] == list("abcd")
    assert made["epochs"] > 1
    evaluate = ("accuracy", "--dataset", tmp_path / "train.h5", "--classifier", file)
    result = dogsim_json(*evaluate, "--test", tmp_path / "test.h5")
    assert result["classifier_accuracy"] > result["vote_accuracy"] + 0.05
    assert 0 <= result["classifier_calibration_error"] < 0.2
    printed = dogsim(*evaluate, "--test", tmp_path / "test.h5").stdout
    assert f"classifier {result['classifier_accuracy']:.4f}, expected calibration error" in printed
    assert "--classifier without --test" in refusal(*evaluate)
    training = ("train-classifier", tmp_path / "train.h5", "-o")
    assert "ends in .keras" in refusal(*training, "c.h5")
    (tmp_path / "mine.keras").write_text("mine")
    assert "was not made by this command" in refusal(*training, tmp_path / "mine.keras")


def test_classify_with_a_classifier(
    breeds_dir: Path, colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for breed, level in {"dark": 40, "light": 200}.items():
        Path("photos", breed).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(level - 30, level + 30, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(f"photos/{breed}/{i}.png")
    create_dataset("photos", "d.h5", weights=colours)
    dogsim("train-classifier", "d.h5", "-o", "c.keras", "--learning-rate", 0.1, "--max-epochs", 12)
    arguments = ("classify", "photos/light/3.png", "--dataset", "d.h5", "-k", 3)
    with_it = dogsim_json(*arguments, "--classifier", "c.keras")
    answer = with_it["results"][0].pop("classifier")
    assert answer["breed"] == "light"
    assert answer["probability"] == max(answer["probabilities"].values()) > 0.5
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=0.01)
    assert with_it == dogsim_json(*arguments)
    shown = dogsim(*arguments, "--classifier", "c.keras").stdout
    assert "light (3 of 3 votes)" in shown
    assert f"; classifier: light ({answer['probability']:.2f})" in shown
    create_dataset(breeds_dir, "other.h5", "efficientnet-lite2")
    refused = refusal(
        "classify", "photos", "--dataset", "other.h5", "-k", 3, "--classifier", "c.keras"
    )
    assert "trained on features of another network" in refused


def test_options_of_fine_tuning_are_refused_for_a_head(tmp_path: Path) -> None:
    breeds_in_noise().save(tmp_path / "d.h5")
    arguments = ("deep-ranking", tmp_path / "d.h5", "-o", tmp_path / "head.keras")
    for option in (("--batch-size", 4), ("--workers", 2), ("--augment",)):
        assert "It is for networks only" in refusal(*arguments, *option)
    assert "It is for heads only" in refusal(
        *arguments, "--network", "multiscale", "--start", "random"
    )
    made = dogsim_json(*arguments, "--start", "random", "--max-steps", 50, "--learning-rate", 0.01)
    assert made["precision_after"] > made["precision_before"]


def test_options_without_effect_are_refused(stored: Path, tmp_path: Path) -> None:
    learn = ("deep-ranking", stored, "-o", tmp_path / "x.keras")
    for option in (("--negatives", "near"), ("--width", "3")):
        assert "It is for heads only" in refusal(*learn, "--from-layer", "conv", *option)
    for name, value in (("--weights", "w.h5"), ("--root", tmp_path)):
        assert "It is for networks only" in refusal(*learn, name, value)


def test_fine_tuning_accepts_a_root(stored: Path, tmp_path: Path) -> None:
    learn = ("deep-ranking", stored, "-o", tmp_path / "x.keras", "--from-layer", "avg_pool")
    assert refusal(*learn, "--root", tmp_path)  # too few images, or no such layer
    assert not (tmp_path / "x.keras").exists()


def test_a_classifier_fine_tunes_the_network(tmp_path: Path) -> None:
    import keras
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("across", "along"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(12):
            pixels = rng.integers(0, 100, (16, 16, 3), np.uint8)
            pixels[::4] += 120
            turned = pixels if name == "across" else pixels.swapaxes(0, 1)
            Image.fromarray(turned).save(tmp_path / "images" / name / f"{i}.png")
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, activation="relu", name="conv"),
            layers.GlobalAveragePooling2D(name="avg_pool"),
        ]
    )
    network.save(tmp_path / "network.keras")
    weights = str(tmp_path / "network.keras")
    create_dataset(tmp_path / "images", tmp_path / "d.h5", weights=weights)
    train = ("train-classifier", tmp_path / "d.h5", "-o", tmp_path / "tuned.keras")
    options = ("--learning-rate", 0.01, "--max-steps", 50, "--batch-size", 8, "--rotate", 5)
    made = dogsim_json(*train, "--from-layer", "conv", *options)
    assert made["accuracy_after"] >= made["accuracy_before"]
    assert made["steps"] in (0, 25, 50)
    again = create_dataset(
        tmp_path / "images", tmp_path / "t.h5", weights=str(tmp_path / "tuned.keras")
    )
    assert again.features.shape == (24, 8)
    assert "--dropout 0.2. It is for heads only: leave out --from-layer" in refusal(
        *train, "--from-layer", "conv", "--dropout", 0.2
    )
    for option in (("--augment",), ("--rotate", 5), ("--batch-size", 4), ("--root", tmp_path)):
        assert "It is for networks only: add --from-layer" in refusal(*train, *option)
    assert "is also read by this command" in refusal(
        *("train-classifier", tmp_path / "d.h5", "-o", weights, "--from-layer", "conv", "--force")
    )


def test_no_file_of_the_user_is_replaced(stored: Path, four: Dataset, tmp_path: Path) -> None:
    data, mine = tmp_path / "d.h5", tmp_path / "mine.keras"
    four.save(data)
    mine.write_bytes(b"mine")
    assert "--force" in refusal("deep-ranking", data, "-o", mine)
    assert mine.read_bytes() == b"mine"
    before = data.read_bytes()
    assert "is also read by this command" in refusal("project", data, "--head", mine, "-o", data)
    (tmp_path / "other.h5").write_bytes(before)
    other = ("project", data, "--head", mine, "-o", tmp_path / "other.h5")
    assert "--force" in refusal(*other)
    assert data.read_bytes() == before
