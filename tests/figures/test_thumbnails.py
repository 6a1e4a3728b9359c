"""Thumbnails belong to the content of a file, not to its name, and a stamp saves reading it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.figures import thumbnails as thumbnail_module
from dogsim.figures.thumbnails import thumbnail, thumbnails
from dogsim.plumbing.content_cache import ContentCache
from dogsim.plumbing.files import file_sha256
from dogsim.retrieval.identity import content_hash
from dogsim.storage.dataset_file import STAMP_DTYPE


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """Three images, of which one is missing and one is no image, with stamps of other content."""
    name = f"thumbnails-{tmp_path.name}"
    monkeypatch.setattr(thumbnail_module, "_cache", ContentCache(name, 10_000_000))
    Image.new("RGB", (400, 200), "red").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    status = (tmp_path / "a.png").stat()
    stamp = (status.st_size, status.st_mtime_ns, b"a" * 64)
    return Dataset(
        np.zeros((3, 2), np.float32),
        np.zeros(3, np.int32),
        ("a.png", "b.png", "gone.png"),
        ("pug",),
        root=str(tmp_path),
        stamps=np.array([stamp] * 3, STAMP_DTYPE),
    )


def test_a_file_with_its_stamp_is_not_read_to_be_identified(
    dataset: Dataset, tmp_path: Path
) -> None:
    assert content_hash(dataset, 0) == "a" * 64
    assert content_hash(dataset, 1) == file_sha256(tmp_path / "b.png")  # of another size
    assert content_hash(replace(dataset, stamps=None), 0) == file_sha256(tmp_path / "a.png")
    with pytest.raises(DogsimError, match="gone"):
        content_hash(dataset, 2)


def test_images_that_cannot_be_read_have_no_thumbnail(dataset: Dataset) -> None:
    found = thumbnails(dataset, [0, 1, 2], 160)
    assert list(found) == [0]
    assert thumbnails(dataset, [0, 1, 2], 160) == found
    assert thumbnail(dataset, 0, 160) == found[0]
    with pytest.raises(DogsimError, match="no known image format"):
        thumbnail(dataset, 1, 160)


def test_boxes_and_sizes_have_thumbnails_of_their_own(dataset: Dataset) -> None:
    whole = thumbnail(dataset, 0, 160)
    boxes = np.array([[0, 0, 100, 100, 0, 0], [0] * 6, [0] * 6], np.float64)
    assert thumbnail(replace(dataset, boxes=boxes), 0, 160) != whole
    assert len({whole, thumbnail(dataset, 0, 320), thumbnail(dataset, 0, 640)}) == 3
