"""The scenes of a dataset: by every rule, in every kind of file, and after every change."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import dogsim, dogsim_json, refusal
from mean_colours import SEAM, stop_after
from PIL import Image
from textures import next_shot, texture

from dogsim import Dataset
from dogsim.image_files.comparison import ComparedImage, Verdict, compare_images
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
    assert "Received scenes='bursts'. Expected none, auto, folder" in message
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


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three shots of a pug, two of which are of one scene, and a cat."""
    folder, first = tmp_path / "photos", texture(0)
    images = {"pug/1": first, "pug/2": next_shot(first), "pug/3": texture(1), "cat/1": texture(2)}
    for name, image in images.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{name}.png")
    return folder


@pytest.fixture
def comparisons(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The list that grows with each pair whose images are compared; the cache is empty."""
    calls: list[int] = []

    def counted(one: ComparedImage, other: ComparedImage) -> Verdict:
        calls.append(1)
        return compare_images(one, other)

    monkeypatch.setattr("dogsim.retrieval.image_pairs.compare_images", counted)
    monkeypatch.setattr("dogsim.plumbing.content_cache.cache_folder", lambda: tmp_path / "cache")
    return calls


@pytest.mark.parametrize("name", ["d.h5", "d.dogsim"])
def test_scenes_are_found_by_comparing_new_pairs(
    photos: Path, comparisons: list[int], name: str
) -> None:
    out = photos.with_name(name)
    dogsim_json("create-dataset", photos, "-o", out)
    added = dogsim_json("create-dataset", photos, "-o", out, "--scenes", "auto")
    assert (added["kept"], added["new"], added["scenes"]) == (4, 0, 3)
    assert scenes(out) == [0, 1, 1, 2]
    assert len(comparisons) == 3
    texture(3).save(photos / "pug" / "4.png")
    dogsim_json("create-dataset", photos, "-o", out)
    assert scenes(out) == [0, 1, 1, 2, 3]
    assert len(comparisons) == 6
    file = out / "index.h5" if out.is_dir() else out
    before = file.stat().st_mtime_ns
    shutil.rmtree(photos.with_name("cache"))
    dogsim_json("create-dataset", photos, "-o", out)
    assert len(comparisons) == 6  # nothing is new
    assert file.stat().st_mtime_ns == before
    assert Dataset.open(out).take([2, 1]).scenes is not None


def test_a_run_that_is_stopped_while_images_are_compared_is_continued(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, command = photos.with_name("d.h5"), ("create-dataset", photos, "--scenes", "auto")

    def stop(_: Dataset) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["dogsim.create_dataset"], "find_scenes", stop)
        stopped = dogsim(*command, "-o", out, code=130)
    assert "features of 4 images are stored" in stopped.stderr
    with monkeypatch.context() as patch:
        stop_after(0, patch)  # no features are computed
        dogsim_json(*command, "-o", out)
    assert scenes(out) == [0, 1, 1, 2]


def test_accuracy_warns_about_scenes_that_it_does_not_know(photos: Path) -> None:
    out, pugs = photos.with_name("d.h5"), photos / "pug"
    for number in range(4, 7):
        texture(1).point(lambda value, n=number: min(255, value + n)).save(pugs / f"{number}.png")
    texture(7).save(photos / "cat" / "2.png")
    dogsim("create-dataset", photos, "-o", out)
    command = ("accuracy", "--dataset", out, "--k", "1")
    warned = dogsim(*command, "--json")
    check = json.loads(warned.stdout)["scene_check"]
    assert check["matters"]
    assert (check["images"], check["in_scene"] >= 4) == (8, True)
    assert f"create-dataset {photos} -o FILE --scenes auto" in warned.stderr
    quiet = dogsim(*command, "--json", "--no-scene-check")
    assert "scene_check" not in json.loads(quiet.stdout)
    assert "--scenes auto" not in quiet.stderr
    assert "scene_check" not in dogsim_json(*command, "--test", out)
    dogsim("create-dataset", photos, "-o", out, "--scenes", "auto")
    found = dogsim(*command, "--json")
    assert "scene_check" not in json.loads(found.stdout)
    assert "--scenes auto" not in found.stderr
