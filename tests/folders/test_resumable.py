"""Test that no run loses features, files, or the assignment of features to images."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from commands import dogsim, dogsim_json, python, refusal
from mean_colours import SEAM, stop_after
from mean_colours import load as load_colours
from PIL import Image

from dogsim import Dataset, DogsimError, create_dataset, find_images, load_image, update_dataset
from dogsim.folders import extraction
from dogsim.folders.checkpoints import CheckpointFolder, checkpoint_folder
from dogsim.folders.resumable import ResumableRun
from dogsim.networks.extractor import NetworkOptions
from dogsim.plumbing.files import bytes_sha256

COLOURS = {"pug/1.png": 10, "pug/2.png": 20, "whippet/1.png": 30}


@pytest.fixture(autouse=True)
def mean_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in SEAM.items():
        monkeypatch.setattr(NetworkOptions, name, method)
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 2)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make(tmp_path / "photos")


def make(root: Path, colours: dict[str, int] = COLOURS) -> Path:
    for name, red in colours.items():
        paint(root / name, red)
    return root


def paint(file: Path, red: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (red, 0, 0)).save(file)
    os.utime(file, ns=(10**18, 10**18))


def reds(dataset: Dataset) -> dict[str, float]:
    return {path: float(row[0]) for path, row in zip(dataset.paths, dataset.features, strict=True)}


def counts(update: Any) -> tuple[int, ...]:
    return update.new, update.changed, update.kept, update.removed


def resume(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NetworkOptions, "load", load_colours)


def test_an_unfinished_restart_is_continued(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"
    create_dataset(photos, out)
    old = out.read_bytes()
    for name, red in COLOURS.items():
        paint(photos / name, red + 100)  # same size and time: only a restart computes it again
    choices: list[dict[str, Any]] = [{"restart": True}, {"restart": True, "resize": "crop"}]
    for options in choices:
        stop_after(2, monkeypatch)
        with pytest.raises(KeyboardInterrupt, match="features of 2 images are stored"):
            create_dataset(photos, out, batch_size=1, **options)
        assert out.read_bytes() == old
        again = {**options, "restart": "resize" in options}  # with the option or without it
        stop_after(1, monkeypatch, AssertionError)
        update = update_dataset(photos, out, batch_size=1, **again)
        assert reds(update.dataset) == {name: red + 100 for name, red in COLOURS.items()}
        assert update.dataset.recipe
        assert update.dataset.recipe.resize == options.get("resize", "squash")
        assert not checkpoint_folder(out).exists()
        old = out.read_bytes()


def test_a_restart_with_other_options_begins_again(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        create_dataset(photos, out, batch_size=1, restart=True)
    resume(monkeypatch)
    update = update_dataset(photos, out, resize="crop", restart=True)
    assert counts(update) == (3, 0, 0, 0)
    assert update.dataset.recipe
    assert update.dataset.recipe.resize == "crop"


def test_a_restart_that_cannot_begin_changes_nothing(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"

    def load(options: NetworkOptions) -> Any:
        raise DogsimError(f"Unknown layer {options.layer!r}.")

    for shards, batches in ((1, 2), (0, 3)):  # with checkpoints, and with a finished file
        stop_after(batches, monkeypatch)
        with suppress(KeyboardInterrupt):
            create_dataset(photos, out, batch_size=1)
        monkeypatch.setattr(NetworkOptions, "load", load)
        with pytest.raises(DogsimError, match="Unknown layer 'typo'"):
            create_dataset(photos, out, layer="typo", restart=True)
        assert len(list(tmp_path.glob("*.partial/*"))) == shards
        resume(monkeypatch)
        update = update_dataset(photos, out)
        assert counts(update) == (1 if shards else 0, 0, 2 if shards else 3, 0)
        if shards:
            out.unlink()


def test_a_restart_whose_file_is_damaged_is_continued(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"
    create_dataset(photos, out)
    for note in ("", "[1]", '{"layer": "x"}'):
        for name, red in COLOURS.items():
            paint(photos / name, red + 100)
        stop_after(1, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            create_dataset(photos, out, batch_size=1, restart=True)
        (checkpoint_folder(out) / "restart").write_text(note)
        resume(monkeypatch)
        update = update_dataset(photos, out)
        assert reds(update.dataset) == {name: red + 100 for name, red in COLOURS.items()}


@pytest.mark.parametrize("stop", [KeyboardInterrupt, DogsimError])
def test_computed_features_are_stored_when_a_run_ends_early(
    stop: type[BaseException], photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 256)
    stop_after(2, monkeypatch, stop)
    with pytest.raises(stop, match="The features of 2 images are stored in .* to continue"):
        create_dataset(photos, out, batch_size=1)
    stop_after(1, monkeypatch, AssertionError)
    assert counts(update_dataset(photos, out, batch_size=1)) == (1, 0, 2, 0)


def test_a_stop_at_the_end_reports_no_checkpoints(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear = CheckpointFolder.clear

    def stopped(folder: CheckpointFolder) -> None:
        clear(folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(CheckpointFolder, "clear", stopped)
    with pytest.raises(KeyboardInterrupt, match=r"^Stopped\.$"):
        create_dataset(photos, tmp_path / "d.h5")
    assert reds(Dataset.open(tmp_path / "d.h5")) == COLOURS


def test_a_replaced_output_does_not_mix_features(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, other = tmp_path / "d.h5", tmp_path / "other.h5"
    create_dataset(photos, out)
    Dataset.open(out).take([2, 0, 1]).save(other)
    paint(photos / "whippet" / "0.png", 40)

    def load(options: NetworkOptions) -> Any:
        other.replace(out)  # another program ignores the lock during the run
        return load_colours(options)

    monkeypatch.setattr(NetworkOptions, "load", load)
    with pytest.raises(DogsimError, match=r"was replaced or changed.*run the same command again"):
        create_dataset(photos, out)
    monkeypatch.setattr(NetworkOptions, "load", load_colours)
    assert reds(create_dataset(photos, out)) == {**COLOURS, "whippet/0.png": 40}


def test_one_writer_at_a_time(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, four: Dataset
) -> None:
    out = tmp_path / "d.h5"

    def load(options: NetworkOptions) -> Any:
        with pytest.raises(DogsimError, match="Another run is writing"):
            four.save(out)
        with pytest.raises(DogsimError, match="Another run is writing"):
            create_dataset(photos, out)
        return load_colours(options)

    monkeypatch.setattr(NetworkOptions, "load", load)
    assert len(create_dataset(photos, out)) == 3


def first_shard(photos: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stop a run after two images and return its shard; the next run is not stopped."""
    stop_after(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        create_dataset(photos, out, batch_size=1)
    resume(monkeypatch)
    return checkpoint_folder(out) / "000000.h5"


def test_only_a_damaged_shard_is_removed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, four: Dataset
) -> None:
    out = tmp_path / "d.h5"
    shard = first_shard(photos, out, monkeypatch)
    whole = shard.read_bytes()

    with h5py.File(shard, "a") as file:
        file.attrs["format_version"] = 99
    with pytest.raises(DogsimError, match="format version 99 is newer"):
        create_dataset(photos, out)
    for content, message in {b"notes of mine": "move it away", whole: None}.items():
        shard.write_bytes(content)
        if message:
            with pytest.raises(DogsimError, match=message):
                create_dataset(photos, out)
            assert shard.read_bytes() == content
    monkeypatch.setattr("dogsim.folders.checkpoints.Dataset.open", unreadable)
    with pytest.raises(DogsimError, match="Too many open files"):
        create_dataset(photos, out)
    monkeypatch.undo()
    assert shard.read_bytes() == whole


def test_a_shard_that_cannot_be_read_is_not_reported_as_written(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"
    file, full = h5py.File, False

    def opened(*arguments: Any, **options: Any) -> Any:
        if full and len(arguments) == 1:
            raise OSError(24, "Too many open files")
        return file(*arguments, **options)

    gather = ResumableRun.write

    def write(*arguments: Any) -> Any:
        nonlocal full
        full = True
        return gather(*arguments)

    monkeypatch.setattr(h5py, "File", opened)
    monkeypatch.setattr(ResumableRun, "write", write)
    line = refusal("create-dataset", photos, "-o", out)
    assert "Cannot read" in line
    assert "Too many open files" in line
    assert "Cannot write" not in line
    assert "features of 3 images are stored" in line


@pytest.mark.parametrize("values", [h5py.ExternalLink("other.h5", "/features"), np.ones((2, 3))])
def test_a_shard_whose_features_are_stored_elsewhere_or_otherwise(
    values: Any, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its features are not read from the position that they have in another file or type."""
    out = tmp_path / "d.h5"
    shard = first_shard(photos, out, monkeypatch)
    with h5py.File(shard.with_name("other.h5"), "w") as other:
        other["features"] = np.ones((2, 3), "f4")
    with h5py.File(shard, "a") as file:
        del file["features"]
        file["features"] = values
    with pytest.raises(DogsimError, match="are in another file|not a shard of create-dataset"):
        create_dataset(photos, out)
    assert shard.exists()


def unreadable(path: Path) -> Dataset:
    raise DogsimError(f"Cannot read {path}: Too many open files.")


@pytest.mark.parametrize("damage", [b"", b"\x89HDF\r\n\x1a\n", b"\0" * 50])
def test_a_shard_damaged_by_a_power_failure_is_computed_again(
    damage: bytes, photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "d.h5"
    checkpoint_folder(out).mkdir()
    (checkpoint_folder(out) / "000000.h5").write_bytes(damage)
    assert reds(create_dataset(photos, out)) == COLOURS


def test_files_of_others_stay(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    checkpoint_folder(out).write_text("a file of mine")
    with pytest.raises(DogsimError, match="not a folder.*move it away"):
        create_dataset(photos, out)
    checkpoint_folder(out).unlink()
    checkpoint_folder(out).mkdir()
    (checkpoint_folder(out) / "mine.h5").write_text("not a shard")
    create_dataset(photos, out)
    assert [file.name for file in checkpoint_folder(out).iterdir()] == ["mine.h5"]


def test_system_errors_are_not_damage(tmp_path: Path, four: Dataset) -> None:
    four.save(tmp_path / "d.h5")
    code = (
        "import resource, os; from dogsim import Dataset; import h5py, numpy\n"
        f"open_before = len(os.listdir('/proc/self/fd'))\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (open_before - 1,) * 2)\n"
        f"Dataset.open({str(tmp_path / 'd.h5')!r})"
    )
    if sys.platform == "linux":
        assert "Too many open files" in python("-c", code).stderr.splitlines()[-1]


def test_features_of_inaccessible_images_are_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"
    create_dataset(photos, out)
    scandir = os.scandir

    def refused(folder: Any) -> Any:
        if os.fspath(folder).endswith("pug"):
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refused)
    paint(photos / "whippet" / "2.png", 50)
    update = update_dataset(photos, out)
    assert counts(update) == (1, 0, 3, 0)
    assert reds(update.dataset) == {**COLOURS, "whippet/2.png": 50}
    assert update.dataset.breeds == ("pug", "whippet")
    assert [(each.path, each.reason) for each in update.skipped] == [
        ("pug", "folder: Permission denied")
    ]
    whole = out.read_bytes()
    with pytest.raises(DogsimError, match=r"restart would lose 2 images .*first pug/1\.png"):
        update_dataset(photos, out, restart=True)
    assert out.read_bytes() == whole
    monkeypatch.setattr(os, "scandir", scandir)
    assert counts(update_dataset(photos, out, restart=True)) == (4, 0, 0, 0)


def test_an_image_that_is_replaced_while_it_is_decoded(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored hash is that of the decoded content, so that the next run sees the change."""

    image = photos / "pug" / "1.png"
    before = image.read_bytes()

    def replaced(content: bytes, size: int, resize: str) -> Any:
        if content == before:  # other images are decoded at the same time
            paint(image, 90)
        return load_image(content, size, resize)

    monkeypatch.setattr("dogsim.folders.extraction.load_image", replaced)
    create_dataset(photos, tmp_path / "d.h5")
    monkeypatch.setattr("dogsim.folders.extraction.load_image", load_image)
    update = update_dataset(photos, tmp_path / "d.h5", verify=True)
    assert counts(update) == (0, 1, 2, 0)
    assert reds(update.dataset)["pug/1.png"] == 90


def test_each_output_has_its_own_table_of_skipped_files(photos: Path, tmp_path: Path) -> None:
    for name, bad in (("d", "bad.png"), ("d.h5", "worse.png")):
        (photos / "pug" / bad).write_text("no image")
        dogsim("create-dataset", photos, "-o", tmp_path / name)
        (photos / "pug" / bad).unlink()
    lists = [(tmp_path / f"{name}.skipped.csv").read_text() for name in ("d", "d.h5")]
    assert ["bad.png" in lists[0], "worse.png" in lists[1]] == [True, True]


def test_verify_keeps_the_features_of_unreadable_images(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"
    create_dataset(photos, out)

    def refused(path: Path) -> bytes:
        if path.name == "2.png":
            raise DogsimError("") from PermissionError(13, "Permission denied")
        return path.read_bytes()

    monkeypatch.setattr("dogsim.folders.manifest.read_image_file", refused)
    update = update_dataset(photos, out, verify=True)
    assert counts(update) == (0, 0, 3, 0)
    assert "its earlier features are kept" in update.skipped[0].reason


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_an_image_replaced_by_a_pipe_does_not_block(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    create_dataset(photos, out)
    (photos / "pug" / "1.png").unlink()
    os.mkfifo(photos / "pug" / "1.png")
    for verify in (False, True):
        update = update_dataset(photos, out, verify=verify)
        assert list(update.dataset.paths) == ["pug/2.png", "whippet/1.png"]
        assert "not a regular file" in update.skipped[0].reason


def test_features_of_another_folder_are_not_used(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    create_dataset(photos, out)
    others = {name: red + 100 for name, red in COLOURS.items()}
    update = update_dataset(make(tmp_path / "others", others), out)
    assert reds(update.dataset) == others
    assert counts(update) == (0, 3, 0, 0)
    same = update_dataset(
        make(tmp_path / "copied", others), out
    )  # the same content keeps its features
    assert counts(same) == (0, 0, 3, 0)
    assert same.dataset.root == str(tmp_path / "copied")


def test_a_link_inside_the_folder_changes_no_label(photos: Path, tmp_path: Path) -> None:
    (photos / "favourites").symlink_to(photos / "pug")
    (photos / "albums").mkdir()
    (photos / "albums" / "best.png").symlink_to(photos / "whippet" / "1.png")
    paint(tmp_path / "elsewhere" / "9.png", 90)
    (photos / "linked").symlink_to(tmp_path / "elsewhere")
    paint(tmp_path / "away.png", 70)
    for name in ("pug/7.png", "whippet/7.png"):
        (photos / name).symlink_to(
            tmp_path / "away.png"
        )  # outside the folder: listed at the first link
    update = update_dataset(photos, tmp_path / "d.h5", strict=True)
    assert reds(update.dataset) == {**COLOURS, "linked/9.png": 90, "pug/7.png": 70}
    assert update.dataset.breeds == ("linked", "pug", "whippet")
    assert {each.path: each.reason for each in update.skipped} == {
        "favourites": "a link to a listed folder",
        "albums/best.png": "a link to a listed image",
        "whippet/7.png": "a link to a listed image",
    }
    found = {path.relative_to(photos).as_posix() for path in find_images(photos)}
    assert found == {
        *update.dataset.paths,
        "albums/best.png",
        "whippet/7.png",
    }  # a query may be listed twice


def test_two_spellings_and_two_classes_with_the_same_name(tmp_path: Path) -> None:
    folders = ("n02012849-crane", "n03126707-crane", "Cafe\u0301", "caf\u00e9")
    photos = make(tmp_path / "p", {f"{folder}/1.png": 9 for folder in folders})
    made = create_dataset(photos, tmp_path / "d.h5")
    assert made.breeds == ("Cafe\u0301", "crane (n02012849)", "crane (n03126707)")
    assert dogsim_json("create-dataset", photos, "-o", tmp_path / "d.h5")["breeds"] == 3


def test_a_folder_without_breeds(tmp_path: Path) -> None:
    photos = make(tmp_path / "p", {"1.png": 10, "2.png": 20})
    made = create_dataset(photos, tmp_path / "d.h5")
    assert (made.breeds, made.labels.tolist()) == ((), [-1, -1])
    assert "2 images of 0 breeds" in dogsim("create-dataset", photos, "-o", tmp_path / "d").stdout
    paint(photos / "pug" / "3.png", 30)  # now there is a breed folder, and the others are in none
    update = update_dataset(photos, tmp_path / "d.h5")
    assert reds(update.dataset) == {"pug/3.png": 30}
    assert {each.reason for each in update.skipped} == {"it is in no breed folder"}


def test_options_that_are_not_given_are_those_of_the_file(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "d.h5"
    monkeypatch.setattr("dogsim.networks.extractor.has_engine", lambda *_: True)  # bfloat16
    create_dataset(photos, out, resize="crop", precision="bfloat16")
    paint(photos / "pug" / "3.png", 60)
    made = dogsim_json("create-dataset", photos, "-o", out)
    assert (made["new"], made["kept"], made["resize"]) == (1, 3, "crop")
    for options in (("--resize", "squash"), ("--precision", "float32")):
        line = refusal("create-dataset", photos, "-o", out, *options)
        assert f"this command with {options[0][2:]}={options[1]}" in line
        assert "--restart" in line


@pytest.mark.parametrize("seconds", [1e11, -11644473600])  # the latter is 0 on Windows
def test_times_in_1601_and_in_the_far_future(
    seconds: float, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stat = Path.stat

    def shifted(path: Path, **options: Any) -> Any:
        status = stat(path, **options)
        if path.name != "1.png":
            return status
        values = {name: getattr(status, name) for name in dir(status) if name[:3] == "st_"}
        return SimpleNamespace(**{**values, "st_mtime_ns": int(seconds) * 10**9})

    monkeypatch.setattr(Path, "stat", shifted)  # some file systems cannot store such a time
    out = tmp_path / "d.h5"
    create_dataset(photos, out)
    assert counts(update_dataset(photos, out)) == (0, 0, 3, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_root_whose_name_is_not_utf8(tmp_path: Path) -> None:
    photos = make(tmp_path / os.fsdecode(b"caf\xe9"))
    made = create_dataset(photos, tmp_path / "d.h5")
    assert made.image_file(0).is_file()
    assert counts(update_dataset(photos, tmp_path / "d.h5")) == (0, 0, 3, 0)


def test_an_output_that_is_a_link(photos: Path, tmp_path: Path, four: Dataset) -> None:
    (tmp_path / "disk").mkdir()
    target, link = tmp_path / "disk" / "d.h5", tmp_path / "d.h5"
    link.symlink_to(target)
    # Temporary files of killed runs: beside the link, some from before it was a link.
    for left_over in (".d.h5.skipped.csv.99.tmp", ".d.h5.99.tmp"):
        (tmp_path / left_over).touch()
    for write in (lambda: create_dataset(photos, link), lambda: four.save(link)):
        write()
        assert link.is_symlink()
        assert not target.is_symlink()
    assert not list(tmp_path.glob(".*.tmp"))
    assert len(Dataset.open(target)) == 4


def test_a_table_of_the_user_is_not_replaced(photos: Path, tmp_path: Path) -> None:
    (photos / "pug" / "3.png").write_text("no image")
    table, create = (
        tmp_path / "d.h5.skipped.csv",
        ("create-dataset", photos, "-o", tmp_path / "d.h5"),
    )
    table.write_text("my notes")
    assert "exists and was not made" in refusal(*create)
    assert table.read_text() == "my notes"
    assert not (tmp_path / "d.h5").exists()  # the run failed before it computed anything
    assert dogsim_json(*create, "--force")["images"] == 3
    assert table.read_text().startswith("path,reason")
    table.unlink()
    table.mkdir()
    assert "Received the folder" in refusal(*create)


def test_python_reports_skipped_files(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "pug" / "3.png").write_text("no image")
    create_dataset(photos, tmp_path / "d.h5")
    assert "Skipped 1 of the files" in capsys.readouterr().err
    assert update_dataset(photos, tmp_path / "d.h5").skipped[0].path == "pug/3.png"


@pytest.mark.release
@pytest.mark.skipif(sys.platform != "linux", reason="limits are set in another way elsewhere")
def test_a_million_rows_in_four_thousand_shards() -> None:
    done = python("tests/million_rows.py", 4000, 250)
    assert done.returncode == 0, done.stderr
    open_files, megabytes = map(int, done.stdout.split())
    assert open_files < 256
    assert megabytes < 1500


@pytest.mark.skipif(sys.platform != "linux", reason="limits are set in another way elsewhere")
@pytest.mark.slow
def test_more_shards_than_files_may_be_open() -> None:
    done = python("tests/million_rows.py", 300, 2)
    assert done.returncode == 0, done.stderr


def test_hashes_of_bytes_and_files_agree(photos: Path) -> None:
    from dogsim.plumbing.files import file_sha256

    file = photos / "pug" / "1.png"
    assert bytes_sha256(file.read_bytes()) == file_sha256(file)
    assert np.unique([len(file_sha256(path)) for path in find_images(photos)]).tolist() == [64]
