"""Scenes that are found by comparing images, and the check whether scenes matter."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from textures import next_shot, texture

from dogsim import Dataset, accuracy, create_dataset
from dogsim.image_files.comparison import PairKind, Verdict
from dogsim.retrieval import scenes
from dogsim.retrieval.image_pairs import ComparedPairs, Pair
from dogsim.retrieval.scenes import SceneCheck, check_scenes, find_scenes

NAMES = ("a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png", "b/gone.png", "none/1.png")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A scene of two shots, a copy in another breed, and an image without a breed."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("a", "b", "none"):
        (folder / name).mkdir()
    first = texture(0)
    for name, image in zip(
        (*NAMES[:5], NAMES[6]),
        (first, next_shot(first), texture(1), first, texture(2), first.convert("L")),
        strict=True,
    ):
        image.save(folder / name)
    labels = np.array([0, 0, 0, 1, 1, 1, -1], np.int32)
    features = np.array([[0], [1], [5], [0.5], [9], [9.5], [0.4]])
    return Dataset(features, labels, NAMES, ("a", "b"), root=str(folder))


def test_find_scenes(photos: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    """Images of one breed are compared; an image without a breed with all, which joins two."""
    own = photos.take(np.arange(6))
    assert find_scenes(own).tolist() == [0, 0, 1, 2, 3, 4]
    message = "1 image cannot be read (the first is b/gone.png): each is its own scene."
    assert message in capsys.readouterr().err.splitlines()
    assert find_scenes(photos).tolist() == [0, 0, 1, 0, 2, 3, 0]


@pytest.fixture
def kinds(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[Pair, PairKind]], list[Pair]]:
    """Replace the comparison by known verdicts; return the list that pairs are appended to."""

    def replace_by(verdicts: dict[Pair, PairKind]) -> list[Pair]:
        compared: list[Pair] = []

        class Comparison:
            def __init__(self, *_: object, purpose: str = "") -> None:
                self.found = ComparedPairs()

            def compare(self, pairs: Sequence[Pair]) -> None:
                compared.extend(pairs)
                of = {pair: Verdict(verdicts.get(pair, "different")) for pair in pairs}
                self.found.verdicts.update(of)

        monkeypatch.setattr(scenes, "PairComparison", Comparison)
        return compared

    return replace_by


def line(n: int, folder: Path) -> Dataset:
    """A dataset of two breeds whose images lie on a line at growing distances, with files."""
    paths = tuple(f"{i}.png" for i in range(n))
    for path in paths:
        (folder / path).touch()
    labels = np.arange(n, dtype=np.int32) % 2
    features = np.cumsum(np.arange(n, dtype=np.float32))[:, None]
    return Dataset(features, labels, paths, ("x", "y"), root=str(folder))


def test_each_pair_of_six_nearest_of_the_breed_is_compared_once(
    kinds: Callable[[dict[Pair, PairKind]], list[Pair]], tmp_path: Path
) -> None:
    compared = kinds({(0, 2): "same scene", (2, 4): "copy", (1, 3): "same file"})
    dataset = line(40, tmp_path)
    assert find_scenes(dataset).tolist()[:6] == [0, 1, 0, 1, 0, 2]
    distances = np.abs(dataset.features - dataset.features.T)
    distances[(dataset.labels[:, None] != dataset.labels) | np.eye(40, dtype=bool)] = np.inf
    near = np.argsort(distances, axis=1)[:, :6]
    expected = {(min(i, j), max(i, j)) for i in range(40) for j in near[i].tolist()}
    assert len(compared) == len(expected)
    assert set(compared) == expected


def test_datasets_that_are_too_small(
    kinds: Callable[[dict[Pair, PairKind]], list[Pair]], tmp_path: Path
) -> None:
    assert kinds({}) == []
    assert find_scenes(line(2, tmp_path)).tolist() == [0, 1]
    assert find_scenes(line(0, tmp_path)).tolist() == []
    assert check_scenes(line(2, tmp_path)) is None


def test_the_check_ends_when_few_of_the_nearest_have_a_shot(
    kinds: Callable[[dict[Pair, PairKind]], list[Pair]], tmp_path: Path
) -> None:
    dataset = line(200, tmp_path)
    compared = kinds({})
    found = check_scenes(dataset)
    assert found == SceneCheck(50, 2, 0)
    assert not found.matters
    gaps = np.abs(dataset.features[compared, 0] @ [1, -1])
    assert len(gaps) == 2
    every_gap = np.abs(np.diff(dataset.features[scenes._sampled_pairs(dataset), 0]))
    assert gaps.max() <= np.median(every_gap)


def test_the_check_continues_while_half_of_the_nearest_have_a_shot(
    kinds: Callable[[dict[Pair, PairKind]], list[Pair]], tmp_path: Path
) -> None:
    dataset = line(200, tmp_path)
    first = scenes._sampled_pairs(dataset)
    kinds(dict.fromkeys([*first[:2], *first[4:6]], "copy"))
    assert check_scenes(dataset) == SceneCheck(50, 10, 4)


def test_the_check_ends_when_scenes_matter(
    kinds: Callable[[dict[Pair, PairKind]], list[Pair]], tmp_path: Path
) -> None:
    dataset = line(200, tmp_path)
    every = {(i, i + step): "same scene" for i in range(200) for step in (-2, 2)}
    compared = kinds(every)  # type: ignore[arg-type]
    found = check_scenes(dataset)
    assert found == SceneCheck(50, 10, 10)
    assert found.matters
    assert len(compared) == 10


def test_images_without_files_are_not_checked(photos: Dataset, tmp_path: Path) -> None:
    moved = Dataset(photos.features, photos.labels, NAMES, photos.breeds, root=str(tmp_path))
    assert check_scenes(moved) is None


def test_the_check_ends_in_time(
    photos: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dogsim.plumbing.content_cache.cache_folder", lambda: tmp_path)
    assert check_scenes(photos, seconds=0) is None


@pytest.mark.real_data
@pytest.mark.release
@pytest.mark.parametrize("backbone", ["efficientnet-lite2", "efficientnet-lite0"])
def test_leaving_scenes_out_predicts_the_accuracy_on_new_photos(
    real_data: Path, tmp_path: Path, backbone: str
) -> None:
    """Three minutes: 901 photos of groceries, several of each place in a shop, and 90 others."""
    known, new = (
        create_dataset(
            real_data / "data" / "groceries" / name,
            tmp_path / f"{name}.h5",
            backbone,
            labels="parent",
            scenes="auto" if name == "train" else "none",
        )
        for name in ("train", "val")
    )
    check = check_scenes(known)
    assert check is not None
    assert check.matters
    assert known.scenes is not None
    assert 250 <= len(np.unique(known.scenes)) <= 295
    assert accuracy(replace(known, scenes=None), 1).precision_at_k > 0.98
    expected = accuracy(known, 1, new).precision_at_k
    assert abs(accuracy(known, 1).precision_at_k - expected) < 0.06
