import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import dogsim, dogsim_json, refusal
from conftest import LITE

from dogsim import Dataset


def test_create_dataset(breeds_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    made = dogsim_json("create-dataset", breeds_dir, "-o", out, "--backbone", LITE)
    assert (made["images"], made["breeds"], made["features"]) == (6, 2, 1280)
    again = dogsim("create-dataset", breeds_dir, "-o", out, "--backbone", LITE)
    assert again.stdout.endswith("(0 new, 0 changed, 6 kept, 0 removed, 0 skipped)\n")
    assert "Breeds: red setter, striped.\n" in again.stderr


def test_the_dataset_of_the_environment(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every command whose argument is a dataset file; one that is given comes first."""
    monkeypatch.setenv("DOGSIM_DATASET", str(stored))
    assert dogsim_json("info")["dataset"] == str(stored)
    assert len(dogsim_json("audit")["poor"]) == 6
    assert dogsim_json("export", tmp_path / "d.npy")["images"] == 6
    assert dogsim_json("export-mat", tmp_path / "d.mat", "--force")["images"] == 6
    monkeypatch.setenv("DOGSIM_DATASET", "gone.h5")
    for command, out in (("deep-ranking", "h.keras"), ("train-classifier", "c.keras")):
        assert "no dataset file gone.h5" in refusal(command, "-o", tmp_path / out)
    project = ("project", "--head", tmp_path / "h.keras", "-o", tmp_path / "d.h5")
    assert "no dataset file gone.h5" in refusal(*project)
    assert "no dataset file given.h5" in refusal("info", "given.h5")
    assert "no dataset file given.h5" in refusal("export", "given.h5", tmp_path / "e.npy")
    monkeypatch.delenv("DOGSIM_DATASET")
    for alone in (("info",), ("audit",), ("export", str(tmp_path / "d.npy"))):
        dogsim(*alone, code=2)


def test_a_moved_weight_file_is_found_again(breeds_dir: Path, colours: str, tmp_path: Path) -> None:
    out, weights = tmp_path / "d.h5", tmp_path / "w.keras"
    shutil.copy(colours, weights)
    dogsim("create-dataset", breeds_dir, "-o", out, "--weights", weights)
    moved = weights.rename(tmp_path / "moved.keras")
    again = dogsim_json(
        "create-dataset", breeds_dir, "-o", out
    )  # nothing to compute: the weights are not needed
    assert (again["kept"], again["weights"]) == (6, str(weights))
    result = dogsim_json("create-dataset", breeds_dir, "-o", out, "--weights", moved)
    assert (result["kept"], result["weights"]) == (6, str(moved))
    image = breeds_dir / "striped" / "0.png"
    assert dogsim_json("classify", image, "-k", 1, "--dataset", out)["results"]


def test_a_damaged_output_is_replaced_as_its_error_suggests(
    stored: Path, breeds_dir: Path, colours: str, tmp_path: Path
) -> None:
    out = tmp_path / "d.h5"
    out.write_bytes(stored.read_bytes()[:-100])
    create = ("create-dataset", breeds_dir, "-o", out, "--weights", colours)
    assert "create-dataset --force makes a new one" in refusal(*create)
    assert dogsim_json(*create, "--force")["images"] == 6


def test_options_are_checked_even_without_work(stored: Path, breeds_dir: Path) -> None:
    create = ("create-dataset", breeds_dir, "-o", stored)
    assert "Unknown engine" in refusal(*create, "--engine", "no-such-engine")
    assert "Unknown precision" in refusal(*create, "--precision", "float64")
    assert "There is no weight file" in refusal(*create, "--weights", "gone.h5")


def test_an_output_that_is_an_input_is_rejected(breeds_dir: Path, colours: str) -> None:
    weights = Path(colours).read_bytes()
    create = ("create-dataset", breeds_dir, "--weights", colours, "-o")
    assert "is also read by this command" in refusal(*create, colours)
    line = refusal(*create, breeds_dir / "striped" / "0.png")
    assert "was not made by this command" in line
    assert Path(colours).read_bytes() == weights


def test_info_of_a_recipe_in_fixed_length_strings(stored: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copy(stored, tmp_path / "d.h5"))
    with h5py.File(copied, "a") as file:
        for name, value in dict(file.attrs).items():
            if isinstance(value, str):
                file.attrs[name] = np.bytes_(value.encode())
    assert dogsim_json("info", copied) == {**dogsim_json("info", stored), "dataset": str(copied)}


def test_info(stored: Path, breeds_dir: Path, colours: str) -> None:
    result = dogsim_json("info", stored)
    assert (result["backbone"], result["weights"]) == ("resnet50", colours)
    assert result["root"] == str(breeds_dir)
    assert "layer            avg_pool" in dogsim("info", stored).stdout
    assert result["images_per_breed"] == [3, 3, 3]
    assert "images_per_breed 3 to 3, median 3\n" in dogsim("info", stored).stdout


def test_stanford_dogs_passes_all_its_options(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received: dict[str, Any] = {}

    def create_datasets(folder: Path, archives: Path | None, **options: Any) -> dict[str, Dataset]:
        received.update(options, folder=folder, archives=archives)
        return {"train": Dataset.open(stored)}

    monkeypatch.setattr("dogsim.sources.stanford_dogs.stanford_dogs", create_datasets)
    network = ("--backbone", "vgg16", "--weights", "w.h5", "--layer", "fc1", "--resize", "crop")
    engine = ("--engine", "tensorflow", "--precision", "float32", "--strict", "--restart")
    views = ("--crop-boxes", "--margin", "0.1", "--views", "flip", "--mean", "0.5", "--std", "1")
    result = dogsim_json("stanford-dogs", tmp_path, *network, *engine, *views, "--batch-size", 7)
    assert received == {
        "folder": tmp_path,
        "archives": None,
        "annotations": False,
        "backbone": "vgg16",
        "weights": "w.h5",
        "layer": "fc1",
        "resize": "crop",
        "batch_size": 7,
        "engine": "tensorflow",
        "precision": "float32",
        "strict": True,
        "restart": True,
        "crop_boxes": True,
        "margin": 0.1,
        "views": "flip",
        "mean": (0.5, 0.5, 0.5),
        "std": (1.0, 1.0, 1.0),
    }
    assert result["train"]["images"] == 6
