"""Test feature extraction on a real cluster of three nodes while nodes and drivers are killed."""

import os
import signal
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from nodes import Command, Nodes, processes_with, wait_until
from PIL import Image

from dogsim import Dataset, create_dataset
from dogsim.folders.checkpoints import checkpoint_folder
from dogsim.storage.dataset_file import INDEX_NAME

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed"),
]

BREEDS, EACH = 4, 80
N_IMAGES = BREEDS * EACH
both = pytest.mark.parametrize("name", ["d.h5", "d.dogsim"])


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    cluster = Nodes()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for breed in range(BREEDS):
        (root / f"breed{breed}").mkdir()
        for i in range(EACH):
            pixels = rng.integers(0, 255, (24, 24, 3), np.uint8)
            Image.fromarray(pixels).save(root / f"breed{breed}" / f"{i}.png")
    (root / "breed0" / "broken.png").write_text("no image")
    return root


@pytest.fixture(scope="module")
def alone(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return the dataset that one machine creates."""
    return create_dataset(photos, tmp_path_factory.mktemp("alone") / "d.h5")


def same(file: Path, expected: Dataset) -> None:
    made = Dataset.open(file)
    for name in ("paths", "breeds", "recipe", "root"):
        assert getattr(made, name) == getattr(expected, name)
    assert (made.labels == expected.labels).all()
    np.testing.assert_array_equal(made.stamps, expected.stamps)
    scale = np.abs(expected.features).max()
    np.testing.assert_allclose(made.features, expected.features, atol=2e-2 * scale)
    used = {table.file for table in getattr(made.features, "tables", ())}
    assert {each.name for each in shards(file)} == used  # a dataset file leaves no shard


def finished(file: Path) -> bool:
    return (file / INDEX_NAME if file.suffix == ".dogsim" else file).exists()


def shards(file: Path) -> list[Path]:
    return list(checkpoint_folder(file).glob("[0-9]*.h5"))


@both
def test_a_cluster_creates_the_same_dataset_as_one_machine(
    nodes: Nodes, photos: Path, alone: Dataset, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    made = Command("create-dataset", photos, "-o", out, "--cluster", nodes.address).answer()
    assert (made["new"], made["kept"]) == (N_IMAGES, 0)
    assert [each["path"] for each in made["skipped"]] == ["breed0/broken.png"]
    same(out, alone)


@both
def test_a_node_that_is_killed_costs_seconds(
    nodes: Nodes, photos: Path, alone: Dataset, tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    run = Command("create-dataset", photos, "-o", out, "--cluster", nodes.address)
    wait_until(lambda: len(shards(out)) >= 4)
    began = time.monotonic()
    nodes.kill_one()
    assert run.answer()["new"] == N_IMAGES
    assert time.monotonic() - began < 60
    nodes.mend()
    same(out, alone)


def test_workers_that_wait_for_cpus_are_reported(
    nodes: Nodes, photos: Path, alone: Dataset, tmp_path: Path
) -> None:
    out = tmp_path / "d.h5"
    with nodes.occupied():
        run = Command("create-dataset", photos, "-o", out, "--cluster", nodes.address)
        assert run.process.stderr
        assert any("Waiting for workers" in line for line in run.process.stderr)
    assert run.answer()["new"] == N_IMAGES
    same(out, alone)


@pytest.mark.parametrize(
    "moment",
    [
        *(1, 14),
        *(pytest.param(moment, marks=pytest.mark.release) for moment in (0, 7, 20)),
    ],
)
@both
def test_a_killed_driver_loses_no_finished_shard(
    nodes: Nodes, photos: Path, alone: Dataset, tmp_path: Path, name: str, moment: int
) -> None:
    """Kill it at the start, during the run, and before the file is written."""
    out = tmp_path / name
    arguments = ("create-dataset", photos, "-o", out, "--cluster", nodes.address)
    run = Command(*arguments)
    wait_until(lambda: checkpoint_folder(out).exists() and len(shards(out)) >= moment)
    run.kill()
    done, whole = sum(len(Dataset.open(file)) for file in shards(out)), finished(out)
    made = Command(*arguments).answer()
    assert made["kept"] + made["new"] == N_IMAGES
    if not whole:
        assert made["new"] <= N_IMAGES - done
    same(out, alone)


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_stop_leaves_no_process_behind(
    photos: Path,
    alone: Dataset,
    tmp_path: Path,
    number: int,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    mark = f"DOGSIM_TEST_MARK=of-{os.getpid()}-{number}"
    monkeypatch.setenv(*mark.split("="))
    out = tmp_path / "d.h5"
    run = Command("create-dataset", photos, "-o", out, "--cluster")
    wait_until(lambda: len(shards(out)) >= 3)
    run.stop(number)
    code, stdout, stderr = run.ended()
    assert code == status
    if number != signal.SIGKILL:
        assert "run the same command again to continue" in stderr.splitlines()[-1], stderr
        assert stdout == ""
    wait_until(lambda: processes_with(mark) == [], 90)  # Ray detects that the driver was killed
    monkeypatch.delenv("DOGSIM_TEST_MARK")
    create_dataset(photos, out)
    same(out, alone)
