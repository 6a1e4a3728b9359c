import csv
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from shutil import copyfile, copytree

import numpy as np
import pytest
from conftest import LITE, REPOSITORY

from dogsim import Extractor, accuracy, sample_dataset, sample_queries
from dogsim.errors import DogsimError
from dogsim.images import open_image
from dogsim.plumbing.cache import cache_folder
from dogsim.plumbing.files import locked
from dogsim.storage.hdf5 import FileState
from draw_hard_dogs import draw_hard_dog
from draw_sample_dogs import draw_dog

DATA = REPOSITORY / "data"


def test_twelve_breeds_of_25_and_a_query_each() -> None:
    folders = sorted(path for path in (DATA / "sample_dogs").iterdir())
    assert len(folders) == 12
    for folder in folders:
        assert [path.name for path in sorted(folder.iterdir())] == [
            f"{number:02d}.jpg" for number in range(1, 26)
        ]
    queries = [path.stem for path in sample_queries()]
    assert queries == [folder.name for folder in folders]
    drawings = [path for kind in ("jpg", "webp") for path in DATA.rglob(f"*/*.{kind}")]
    assert sum(path.stat().st_size for path in drawings) < 4_000_000


def test_drawing_is_reproducible() -> None:
    for breed, number in (("beagle", 3), ("pug", 0)):
        first, second = (draw_dog(breed, number) for _ in range(2))
        assert first.tobytes() == second.tobytes()
        folder = f"sample_dogs/{breed}/{number:02d}" if number else f"sample_queries/{breed}"
        stored = np.asarray(open_image(DATA / f"{folder}.jpg"), int)
        assert abs(stored - np.asarray(first, int)).mean() < 4  # the error of JPEG


def test_no_two_drawings_are_equal() -> None:
    drawings = {open_image(path).tobytes() for path in DATA.rglob("*.jpg")}
    assert len(drawings) == 312


def test_drawing_the_harder_sample_is_reproducible() -> None:
    for name in ("beagle/07", "beagle/05", "Doberman/11"):  # plain, in the wrong folder, a copy
        drawn = np.asarray(draw_hard_dog(name), int)
        stored = np.asarray(open_image(DATA / "hard_dogs" / f"{name}.webp"), int)
        assert abs(stored - drawn).mean() < 5, name  # the error of WebP


def test_the_answer_key_of_the_harder_sample() -> None:
    folder = DATA / "hard_dogs"
    assert len(list(folder.glob("*/*.webp"))) == 250
    with (folder / "key.csv").open(newline="") as file:
        key = list(csv.DictReader(file))
    assert len(key) == 16
    for row in key:
        assert (folder / row["picture"]).is_file()
        if row["what"] == "wrong label":
            assert (folder / row["of"]).is_dir()
        else:
            same = (folder / row["of"]).read_bytes() == (folder / row["picture"]).read_bytes()
            assert same is (row["what"] == "copy, the same file"), row


def test_the_sample_needs_a_trained_network(lite: Extractor) -> None:
    """A trained network separates the breeds, raw pixels do not."""
    from dataclasses import replace

    dataset = sample_dataset()
    assert accuracy(dataset, k=1).precision_at_k > 0.97
    pixels = [open_image(dataset.image_file(row)).resize((32, 32)) for row in range(len(dataset))]
    flat = np.stack([np.asarray(image, np.float32).ravel() for image in pixels])
    assert accuracy(replace(dataset, features=flat), k=1).precision_at_k < 0.6


@pytest.mark.slow
def test_a_damaged_cache_file_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = sample_dataset()
    copytree(cache_folder(), tmp_path / "cache")  # other processes use the original
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", lambda _: tmp_path / "cache")
    sample = sys.modules["dogsim.sources.sample"]
    file = sample._cache_file("sample_dogs", "efficientnet-lite2")
    half = file.read_bytes()[:5000]
    file.unlink()  # not truncated: the features in use are mapped from this file
    file.write_bytes(half)
    assert np.allclose(sample_dataset().features, dataset.features, atol=1e-3)
    with pytest.raises(DogsimError, match="There is no weight file"):
        sample_dataset("none.keras")


@pytest.mark.slow
def test_two_processes_at_the_first_use(tmp_path: Path) -> None:
    """The second process waits for the first and opens its dataset."""
    command = [sys.executable, "-c", "import dogsim; print(len(dogsim.sample_dataset()))"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in both]
    assert [stdout for stdout, _ in outputs] == [b"300\n"] * 2, outputs


def test_the_harder_sample_and_a_named_network_need_no_download(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The numbers of the lessons are those of one network, in float32, on every machine."""

    def fail() -> str:
        raise AssertionError("the default network may be downloaded")

    monkeypatch.setattr("dogsim.sources.sample.default_backbone", fail)
    for dataset in (sample_dataset(hard=True), sample_dataset(backbone="efficientnet-lite2")):
        assert dataset.recipe
        assert (dataset.recipe.backbone, dataset.recipe.precision) == (LITE, "float32")
    with pytest.raises(DogsimError, match="Unknown backbone 'resnet5'; did you mean 'resnet50'"):
        sample_dataset(backbone="resnet5")
    with pytest.raises(DogsimError, match="Expected one of them: weights are for resnet50"):
        sample_dataset("imagenet", backbone="resnet50")


def test_a_process_that_waited_does_not_replace_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process reads the features from the file that it created."""
    sample_dataset()
    created = cache_folder()
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", lambda _: tmp_path / "cache")
    sample = sys.modules["dogsim.sources.sample"]
    file = sample._cache_file("sample_dogs", "efficientnet-lite2")
    file.parent.mkdir()
    with ThreadPoolExecutor() as pool:
        with locked(file.with_suffix("")):  # the first process creates the file
            second = pool.submit(sample_dataset)
            wait([second], timeout=0.5)
            assert not second.done()
            copyfile(created / file.name, file)
            state = FileState.of(file)
        assert len(second.result(timeout=60)) == 300
    assert FileState.of(file) == state
    dataset = sample_dataset()
    file.unlink()  # as dogsim cache --clear does
    assert dataset.features[0].any()


def test_a_cache_folder_that_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(DogsimError, match="Cannot create the folder"):
        sample_dataset()
