"""`dogsim apply`: the dataset, its updates, and the moves of files."""

import os
import shutil
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import dogsim, dogsim_json, python, refusal
from disks import contents, names, read_only, small_disk
from mean_colours import SEAM
from PIL import Image

from dogsim.create_dataset import create_dataset, update_dataset
from dogsim.dataset import Dataset
from dogsim.folders import extraction
from dogsim.learning.training import hold_out
from dogsim.networks.extractor import NetworkOptions
from dogsim.plumbing import file_moves

KEPT = ("=pug/1.png", "=pug/3.png", "'+whippet/two\nlines.png", "'+whippet/é,;.png")
REMOVED = ("=pug/2.png", "=pug/old/4.png", "'+whippet/5.png")
KILLED = Path(__file__).parent.with_name("killed_moves.py")


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in SEAM.items():
        monkeypatch.setattr(NetworkOptions, name, method)
    monkeypatch.setattr(extraction, "SHARD_IMAGES", 2)
    monkeypatch.delenv("DOGSIM_DATASET", raising=False)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for number, path in enumerate((*KEPT, *REMOVED)):
        paint(root / path, 20 * number)
    return root


def paint(file: Path, red: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(red).integers(0, 50, (16, 16, 3), np.uint8)
    Image.fromarray(noise + np.uint8(red)).save(file)


@pytest.fixture(params=["d.h5", "d.dogsim"])
def made(request: pytest.FixtureRequest, photos: Path) -> Path:
    out = photos.with_name(request.param)
    create_dataset(photos, out)
    return out


@pytest.fixture
def dataset(photos: Path) -> Path:
    create_dataset(photos, out := photos.with_name("d.h5"))
    return out


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plan(photos: Path) -> Path:
    """A plan as a spreadsheet of a European language saves it."""
    lines = (
        "Reason;Path;Decision;Label",
        *(f";'{path};REMOVE;" for path in REMOVED),
        r";''+whippet/two\nlines.png;keep;greyhound",
        ";'=pug/3.png;Keep;'=pug",
        ";;;",
    )
    file = photos.with_name("plan.csv")
    file.write_bytes("\r\n".join(lines).encode("utf-8-sig"))
    return file


def check_applied(out: Path, original: Path) -> None:
    """Check that a dataset has the kept images with their features, and the new label."""
    made, before = Dataset.open(out), Dataset.open(original)
    assert made.paths == tuple(path for path in before.paths if path in KEPT)
    breeds = dict(zip(made.paths, map(made.breed, range(4)), strict=True))
    assert breeds == {
        "=pug/1.png": "=pug",
        "=pug/3.png": "=pug",
        "'+whippet/two\nlines.png": "greyhound",
        "'+whippet/é,;.png": "'+whippet",
    }
    rows = [before.paths.index(path) for path in made.paths]
    assert np.array_equal(made.features[:], before.features[rows])
    assert made.stamps is not None
    assert before.stamps is not None
    assert np.array_equal(made.stamps, before.stamps[rows])
    assert {edit.path for edit in made.edits if edit.removed} == {*REMOVED}


@pytest.mark.parametrize("name", ["new.h5", "new.dogsim"])
def test_a_new_dataset(
    made: Path, name: str, plan: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, before = photos.with_name(name), contents(photos)
    earlier = made.read_bytes() if made.is_file() else contents(made)
    result = dogsim_json("apply", plan, made, "-o", out)
    found = {name: result[name] for name in ("removed", "relabelled", "moved", "moves", "images")}
    assert found == {"removed": 3, "relabelled": 1, "moved": 0, "moves": [], "images": 4}
    check_applied(out, made)
    info = dogsim_json("info", out)
    assert (info["removed"], info["relabelled"]) == (3, 1)
    assert "removed          3\n" in dogsim("info", out).stdout
    monkeypatch.setenv("DOGSIM_DATASET", str(made))
    dogsim("apply", plan, "-o", out)  # its own output may be replaced
    check_applied(out, made)
    assert contents(photos) == before
    assert (made.read_bytes() if made.is_file() else contents(made)) == earlier
    assert (dogsim_json("info", made)["removed"], info["root"]) == (0, str(photos))


@pytest.mark.parametrize("name", ["new.h5", "new.dogsim"])
def test_an_update_does_not_undo_the_plan(
    made: Path, name: str, plan: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = photos.with_name(name)
    dogsim("apply", plan, made, "-o", out)
    update = update_dataset(photos, out)
    counts = (update.new, update.changed, update.kept, update.removed, update.skipped)
    assert counts == (0, 0, 4, 0, ())
    check_applied(out, made)
    said = capsys.readouterr().err
    assert "Left out images that dogsim apply removed: 3, such as '+whippet/5.png." in said
    assert "Kept labels that dogsim apply changed: 1" in said
    paint(photos / "=pug" / "6.png", 200)  # a new image, and a restart with another option
    for options in ({}, {"restart": True, "resize": "crop"}):
        update = update_dataset(photos, out, **options)  # type: ignore[arg-type]
        assert {*update.dataset.paths} == {*KEPT, "=pug/6.png"}
        assert "greyhound" in update.dataset.breeds
        assert len(update.dataset.edits) == 4
    forgotten = dogsim_json("create-dataset", photos, "-o", out, "--forget-edits")
    assert (forgotten["new"], forgotten["images"]) == (3, 8)
    assert Dataset.open(out).breeds == ("'+whippet", "=pug")
    assert update_dataset(photos, out).dataset.edits == ()


def test_edits_hold_in_a_moved_folder(
    dataset: Path, plan: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, moved = photos.with_name("new.h5"), photos.with_name("moved")
    dogsim("apply", plan, dataset, "-o", out)
    shutil.copytree(photos, moved, copy_function=shutil.copyfile)  # with other times
    update = update_dataset(moved, out)
    assert ({*update.dataset.paths}, update.kept) == ({*KEPT}, 4)
    assert "greyhound" in update.dataset.breeds
    assert "changed since" not in capsys.readouterr().err


def test_edits_hold_for_changed_files_with_a_message(
    dataset: Path, plan: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = photos.with_name("new.h5")
    dogsim("apply", plan, dataset, "-o", out)
    paint(photos / REMOVED[0], 250)
    paint(photos / "'+whippet/two\nlines.png", 251)
    update = update_dataset(photos, out)
    assert {*update.dataset.paths} == {*KEPT}
    said = capsys.readouterr().err
    assert "They have changed since, but stay left out: 1, such as =pug/2.png." in said
    assert "Their images have changed since, but they stay: 1" in said


def test_nothing_left(dataset: Path, photos: Path, tmp_path: Path) -> None:
    rows = [f"{path},remove" for path in ("'=pug/1.png", "'=pug/2.png")]
    plan = tmp_path / "plan.csv"
    plan.write_text("\n".join(["path,decision", *rows]))
    out = tmp_path / "new.h5"
    dogsim("apply", plan, dataset, "-o", out)
    for path in {*KEPT, *REMOVED} - {"=pug/1.png", "=pug/2.png"}:
        (photos / path).unlink()
    with pytest.raises(ValueError, match="removed all images .*--forget-edits"):
        update_dataset(photos, out)


def test_edits_survive_other_steps(dataset: Path, plan: Path, photos: Path) -> None:
    out = photos.with_name("new.h5")
    dogsim("apply", plan, dataset, "-o", out)
    edits = Dataset.open(out).edits
    assert len(edits) == 4
    for part in (Dataset.open(out).take([1, 2]), *hold_out(Dataset.open(out), 0.5, 0, least=1)):
        assert part.edits == edits
    Dataset.open(out).take([0]).save(other := photos.with_name("other.h5"))
    assert Dataset.open(other).edits == edits


def test_files_without_edits_open(dataset: Path, plan: Path, photos: Path) -> None:
    """As older versions wrote them."""
    out = photos.with_name("new.h5")
    with h5py.File(dataset) as file:
        assert "edits" not in file
    dogsim("apply", plan, dataset, "-o", out)
    with h5py.File(out, "r+") as file:
        for name in ("edits", "edited_paths", "edited_labels"):
            del file[name]
    assert Dataset.open(out).edits == ()


def test_a_dataset_that_is_not_updated_stays_so(dataset: Path, plan: Path, photos: Path) -> None:
    """Such as one of the official splits of Stanford Dogs."""
    Dataset.open(dataset).save(dataset, "stanford-dogs")
    out = photos.with_name("new.h5")
    for _ in range(2):
        dogsim("apply", plan, dataset, "-o", out)
    assert "not made by this command" in refusal("create-dataset", photos, "-o", out)
    again = photos.with_name("again.h5")
    dogsim("apply", plan, out, "-o", again)
    assert "not made by this command" in refusal("create-dataset", photos, "-o", again)


def test_refused_outputs(made: Path, plan: Path, photos: Path) -> None:
    before = made.read_bytes() if made.is_file() else contents(made)
    assert "also read by this command" in refusal("apply", plan, made, "-o", made)
    other = photos.with_name("other.h5")
    create_dataset(photos, other)
    assert "not made by this command" in refusal("apply", plan, made, "-o", other)
    shards = photos.with_name("other.dogsim")
    create_dataset(photos, shards)
    assert "not made by this command" in refusal("apply", plan, made, "-o", shards)
    dogsim("apply", plan, made, "-o", other, "--force")
    check_applied(other, made)
    assert (made.read_bytes() if made.is_file() else contents(made)) == before


@pytest.mark.usefixtures("in_folder")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "Received no dataset or no -o NEW.h5"),
        (("d.h5",), "Received no dataset or no -o NEW.h5"),
        (("d.h5", "-o", "n.h5", "--yes"), "Received --yes without --move-to DIR"),
        (("none.h5", "-o", "n.h5"), "There is no dataset file"),
    ],
)
def test_refused_options(
    dataset: Path,
    plan: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(dataset.parent)
    assert message in refusal("apply", plan, *options)
    assert "There is no table" in refusal("apply", "none.csv", "d.h5", "-o", "n.h5")
    assert not Path("n.h5").exists()


def apply_and_move(dataset: Path, plan: Path, folder: Path, *options: object) -> dict[str, Any]:
    out = dataset.with_name("new.h5")
    return dogsim_json("apply", plan, dataset, "-o", out, "--move-to", folder, *options)


@pytest.mark.parametrize("other_disk", [False, True])
def test_files_are_moved_and_moved_back(
    made: Path, plan: Path, photos: Path, tmp_path: Path, other_disk: bool
) -> None:
    if not other_disk:
        return check_moves(made, plan, photos, tmp_path / "removed")
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        check_moves(made, plan, photos, disk / "removed")
    return None


def check_moves(made: Path, plan: Path, photos: Path, folder: Path) -> None:
    before = contents(photos)
    pairs = [[str(photos / path), str(folder / path)] for path in REMOVED]
    shown = apply_and_move(made, plan, folder)
    assert (shown["moved"], sorted(shown["moves"])) == (0, sorted(pairs))
    assert contents(photos) == before
    assert not folder.exists()
    out = made.with_name("new.h5")
    printed = dogsim("apply", plan, made, "-o", out, "--move-to", folder)
    assert f"{pairs[0][0]} -> {pairs[0][1]}\n" in printed.stdout
    assert "No file was moved. --yes moves 3 files." in printed.stderr

    done = apply_and_move(made, plan, folder, "--yes")
    assert (done["moved"], sorted(done["moves"])) == (3, sorted(pairs))
    check_applied(out, made)
    assert contents(photos) == {path: before[path] for path in KEPT}
    moved = contents(folder)
    undo = folder / "undo.csv"
    assert moved.pop("undo.csv")
    assert moved == {path: before[path] for path in REMOVED}
    again = apply_and_move(made, plan, folder, "--yes")
    assert (again["moved"], again["moves"]) == (0, [])

    back = [pair[::-1] for pair in pairs]
    shown = dogsim_json("apply", undo)
    assert (shown["moved"], sorted(shown["moves"])) == (0, sorted(back))
    assert contents(photos) == {path: before[path] for path in KEPT}
    done = dogsim_json("apply", undo, "--yes")
    assert (done["moved"], sorted(done["moves"])) == (3, sorted(back))
    assert contents(photos) == before
    assert names(folder) == ["'+whippet", "=pug", "undo.csv"]
    assert dogsim_json("apply", undo, "--yes")["moved"] == 0
    assert apply_and_move(made, plan, folder, "--yes")["moved"] == 3  # and again


def test_undo_takes_no_other_options(dataset: Path, plan: Path, tmp_path: Path) -> None:
    apply_and_move(dataset, plan, tmp_path / "removed", "--yes")
    undo = tmp_path / "removed" / "undo.csv"
    for options in (("-o", tmp_path / "x.h5"), ("--move-to", tmp_path / "x")):
        assert "Expected --yes only" in refusal("apply", undo, *options)


def test_some_files_are_moved_back(dataset: Path, plan: Path, photos: Path) -> None:
    """The owner removes rows of the table; a second plan adds rows to it."""
    before, folder = contents(photos), photos.with_name("removed")
    apply_and_move(dataset, plan, folder, "--yes")
    undo = folder / "undo.csv"
    lines = undo.read_text("utf-8").splitlines()
    assert len(lines) == 4
    some = folder / "some.csv"
    some.write_text("\n".join([lines[0], *lines[2:]]), encoding="utf-8")
    assert dogsim_json("apply", some, "--yes")["moved"] == 2
    create_dataset(photos, second := photos.with_name("second.h5"))
    plan.write_text("path,decision\n'=pug/3.png,remove\n")
    apply_and_move(second, plan, folder, "--yes")
    assert dogsim_json("apply", undo, "--yes")["moved"] == 2
    assert contents(photos) == before


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_an_existing_name_is_refused_before_anything_is_moved(
    dataset: Path, plan: Path, photos: Path, kind: str
) -> None:
    before, folder = contents(photos), photos.with_name("removed")
    target = folder / REMOVED[2]
    target.parent.mkdir(parents=True)
    if kind == "file":
        shutil.copyfile(photos / REMOVED[2], target)  # even a copy is not ours
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to("nothing")
    for options in ((), ("--yes",)):
        command = ("apply", plan, dataset, "-o", photos.with_name("new.h5"), "--move-to", folder)
        assert f"{target} exists already. Nothing was moved" in refusal(*command, *options)
    assert contents(photos) == before
    assert names(folder) == ["'+whippet"]
    assert not photos.with_name("new.h5").exists()


def test_undo_refuses_an_existing_name(dataset: Path, plan: Path, photos: Path) -> None:
    folder = photos.with_name("removed")
    apply_and_move(dataset, plan, folder, "--yes")
    paint(photos / REMOVED[1], 99)
    before = contents(photos), contents(folder)
    assert f"{photos / REMOVED[1]} exists already" in refusal("apply", folder / "undo.csv", "--yes")
    assert (contents(photos), contents(folder)) == before


def test_changed_and_missing_files_are_refused(dataset: Path, plan: Path, photos: Path) -> None:
    options = ("-o", photos.with_name("new.h5"), "--move-to", photos.with_name("removed"), "--yes")
    command = ("apply", plan, dataset, *options)
    changed = photos / REMOVED[1]
    content = changed.read_bytes()
    changed.write_bytes(content[:-1] + b"!")
    assert f"{changed} has changed since the dataset was made" in refusal(*command)
    changed.unlink()
    assert f"There is no file {changed} any more" in refusal(*command)
    assert not photos.with_name("removed").exists()
    changed.write_bytes(content)  # the same content at another time
    assert dogsim_json(*command)["moved"] == 3


def test_files_without_stamps_are_refused(dataset: Path, plan: Path, photos: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        del file["stamps"]
    out = photos.with_name("new.h5")
    message = refusal("apply", plan, dataset, "-o", out, "--move-to", photos.with_name("removed"))
    assert "Expected a dataset of dogsim create-dataset" in message
    assert dogsim_json("apply", plan, dataset, "-o", out)["removed"] == 3
    shards = photos.with_name("new.dogsim")
    assert "-o NEW.h5" in refusal("apply", plan, dataset, "-o", shards)


@pytest.mark.parametrize("where", ["photos", "photos/new", "photos/=pug/x", "linked", "inside"])
def test_a_folder_among_the_images_is_refused(
    dataset: Path, plan: Path, photos: Path, where: str
) -> None:
    """The next create-dataset would find the images there; also through links."""
    photos.with_name("linked").symlink_to(photos)
    elsewhere = photos.with_name("elsewhere")
    (photos / "=pug").rename(elsewhere)
    (photos / "=pug").symlink_to(elsewhere)
    folder = elsewhere / "x" if where == "inside" else photos.parent / where
    out = photos.with_name("new.h5")
    message = refusal("apply", plan, dataset, "-o", out, "--move-to", folder)
    assert "inside the folder of images" in message
    above = dogsim_json("apply", plan, dataset, "-o", out, "--move-to", photos.parent / "removed")
    assert len(above["moves"]) == 3


def test_moved_images_need_their_root(dataset: Path, plan: Path, photos: Path) -> None:
    folder, moved = photos.with_name("removed"), photos.with_name("moved")
    photos.rename(moved)
    before = contents(moved)
    command = ("apply", plan, dataset, "-o", photos.with_name("new.h5"), "--move-to", folder)
    assert "--root names the present folder" in refusal(*command)
    assert dogsim_json(*command, "--root", moved, "--yes")["moved"] == 3
    assert dogsim_json("apply", folder / "undo.csv", "--yes")["moved"] == 3
    assert contents(moved) == before
    dogsim_json(*command, "--root", moved, "--yes")
    moved.rename(photos)
    assert "There is no folder" in refusal("apply", folder / "undo.csv")


def test_links_stay_in_place(photos: Path, plan: Path) -> None:
    """Only the link is in the folder: its file is elsewhere."""
    link, elsewhere = photos / REMOVED[0], photos.with_name("elsewhere.png")
    link.rename(elsewhere)
    link.symlink_to(elsewhere)
    create_dataset(photos, dataset := photos.with_name("d.h5"))
    folder, out = photos.with_name("removed"), photos.with_name("new.h5")
    done = dogsim("apply", plan, dataset, "-o", out, "--move-to", folder, "--yes")
    assert "because they are links to files elsewhere: 1, such as =pug/2.png." in done.stderr
    assert link.is_symlink()
    assert elsewhere.is_file()
    assert len(contents(folder)) == 3


def test_a_file_of_a_remaining_image_is_refused(dataset: Path, plan: Path, photos: Path) -> None:
    """Such as a copy that was replaced by a link to save space."""
    (photos / KEPT[0]).unlink()
    (photos / KEPT[0]).symlink_to(photos / REMOVED[0])
    command = ("apply", plan, dataset, "-o", photos.with_name("new.h5"), "--move-to")
    message = refusal(*command, photos.with_name("removed"), "--yes")
    assert f"{photos / REMOVED[0]} is also the file of {KEPT[0]}" in message
    assert not photos.with_name("removed").exists()


def test_files_deleted_by_their_owner_are_not_moved_back(
    dataset: Path, plan: Path, photos: Path
) -> None:
    folder = photos.with_name("removed")
    apply_and_move(dataset, plan, folder, "--yes")
    (folder / REMOVED[0]).unlink()
    done = dogsim("apply", folder / "undo.csv", "--yes", "--json")
    assert "Files that are in neither folder any more: 1" in done.stderr
    assert (photos / REMOVED[1]).is_file()


@pytest.mark.parametrize("which", ["photos", "removed"])
def test_a_read_only_folder_is_refused_before_anything_is_moved(
    dataset: Path, plan: Path, photos: Path, which: str
) -> None:
    before, folder = contents(photos), photos.with_name("removed")
    folder.mkdir()
    command = ("apply", plan, dataset, "-o", photos.with_name("new.h5"), "--move-to", folder)
    with read_only(photos.with_name(which)):
        assert "is read-only. Nothing was moved." in refusal(*command, "--yes")
    assert contents(photos) == before
    assert names(folder) == []
    apply_and_move(dataset, plan, folder, "--yes")
    with read_only(photos.with_name(which)):
        message = refusal("apply", folder / "undo.csv", "--yes")
        assert "read-only" in message or "Read-only" in message
    assert contents(photos) == {path: before[path] for path in KEPT}


def test_a_full_disk(photos: Path, plan: Path, tmp_path: Path) -> None:
    (photos / REMOVED[1]).write_bytes((photos / REMOVED[1]).read_bytes() + os.urandom(200_000))
    create_dataset(photos, dataset := tmp_path / "d.h5")
    before = contents(photos)
    command = ("apply", plan, dataset, "-o", tmp_path / "new.h5", "--move-to")
    with small_disk(tmp_path / "disk", 100_000) as disk:
        message = refusal(*command, disk / "removed", "--yes")
        assert "No space left on device. 1 of 3 files were moved. The same command" in message
        assert f"dogsim apply {disk / 'removed' / 'undo.csv'} --yes" in message
        assert len(contents(photos)) == 6
        assert dogsim_json("apply", disk / "removed" / "undo.csv", "--yes")["moved"] == 1
    assert contents(photos) == before


def test_a_plan_whose_path_leaves_the_folder(dataset: Path, tmp_path: Path) -> None:
    with h5py.File(dataset, "r+") as file:
        file["paths"][0] = "../elsewhere.png"
    plan = tmp_path / "plan.csv"
    plan.write_text("path,decision\n../elsewhere.png,remove\n")
    command = ("apply", plan, dataset, "-o", tmp_path / "new.h5", "--move-to", tmp_path / "x")
    assert "../elsewhere.png is not inside" in refusal(*command)
    for row in ("../a.png,/tmp", "/a.png,/tmp", "a.png,tmp", ",/tmp"):
        plan.write_text(f"path,from\n{row}\n")
        assert "Line 2 of" in refusal("apply", plan)


def test_a_second_run_waits_for_no_one(
    dataset: Path, plan: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock is held while files are moved."""
    folder = photos.with_name("removed")
    run = file_moves.FileMove.run

    def run_twice(move: file_moves.FileMove) -> None:
        assert "Another run is writing" in refusal("apply", folder / "undo.csv", "--yes")
        run(move)

    monkeypatch.setattr(file_moves.FileMove, "run", run_twice)
    assert apply_and_move(dataset, plan, folder, "--yes")["moved"] == 3


def test_incomplete_copies_of_killed_runs_are_removed(
    dataset: Path, plan: Path, photos: Path
) -> None:
    """Those of the recorded files only; both ways."""
    folder = photos.with_name("removed")
    apply_and_move(dataset, plan, folder, "--yes")
    remains = [root / "=pug" / ".2.png.123.tmp" for root in (photos, folder)]
    remains += [folder / ".undo.csv.5.tmp"]
    others = [root / "=pug" / name for root in (photos, folder) for name in (".9.png.1.tmp", ".2")]
    for command in (("apply", plan, dataset, "-o", dataset.with_name("new.h5")), ("apply",)):
        for file in (*remains, *others):
            file.write_bytes(b"half")
        last = ("--move-to", folder) if len(command) > 1 else (folder / "undo.csv",)
        dogsim(*command, *last, "--yes")
        assert [file.exists() for file in remains] == [False] * 3
        assert all(file.exists() for file in others)


@pytest.mark.skipif(os.name != "posix", reason="kills by a signal of POSIX")
@pytest.mark.parametrize(
    ("disks", "kills"),
    [
        ("two", 4),
        pytest.param("one", 50, marks=pytest.mark.slow),
        pytest.param("two", 50, marks=pytest.mark.slow),
    ],
)
def test_killed_while_files_are_moved(
    dataset: Path, plan: Path, photos: Path, disks: str, kills: int
) -> None:
    folder = photos.with_name("removed")
    killed = python(KILLED, photos, dataset, plan, folder, disks, kills)
    assert killed.returncode == 0, killed.stderr
    assert killed.stdout.splitlines()[-1].split()[0] == str(kills)
