"""Test failing downloads, archives from disk, and the official lists."""

import io
import json
from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import names, tar_of
from commands import dogsim, refusal
from conftest import LITE
from PIL import Image
from scipy.io import savemat
from server import Server, serving

from dogsim import Dataset, stanford_dogs
from dogsim.image_files.labels import breed_name
from dogsim.networks.extractor import NetworkOptions

module: Any = import_module("dogsim.sources.stanford_dogs")  # dogsim.stanford_dogs is the function


TRAIN = [
    "n02085936-Maltese_dog/n02085936_1.jpg",
    "n02085620-Chihuahua/n02085620_3.jpg",
    "n02085620-Chihuahua/n02085620_1.jpg",
    "n02085936-Maltese_dog/n02085936_2.jpg",
]


TEST = ["n02085620-Chihuahua/n02085620_2.jpg", "n02085936-Maltese_dog/n02085936_3.jpg"]


BOX = b"""<annotation><size><width>40</width><height>30</height></size><object><bndbox>
<xmin>10</xmin><ymin>0</ymin><xmax>40</xmax><ymax>20</ymax></bndbox></object></annotation>"""


def mat_of(paths: list[str]) -> bytes:
    buffer = io.BytesIO()
    cells = np.array(paths, object)[:, None]
    savemat(buffer, {"file_list": cells, "annotation_list": cells, "labels": np.ones((4, 1))})
    return buffer.getvalue()


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "jpeg")
    return buffer.getvalue()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve a small Stanford Dogs from this machine."""
    images = [(f"Images/{path}", jpeg(i)) for i, path in enumerate(TRAIN + TEST)]
    boxes = [(f"Annotation/{path.removesuffix('.jpg')}", BOX) for path in TRAIN + TEST]
    lists = [("train_list.mat", mat_of(TRAIN)), ("test_list.mat", mat_of(TEST))]
    archives = {
        "Images": ("images.tar", tar_of(*images)),
        "lists": ("lists.tar", tar_of(*lists)),
        "Annotation": ("annotation.tar", tar_of(*boxes)),
    }
    with serving() as server:
        server.files = {f"/{file}": content for file, content in archives.values()}
        table = {
            name: (len(content), sha256(content).hexdigest())
            for name, (_, content) in archives.items()
        }
        monkeypatch.setattr(module, "BASE_URL", server.address)
        monkeypatch.setattr(module, "ARCHIVES", table)
        monkeypatch.setattr(module, "SPLITS", {"train": 4, "test": 2})
        yield server


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail if features are computed."""
    monkeypatch.setattr(NetworkOptions, "load", lambda _: None)
    monkeypatch.setattr(module, "extract_features", lambda *_: None)
    monkeypatch.setattr(
        module, "bring_up_to_date", lambda *_, **__: pytest.fail("came to the features")
    )


def run(*arguments: str | Path) -> Any:
    return dogsim("stanford-dogs", *arguments, "--backbone", LITE)


def check_refused(reason: str, *arguments: str | Path) -> str:
    message = refusal("stanford-dogs", *arguments, "--backbone", LITE)
    assert reason in message
    return message


def test_facts() -> None:
    assert {name: size for name, (size, _) in module.ARCHIVES.items()} == {
        "lists": 481_280,
        "Images": 793_579_520,
        "Annotation": 21_852_160,
    }
    assert all(size % 512 == 0 for size, _ in module.ARCHIVES.values())  # tar is in blocks
    assert all(len(digest) == 64 for *_, digest in module.ARCHIVES.values())
    assert sum(module.SPLITS.values()) == 20_580


def test_fetched_once_and_split(site: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "dogs"
    result = run(folder, "--annotations", "--json")
    payload = json.loads(result.stdout)
    assert {split: entry["images"] for split, entry in payload.items()} == {"train": 4, "test": 2}
    assert (folder / "Annotation/n02085620-Chihuahua/n02085620_3").is_file()
    everything = Dataset.open(folder / "stanford_dogs.h5")
    assert sorted(everything.paths) == sorted(TRAIN + TEST)
    for split, paths in (("train", TRAIN), ("test", TEST)):
        dataset = Dataset.open(payload[split]["dataset"])
        assert list(dataset.paths) == paths  # in the list's order
        assert dataset.breeds == ("Chihuahua", "Maltese dog")
        assert dataset.recipe == everything.recipe
        for row, path in enumerate(paths):
            assert dataset.breed(row) == breed_name(path.split("/")[0])
            assert dataset.image_file(row).is_file()
            whole = everything.features[everything.paths.index(path)]
            np.testing.assert_array_equal(dataset.features[row], whole)

    assert len(site.ranges) == 3
    unpacked = (folder / "Images").stat().st_mtime_ns
    result = run(folder, "--annotations")
    assert result.stdout == (
        f"{folder}/train.h5: 4 images of 2 breeds\n{folder}/test.h5: 2 images of 2 breeds\n"
    )
    assert len(site.ranges) == 3
    assert (folder / "Images").stat().st_mtime_ns == unpacked


def test_cropped_beside_whole(site: Server, tmp_path: Path) -> None:
    run(tmp_path)
    payload = json.loads(run(tmp_path, "--crop-boxes", "--margin", "0.1", "--json").stdout)
    assert payload["test"]["dataset"] == str(tmp_path / "test_cropped.h5")
    whole, cropped = (Dataset.open(tmp_path / f"test{kind}.h5") for kind in ("", "_cropped"))
    assert (whole.paths, whole.boxes) == (cropped.paths, None)
    assert cropped.boxes is not None
    assert cropped.boxes.tolist() == [[7, -2, 43, 22, 40, 30]] * 2
    assert cropped.recipe is not None
    assert cropped.recipe.margin == 0.1
    assert (cropped.features != whole.features).any(axis=1).all()
    assert "Add --crop-boxes" in check_refused("", tmp_path, "--margin", "0.1")


def test_archives_from_disk(site: Server, tmp_path: Path, no_network: None) -> None:
    source, folder = tmp_path / "source", tmp_path / "dogs"
    source.mkdir()
    check_refused(f"There is no {source}/lists.tar", folder, "--from", source)
    (source / "lists.tar").write_bytes(site.files["/lists.tar"])
    (source / "images.tar").write_bytes(b"other")
    reason = f"{source}/images.tar has 5 bytes. Expected"
    check_refused(reason, folder, "--from", source)
    assert (source / "images.tar").read_bytes() == b"other"  # a file of another program stays
    (source / "images.tar").write_bytes(site.files["/images.tar"])
    with pytest.raises(pytest.fail.Exception, match="came to the features"):
        stanford_dogs(folder, source)
    assert names(folder) == ["Images", "lists"]
    assert site.ranges == []


def test_archive_in_place(site: Server, tmp_path: Path, no_network: None) -> None:
    (tmp_path / "lists.tar").write_bytes(site.files["/lists.tar"])
    (tmp_path / "images.tar").write_bytes(b"other")
    with pytest.raises(pytest.fail.Exception, match="came to the features"):
        stanford_dogs(tmp_path)
    assert len(site.ranges) == 1  # a valid archive is not downloaded again
    assert (tmp_path / "images.tar.wrong").read_bytes() == b"other"


def test_the_message_without_a_connection(site: Server, tmp_path: Path, no_network: None) -> None:
    del site.files["/images.tar"]
    message = check_refused("404", tmp_path)
    assert f"{site.address}images.tar in another way" in message
    assert "--from FOLDER" in message
    assert not (tmp_path / "Images").exists()


def test_a_listed_image_is_missing(site: Server, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(pytest.fail.Exception):
        stanford_dogs(tmp_path)
    (tmp_path / "Images" / TEST[1]).unlink()
    message = check_refused("1 of the 2 images", tmp_path)
    assert f"the first {TEST[1]}. Remove {tmp_path}/Images" in message


def test_another_list(
    site: Server, tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPLITS", {"train": 5, "test": 1})
    check_refused("train_list.mat lists 4 images. Expected 5", tmp_path)


def test_wrong_options_fail_before_the_download(site: Server, tmp_path: Path) -> None:
    check_refused("resize", tmp_path, "--resize", "stretch")
    check_refused("batch_size", tmp_path, "--batch-size", "0")
    (tmp_path / "file").touch()
    check_refused("Cannot create the folder", tmp_path / "file")
    assert site.ranges == []


def test_a_listed_image_that_cannot_be_read(site: Server, tmp_path: Path) -> None:
    run(tmp_path)
    (tmp_path / "Images" / TEST[1]).write_bytes(b"no image")
    line = check_refused("1 of the listed images cannot be read", tmp_path)
    assert TEST[1] in line
    assert len(Dataset.open(tmp_path / "test.h5")) == 2  # unchanged


def test_an_existing_file_of_the_user_is_not_replaced(
    site: Server, tmp_path: Path, four: Dataset
) -> None:
    four.save(tmp_path / "train.h5")
    before = (tmp_path / "train.h5").read_bytes()
    check_refused("was not made by this command. Move it away", tmp_path)
    assert (tmp_path / "train.h5").read_bytes() == before
