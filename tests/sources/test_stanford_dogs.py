"""Test failing downloads, archives from disk, and the official lists."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
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

import stanford_table
from dogsim import Dataset, DogsimError, accuracy, stanford_dogs
from dogsim.image_files.labels import breed_name
from dogsim.networks.extractor import NetworkOptions

LITE2 = "EfficientNet-Lite2"
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


def table_rows(*arguments: str | Path) -> list[list[str]]:
    """Run scripts/stanford_table.py; return the cells of the table with the results."""
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as out:
        patch.setattr(sys, "argv", ["stanford_table.py", *map(str, arguments)])
        patch.setattr(sys, "excepthook", sys.excepthook)
        stanford_table.main()
    lines = out.getvalue().split("\n\n")[0].splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in lines]


def test_the_table_of_networks(
    site: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = [each for each in stanford_table.NETWORKS if each.name in ("SigLIP ViT-B/16", LITE2)]
    monkeypatch.setattr(stanford_table, "NETWORKS", chosen)
    rows = table_rows(tmp_path)
    assert [row[:5] for row in rows] == [
        ["whole", "official", LITE2, "4", "2"],
        ["whole", "open set", LITE2, "3", "3"],  # one breed of two
        ["cropped", "official", LITE2, "4", "2"],
        ["cropped", "open set", LITE2, "3", "3"],
    ]
    skipped = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert skipped == [
        f"SigLIP ViT-B/16, {kind}: skipped. Received no ONNX file. Name it: --file "
        '"SigLIP ViT-B/16=FILE.onnx".'
        for kind in ("whole", "cropped")
    ]
    everything = Dataset.open(tmp_path / "EfficientNet-Lite2_whole.h5")
    train, test = (
        everything.take([everything.paths.index(path) for path in paths]) for paths in (TRAIN, TEST)
    )
    result = accuracy(train, 4, test)
    assert rows[0][5:7] == [
        f"{accuracy(train, 1, test).precision_at_k:.3f}",
        f"{result.precision_at_k:.3f}",
    ]
    assert rows[1][5:] == ["1.000"] * 4
    # a stopped run is continued: only what is missing is measured, and no features are computed
    monkeypatch.setattr(NetworkOptions, "load", lambda _: pytest.fail("computes features"))
    results = tmp_path / "results.jsonl"
    lines = results.read_text(encoding="utf-8").splitlines(keepends=True)
    results.write_text("".join(lines[:-1]), encoding="utf-8")
    assert table_rows(tmp_path) == rows
    assert results.read_text(encoding="utf-8") == "".join(lines)
    (tmp_path / "EfficientNet-Lite2_whole.h5").unlink()
    assert table_rows(tmp_path) == rows


def test_the_table_of_other_features(tmp_path: Path) -> None:
    """Without the official lists a fifth is held out; the open set is the second half."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 10).astype(np.int32)
    folders = ("n04-pug", "n03-collie", "n02-boxer", "n01-beagle")  # not in the order of the labels
    paths = tuple(f"{folders[label]}/{row}.jpg" for row, label in enumerate(labels))
    features = np.eye(4)[labels] + rng.normal(0, 0.6, (40, 4))
    dataset = Dataset(features.astype(np.float32), labels, paths, folders)
    dataset.save(tmp_path / "d.h5")
    rows = table_rows(tmp_path / "table", "--features", f"mine={tmp_path / 'd.h5'}", "--cropped")
    assert [row[:5] for row in rows] == [
        ["cropped", "held out", "mine", "32", "8"],
        ["cropped", "open set", "mine", "20", "20"],
    ]
    half = dataset.take(np.arange(20))  # n03 and n04
    expected = [accuracy(half, 1).precision_at_k, accuracy(half, 19).precision_at_k]
    assert rows[1][5:7] == [f"{score:.3f}" for score in expected]
    for option, message in (
        ("--file=mine", "Expected NAME=FILE"),
        ("--file=a=b.h5", "Unknown net"),
    ):
        with pytest.raises(DogsimError, match=message):
            table_rows(tmp_path / "table", "--photos", tmp_path, option)
