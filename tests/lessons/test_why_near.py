"""Lesson 3: where a distance comes from, and which breeds the vote confuses."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from printed import ON_LESSONS, answers, same

from dogsim import extractor_for, sample_dataset
from draw_sample_dogs import draw_with_box
from why_near import BOXES, DOUBLES, inside, main, means, middle, mistakes


def test_the_parts_in_a_box() -> None:
    parts = np.arange(6.0).reshape(2, 3)  # of 20 x 20 pixels each
    assert inside(parts, (60, 40), (0, 0, 60, 40)) == 1
    assert inside(parts, (60, 40), (5, 5, 35, 35)) == pytest.approx((0 + 1 + 3 + 4) / 15)
    assert inside(parts, (60, 40), (30, 30, 50, 31)) == pytest.approx(4 / 15)
    assert inside(parts, (60, 40), (0, 11, 60, 30)) == 0  # between the centres


def test_the_boxes_are_those_of_the_drawings() -> None:
    for path, box in BOXES.items():
        breed, number = Path(path).parent.name, int(Path(path).stem)
        image, drawn = draw_with_box(breed, number)
        assert drawn == box
        with Image.open(Path(sample_dataset().root, path)) as stored:
            assert stored.size == image.size


def test_the_doubles() -> None:
    assert set(DOUBLES) == set(sample_dataset(hard=True).breeds)
    assert all(DOUBLES[double] == breed for breed, double in DOUBLES.items())


@pytest.mark.slow
def test_solutions(capsys: pytest.CaptureFixture[str]) -> None:
    images = sample_dataset(hard=True)
    _, doubles, centres = answers("why_near")
    mistakes(images)
    same(capsys.readouterr().out, doubles, ON_LESSONS)
    means(images)
    same(capsys.readouterr().out, centres, ON_LESSONS)


@pytest.mark.slow
def test_the_middle(capsys: pytest.CaptureFixture[str]) -> None:
    images = sample_dataset(hard=True)
    middle(images, extractor_for(images.recipe))
    same(capsys.readouterr().out, answers("why_near")[0], ON_LESSONS)


@pytest.mark.slow
def test_the_lesson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(save=tmp_path)
    lines = capsys.readouterr().out.splitlines()
    sums = [line.rpartition("its square ")[2] for line in lines if "add up to" in line]
    assert len(sums) == 2
    for text in sums:
        square, total = text.split("; 81 places of each add up to ")
        assert float(total) == pytest.approx(float(square), abs=2e-4)
    parts = [line.split() for line in lines if "% of the distance" in line]
    assert [words[0] for words in parts] == ["43%", "30%"]  # as in the prose
    fractions = [int(words[6].removesuffix("%")) for words in parts]
    assert fractions == pytest.approx([92, 81], abs=5)
    assert len(list(tmp_path.glob("*.png"))) == 5
