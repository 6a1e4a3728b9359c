"""Test creating a dataset: runs that are killed and continued, and updates."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import dogsim_json, refusal
from mean_colours import SEAM
from PIL import Image

from dogsim.create_dataset import bring_up_to_date
from dogsim.dataset import Dataset
from dogsim.folders import extraction
from dogsim.folders.checkpoints import checkpoint_folder
from dogsim.folders.extraction import ShardResult, compute_shards
from dogsim.folders.resumable import ResumableRun
from dogsim.folders.run_options import RunOptions
from dogsim.networks.extractor import NetworkOptions

pytestmark = pytest.mark.skipif(os.name != "posix", reason="kills by signals of POSIX")

RUN = Path(__file__).with_name("killable_run.py")
N_IMAGES = 150
SHARD_IMAGES = 16


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    rng = np.random.default_rng(0)
    for i in range(N_IMAGES):
        folder = root / f"breed_{i % 7}"
        folder.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), np.uint8)).save(folder / f"{i}.png")
    (root / "breed_0" / "broken.jpg").write_text("no image")
    return root


def start(where: str, number: int, root: Path, out: Path, *options: str) -> Any:
    """Run the command in another process, which can be stopped."""
    command = [sys.executable, str(RUN), where, str(number), str(root), str(out), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(root: Path, out: Path, *options: str, code: int = 0) -> dict[str, Any]:
    """Run the command in this process, with the network and shards of killable_run.py."""
    command = ("create-dataset", root, "-o", out, "--batch-size", 4, *options)
    with pytest.MonkeyPatch.context() as patch:
        for name, method in SEAM.items():
            patch.setattr(NetworkOptions, name, method)
        patch.setattr(extraction, "SHARD_IMAGES", SHARD_IMAGES)
        return {"error": refusal(*command)} if code else dogsim_json(*command)


def wait_until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120  # a shared machine may be slow
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def shards(out: Path) -> set[str]:
    return {file.name for file in checkpoint_folder(out).glob("*.h5")}


def at_work_or_done(process: Any, out: Path, before: set[str]) -> bool:
    return shards(out) != before or process.poll() is not None


@pytest.fixture(scope="module")
def reference(many: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("whole") / "d.h5"
    result = run(many, out)
    assert (result["new"], result["images"]) == (N_IMAGES, N_IMAGES)
    assert result["skipped"] == [
        {
            "path": "breed_0/broken.jpg",
            "reason": "its content is of no known image format",
        }
    ]
    return Dataset.open(out)


def check_same(out: Path, expected: Dataset) -> None:
    made = Dataset.open(out)
    assert made.paths == expected.paths
    assert len(set(made.paths)) == len(made.paths)
    assert np.array_equal(made.labels, expected.labels)
    assert (made.breeds, made.recipe, made.root) == (
        expected.breeds,
        expected.recipe,
        expected.root,
    )
    np.testing.assert_allclose(made.features, expected.features, rtol=1e-6)
    assert made.stamps is not None
    assert expected.stamps is not None
    assert np.array_equal(made.stamps, expected.stamps)
    left = {path.name for path in out.parent.iterdir()}
    assert left == {out.name, f"{out.name}.skipped.csv"}


@pytest.mark.parametrize("wanted", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments(
    wanted: int, many: Path, reference: Dataset, tmp_path: Path
) -> None:
    dice, kills, at_work, out = random.Random(7), 0, 0, tmp_path / "d.h5"
    for _ in range(60 + 2 * wanted):  # some runs end before they are killed
        before = shards(out)
        process = start("nowhere", 0, many, out, "--batch-size", "4", "--json")
        try:
            if dice.random() < 0.8:  # otherwise during the start
                wait_until(partial(at_work_or_done, process, out, before))
            process.communicate(timeout=dice.uniform(0, 0.4))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills += 1
            if out.exists():
                assert Dataset.open(out).paths == reference.paths  # always complete
            at_work += shards(out) > before
        else:
            assert process.returncode == 0
            check_same(out, reference)
            out.unlink()  # start again
        if kills >= wanted:
            break
    assert kills >= wanted
    assert at_work >= wanted / 4  # enough runs were killed at work
    run(many, out)
    check_same(out, reference)


WORST = ("write", "closed", "fsync", "before replace", "after replace", "before clean-up")


@pytest.mark.parametrize(
    ("where", "name"),
    [
        ("before replace", "d.h5"),
        *(
            pytest.param(where, "d.h5", marks=pytest.mark.slow)
            for where in WORST
            if where != "before replace"
        ),
        *(pytest.param(where, "d.dogsim", marks=pytest.mark.slow) for where in WORST[3:]),
    ],
)
def test_killed_at_critical_moments(
    where: str, name: str, many: Path, reference: Dataset, tmp_path: Path
) -> None:
    out, killed = tmp_path / name, 0
    for number in (0, 3, 8, 11, 40):
        process = start(where, number, many, out, "--batch-size", "4")
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 1
    run(many, out)
    check_same(out, reference)


def test_a_resumed_run_computes_only_what_is_missing(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    start("before replace", 4, many, out, "--batch-size", "4").communicate()
    result = run(many, out)
    done = 4 * SHARD_IMAGES - 1  # four shards; the broken image is in the first
    assert (result["kept"], result["new"]) == (done, N_IMAGES - done)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_explains_how_to_continue(
    number: int, code: int, many: Path, tmp_path: Path
) -> None:
    out = tmp_path / "d.h5"
    process = start("nowhere", 0, many, out, "--batch-size", "1")
    wait_until(lambda: any(checkpoint_folder(out).glob("*.h5")))
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert process.returncode == code
    assert stdout == ""
    assert "Traceback" not in stderr
    last = stderr.splitlines()[-1]
    assert last.startswith("dogsim: Stopped. The features of ")
    assert last.endswith("run the same command again to continue.")


def test_a_second_run_is_rejected(many: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    first = start("nowhere", 0, many, out, "--batch-size", "1")
    wait_until(checkpoint_folder(out).is_dir)
    first.send_signal(signal.SIGSTOP)  # keep it running until the second one begins
    assert "Another run is writing" in run(many, out, code=1)["error"]
    first.kill()
    first.communicate()
    run(many, out)  # the lock died with its process


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "photos"
    for name in ("pug/1.png", "pug/2.png", "whippet/1.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 9), (len(name), 40, 90)).save(root / name)
    return root


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    return tuple(result[name] for name in ("new", "changed", "kept", "removed"))


def test_update(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    assert counts(run(photos, out)) == (3, 0, 0, 0)
    unchanged = out.stat().st_mtime_ns
    assert counts(run(photos, out)) == (0, 0, 3, 0)
    assert out.stat().st_mtime_ns == unchanged

    Image.new("RGB", (9, 9), "white").save(photos / "pug" / "1.png")
    (photos / "whippet" / "1.png").unlink()
    (photos / "borzoi").mkdir()
    Image.new("RGB", (9, 9), "blue").save(photos / "borzoi" / "1.png")
    assert counts(run(photos, out)) == (1, 1, 1, 1)
    made = Dataset.open(out)
    assert made.paths == ("borzoi/1.png", "pug/1.png", "pug/2.png")
    assert made.breeds == ("borzoi", "pug")
    assert made.labels.tolist() == [0, 1, 1]
    assert made.features[:2].tolist() == [[0, 0, 255], [255, 255, 255]]


def test_verify_compares_the_content(photos: Path, tmp_path: Path) -> None:
    out, image = tmp_path / "d.h5", photos / "pug" / "1.png"
    run(photos, out)
    before = image.stat()
    content = bytearray(image.read_bytes())
    Image.new("RGB", (9, 9), (200, 200, 200)).save(image)
    changed = image.read_bytes().ljust(len(content), b"\0")
    image.write_bytes(changed[: max(len(content), len(changed))])
    os.utime(image, ns=(before.st_atime_ns, before.st_mtime_ns))
    if image.stat().st_size == before.st_size:
        assert counts(run(photos, out)) == (0, 0, 3, 0)  # size and time are equal
    assert counts(run(photos, out, "--verify")) == (0, 1, 2, 0)
    os.utime(image)  # another time, the same content
    assert counts(run(photos, out, "--verify")) == (0, 0, 3, 0)
    assert counts(run(photos, out)) == (0, 0, 3, 0)  # the new time is stored now


def test_another_recipe_needs_restart(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    run(photos, out)
    error = run(photos, out, "--resize", "crop", code=1)["error"]
    assert "resize=crop" in error
    assert "--restart" in error
    assert counts(run(photos, out, "--resize", "crop", "--restart")) == (3, 0, 0, 0)
    Dataset(np.eye(1, dtype=np.float32), np.zeros(1, np.int32), ("a",), ("b",)).save(out)
    for options in ((), ("--restart",)):
        assert "was not made by this command" in run(photos, out, *options, code=1)["error"]
    assert len(Dataset.open(out)) == 1
    assert run(photos, out, "--force")["images"] == 3


def test_views_are_part_of_the_recipe(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    plain = run(photos, out)
    assert plain["views"] == "none"
    assert (
        "Received this command with views=flip."
        in run(photos, out, "--views", "flip", code=1)["error"]
    )
    assert counts(run(photos, out, "--views", "flip", "--restart")) == (3, 0, 0, 0)
    assert run(photos, out)["views"] == "flip"  # the default is that of the file
    assert counts(run(photos, out)) == (0, 0, 3, 0)
    lengths = np.linalg.norm(Dataset.open(out).features, axis=1)
    assert (lengths < 1 + 1e-6).all()
    with h5py.File(out, "a") as file:  # an older file has no such attribute
        del file.attrs["views"]
    assert getattr(Dataset.open(out).recipe, "views", "") == "none"


def test_moved_images_keep_their_features(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    run(photos, out)
    moved = photos.rename(tmp_path / "moved")
    assert counts(run(moved, out)) == (0, 0, 3, 0)
    assert Dataset.open(out).root == str(moved)


def test_strict_stops_at_the_first_unreadable_file(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "d.h5"
    (photos / "pug" / "0.jpg").write_text("no image")
    assert "0.jpg" in run(photos, out, "--strict", code=1)["error"]
    assert not out.exists()
    for image in photos.rglob("*.png"):
        image.write_text("no image")
    assert "can be read (4 files)" in run(photos, out, code=1)["error"]


def test_disk_full(many: Path, reference: Dataset, tmp_path: Path) -> None:
    import resource

    out = tmp_path / "d.h5"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A shard of 16 images fits, the whole dataset does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        error = run(many, out, "--batch-size", "4", code=1)["error"]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "Cannot write" in error
    assert "File too large" in error
    assert "run the same command again to continue" in error
    assert not out.exists()
    result = run(many, out)
    assert result["kept"] == N_IMAGES
    check_same(out, reference)


def test_an_interrupted_computation_is_closed_before_the_error_is_reported(
    breeds_dir: Path, colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its progress bar would else be printed below the message, and its workers run on."""
    events: list[str] = []

    def compute(*arguments: Any) -> Generator[ShardResult, None, None]:
        try:
            yield from compute_shards(*arguments)
        finally:
            events.append("closed")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ResumableRun, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        try:
            options = NetworkOptions(weights=colours)
            bring_up_to_date(breeds_dir, tmp_path / "d.h5", options, RunOptions(), compute)
        except KeyboardInterrupt:
            events.append("reported")
            raise
    assert events == ["closed", "reported"]
