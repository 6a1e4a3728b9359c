"""The scenes of a dataset: by every rule, in every kind of file, and after every change."""

from pathlib import Path

import numpy as np
import pytest
from commands import dogsim_json, refusal
from mean_colours import SEAM
from PIL import Image

from dogsim import Dataset
from dogsim.networks.extractor import NetworkOptions

SHOTS = ("pug/a/1.png", "pug/a/2.png", "pug/b/1.png", "cat/c/1.png", "cat/c/2.png")


@pytest.fixture(autouse=True)
def mean_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in SEAM.items():
        monkeypatch.setattr(NetworkOptions, name, method)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, path in enumerate(SHOTS):
        file = tmp_path / "p" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(file)
    return tmp_path / "p"


def scenes(out: Path) -> list[int] | None:
    numbers = Dataset.open(out).scenes
    return None if numbers is None else numbers.tolist()


@pytest.mark.parametrize("name", ["d.h5", "d.dogsim"])
def test_the_option_is_added_without_computing_and_is_kept(folder: Path, name: str) -> None:
    out = folder.with_name(name)
    first = dogsim_json("create-dataset", folder, "-o", out)
    assert first["scenes"] is None
    assert scenes(out) is None
    added = dogsim_json("create-dataset", folder, "-o", out, "--scenes", "folder")
    assert (added["kept"], added["new"], added["scenes"]) == (5, 0, 3)
    assert scenes(out) == [0, 0, 1, 1, 2]  # cat/c, pug/a, pug/b
    assert dogsim_json("info", out)["scenes"] == 3
    Image.new("RGB", (8, 8), (200, 0, 0)).save(folder / "cat" / "c" / "3.png")
    dogsim_json("create-dataset", folder, "-o", out)
    assert scenes(out) == [0, 0, 0, 1, 1, 2]
    dogsim_json("create-dataset", folder, "-o", out, "--scenes", r"(?P<scene>\d)\.png")
    assert scenes(out) == [0, 1, 2, 3, 4, 5]
    dogsim_json("create-dataset", folder, "-o", out, "--scenes", "none")
    assert scenes(out) is None


def test_a_table(folder: Path) -> None:
    out, table = folder.with_name("d.h5"), folder.with_name("scenes.csv")
    table.write_text("path,scene\npug/a/1,x\npug/b/1,x\n")
    dogsim_json("create-dataset", folder, "-o", out, "--scenes", table)
    assert scenes(out) == [0, 1, 2, 3, 2]
    table.write_text("path,scene\npug/a/1,x\npug/a/1,y\n")
    assert "two scenes for pug/a/1" in refusal("create-dataset", folder, "-o", out)
    assert scenes(out) == [0, 1, 2, 3, 2]


def test_a_wrong_rule_is_refused_before_anything_is_computed(folder: Path) -> None:
    out = folder.with_name("d.h5")
    message = refusal("create-dataset", folder, "-o", out, "--scenes", "bursts")
    assert "Received scenes='bursts'. Expected none, folder" in message
    assert not out.exists()


def test_accuracy_leaves_scenes_out(folder: Path) -> None:
    out = folder.with_name("d.h5")
    dogsim_json("create-dataset", folder, "-o", out)
    assert "scenes" not in dogsim_json("accuracy", "--dataset", out, "--k", "1")
    dogsim_json("create-dataset", folder, "-o", out, "--scenes", "folder")
    found = dogsim_json("accuracy", "--dataset", out, "--k", "1")
    assert (found["scenes"], found["single_scene_breeds"]) == (3, 1)
    matlab = dogsim_json("accuracy", "--dataset", out, "--k", "2", "--protocol", "matlab")
    assert "scenes" not in matlab


def test_subsets_and_edited_copies_keep_their_scenes(folder: Path) -> None:
    out, copy = folder.with_name("d.h5"), folder.with_name("copy.h5")
    dogsim_json("create-dataset", folder, "-o", out, "--scenes", "folder")
    taken = Dataset.open(out).take([4, 0]).scenes
    assert taken is not None
    assert np.array_equal(taken, [2, 0])
    plan = folder.with_name("plan.csv")
    plan.write_text("path,kind,group,decision,label\ncat/c/1.png,poor,1,remove,cat\n")
    dogsim_json("apply", plan, out, "-o", copy)
    assert scenes(copy) == [0, 1, 1, 2]
    dogsim_json("create-dataset", folder, "-o", copy)
    assert scenes(copy) == [0, 1, 1, 2]
