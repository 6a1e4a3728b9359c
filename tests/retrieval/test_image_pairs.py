"""Verdicts on pairs of a dataset: cached by content, bounded in time, one bad file affects few."""

import os
from math import inf
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from textures import COPIES, next_shot, texture

from dogsim import Dataset
from dogsim.image_files.comparison import ComparedImage, Verdict, compare_images
from dogsim.image_files.files import read_image_file
from dogsim.plumbing.files import file_sha256
from dogsim.plumbing.progress import StepProgress, watched
from dogsim.retrieval import identity, image_pairs
from dogsim.retrieval.image_pairs import ComparedPairs, Pair, PairComparison
from dogsim.storage.dataset_file import STAMP_DTYPE

NAMES = ("a.png", "b.png", "crop.png", "equal.png", "pixels.bmp", "shot.png")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr("dogsim.plumbing.content_cache.cache_folder", lambda: folder)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    image = texture(0)
    image.save(folder / "a.png")
    texture(1).save(folder / "b.png")
    COPIES["cropped to 42 %"](image).save(folder / "crop.png")
    (folder / "equal.png").write_bytes((folder / "a.png").read_bytes())
    image.save(folder / "pixels.bmp")
    next_shot(image).save(folder / "shot.png")
    return folder


def dataset(folder: Path, names: tuple[str, ...] = NAMES, stamps: bool = False) -> Dataset:
    features = np.eye(len(names), dtype=np.float32)
    labels = np.zeros(len(names), np.int32)
    table = stamps_of(folder, names) if stamps else None
    return Dataset(features, labels, names, ("x",), root=str(folder), stamps=table)


def stamps_of(folder: Path, names: tuple[str, ...]) -> NDArray[np.void]:
    rows = []
    for name in names:
        status = (folder / name).stat()
        rows.append((status.st_size, status.st_mtime_ns, file_sha256(folder / name)))
    return np.array(rows, STAMP_DTYPE)


def compare_pairs(
    one: Dataset, other: Dataset, pairs: list[Pair], seconds: float = inf
) -> ComparedPairs:
    comparison = PairComparison(one, other, seconds)
    comparison.compare(pairs)
    return comparison.found


def kinds(found: ComparedPairs) -> dict[Pair, str]:
    return {pair: verdict.kind for pair, verdict in found.verdicts.items()}


def count_comparisons(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows with each pair whose images are compared."""
    calls: list[int] = []

    def counted(one: ComparedImage, other: ComparedImage) -> Verdict:
        calls.append(1)
        return compare_images(one, other)

    monkeypatch.setattr(image_pairs, "compare_images", counted)
    return calls


def test_each_kind(folder: Path) -> None:
    photos = dataset(folder)
    pairs = [(0, other) for other in range(1, 6)]
    expected = ["different", "copy", "same file", "same pixels", "same scene"]
    found = compare_pairs(photos, photos, pairs)
    assert kinds(found) == dict(zip(pairs, expected, strict=True))
    assert found.verdicts[0, 2] == Verdict("copy", "cropped to 42 %", "extended")
    assert compare_pairs(photos, photos, [(2, 0)]).verdicts[2, 0].change == "extended"
    assert (found.unreadable, found.n_not_compared) == (set(), 0)


def test_a_large_photo_is_decoded_at_a_smaller_size(folder: Path) -> None:
    """It is still known to be larger than its copy, and to have the pixels of another file."""
    image = texture(1, (1650, 1250))
    image.save(folder / "large.jpg", quality=92)
    Image.open(folder / "large.jpg").save(folder / "pixels.bmp")
    image.resize((825, 625)).save(folder / "half.jpg")
    photos = dataset(folder, ("large.jpg", "pixels.bmp", "half.jpg", "b.png"))
    found = compare_pairs(photos, photos, [(0, 1), (0, 2), (0, 3)])
    assert list(found.verdicts.values()) == [
        Verdict("same pixels"),
        Verdict("copy", "smaller", "larger"),
        Verdict("different"),  # b.png is drawn otherwise
    ]


def test_two_datasets(folder: Path) -> None:
    one, other = dataset(folder, ("b.png", "a.png")), dataset(folder, ("crop.png", "equal.png"))
    found = compare_pairs(one, other, [(0, 0), (1, 0), (1, 1)])
    assert kinds(found) == {(0, 0): "different", (1, 0): "copy", (1, 1): "same file"}


def test_a_missing_and_a_damaged_file_affect_only_their_own_pairs(folder: Path) -> None:
    (folder / "a.png").unlink()
    (folder / "b.png").write_bytes(b"no image")
    photos = dataset(folder)
    found = compare_pairs(photos, photos, [(0, 1), (0, 2), (1, 2), (2, 3), (2, 4)])
    assert kinds(found) == {(2, 3): "copy", (2, 4): "copy"}
    assert found.unreadable == {"a.png", "b.png"}
    assert found.n_not_compared == 0


def test_stamps_tell_that_missing_files_are_equal(folder: Path) -> None:
    photos = dataset(folder, stamps=True)
    (folder / "a.png").unlink()
    assert kinds(compare_pairs(photos, photos, [(0, 3)])) == {(0, 3): "same file"}


def test_files_with_fresh_stamps_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = dataset(folder, stamps=True)
    read: list[str] = []

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return read_image_file(path)

    monkeypatch.setattr(identity, "read_image_file", counted)
    compare_pairs(photos, photos, [(0, 3)])
    assert read == []
    COPIES["grey"](texture(0)).save(folder / "equal.png")  # its stamp is out of date
    assert kinds(compare_pairs(photos, photos, [(0, 3)])) == {(0, 3): "copy"}
    assert read == ["equal.png"]


def test_verdicts_are_cached_by_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, pairs = dataset(folder), [(0, 1), (0, 2), (1, 2)]
    calls = count_comparisons(monkeypatch)
    first = compare_pairs(photos, photos, pairs)
    assert len(calls) == 3
    (folder / "a.png").rename(folder / "renamed.png")
    os.utime(folder / "b.png", (1, 1))
    again = dataset(folder, ("renamed.png", "b.png", "crop.png"))
    assert compare_pairs(again, again, pairs).verdicts == first.verdicts
    assert len(calls) == 3
    more = dataset(folder, ("renamed.png", "b.png", "crop.png", "shot.png"))
    compare_pairs(more, more, [*pairs, (0, 3), (1, 3), (2, 3)])
    assert len(calls) == 6  # the added image costs its own pairs


def test_a_damaged_cache_is_replaced(folder: Path, cache: Path) -> None:
    photos = dataset(folder)
    expected = compare_pairs(photos, photos, [(0, 2)]).verdicts
    (file,) = cache.glob("pairs-*.sqlite")
    file.write_bytes(b"not a database" * 100)
    for _ in range(2):
        assert compare_pairs(photos, photos, [(0, 2)]).verdicts == expected
    (file,) = cache.glob("pairs-*.sqlite")
    assert file.read_bytes().startswith(b"SQLite format 3")


def test_pairs_without_time_are_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, pairs = dataset(folder, stamps=True), [(0, 1), (0, 2), (0, 3)]
    found = compare_pairs(photos, photos, pairs, seconds=0)
    assert kinds(found) == {(0, 3): "same file"}
    assert found.n_not_compared == 2
    compare_pairs(photos, photos, [(0, 2)])
    found = compare_pairs(photos, photos, pairs, seconds=0)  # a cached verdict takes no time
    assert kinds(found) == {(0, 2): "copy", (0, 3): "same file"}


def test_files_are_not_read_without_time(folder: Path) -> None:
    photos = dataset(folder)  # without stamps: the hash of a file is not known
    found = compare_pairs(photos, photos, [(0, 3), (0, 2)], seconds=0)
    assert (found.verdicts, found.n_not_compared, found.unreadable) == ({}, 2, set())
    photos = dataset(folder, stamps=True)
    COPIES["grey"](texture(0)).save(folder / "equal.png")  # its stamp is out of date
    found = compare_pairs(photos, photos, [(0, 3), (0, 2)], seconds=0)
    assert (found.verdicts, found.n_not_compared) == ({}, 2)


def test_files_and_keypoints_are_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photos, read = dataset(folder), []

    def counted(path: Path) -> bytes:
        read.append(path.name)
        return read_image_file(path)

    monkeypatch.setattr(identity, "read_image_file", counted)
    comparison = PairComparison(photos, photos)
    for pairs in ([(0, 1)], [(0, 1), (0, 2)]):
        comparison.compare(pairs)
    assert read == ["a.png", "b.png", "crop.png"]
    assert kinds(comparison.found) == {(0, 1): "different", (0, 2): "copy"}


def test_the_progress_says_why_pairs_are_compared(folder: Path) -> None:
    photos, steps = dataset(folder), list[StepProgress]()
    with watched(steps.append):
        PairComparison(photos, photos).compare([(0, 1)])
        PairComparison(photos, photos, purpose="scenes").compare([(0, 2)])
    texts = {each.what for each in steps if each.what.startswith("pairs")}
    assert texts == {"pairs of images, to find copies", "pairs of images, to find scenes"}


def test_whole_files_are_compared_although_the_dataset_has_boxes(folder: Path) -> None:
    boxes = np.array([[20, 20, 60, 60, 0, 0], [0] * 6], np.float64)
    photos = dataset(folder, ("a.png", "crop.png"))
    boxed = Dataset(
        photos.features, photos.labels, photos.paths, photos.breeds, root=photos.root, boxes=boxes
    )
    found = compare_pairs(boxed, boxed, [(0, 1)])
    assert found.verdicts[0, 1].change == "cropped to 42 %"


def test_no_pairs(folder: Path) -> None:
    photos = dataset(folder)
    assert compare_pairs(photos, photos, []).verdicts == {}
