"""The parts of an audit are independent: what one cannot use does not stop or change the others."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import cloud
from commands import dogsim, dogsim_json
from PIL import Image

from dogsim.create_dataset import create_dataset
from dogsim.dataset import Dataset
from dogsim.trust import image_checks
from dogsim.trust.audit import audit
from dogsim.trust.calibration import calibration_of
from dogsim.trust.image_checks import poor_images


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders of eight images of noise each; three are copies of others, one is tiny."""
    root = tmp_path_factory.mktemp("original") / "photos"
    rng = np.random.default_rng(0)
    for breed in ("beagle", "pug"):
        (root / breed).mkdir(parents=True)
        for number in range(8):
            colour = rng.integers(40, 215, 3)
            pixels = colour + rng.normal(0, 25, (100, 120, 3))
            Image.fromarray(np.uint8(pixels.clip(0, 255))).save(root / breed / f"{number}.png")
    for path, other in (("beagle/a.png", "beagle/3.png"), ("pug/b.png", "pug/5.png")):
        shutil.copy(root / other, root / path)
    Image.open(root / "pug" / "6.png").save(root / "pug" / "c.bmp")
    Image.new("RGB", (30, 20), "red").save(root / "pug" / "tiny.png")
    return root


DUPLICATES = {
    frozenset({"beagle/3.png", "beagle/a.png"}),
    frozenset({"pug/5.png", "pug/b.png"}),
    frozenset({"pug/6.png", "pug/c.bmp"}),
}


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    shutil.copytree(original, tmp_path / "photos")
    return tmp_path / "photos"


@pytest.fixture
def file(folder: Path, colours: str) -> Path:
    out = folder.with_name("d.h5")
    create_dataset(folder, out, weights=colours)
    return out


def duplicates(file: Path) -> set[frozenset[str]]:
    return {frozenset(group) for group in audit(file).duplicates}


def test_a_missing_first_file_changes_nothing_else(file: Path, folder: Path) -> None:
    whole = audit(file)
    assert {frozenset(group) for group in whole.duplicates} == DUPLICATES
    assert (whole.missing, whole.left_out) == (0, ())
    assert whole.poor[0].path == "pug/tiny.png"
    (folder / "beagle" / "0.png").unlink()
    found = audit(file)
    assert found.duplicates == whole.duplicates
    assert found.poor == whole.poor
    assert found.missing == 1
    (line,) = found.left_out
    assert line.startswith("1 image of the dataset (the first is beagle/0.png) has no file")


def test_leaks_with_a_missing_first_file(
    file: Path, folder: Path, colours: str, tmp_path: Path
) -> None:
    (tmp_path / "test").mkdir()
    for name in ("2.png", "4.png"):
        shutil.copy(folder / "pug" / name, tmp_path / "test" / name)
    create_dataset(tmp_path / "test", tmp_path / "t.h5", weights=colours)
    (folder / "beagle" / "0.png").unlink()
    assert audit(file, tmp_path / "t.h5").leaks == (("pug/2.png", "2.png"), ("pug/4.png", "4.png"))


def test_an_unreadable_image_changes_nothing_else(file: Path, folder: Path) -> None:
    (folder / "beagle" / "0.png").write_bytes(b"\x89PNG and no more")
    found = audit(file)
    assert {frozenset(group) for group in found.duplicates} == DUPLICATES
    assert {(each.path, each.problem) for each in found.poor} == {
        ("beagle/0.png", "cannot be read"),
        ("pug/tiny.png", "tiny: 30 x 20 pixels"),
    }
    (line,) = found.left_out
    assert line.startswith("1 image cannot be read (the first is beagle/0.png)")


def test_quality_is_computed_once(
    file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Per content: after a change only the changed image is checked again."""
    monkeypatch.setattr("dogsim.plumbing.content_cache.cache_folder", lambda: tmp_path / "cache")
    checked: list[int] = []
    check = image_checks._problem

    def counting(dataset: Dataset, row: int) -> str:
        checked.append(row)
        return check(dataset, row)

    monkeypatch.setattr(image_checks, "_problem", counting)
    dataset = Dataset.open(file)
    rows = range(len(dataset))
    first = poor_images(dataset, rows)
    assert (sorted(checked), len(first)) == ([*rows], 1)
    checked.clear()
    assert poor_images(dataset, rows) == first
    assert checked == []
    Image.new("RGB", (80, 80), "red").save(folder / "beagle" / "4.png")
    (folder / "beagle" / "5.png").write_bytes(b"no image")
    for _ in range(2):
        found = {each.path: each.problem for each in poor_images(dataset, rows)}
        assert found["beagle/4.png"] == "nearly one colour"
        assert found["beagle/5.png"] == "cannot be read"
    assert [dataset.paths[row] for row in checked] == [
        "beagle/4.png",
        "beagle/5.png",
        "beagle/5.png",  # a decoder may be installed in the meantime
    ]


def test_a_folder_that_was_moved(file: Path, folder: Path) -> None:
    moved = folder.rename(folder.with_name("moved"))
    found = audit(file)
    assert found.missing == len(Dataset.open(file))
    assert {frozenset(group) for group in found.duplicates} <= DUPLICATES  # those of equal files
    assert found.poor == ()
    (line,) = found.left_out
    assert "--root" in line
    result = dogsim_json("audit", file, "--root", moved)
    assert {frozenset(group) for group in result["duplicates"]} == DUPLICATES
    assert (result["missing"], result["left_out"]) == (0, [])


def test_images_without_labels(folder: Path, colours: str, tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    for path in folder.rglob("*.*"):
        shutil.copy(path, tmp_path / "flat" / f"{path.parent.name} {path.name}")
    create_dataset(tmp_path / "flat", tmp_path / "flat.h5", weights=colours)
    found = audit(tmp_path / "flat.h5")
    names = {frozenset(path.replace("/", " ") for path in group) for group in DUPLICATES}
    assert {frozenset(group) for group in found.duplicates} == names
    assert [each.problem for each in found.poor] == ["tiny: 30 x 20 pixels"]
    assert found.labels == ()
    (line,) = found.left_out
    assert line.startswith("Suspicious labels were not looked for: the dataset has images of 0")
    done = dogsim("audit", tmp_path / "flat.h5")
    assert line in done.stderr.splitlines()


def test_novel_images_without_labels() -> None:
    known = cloud(300, classes=1, spread=0.2)
    features = known.features.copy()
    features[17] *= -1
    flat = replace(known, features=features, labels=np.full(300, -1, np.int32), breeds=())
    assert audit(flat).novel[0].path == known.paths[17]


def test_rows_of_zeros_and_nan() -> None:
    known = cloud(120, spread=0.3)
    doubled = known.take(np.append(np.arange(120), 5))
    features = doubled.features.copy()
    features[0], features[1, 2] = 0, np.nan
    found = audit(replace(doubled, features=features))
    assert found.duplicates == ((doubled.paths[5], doubled.paths[120]),)
    start = f"2 images of the dataset (the first is {known.paths[0]}) have features of zeros or NaN"
    assert any(line.startswith(start) for line in found.left_out)


@pytest.mark.parametrize("n", [0, 1])
def test_a_dataset_of_hardly_any_image(n: int) -> None:
    found = audit(cloud(5).take(np.arange(n)))
    assert (found.duplicates, found.labels, found.novel, found.poor) == ((), (), (), ())
    assert any(line.startswith("Novel images were not looked for") for line in found.left_out)


def test_images_of_one_scene() -> None:
    known = cloud(40)
    found = audit(replace(known.take(np.append(np.arange(40), 5)), scenes=np.zeros(41, np.int32)))
    assert found.duplicates == ((known.paths[5], known.paths[5]),)
    assert "one scene" in found.left_out[-1]


def test_calibration_depends_on_the_files_that_exist(file: Path, folder: Path) -> None:
    """Not on whether the first one does: the duplicates of the others still count once."""
    n_voting = len(calibration_of(Dataset.open(file)).rows)
    (folder / "beagle" / "0.png").unlink()
    assert len(calibration_of(Dataset.open(file)).rows) == n_voting
    shutil.rmtree(folder / "pug")
    assert len(calibration_of(Dataset.open(file)).rows) >= n_voting
