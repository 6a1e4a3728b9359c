"""Layouts of folders as people have them: which files are images, and what labels them."""

from pathlib import Path
from typing import Any

import pytest
from commands import dogsim, dogsim_json, refusal
from mean_colours import SEAM
from PIL import Image

from dogsim import Dataset, DogsimError, create_dataset
from dogsim.image_files.layout import FolderLayout
from dogsim.networks.extractor import NetworkOptions

NESTED = ("train/pug/1.png", "train/beagle/2.png", "val/pug/3.png")
FLAT = ("pug_1.png", "pug_2.png", "beagle_1.png")


@pytest.fixture(autouse=True)
def mean_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in SEAM.items():
        monkeypatch.setattr(NetworkOptions, name, method)


def photos(folder: Path, *paths: str) -> Path:
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(folder / path, "PNG")
    return folder


def breeds(dataset: Dataset) -> list[str]:
    return [dataset.breed(row) for row in range(len(dataset))]


def created(folder: Path, *options: object) -> tuple[dict[str, Any], list[str], str]:
    """Run create-dataset; return its JSON, the breed of each image, and what it reports."""
    out = folder.with_name("d.h5")
    report = dogsim("create-dataset", folder, "-o", out, *options).stderr
    result = dogsim_json("create-dataset", folder, "-o", out)  # the options are those of the file
    return result, breeds(Dataset.open(out)), " ".join(report.split())


def test_another_rule_computes_nothing_and_is_kept(tmp_path: Path) -> None:
    folder = photos(tmp_path / "p", *NESTED)
    result, labels, report = created(folder)
    assert labels == ["train", "train", "val"]
    assert "The folders train, val became breeds." in report
    out = tmp_path / "d.h5"
    again = dogsim_json("create-dataset", folder, "-o", out, "--labels", "parent")
    assert [again[name] for name in ("new", "changed", "kept", "removed")] == [0, 0, 3, 0]
    assert breeds(Dataset.open(out)) == ["beagle", "pug", "pug"]
    photos(folder, "val/beagle/4.png")
    result, labels, report = created(folder)
    assert labels == ["beagle", "pug", "beagle", "pug"]
    assert "became breeds" not in report
    assert (result["breeds"], result["label_names"]) == (2, ["beagle", "pug"])
    assert dogsim_json("info", out)["label_names"] == ["beagle", "pug"]


def test_a_table_that_changes_changes_the_labels(tmp_path: Path) -> None:
    folder, table = photos(tmp_path / "p", *FLAT), tmp_path / "labels.csv"
    table.write_text("id,breed\npug_1,pug\npug_2,pug\nother,cat\n")
    _, labels, report = created(folder, "--labels", table)
    assert labels == ["unknown", "pug", "pug"]
    assert "1 of 3 images have no row in" in report
    assert "1 of 3 rows in" in report
    table.write_text("id,breed\npug_1,a\npug_2,b\nbeagle_1,c\n")
    result, labels, report = created(folder)
    assert labels == ["c", "a", "b"]
    assert result["kept"] == 3
    table.unlink()
    assert "No such file" in refusal("create-dataset", folder, "-o", tmp_path / "d.h5")
    assert breeds(Dataset.open(tmp_path / "d.h5")) == ["c", "a", "b"]


def test_names_of_the_files_and_codes(tmp_path: Path) -> None:
    folder, names = photos(tmp_path / "p", *FLAT), tmp_path / "names.csv"
    names.write_text("code,name\npug,Mops\n")
    _, labels, report = created(folder)
    assert labels == ["unknown"] * 3
    assert "None of the images has a label. --labels FILE.csv" in report
    assert created(folder, "--labels", r"(?P<label>.+)_\d+")[1] == ["beagle", "pug", "pug"]
    assert created(folder, "--names", names)[1] == ["beagle", "Mops", "Mops"]
    assert created(folder, "--names", "")[1] == ["beagle", "pug", "pug"]
    assert Dataset.open(tmp_path / "d.h5").label_of_path("elsewhere/pug_77.jpg") == "pug"


def test_images_beside_folders_have_a_row_if_folders_do_not_label_them(tmp_path: Path) -> None:
    folder = photos(tmp_path / "p", "pug_1.png", "more/beagle_2.png")
    result, labels, _ = created(folder)
    assert (labels, [each["path"] for each in result["skipped"]]) == (["more"], ["pug_1.png"])
    result, labels, _ = created(folder, "--labels", "(?P<label>[a-z]+)_")
    assert (labels, result["skipped"]) == (["beagle", "pug"], [])


def test_excluded_files_stay_out(tmp_path: Path) -> None:
    paths = ("pug/1.png", "pug/1_thumb.png", "pug/thumbs/1.png", "junk/x/1.png", "cat/junk/1.png")
    folder = photos(tmp_path / "p", *paths)
    exclude = ("--exclude", "*_thumb.png", "--exclude", "thumbs", "--exclude", "junk/x")
    _, labels, report = created(folder, *exclude)
    assert labels == ["cat", "pug"]
    assert "Files and folders excluded by *_thumb.png, thumbs, junk/x: 3." in report
    photos(folder, "pug/2.png", "pug/2_thumb.png")
    assert created(folder)[1] == ["cat", "pug", "pug"]
    assert created(folder, "--exclude", "")[1] == ["cat", "junk"] + ["pug"] * 5
    assert created(folder, "--exclude", "pug")[0]["images"] == 2


def test_the_layout_is_stored(tmp_path: Path) -> None:
    folder, out = photos(tmp_path / "p", *NESTED), tmp_path / "d.h5"
    create_dataset(folder, out, labels="parent", exclude=["*.gif", "a b"])
    layout = Dataset.open(out).layout
    assert (layout.rule.labels, layout.exclude) == ("parent", ("*.gif", "a b"))
    Dataset.open(out).take([0]).save(tmp_path / "one.h5")
    assert Dataset.open(tmp_path / "one.h5").layout == layout


@pytest.mark.parametrize("sharded", ["d.h5", "d.dogsim"])
def test_files_that_are_no_images_are_counted(tmp_path: Path, sharded: str) -> None:
    folder = photos(tmp_path / "p", "pug/1.png", "pug/no suffix", "pug/2.jpg_large")
    photos(folder, "pug/@eaDir/x.jpg/THUMB.jpg", "__MACOSX/pug/3.png", "$RECYCLE.BIN/4.png")
    (folder / "pug" / "drawing.svg").write_text("<svg></svg>")
    (folder / "pug" / "notes.txt").write_text("no image")
    result = dogsim("create-dataset", folder, "-o", tmp_path / sharded)
    assert "Files that are not images: 1, such as pug/notes.txt." in result.stderr
    assert "3 images of 1 breed (3 new, 0 changed, 0 kept, 0 removed, 4 skipped)" in result.stdout
    assert "drawing.svg: its format is not supported" in result.stderr
    assert "skipped pug/@eaDir: a folder of the system" in result.stderr


@pytest.mark.parametrize("options", [{"labels": "tops"}, {"exclude": ["a\nb"]}, {"names": "none"}])
def test_invalid_layouts(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = photos(tmp_path / "p", *NESTED)
    with pytest.raises(DogsimError, match=r"Received (labels|exclude)=|Cannot read the names in"):
        create_dataset(folder, tmp_path / "d.h5", **options)
    left = {path.name for path in tmp_path.iterdir()} - {".d.h5.lock"}
    assert left == {"p"}  # no checkpoints either


def test_patterns() -> None:
    layout = FolderLayout(exclude=("a/b", "*.gif", "x?"))
    for path in ("a/b/c.jpg", "c/d.gif", "x1/y.jpg", "y/x2"):
        assert layout.excludes(path)
    for path in ("b/c.jpg", "c/a/b.jpg", "c.GIF", "x/y.jpg"):
        assert not layout.excludes(path)
