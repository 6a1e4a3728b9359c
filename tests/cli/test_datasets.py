from pathlib import Path
from typing import Any

import pytest
from commands import dogsim, dogsim_json
from conftest import LITE

from dogsim import Dataset


def test_create_dataset(breeds_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    made = dogsim_json("create-dataset", breeds_dir, "-o", out, "--backbone", LITE)
    assert (made["pictures"], made["breeds"], made["features"]) == (6, 2, 1280)
    again = dogsim("create-dataset", breeds_dir, "-o", out, "--backbone", LITE)
    assert again.stdout.endswith("(0 new, 0 changed, 6 kept, 0 removed, 0 skipped)\n")


def test_info(stored: Path, breeds_dir: Path, colours: str) -> None:
    result = dogsim_json("info", stored)
    assert (result["backbone"], result["weights"]) == ("resnet50", colours)
    assert result["root"] == str(breeds_dir)
    assert "layer           avg_pool" in dogsim("info", stored).stdout


def test_stanford_dogs_hands_all_its_options_on(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def fetch(*arguments: Any) -> dict[str, Dataset]:
        asked.extend(arguments)
        return {"train": Dataset.open(stored)}

    monkeypatch.setattr("dogsim.sources.stanford_dogs.stanford_dogs", fetch)
    network = ("--backbone", "vgg16", "--weights", "w.h5", "--layer", "fc1", "--resize", "crop")
    engine = ("--engine", "tensorflow", "--precision", "float32", "--strict", "--restart")
    result = dogsim_json("stanford-dogs", tmp_path, *network, *engine, "--batch-size", 7)
    assert asked == [
        *(tmp_path, None, False, "vgg16", "w.h5", "fc1", "crop", 7),
        *("tensorflow", "float32", True, True),
    ]
    assert result["train"]["pictures"] == 6
