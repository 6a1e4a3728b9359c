"""Groups of duplicates, each pair verified; scenes; leaks; and what is claimed without files."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from math import inf
from pathlib import Path
from string import ascii_letters
from typing import Any, ClassVar, TypeAlias

import numpy as np
import pytest
from PIL import Image
from textures import COPIES, garment, next_shot, texture, with_object

from dogsim.dataset import Dataset
from dogsim.dist_calc import NeighbourArrays
from dogsim.image_files.comparison import Verdict
from dogsim.retrieval.image_pairs import Pair, PairComparison
from dogsim.storage.dataset_file import STAMP_DTYPE
from dogsim.trust import calibration
from dogsim.trust.audit import audit
from dogsim.trust.duplicates import (
    CANDIDATE_NEIGHBOURS,
    DuplicateGroup,
    Duplicates,
    find_duplicates,
    find_shared,
)

Find: TypeAlias = Callable[..., Duplicates]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dogsim.plumbing.content_cache.cache_folder", lambda: tmp_path / "cache")


def photos(folder: Path, images: dict[str, Image.Image]) -> Dataset:
    """Save images and return their dataset, with features that say nothing."""
    folder.mkdir(exist_ok=True)
    for name, image in images.items():
        image.save(folder / name)
    n = len(images)
    features, labels = np.eye(n, dtype=np.float32), np.zeros(n, np.int32)
    return Dataset(features, labels, tuple(images), ("x",), root=str(folder))


def duplicates_of(
    dataset: Dataset, neighbours: NeighbourArrays | None = None, seconds: float = inf
) -> Duplicates:
    return find_duplicates(PairComparison(dataset, dataset, seconds), neighbours)


def everything(dataset: Dataset, testset: Dataset | None = None) -> NeighbourArrays:
    """Return all rows as the neighbours of each row."""
    n = len(dataset)
    rows = np.tile(np.arange(n), (len(testset or dataset), 1))
    if testset is None:
        rows = rows[~np.eye(n, dtype=bool)].reshape(n, n - 1)
    return np.zeros(rows.shape), rows


class GivenVerdicts(PairComparison):
    """Compares no images: the kinds of pairs are given, all others are "different"."""

    kinds: ClassVar[dict[Pair, str]] = {}
    compared: ClassVar[list[Pair]] = []

    def compare(self, pairs: Sequence[Pair]) -> None:
        self.compared.extend(pairs)
        kinds = {pair: self.kinds.get(pair, "different") for pair in pairs}
        self.found.verdicts.update({pair: Verdict(kinds[pair]) for pair in pairs})  # type: ignore[arg-type]


def given(contents: str, tmp_path: Path, **fields: Any) -> Dataset:
    """Return a dataset of files with one letter each."""
    n = len(contents)
    for row, letter in enumerate(contents):
        (tmp_path / str(row)).write_text(letter)
    names = tuple(map(str, range(n)))
    features = np.eye(n, dtype=np.float32)
    labels = np.zeros(n, np.int32)
    return Dataset(features, labels, names, ("x",), root=str(tmp_path), **fields)


@pytest.fixture
def found_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Find:
    """Return a function that finds the duplicates of images with given verdicts.

    The next row is the only candidate of each.
    """

    def find(kinds: dict[Pair, str], contents: str, **fields: Any) -> Duplicates:
        monkeypatch.setattr(GivenVerdicts, "kinds", kinds)
        monkeypatch.setattr(GivenVerdicts, "compared", [])
        rows = np.roll(np.arange(len(contents)), -1)[:, None]
        dataset = given(contents, tmp_path, **fields)
        return find_duplicates(GivenVerdicts(dataset, dataset), (np.zeros(rows.shape), rows))

    return find


def groups_of(found: Duplicates) -> list[tuple[int, ...]]:
    return [group.rows for group in found.groups]


def test_all_pairs_of_a_group_are_compared(found_with: Find) -> None:
    found = found_with(dict.fromkeys(combinations(range(4), 2), "copy"), "abcdef")
    assert groups_of(found) == [(0, 1, 2, 3)]
    n_candidates = 6
    assert GivenVerdicts.compared[n_candidates:] == [(0, 2), (1, 3), (0, 3)]


def test_a_chain_is_not_a_group(found_with: Find) -> None:
    """1 is a copy of 0 and of 2, which are two images that share a part."""
    found = found_with({(0, 1): "copy", (1, 2): "copy", (2, 3): "copy"}, "abcde")
    assert groups_of(found) == [(0, 1), (1, 2), (2, 3)]
    assert found.connected == [(0, 1, 2, 3)]
    assert (0, 3) not in GivenVerdicts.compared  # neither 1 nor 2 is a copy of both


def test_crops_that_share_nothing_are_each_found_with_the_photo(found_with: Find) -> None:
    star = dict.fromkeys([(0, 1), (1, 2), (2, 3), (1, 3)], "copy")
    assert groups_of(found_with(star, "abcdef")) == [(0, 1), (1, 2, 3)]


def test_scenes_are_no_copies(found_with: Find) -> None:
    """Of copies only the first is listed as a shot of the scene."""
    found = found_with({(0, 1): "copy", (1, 2): "same scene", (3, 4): "same scene"}, "abcdef")
    assert (groups_of(found), found.scenes) == ([(0, 1)], [(0, 2), (3, 4)])


def test_scenes_that_the_dataset_declares_are_not_listed(found_with: Find) -> None:
    kinds = dict.fromkeys([(0, 1), (2, 3), (3, 4)], "same scene")
    scenes = np.array([7, 7, 8, 8, 9, 10], np.int32)
    assert found_with(kinds, "abcdef", scenes=scenes).scenes == [
        (2, 3, 4)
    ]  # 4 is declared as another


def test_equal_files_are_compared_once(found_with: Find) -> None:
    """They are in every group of each other."""
    found = found_with({(0, 1): "copy", (0, 3): "copy"}, "abaca")
    assert GivenVerdicts.compared == [(0, 1), (0, 3), (1, 3)]
    assert groups_of(found) == [(0, 1, 2, 4), (0, 2, 3, 4)]
    assert {group.kind for group in found.groups} == {"copy"}


def test_a_folder_of_photos(tmp_path: Path) -> None:
    image, other = texture(0), texture(1)
    names = {
        "a.png": image,
        "b.jpg": image,
        "cropped.png": COPIES["cropped to 42 %"](image),
        "mirrored.png": COPIES["mirrored"](image),
        "other.png": other,
        "same pixels.bmp": other,
        "shot.png": next_shot(image),
        "unlike.png": texture(2),
    }
    dataset = photos(tmp_path / "photos", names)
    found = duplicates_of(dataset, everything(dataset))
    assert [group.rows for group in found.groups] == [(0, 1, 2, 3), (4, 5)]
    assert [group.kind for group in found.groups] == ["copy", "same pixels"]
    assert found.scenes == [(0, 6)]
    assert found.connected == [(0, 1, 2, 3), (4, 5)]
    assert found.change(0, 2) == "cropped to 42 %"
    assert found.change(2, 0) == "extended"
    assert found.change(2, 3) == "mirrored, extended"
    assert found.change(4, 5) == ""


def test_clothes_on_one_cloth_and_in_several_colours_are_no_duplicates(tmp_path: Path) -> None:
    cloth = texture(0)
    colours = {"red": (200, 40, 40), "blue": (40, 60, 200), "green": (40, 150, 60)}
    names = {f"object{seed}.png": with_object(cloth, seed) for seed in range(1, 5)}
    names |= {f"{name}.png": garment(colour) for name, colour in colours.items()}
    dataset = photos(tmp_path / "photos", names)
    assert duplicates_of(dataset, everything(dataset)).groups == []


def test_equal_features_of_different_images_are_no_duplicates(tmp_path: Path) -> None:
    """As of two panoramas with the same middle, of which a network sees only that."""
    middle = texture(0, (100, 100))
    panoramas = {}
    for number in (1, 2):
        panorama = texture(number, (400, 100))
        panorama.paste(middle, (150, 0))
        panoramas[f"panorama{number}.png"] = panorama
    dataset = photos(tmp_path / "photos", panoramas)
    same = Dataset(
        np.ones((2, 2), np.float32), dataset.labels, dataset.paths, ("x",), root=dataset.root
    )
    assert duplicates_of(same, everything(same)).groups == []
    (tmp_path / "photos" / "panorama1.png").unlink()
    (group,) = duplicates_of(same, everything(same)).groups
    assert group.kind == "same features"  # the images themselves are unknown


def test_without_files_equal_stamps_are_the_same_file() -> None:
    stamps = np.array([(1, 1, "a"), (1, 2, "b"), (1, 3, "a")], STAMP_DTYPE)
    features = np.eye(3, dtype=np.float32)
    dataset = Dataset(features, np.zeros(3, np.int32), tuple("123"), ("x",), stamps=stamps)
    assert duplicates_of(dataset).groups == [DuplicateGroup((0, 2), "same file")]


def test_without_files_equal_features_are_one_group() -> None:
    features = np.eye(3, dtype=np.float32)[[0, 1, 0, 2, 0]]
    dataset = Dataset(features, np.zeros(5, np.int32), tuple("12345"), ("x",))
    found = duplicates_of(dataset)
    assert found.groups == [DuplicateGroup((0, 2, 4), "same features")]
    assert found.connected == [(0, 2, 4)]
    assert found.change(0, 2) == ""


def test_leaks_and_shared_scenes(tmp_path: Path) -> None:
    image = texture(0)
    known = {"a.png": image, "b.png": texture(1), "c.png": texture(2)}
    new = {
        "copy.png": COPIES["grey"](image),
        "new.png": texture(3),
        "pixels.bmp": texture(1),
        "shot.png": next_shot(texture(2)),
    }
    dataset, testset = photos(tmp_path / "known", known), photos(tmp_path / "new", new)
    for _ in range(2):  # the second time with cached verdicts
        leaks, scenes = find_shared(PairComparison(dataset, testset), everything(dataset, testset))
        assert leaks == [(0, 0, "copy"), (1, 2, "same pixels")]
        assert scenes == [(2, 3)]


def test_the_time_limit(tmp_path: Path) -> None:
    dataset = photos(tmp_path / "photos", {"a.png": texture(0), "b.jpg": texture(0)})
    found = duplicates_of(dataset, everything(dataset), seconds=0)
    assert (found.groups, found.compared.n_not_compared) == ([], 1)


def test_candidates_are_the_nearest_other_files(found_with: Find, tmp_path: Path) -> None:
    n = CANDIDATE_NEIGHBOURS + 4
    contents = "aa" + ascii_letters[1 : n - 1]  # row 1 is equal to row 0, and no candidate of it
    rows = np.array([[other for other in range(n) if other != row] for row in range(n)])
    rows[2:] = rows[2:, ::-1]  # rows 0 and 1 are the last neighbours of all others
    found_with({}, "a")
    dataset = given(contents, tmp_path)
    find_duplicates(GivenVerdicts(dataset, dataset), (np.zeros(rows.shape), rows))
    assert [pair for pair in GivenVerdicts.compared if pair[0] == 0] == [
        (0, row) for row in range(2, CANDIDATE_NEIGHBOURS + 2)
    ]


def test_a_calibration_uses_the_verdicts_that_it_had_time_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """When an audit has compared all images, they are used without a new comparison."""
    monkeypatch.setattr("dogsim.plumbing.cache.cache_folder", lambda: tmp_path / "cache")
    images = {f"{seed}.png": texture(seed) for seed in range(4)} | {"copy.jpg": texture(0)}
    dataset = photos(tmp_path / "photos", images)
    labelled = replace(dataset, labels=np.array([0, 1, 0, 1, 0], np.int32), breeds=("x", "y"))
    line = "10 pairs of similar images were not checked for copies within 8 seconds"

    def voting() -> list[int]:
        calibration.calibration_of.cache_clear()
        return [*calibration.calibration_of(labelled).rows.tolist()]

    with monkeypatch.context() as patched:
        patched.setattr(calibration, "PairComparison", lambda x, y, *_: PairComparison(x, y, 0))
        assert voting() == [0, 1, 2, 3, 4]
        assert line in capsys.readouterr().err
    assert voting() == [0, 1, 2, 3, 4]  # does not compare images again
    assert line in capsys.readouterr().err
    audit(labelled)
    assert voting() == [0, 1, 2, 3]
    assert "not compared" not in capsys.readouterr().err
    monkeypatch.setattr(calibration, "find_duplicates", None)  # not called again
    assert voting() == [0, 1, 2, 3]
