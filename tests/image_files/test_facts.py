"""The facts of an image file, and which of several copies to keep."""

import os
from datetime import datetime
from pathlib import Path

import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from dogsim.errors import DogsimError
from dogsim.image_files.facts import ImageFacts, image_to_keep

NEW_YEAR = datetime(2020, 1, 1, 12, 30).timestamp()


def write_image(file: Path, orientation: int = 1, taken: str = "") -> Path:
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    if taken:
        exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = taken
        exif[IFD.Exif] = 0  # Pillow writes this directory to a TIFF file only if its tag exists
    Image.new("RGB", (40, 30), "red").save(file, exif=exif)
    os.utime(file, (NEW_YEAR, NEW_YEAR))
    return file


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_size_is_upright_and_the_date_is_that_of_the_camera(tmp_path: Path, kind: str) -> None:
    file = write_image(tmp_path / f"a.{kind}", 6, "2019:05:06 07:08:09")
    facts = ImageFacts.of(file)
    assert facts == ImageFacts(30, 40, file.stat().st_size, "2019-05-06T07:08:09")


@pytest.mark.parametrize("taken", ["", "0000:00:00 00:00:00", "soon", "2019:05:06"])
def test_without_a_date_of_the_camera_the_file_time_counts(tmp_path: Path, taken: str) -> None:
    facts = ImageFacts.of(write_image(tmp_path / "a.jpg", taken=taken))
    assert (facts.width, facts.height, facts.date) == (40, 30, "2020-01-01T12:30:00")


def test_no_pixel_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    for kind in ("jpg", "png", "tif", "gif"):
        file = tmp_path / f"a.{kind}"
        Image.new("RGB", (3, 2)).save(file)
        assert ImageFacts.of(file).width == 3


def test_files_that_are_no_images(tmp_path: Path) -> None:
    """They still have bytes and a date, and lose against every image."""
    file = tmp_path / "a.jpg"
    file.write_bytes(b"not an image")
    os.utime(file, (NEW_YEAR, NEW_YEAR))
    assert ImageFacts.of(file) == ImageFacts(0, 0, 12, "2020-01-01T12:30:00")
    with pytest.raises(DogsimError, match=r"There is no image .*b\.jpg"):
        ImageFacts.of(tmp_path / "b.jpg")
    with pytest.raises(DogsimError, match="folder"):
        ImageFacts.of(tmp_path)


def test_a_jpeg_with_more_pixels_than_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert ImageFacts.of(write_image(tmp_path / "a.jpg")).width == 40


def test_the_image_to_keep() -> None:
    """Pixels count first, then bytes, then the date, then the path."""
    images = {
        "large.jpg": ImageFacts(80, 60, 500, "2024-01-01T00:00:00"),
        "heavy.jpg": ImageFacts(60, 60, 900, "2024-01-01T00:00:00"),
        "old.jpg": ImageFacts(60, 60, 500, "2019-01-01T00:00:00"),
        "b.jpg": ImageFacts(60, 60, 500, "2020-01-01T00:00:00"),
        "a.jpg": ImageFacts(60, 60, 500, "2020-01-01T00:00:00"),
        "undated.jpg": ImageFacts(60, 60, 500, ""),
        "broken.jpg": ImageFacts(0, 0, 9000, "2001-01-01T00:00:00"),
    }
    order = ["large", "heavy", "old", "a", "b", "undated", "broken", "missing"]
    remaining = [f"{name}.jpg" for name in reversed(order)]
    for name in order:
        assert image_to_keep(remaining, images) == f"{name}.jpg"
        remaining.remove(f"{name}.jpg")
