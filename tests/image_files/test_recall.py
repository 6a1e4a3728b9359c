"""Copies of whole images of many kinds are found, and no other image is called one."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from conftest import REPOSITORY
from PIL import Image, ImageOps

from dogsim.image_files.comparison import compare_images
from dogsim.retrieval.file_images import FileImages
from planted_copies import COPIES, save_copy

MIN_RECALL, MIN_RECALL_OF_KIND = 0.97, 0.75


def recalls(images: list[Path], folder: Path) -> dict[str, list[bool]]:
    """Return for each kind of copy which of the images' copies are found."""
    find = FileImages().find
    found: dict[str, list[bool]] = {}
    for kind in COPIES:
        file = folder / f"{kind}.jpg"
        found[kind] = []
        for seed, image in enumerate(images):
            with Image.open(image) as opened:
                save_copy(ImageOps.exif_transpose(opened).convert("RGB"), kind, file, seed)
            one, other = find(image), FileImages().find(file)
            assert one
            assert other
            found[kind].append(compare_images(one, other).kind == "copy")
    return found


def check(found: dict[str, list[bool]]) -> None:
    means = {kind: np.mean(each) for kind, each in found.items()}
    assert np.mean(list(means.values())) >= MIN_RECALL, means
    assert min(means.values()) >= MIN_RECALL_OF_KIND, means


@pytest.mark.slow
def test_copies_of_drawings(tmp_path: Path) -> None:
    drawings = sorted((REPOSITORY / "data" / "sample_dogs").rglob("*.jpg"))
    check(recalls(drawings[::40], tmp_path))


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("count", [4, pytest.param(8, marks=pytest.mark.release)])
def test_copies_of_photos(count: int, real_data: Path, tmp_path: Path) -> None:
    photos = sorted((real_data / "data" / "stanford_dogs_original").rglob("*.jpg"))
    check(recalls(photos[:: len(photos) // count][:count], tmp_path))


@pytest.mark.slow
def test_no_drawing_is_a_copy_of_another() -> None:
    """The nearest drawings of one breed, which share their shapes."""
    find = FileImages().find
    for breed in sorted((REPOSITORY / "data" / "sample_dogs").iterdir())[:4]:
        for one, other in combinations(sorted(breed.glob("*.jpg"))[:10], 2):
            images = find(one), find(other)
            assert images[0]
            assert images[1]
            assert compare_images(images[0], images[1]).kind == "different", (one, other)
