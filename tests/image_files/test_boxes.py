"""Valid, invalid and hostile box files, and datasets of cropped images."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import dogsim, dogsim_json, refusal
from mean_colours import SEAM
from PIL import Image
from typer.testing import CliRunner

from dogsim import Dataset, DogsimError, audit, classify, result_grid, update_dataset
from dogsim.cli import app
from dogsim.folders import extraction
from dogsim.image_files.boxes import MAX_BOX_FILE_BYTES, Box, BoxError, BoxFolder, largest_box
from dogsim.images import Cropped
from dogsim.networks.extractor import NetworkOptions
from dogsim.retrieval.query import Query
from dogsim.trust.report import save_audit

ENTITIES = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 10))


@pytest.fixture
def mean_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in SEAM.items():
        monkeypatch.setattr(NetworkOptions, name, method)
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 2)


def voc(*boxes: tuple[float, ...], size: tuple[float, float] | None = None) -> str:
    """Return an annotation in the format of Stanford Dogs."""
    frame = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>" if size else ""
    objects = "".join(
        "<object><name>dog</name><bndbox>"
        f"<xmin>{a}</xmin><ymin>{b}</ymin><xmax>{c}</xmax><ymax>{d}</ymax></bndbox></object>"
        for a, b, c, d in boxes
    )
    return f"<annotation>{frame}{objects}</annotation>"


def read(text: str | bytes) -> Box | None:
    return largest_box(text if isinstance(text, bytes) else text.encode(), "1.xml")


def test_the_largest_box_is_used() -> None:
    assert read(voc((0, 0, 9, 9), (5, 6, 25, 36), (1, 1, 3, 3))) == Box(5, 6, 25, 36)
    # the area inside the image counts; of equal boxes the first is used
    sized = voc((-500, 0, 20, 40), (30, 0, 60, 40), (0, 0, 30, 40), size=(100, 50))
    assert read(sized) == Box(30, 0, 60, 40, 100, 50)
    assert read(voc((1.5, 2, 3, 4), size=(0, 0))) == Box(1.5, 2, 3, 4)  # some tools write this size
    assert read(voc()) is None  # an image without objects
    assert read(voc((1, 2, 3, 4)).encode("utf-16").decode("utf-16")) == Box(1, 2, 3, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (voc((10, 5, 10, 25)), "box 10, 5, 10, 25 in 1.xml is empty or lies outside"),
        (voc((25, 5, 10, 25)), "is empty or lies outside"),
        (voc((100, 5, 120, 25), size=(100, 50)), "is empty or lies outside"),
        (voc((float("nan"), 5, 10, 25)), "xmin is nan"),
        (voc((1, 5, float("inf"), 25)), "xmax is inf"),
        ("<annotation><object><bndbox><xmin>1</xmin></bndbox></object></annotation>", "no ymin"),
        (voc((1, 2, 3, 4)).replace("<xmin>1", "<xmin>one"), "could not convert"),
        ("", "no element found"),
        ("<annotation>", "no element found"),
        ("\x89PNG", "not well-formed"),
        ("<?xml version='1.0' encoding='x-none'?><a/>", "unknown encoding"),
        (f"<!DOCTYPE a [<!ENTITY e0 'ha'>{ENTITIES}]><a>&e9;</a>", "declares a document type"),
        ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", "document type"),
        ("<!DOCTYPE a SYSTEM 'http://127.0.0.1/a.dtd'><a/>", "declares a document type"),
        ("<a>&undefined;</a>", "undefined entity"),
        ("<a>" * 200_000, "no element found"),
        (" " * (MAX_BOX_FILE_BYTES + 1), "has more than 1,000,000 bytes"),
    ],
)
def test_errors_of_invalid_files(text: str, message: str) -> None:
    with pytest.raises(BoxError, match=message):
        read(text)


def test_deeply_nested_files_are_read() -> None:
    depth = 140_000
    assert read("<a>" * depth + "</a>" * depth) is None


def test_the_box_of_an_image_or_query(tmp_path: Path) -> None:
    for name, size in [("pug/1.xml", 1), ("pug/n_2", 2), ("1.xml", 3), ("pug/a.b.xml", 4)]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(voc((0, 0, size, size)))
    (tmp_path / "pug" / "folder").mkdir()
    if os.name == "posix":
        os.mkfifo(tmp_path / "pug" / "pipe")
    boxes = BoxFolder(tmp_path, margin=0.5)

    def side(box: Box | None) -> float:
        assert box is not None
        return (box.right - box.left) / 2

    assert side(boxes.box_of("pug/1.jpg")) == 1
    assert side(boxes.box_of("pug/n_2.JPEG")) == 2
    assert side(boxes.box_of("pug/a.b.png")) == 4
    for path in ("pug/folder.jpg", "pug/pipe.jpg", "whippet/1.jpg", "pug/1.jpg/2.jpg"):
        assert boxes.box_of(path) is None
    assert side(boxes.box_of_query("/any/where/pug/1.jpg")) == 1
    assert side(boxes.box_of_query("holiday/1.jpg")) == 3
    assert boxes.box_of_query("../2.jpg") is None
    assert BoxFolder().box_of("pug/1.jpg") is None
    for folder, margin, message in [
        (tmp_path / "no", 0, "no folder of boxes"),
        (tmp_path, -1, "0 up"),
    ]:
        with pytest.raises(DogsimError, match=message):
            BoxFolder(folder, margin)


# Photos of 40 x 20, half red and half blue: the mean colour depends on the box.
IMAGES = ("pug/1.png", "pug/2.png", "whippet/1.png")
LEFT, RIGHT, MIDDLE = (0, 0, 20, 20), (20, 0, 40, 20), (10, 0, 30, 20)


@pytest.fixture
def photos(tmp_path: Path, mean_colours: None) -> Path:
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:, 2] = 200
    for name in IMAGES:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "photos" / name)
    box(tmp_path, "pug/1", LEFT)
    box(tmp_path, "pug/2.xml", RIGHT)
    return tmp_path


def box(folder: Path, name: str, *boxes: tuple[float, ...], size: Any = (40, 20)) -> None:
    file = folder / "boxes" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(voc(*boxes, size=size))


def made(folder: Path, *options: Any, boxes: Any = "boxes") -> dict[str, Any]:
    named = ("--boxes", folder / boxes) if boxes else ()
    return dogsim_json("create-dataset", folder / "photos", "-o", folder / "d.h5", *named, *options)


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    return result["new"], result["changed"], result["kept"], result["removed"]


def reds(folder: Path) -> list[int]:
    return [round(float(row[0])) for row in Dataset.open(folder / "d.h5").features]


def test_only_the_box_is_used(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_with = made(photos)
    assert reds(photos) == [200, 0, 100]  # the last one has no box and stays whole
    assert (made_with["boxes"], made_with["margin"]) == (str((photos / "boxes").resolve()), 0)
    dataset = Dataset.open(photos / "d.h5")
    assert dataset.boxes is not None
    assert dataset.boxes.tolist() == [[*LEFT, 40, 20], [*RIGHT, 40, 20], [0] * 6]
    assert dataset.take([1]).boxes.tolist() == [[*RIGHT, 40, 20]]  # type: ignore[union-attr]
    result = dogsim(
        "create-dataset", photos / "photos", "-o", photos / "e.h5", "--boxes", photos / "boxes"
    )
    assert "Images with a box: 2 of 3. Those without one, such as whippet/1.png," in result.stderr
    assert "Whole and cropped images are less comparable" in result.stderr
    assert made_with["boxed"] == 2
    box(photos, "whippet/1", LEFT)
    result = dogsim("create-dataset", photos / "photos", "-o", photos / "e.h5")
    assert "Images with a box: 3 of 3.\n" in result.stderr
    assert "comparable" not in result.stderr


def test_an_image_with_a_changed_box_counts_as_changed(photos: Path) -> None:
    made(photos)
    assert counts(made(photos, boxes=None)) == (0, 0, 3, 0)  # the file's boxes are used
    box(photos, "pug/1", MIDDLE)
    assert counts(made(photos, boxes=None)) == (0, 1, 2, 0)
    assert reds(photos) == [100, 0, 100]
    box(photos, "whippet/1", LEFT, RIGHT)  # two dogs of one size: the first
    (photos / "boxes" / "pug" / "2.xml").unlink()
    assert counts(made(photos)) == (0, 2, 1, 0)
    assert reds(photos) == [100, 100, 200]
    assert counts(made(photos, "--margin", 0.5)) == (0, 2, 1, 0)
    assert reds(photos) == [100, 100, 134]
    assert counts(made(photos, boxes=None)) == (0, 0, 3, 0)  # the file's margin is used, too
    assert counts(made(photos, "--boxes", "", boxes=None)) == (0, 2, 1, 0)
    assert Dataset.open(photos / "d.h5").boxes is None
    assert counts(made(photos, "--verify")) == (0, 2, 1, 0)  # back to boxes without a margin
    assert reds(photos) == [100, 100, 200]


def test_images_with_invalid_boxes_are_skipped(photos: Path) -> None:
    box(photos, "pug/1", (40, 0, 60, 20))
    box(photos, "pug/2.xml", RIGHT, size=(40, 40))
    result = made(photos)
    assert {each["path"]: each["reason"] for each in result["skipped"]} == {
        "pug/1.png": f"The box 40, 0, 60, 20 in {photos / 'boxes/pug/1'} is empty or lies outside "
        "its image",
        "pug/2.png": "its box, for an image of 40 x 40, does not fit its 40 x 20",
    }
    assert Dataset.open(photos / "d.h5").paths == ("whippet/1.png",)
    common = ("create-dataset", photos / "photos", "-o", photos / "e.h5")
    assert "lies outside" in refusal(*common, "--boxes", photos / "boxes", "--strict")
    (photos / "boxes" / "pug" / "1").write_bytes(b"")
    assert "Cannot read" in refusal(*common, "--boxes", photos / "boxes", "--strict")


def test_invalid_folders_of_boxes(photos: Path) -> None:
    (photos / "empty").mkdir()
    common = ("create-dataset", photos / "photos", "-o", photos / "d.h5")
    for options, message in [
        (("--boxes", photos / "gone"), "There is no folder of boxes"),
        (("--boxes", photos / "empty"), "There is no box in"),
        (("--margin", 0.1), "without boxes"),
        (("--boxes", photos / "boxes", "--margin", -1), "Expected a number from 0 up"),
        (("--boxes", photos / "boxes", "--margin", "nan"), "Expected a number from 0 up"),
    ]:
        assert message in refusal(*common, *options)
    made(photos)
    (photos / "boxes").rename(photos / "moved")
    assert "There is no folder of boxes" in refusal(*common)
    assert counts(made(photos, boxes="moved")) == (0, 0, 3, 0)


def test_an_unreadable_box_file_stops_the_run(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(photos)
    before = (photos / "d.h5").read_bytes()
    plain = Path.open

    def denied(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.parent.parent == photos / "boxes":
            raise PermissionError(13, "Permission denied", str(path))
        return plain(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", denied)
    assert "Permission denied" in refusal(
        "create-dataset", photos / "photos", "-o", photos / "d.h5"
    )
    assert (photos / "d.h5").read_bytes() == before


def test_a_continued_run_uses_the_current_boxes(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, taken = extraction._join_batches, []

    def stopping(*arguments: Any) -> Dataset:
        taken.append(1)
        if len(taken) > 1:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr(extraction, "_join_batches", stopping)
    with pytest.raises(KeyboardInterrupt):
        update_dataset(photos / "photos", photos / "d.h5", boxes=photos / "boxes", batch_size=1)
    monkeypatch.undo()
    for name, method in SEAM.items():
        monkeypatch.setattr(NetworkOptions, name, method)
    box(photos, "pug/1", MIDDLE)
    done = update_dataset(photos / "photos", photos / "d.h5", batch_size=1)
    assert (done.new, done.kept) == (2, 1)
    assert reds(photos) == [100, 0, 100]


@pytest.fixture(scope="module")
def cropped(tmp_path_factory: pytest.TempPathFactory, colours: str) -> tuple[Path, tuple[str, ...]]:
    """Create a dataset with boxes and a query with a box; the left is red, the right blue."""
    folder = tmp_path_factory.mktemp("cropped")
    rng = np.random.default_rng(0)
    for number, name in enumerate(["red/1", "red/2", "blue/1", "blue/2", "query/1", "query/2"]):
        pixels = rng.integers(0, 40, (80, 160, 3), np.uint8)
        pixels[:, :80, 0] += np.uint8(150 + 10 * number)
        pixels[:, 80:, 2] += np.uint8(150 + 10 * number)
        file = folder / ("queries" if "query" in name else "photos") / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
        if name != "query/2":
            half = (0, 0, 80, 80) if "red" in name else (80, 0, 160, 80)
            box(folder, f"{name}.xml", half, size=(160, 80))
    made = ("create-dataset", folder / "photos", "-o", folder / "d.h5", "--weights", colours)
    dogsim_json(*made, "--boxes", folder / "boxes")
    return folder, ("--dataset", str(folder / "d.h5"), "--boxes", str(folder / "boxes"))


def test_a_query_with_a_box_is_cropped(cropped: Any) -> None:
    folder, options = cropped
    result = dogsim("classify", folder / "queries", *options, "-k", 2, "--json")
    first, second = json.loads(result.stdout)["results"]
    assert (first["breed"], first["votes"]) == ("blue", 2)
    distances = [[each["distance"] for each in x["neighbours"]] for x in (first, second)]
    assert max(distances[0]) < 100 < min(distances[1])  # the whole image is half red, half blue
    assert "Images without a box, which are not cropped: 1." in result.stderr
    dataset = Dataset.open(folder / "d.h5")
    (answer,) = classify(folder / "queries/query/1.png", dataset, 2, boxes=folder / "boxes")
    assert answer.distances.tolist() == pytest.approx(distances[0])
    query = ("classify", folder / "queries/query/1.png", *options[:2], "-k", 2)
    whole = dogsim_json(*query)
    assert whole["results"][0]["neighbours"][0]["distance"] > 100
    assert "Images that are not cropped: 1. Those of the dataset are" in dogsim(*query).stderr
    line = f"{folder / 'queries/query/1.png'}\n"
    session = CliRunner().invoke(app, ["ask", *options, "-k", "2", "--json"], input=line)
    assert json.loads(session.stdout)["results"][0]["neighbours"][0]["distance"] < 100


def test_a_query_from_the_dataset_has_its_box_there(cropped: Any) -> None:
    folder, options = cropped
    dataset = Dataset.open(folder / "d.h5")
    there = folder / "photos" / "red" / "1.png"
    part = Query.resolve(there, dataset).image
    assert isinstance(part, Cropped)
    assert part.box == dataset.box(dataset.paths.index("red/1.png"))
    answer = dogsim_json("classify", there, *options[:2], "-k", 1)["results"][0]
    assert answer["neighbours"][0]["path"] == "red/2.png"


def test_figures_show_the_region_that_was_used(cropped: Any, tmp_path: Path) -> None:
    folder, options = cropped
    dataset = Dataset.open(folder / "d.h5")
    figure = result_grid(
        Query.resolve(folder / "queries/query/1.png", dataset, BoxFolder(folder / "boxes")).image,
        dataset,
        np.arange(2),
        np.ones(2),
    )
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]
    assert [each.shape[:2] for each in shown] == [(80, 80)] * 3
    dogsim_json("show", folder / "queries/query/1.png", *options, "-k", 2, "--save", tmp_path)
    assert (tmp_path / "1.png").is_file()
    both = folder / "queries/query/1.png", folder / "queries/query/2.png"
    pairs = dogsim_json("explain", *both, *options, "-k", 1, "--save", tmp_path)["pairs"]
    for pair in pairs:
        assert pair["sum"] == pytest.approx(pair["distance"] ** 2, rel=1e-4)
    assert pairs[0]["distance"] < 100 < pairs[1]["distance"]
    found = audit(dataset)
    page = save_audit(found, dataset, tmp_path / "audit")[0].read_text()
    assert "cropped to their boxes" in page
    assert {each.problem for each in found.poor} <= {"nearly one colour"}  # 80 pixels are enough


def test_invalid_boxes_of_queries(cropped: Any, tmp_path: Path) -> None:
    folder, options = cropped
    box(tmp_path, "query/1.xml", (0, 0, 0, 0))
    wrong = ("classify", folder / "queries", *options[:2], "-k", 1, "--boxes", tmp_path / "boxes")
    result = dogsim(*wrong, code=1)
    assert "is empty or lies outside" in result.stderr
    assert "2.png: " in result.stdout  # the other query is answered
    gone = ("classify", folder / "queries", *options[:2], "--boxes", tmp_path / "gone")
    assert "There is no folder of boxes" in refusal(*gone)


def test_a_test_set_of_whole_images_is_reported(cropped: Any, tmp_path: Path) -> None:
    folder, _ = cropped
    whole = replace(Dataset.open(folder / "d.h5"), boxes=None, stamps=None)
    whole.save(tmp_path / "whole.h5")
    arguments = ("accuracy", "--dataset", folder / "d.h5", "--k", 1, "--test")
    assert "test set has whole images" in dogsim(*arguments, tmp_path / "whole.h5").stderr
    assert "whole images" not in dogsim(*arguments, folder / "d.h5").stderr
