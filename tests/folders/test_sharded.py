"""Test folders of shards: they give the same results and updates as a file."""

import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from clouds import cloud
from commands import dogsim_json, refusal
from mean_colours import SEAM, stop_after
from PIL import Image
from sharded import sharded

from dogsim import Dataset, DogsimError, create_dataset, nearest, update_dataset
from dogsim.dist_calc import METRICS, dist_calc
from dogsim.folders import extraction, manifest
from dogsim.folders import resumable as module
from dogsim.networks.extractor import NetworkOptions
from dogsim.retrieval.identity import feature_keys, in_gallery
from dogsim.storage.dataset_file import INDEX_NAME
from dogsim.storage.sharded_rows import ShardedRows, TableLocation
from dogsim.trust.calibration import calibration_for

COLOURS = {
    f"{breed}/{number}.png": 10 * number for breed in ("pug", "whippet") for number in (1, 2, 3)
}


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, method in SEAM.items():
        monkeypatch.setattr(NetworkOptions, name, method)
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 2)
    monkeypatch.setattr(manifest, "MIN_SHARD_ROWS", 1)
    for name, red in COLOURS.items():
        paint(tmp_path / "photos" / name, red)
    return tmp_path / "photos"


def paint(file: Path, red: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (red, 0, 0)).save(file)


def reds(dataset: Dataset) -> dict[str, int]:
    return {path: int(row[0]) for path, row in zip(dataset.paths, dataset.features, strict=True)}


def made(photos: Path, out: Path, **options: Any) -> tuple[dict[str, int], tuple[int, ...]]:
    """Update a dataset in shards of two; return its rows and the four counts."""
    update = update_dataset(photos, out, batch_size=1, **options)
    return reds(update.dataset), (update.new, update.changed, update.kept, update.removed)


def shards(out: Path) -> set[str]:
    return {file.name for file in out.iterdir()} - {INDEX_NAME}


def test_the_folder_equals_the_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.dogsim"
    folder, file = create_dataset(photos, out, batch_size=1), create_dataset(photos, tmp_path / "f")
    assert isinstance(folder.features, ShardedRows)
    for name in ("paths", "breeds", "recipe", "root", "labels", "stamps"):
        np.testing.assert_array_equal(getattr(folder, name), getattr(file, name))
    np.testing.assert_array_equal(folder.features, file.features)
    assert len(shards(out)) == 3
    assert {each.name for each in tmp_path.iterdir()} - {"photos"} == {*("d.dogsim", "f")}
    assert repr(folder) == repr(file)
    out.rename(tmp_path / "moved")
    assert reds(Dataset.open(tmp_path / "moved")) == COLOURS


def test_update(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.dogsim"
    assert made(photos, out) == (COLOURS, (6, 0, 0, 0))
    first, index = shards(out), (out / INDEX_NAME).stat().st_mtime_ns
    before = Dataset.open(out)
    assert made(photos, out) == (COLOURS, (0, 0, 6, 0))
    assert (out / INDEX_NAME).stat().st_mtime_ns == index
    for name in ("pug/1.png", "pug/2.png", "whippet/1.png"):
        paint(photos / name, 200)
        os.utime(photos / name, ns=(1, 1))
    (photos / "whippet" / "3.png").unlink()
    paint(photos / "borzoi" / "1.png", 99)
    now = {"borzoi/1.png": 99, "pug/1.png": 200, "pug/2.png": 200, "pug/3.png": 30}
    now |= {"whippet/1.png": 200, "whippet/2.png": 20}
    assert made(photos, out) == (now, (1, 3, 2, 1))
    assert first < shards(out)  # replaced shards stay for programs that use them
    assert reds(before) == COLOURS
    assert made(photos, out) == (now, (0, 0, 6, 0))
    assert shards(out) == {table.file for table in tables_of(out)}
    assert reds(Dataset.open(out)) == now


def test_sparse_shards_are_merged(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, colours = tmp_path / "d.dogsim", COLOURS
    monkeypatch.setattr(manifest, "MIN_SHARD_ROWS", 3)
    monkeypatch.setattr(module, "WRITE_ROWS", 4)
    assert made(photos, out)[0] == colours
    assert {table.rows for table in tables_of(out)} == {4, 2}  # of three shards of two
    for day in range(20):
        name = f"pug/{9 - day % 3}.png"
        paint(photos / name, 200 + day)
        os.utime(photos / name, ns=(day, day))
        colours = {**colours, name: 200 + day}
        assert made(photos, out)[0] == dict(sorted(colours.items()))
        used = sum(table.rows for table in tables_of(out))
        assert len(tables_of(out)) <= 4
        assert used <= len(colours) + 3
    assert made(photos, out)[1] == (0, 0, 9, 0)
    assert len(shards(out)) == len(tables_of(out))


def tables_of(out: Path) -> tuple[TableLocation, ...]:
    features = Dataset.open(out).features
    assert isinstance(features, ShardedRows)
    return features.tables


def test_a_stopped_restart_leaves_the_index_valid(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.dogsim"
    made(photos, out)
    anew = {name: red + 100 for name, red in COLOURS.items()}
    for name, red in anew.items():
        before = (photos / name).stat().st_mtime_ns
        paint(photos / name, red)
        os.utime(photos / name, ns=(before, before))
    stop_after(4, monkeypatch)
    with pytest.raises(
        KeyboardInterrupt, match=r"features of 4 images are stored in .*d\.dogsim: run"
    ):
        made(photos, out, restart=True, resize="crop")
    assert reds(Dataset.open(out)) == COLOURS
    stop_after(2, monkeypatch)
    assert made(photos, out)[0] == anew
    stop_after(0, monkeypatch)
    assert made(photos, out) == (anew, (0, 0, 6, 0))
    assert len(shards(out)) == 3  # no shard from before the restart is left


def test_a_lost_index_or_shard(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.dogsim"
    made(photos, out)
    (out / INDEX_NAME).unlink()
    with pytest.raises(DogsimError, match="no dataset in the folder"):
        Dataset.open(out)
    stop_after(0, monkeypatch)
    assert made(photos, out)[0] == COLOURS
    lost = min(shards(out))
    for spoil in (Path.unlink, lambda file: os.truncate(file, 100)):
        spoil(out / lost)
        message = refusal("info", out)
        assert f"shards missing or cut short: 1 of 3, such as {lost}" in message
        assert "--force" in message
        stop_after(2, monkeypatch)
        with pytest.raises(DogsimError, match="missing or cut short"):
            made(photos, out)
        assert made(photos, out, force=True)[0] == COLOURS
        lost = min(shards(out))


def test_files_of_others_stay(
    photos: Path, tmp_path: Path, four: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.dogsim"
    out.mkdir()
    notes = out / "notes.txt"
    notes.write_text("mine")
    create = ("create-dataset", photos, "-o", out)
    assert "d.dogsim exists and was not made by this command" in refusal(*create)
    assert list(out.iterdir()) == [notes]
    assert dogsim_json(*create, "--force")["new"] == 6
    assert dogsim_json(*create)["kept"] == 6
    assert notes.read_text() == "mine"
    four.save(out / INDEX_NAME)  # a complete file instead of the index
    assert "was not made by this command" in refusal(*create)
    assert Dataset.open(out).paths == four.paths
    assert "Received the folder" in refusal("create-dataset", photos, "-o", tmp_path)
    shutil.rmtree(out)
    four.save(out)  # an existing file with this suffix stays a file
    assert "was not made by this command" in refusal(*create)
    assert Dataset.open(out).paths == four.paths


def test_an_index_in_another_folder(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.dogsim"
    made(photos, out)
    shutil.copy(out / INDEX_NAME, tmp_path / "d.h5")
    assert "shards missing or cut short: 3 of 3" in refusal("info", tmp_path / "d.h5")
    assert "not made by this command" in refusal("create-dataset", photos, "-o", out / INDEX_NAME)
    assert reds(Dataset.open(out / INDEX_NAME)) == COLOURS
    with h5py.File(out / INDEX_NAME, "a") as file:
        file["shards"][0] = "../d.h5"
    assert "missing or cut short: 1 of 3, such as ../d.h5" in refusal("info", out)


@pytest.mark.parametrize("mixed", [False, True])
def test_answers_equal_those_of_the_file(tmp_path: Path, mixed: bool) -> None:
    whole = cloud(300)
    parts = Dataset.open(sharded(whole, tmp_path / "d.dogsim", 7, mixed))
    testset = Dataset.open(sharded(cloud(40), tmp_path / "q.dogsim", 2, mixed))
    for metric in METRICS:
        for queries in (testset, testset.features[:3], testset.features[0]):
            expected = nearest(whole, np.asarray(getattr(queries, "features", queries)), 5, metric)
            for one, other in zip(nearest(parts, queries, 5, metric), expected, strict=True):
                np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(dist_calc(parts, testset), dist_calc(whole, cloud(40)))
    np.testing.assert_array_equal(feature_keys(parts), feature_keys(whole))
    assert in_gallery(parts, whole).all()
    assert repr(calibration_for(parts, 0.9)) == repr(calibration_for(whole, 0.9))
    rows = np.array([5, 3, 250])
    assert isinstance(parts.take(rows).features, np.ndarray)
    np.testing.assert_array_equal(parts.take(rows).features, whole.features[rows])
    parts.save(tmp_path / "whole.h5")
    np.testing.assert_array_equal(Dataset.open(tmp_path / "whole.h5").features, whole.features)


@pytest.mark.parametrize(
    "command",
    [
        "info IN",
        "audit IN",
        "export IN OUT.npy",
        "export-mat IN OUT.mat",
        "tree --dataset IN --save OUT.png",
        "accuracy --dataset IN --k 5 --map-at-r --per-breed --confidence 0.8",
        "accuracy --dataset IN --k 5 --compare",
        "accuracy --dataset IN --k 5 --protocol matlab",
    ],
)
def test_commands_print_the_same(tmp_path: Path, command: str) -> None:
    whole = cloud(200)
    whole.save(tmp_path / "d.h5")
    results, written = [], set()
    for file in (tmp_path / "d.h5", sharded(whole, tmp_path / "d.dogsim")):
        answer = dogsim_json(
            *command.replace("IN", str(file)).replace("OUT", f"{file}-out").split()
        )
        results.append({name: each for name, each in answer.items() if str(file) not in str(each)})
        written |= {each.read_bytes()[128:] for each in tmp_path.glob(f"{file.name}-out.*")}
    assert results[0] == results[1]
    assert results[0]
    assert len(written) == ("OUT" in command)
