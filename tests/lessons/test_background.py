"""Lesson 9: the dog or the snow."""

from pathlib import Path

import numpy as np
import pytest
from commands import lesson
from PIL import Image
from printed import ON_LESSONS, answers, same

import background
from dogsim import DogsimError, extract_features, load_extractor
from dogsim.image_files.boxes import Box
from draw_sample_dogs import draw_with_box


@pytest.fixture(scope="module")
def backgrounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The lesson with striped and plain dogs, on backgrounds of the same colours."""
    tmp_path = tmp_path_factory.mktemp("backgrounds")
    rng = np.random.default_rng(0)
    for breed in ("plain", "striped"):
        (tmp_path / "photos" / breed).mkdir(parents=True)
        (tmp_path / "boxes" / breed).mkdir(parents=True)
        for i in range(5):
            pixels = np.full((128, 128, 3), (50 * i, 100, 250 - 50 * i), np.uint8)
            dog = pixels[16:112, 16:112]
            dog[:] = rng.integers(80, 120, dog.shape)
            dog[:: 8 if breed == "striped" else 96] = 255
            Image.fromarray(pixels).save(tmp_path / "photos" / breed / f"{i}.png")
            (tmp_path / "boxes" / breed / f"{i}.xml").write_text(
                "<annotation><object><bndbox><xmin>16</xmin><ymin>16</ymin>"
                "<xmax>112</xmax><ymax>112</ymax></bndbox></object></annotation>"
            )
    out = lesson(
        *("background", "--photos", tmp_path / "photos", "--boxes", tmp_path / "boxes"),
        *("--backbone", "efficientnet-lite2", "-k", 4, "--save", tmp_path / "figure"),
    )
    return out, tmp_path


def test_the_lesson_of_backgrounds(backgrounds: tuple[str, Path]) -> None:
    out, tmp_path = backgrounds
    assert "10 images of 2 breeds; a box covers 56% of its image" in out
    precision = {
        part: float(line.removeprefix(part).split()[0])
        for line in out.splitlines()
        for part in ("whole", "dog only", "background only")
        if line.startswith(f"{part} ")
    }
    assert precision["dog only"] == 1
    assert precision["background only"] <= 0.6  # both breeds have the same backgrounds
    assert (tmp_path / "figure" / "background.png").is_file()
    (tmp_path / "none").mkdir()
    with pytest.raises(DogsimError, match="None of the images"):
        background.main(tmp_path / "photos", tmp_path / "none")
    with pytest.raises(DogsimError, match="Expected both or neither"):
        background.main(tmp_path / "photos")


def test_the_grey_parts(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    box = Box(10, 6, 30, 20, 80, 60)  # measured in a copy twice as large
    whole, dog, around = (
        np.asarray(next(background.greyed([tmp_path / "x.png"], [box], part)))
        for part in background.PARTS
    )
    assert np.array_equal(whole, pixels)
    inside = np.zeros((30, 40), bool)
    inside[3:10, 5:15] = True
    assert np.array_equal(dog[inside], pixels[inside])
    assert np.array_equal(around[~inside], pixels[~inside])
    assert (dog[~inside] == background.GREY).all()
    assert (around[inside] == background.GREY).all()


def test_the_boxes_are_those_of_the_drawings() -> None:
    known = list(background.drawings())
    assert len(known) == 60
    for i in (0, 33):
        image, breed, box = known[i]
        drawn, sides = draw_with_box(breed.replace("_", " "), i % 5 + 1)
        assert sides == (box.left, box.top, box.right, box.bottom)
        assert background.pixel_box(drawn, box) == sides
        assert 0.1 < background.area_fraction(drawn, box) < 0.9
        assert isinstance(image, Path)
        assert drawn.size == Image.open(image).size


@pytest.mark.slow
def test_solutions(capsys: pytest.CaptureFixture[str]) -> None:
    images, names, boxes = map(list, zip(*background.drawings(), strict=True))
    labels = np.unique(names, return_inverse=True)[1]
    extractor = load_extractor("efficientnet-lite2")
    features = {"whole": extract_features(images, extractor)}
    solutions = background.colours, background.halves, background.moved
    for solution, shown in zip(solutions, answers("background"), strict=True):
        solution(images, boxes, labels, features, extractor)
        same(capsys.readouterr().out, shown, ON_LESSONS)
