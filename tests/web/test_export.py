"""A static copy of the page: its files and numbers, what it keeps private, and how it opens."""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from errno import ENOSPC
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import dogsim, dogsim_json, python, refusal
from conftest import REPOSITORY
from disks import small_disk
from PIL import Image

from dogsim import Dataset, create_dataset, nearest
from dogsim.errors import DogsimError
from dogsim.web import export
from dogsim.web.export import export_page, is_export

if TYPE_CHECKING:
    from test_page import Page

BREEDS = ("Dalmatian", "beagle", "pug")
IMAGES_PER_BREED = 4
VIEWS = ("", "?row=0", "?view=browse", "?view=browse&label=1", "?view=judging", "?view=audit")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of twelve drawings."""
    root = tmp_path_factory.mktemp("photos") / "private-folder"
    for breed in BREEDS:
        (root / breed).mkdir(parents=True)
        files = sorted((REPOSITORY / "data" / "sample_dogs" / breed).iterdir())
        for file in files[:IMAGES_PER_BREED]:
            shutil.copy(file, root / breed)
    return root


@pytest.fixture(scope="module")
def file(photos: Path, colours: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("file") / "drawings.h5"
    create_dataset(photos, out, weights=colours)
    return out


@pytest.fixture(scope="module")
def folder(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with small files, so that there are several."""
    out = tmp_path_factory.mktemp("export") / "page"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(export, "ANSWERS_PER_FILE", 5)
        found = export_page(Dataset.open(file), out, "drawings", "1.0")
    assert (found.images, found.missing) == (12, 0)
    return out


def folder_names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]


def data(folder: Path, name: str) -> Any:
    """Read the content of a data file."""
    text = (folder / "data" / f"{name}.js").read_text(encoding="ascii")
    start = f'dogsimData("{name}",'
    assert text.startswith(start)
    assert text.endswith(");\n")
    return json.loads(text[len(start) : -3])


def test_the_folder_has_a_page_without_modules_and_inline_scripts(folder: Path) -> None:
    assert {each.name for each in folder.iterdir()} == export.ENTRIES
    page = (folder / "index.html").read_text()
    assert re.findall("<script[^>]*>[^<]*", page) == ['<script src="page/page.js" defer>']
    assert "default-src 'none'" in page
    for link in re.findall('(?:src|href)="([^"?#]+)"', page):
        assert (folder / link).is_file()
    script = (folder / "page" / "page.js").read_text()
    assert not re.search(
        r"^(import|export) |fetch\(|https?://(?!www.w3.org/2000/svg)", script, re.M
    )
    for row in range(12):
        with Image.open(folder / "thumbnails" / "0" / f"{row}.jpg") as image:
            assert max(image.size) <= export.THUMBNAIL_SIDE
            assert not image.getexif()


def test_the_neighbours_are_those_of_nearest(folder: Path, file: Path) -> None:
    dataset, about, rows = Dataset.open(file), data(folder, "dataset"), data(folder, "rows")
    assert (about["images"], about["most_k"], about["metrics"]) == (12, 11, ["euclidean"])
    assert about["export"]["name"] == "drawings"
    assert rows == {"labels": dataset.labels.tolist(), "paths": list(dataset.paths)}
    answers = [each for part in range(3) for each in data(folder, f"answers-{part}")]
    distances, indices = nearest(dataset, dataset.features, 11, exclude=np.arange(12))
    assert [each["neighbours"]["row"] for each in answers] == indices.tolist()
    shown = np.array([each["neighbours"]["distance"] for each in answers])
    np.testing.assert_allclose(shown, distances, rtol=1e-5)
    assert all(each["k"] == 11 for each in answers)


def test_evaluation_and_audit_are_those_of_the_server(folder: Path) -> None:
    evaluation, audit = data(folder, "evaluation"), data(folder, "audit")
    assert [each["k"] for each in evaluation["results"]] == [1, 5]
    assert {each["breed"] for each in evaluation["per_breed"]} == set(BREEDS)
    assert [each["kind"] for each in audit["sections"]] == [
        *("duplicates", "scenes", "labels", "novel", "poor")
    ]
    assert audit["plan"] is None


def private_texts(*paths: Path) -> list[bytes]:
    return [str(each).encode() for each in (*paths, Path.home(), Path.cwd())]


def assert_private(folder: Path, texts: list[bytes]) -> None:
    for each in folder.rglob("*"):
        content = each.read_bytes() if each.is_file() else b""
        assert [text for text in texts if len(text) > 1 and text in content] == [], each


def test_no_file_contains_a_path_of_this_machine(folder: Path, photos: Path, file: Path) -> None:
    assert_private(folder, [*private_texts(photos, file, folder), b"private-folder"])


def test_absolute_paths_are_cut_to_names(file: Path, photos: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(file)
    absolute = replace(
        dataset,
        root="",
        paths=(*(str(photos / x) for x in dataset.paths[:-1]), "../gone.jpg"),
    )
    found = export_page(absolute, tmp_path / "out", "drawings", "1.0")
    assert found.missing == 1
    assert_private(tmp_path / "out", [*private_texts(photos), b"private-folder", b"../"])
    assert data(tmp_path / "out", "rows")["paths"][-1] == "gone.jpg"


def test_images_without_files_are_named_and_have_no_thumbnail(file: Path, tmp_path: Path) -> None:
    (tmp_path / "moved").mkdir()
    out = tmp_path / "out"
    found = dogsim_json("serve", "--export", out, "--dataset", file, "--root", tmp_path / "moved")
    assert (found["images"], found["missing"]) == (12, 12)
    assert data(out, "dataset")["missing"] == list(range(12))
    assert "No image of the dataset has a file in their folder" in data(out, "audit")["left_out"][0]
    assert_private(out, private_texts(tmp_path))


def test_a_dataset_without_labels_has_neighbours_but_no_evaluation(
    four: Dataset, tmp_path: Path
) -> None:
    unlabelled = replace(four, labels=np.full(4, -1, np.int32))
    export_page(unlabelled, tmp_path / "out", "four", "1.0")
    assert data(tmp_path / "out", "evaluation")["error"]
    assert data(tmp_path / "out", "status")["calibration"] == "failed"
    assert data(tmp_path / "out", "answers-0")[0]["neighbours"]["row"] == [1, 2, 3]
    with pytest.raises(DogsimError, match="1 image. Expected 2 or more"):
        export_page(four.take([0]), tmp_path / "one", "one", "1.0")


def test_the_command_reports_and_replaces_an_earlier_export(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    found = dogsim_json("serve", "--export", out, "--dataset", file)
    size = sum(each.stat().st_size for each in out.rglob("*") if each.is_file())
    assert found == {"folder": str(out), "images": 12, "missing": 0, "bytes": size}
    (out / ".DS_Store").touch()
    (out / "data" / "answers-7.js").touch()  # of a larger dataset
    done = dogsim("serve", "--export", out, "--dataset", file)
    assert "12 images" in done.stdout
    assert "images searched" in done.stderr
    assert not (out / "data" / "answers-7.js").exists()
    assert folder_names(tmp_path / "new") == ["out"]


def test_other_folders_and_options_are_refused(file: Path, photos: Path, tmp_path: Path) -> None:
    def message(out: Path, *options: str) -> str:
        return refusal("serve", "--export", out, "--dataset", file, *options)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("my own page")
    assert "was not made by this command" in message(tmp_path / "mine")
    assert "Expected the name of a folder" in message(tmp_path / "mine" / "index.html")
    assert "would become images" in message(photos / "page")
    assert "the current folder" in message(Path())
    for options in (
        ["--host", "0.0.0.0"],
        ["--port", "8042"],
        ["--token", "x" * 9],
        ["--name", "x"],
    ):
        assert f"Received --export with {options[0]}" in message(tmp_path / "out", *options)
    assert "Received --export with --cluster" in message(tmp_path / "out", "--cluster")
    assert folder_names(tmp_path) == ["mine"]


def test_only_folders_without_other_files_are_replaced(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert is_export(copy)
    (copy / "notes.txt").touch()
    assert not is_export(copy)


def test_an_error_leaves_nothing_half_written(
    file: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "page")
    before = data(tmp_path / "page", "dataset")

    def fail(dataset: Dataset) -> None:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(export, "evaluation_report", fail)
    with pytest.raises(DogsimError, match="Cannot write .*page: No space left"):
        export_page(Dataset.open(file), tmp_path / "page", "drawings", "1.0")
    assert data(tmp_path / "page", "dataset") == before
    assert folder_names(tmp_path) == ["page"]


def test_a_full_disk(file: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 100_000) as disk:
        assert "No space left" in refusal("serve", "--export", disk / "out", "--dataset", file)
        assert folder_names(disk) == []


def test_no_package_of_the_server_is_needed() -> None:
    code = "import sys; import dogsim.web.export; print({*server} & {*sys.modules})"
    code = f"server = ('starlette', 'uvicorn', 'cachetools'); {code}"
    assert python("-c", code).stdout == "set()\n"


# ---- In a browser


@pytest.fixture(scope="module")
def browser(folder: Path) -> Iterator["Page"]:
    test_page = pytest.importorskip("test_page")
    if test_page.DRIVER is None:
        pytest.skip("no chromedriver: apt-get install chromium chromium-driver")
    page = test_page.Page((folder / "index.html").as_uri())
    try:
        yield page
    finally:
        page.driver.quit()


@pytest.mark.slow
def test_the_copy_works_from_a_folder(browser: "Page", folder: Path) -> None:
    browser.open("")
    assert "Which images of this dataset look alike?" in browser.text("main")
    assert "A static copy of the dataset drawings, made by dogsim 1.0" in browser.text("#about")
    for hidden in ("#file", "#options", ".buttons"):
        assert not browser.js(
            "return document.querySelector(arguments[0]).checkVisibility()", hidden
        )
    browser.all("#neighbours .tile a")[0].click()
    browser.wait(lambda: len(browser.all("#neighbours .tile")) == 11)
    first = browser.text("#answer")
    browser.all("#neighbours .tile a")[-1].click()
    browser.wait(lambda: browser.js("return document.querySelector('#viewer').open"))
    browser.wait(lambda: browser.js("return document.querySelector('#viewer img').naturalWidth"))
    for hidden in ("#viewer-original", "#viewer-why"):
        assert not browser.js(
            "return document.querySelector(arguments[0]).checkVisibility()", hidden
        )
    browser.all("#viewer-search")[0].click()
    browser.wait(lambda: browser.text("#answer h1") and browser.text("#answer") != first)
    browser.driver.back()
    browser.wait(lambda: browser.text("#answer") == first)
    browser.driver.refresh()
    browser.wait(lambda: browser.text("#answer") == first)
    assert not browser.all("#neighbours button")
    for view in ("browse", "judging", "audit"):
        browser.all(f"nav a[data-view={view}]")[0].click()
        browser.wait(partial(browser.all, f"#{view} img, #{view} svg"))
    assert not browser.all(
        "#audit .decisions button, #audit input:not([type=checkbox]), .plan-buttons"
    )
    browser.press("j")
    assert "aria-current" in browser.focused
    loaded = [
        url for url in browser.requests() if not url.startswith(("data:", "about:", "chrome:"))
    ]
    assert [url for url in loaded if not url.startswith(folder.as_uri())] == []
    assert browser.errors() == []
    browser.driver.get(browser.address + "?row=999")
    browser.wait(lambda: "Expected 0 to 11" in browser.text("#error"))
    browser.errors()  # its image does not exist


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_violation_in_the_copy(browser: "Page", view: str, scheme: str) -> None:
    from test_page import AXE, violations

    if not Path(AXE).is_file():
        pytest.skip("DOGSIM_TEST_AXE names no axe.min.js")
    browser.emulate(
        "setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
    )
    browser.driver.get(browser.address + view)
    browser.wait(lambda: browser.all("main section:not([hidden]) :is(img, table)"))
    assert violations(browser) == []
