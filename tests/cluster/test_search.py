"""Test that a cluster of three nodes finds the same neighbours as one machine, bit for bit."""

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest
from commands import dogsim, refusal
from nodes import Command, Nodes, processes_with, wait_until
from sharded import sharded

from dogsim import Dataset, DogsimError
from dogsim.cluster.search import (
    _ClusterSearch,
    _FeatureRows,
    _SearchWorker,
    merge_neighbours,
    search_on,
)
from dogsim.dist_calc import METRICS, mink, nearest

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


def crowd(n: int, d: int = 16) -> Dataset:
    """Return a dataset with many ties: small whole numbers, and copies."""
    rng = np.random.default_rng(n)
    features = rng.integers(1, 4, (n, d)).astype(np.float32)
    features[n // 2 :: 7] = features[0]
    paths = tuple(f"b{i % 5}/{i}.jpg" for i in range(n))
    return Dataset(
        features, np.arange(n, dtype=np.int32) % 5, paths, tuple(f"b{i}" for i in range(5))
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("parts", [1, 2, 3, 40])
def test_merged_parts_equal_a_search_of_all_rows(metric: str, parts: int) -> None:
    dataset, k = crowd(300), 9
    own = np.arange(300)
    bounds = np.linspace(0, 300, parts + 1).astype(int)
    for exclude in (None, own):
        found = []
        for first, last in pairwise(bounds):
            more = min(k + (exclude is not None), last - first)
            some = nearest(dataset.features[first:last], dataset.features, more, metric)
            found.append((some[0], some[1] + first))
        expected = nearest(dataset, dataset, k, metric, exclude)
        for one, other in zip(merge_neighbours(found, k, exclude), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_ties_go_to_the_lower_row_across_parts() -> None:
    near = np.array([[1.0, 1.0]]), np.array([[3, 7]])
    far = np.array([[0.0, 1.0]]), np.array([[9, 10]])
    assert merge_neighbours([near, far], 4)[1].tolist() == [[9, 3, 7, 10]]
    assert mink([1, 1, 0, 1], 4)[1].tolist() == [2, 0, 1, 3]


@pytest.mark.extra
@needs_ray
def test_all_functions_use_the_search_of_the_dataset(four: Dataset, tmp_path: Path) -> None:
    four.save(tmp_path / "d.h5")
    dataset = Dataset.open(tmp_path / "d.h5")
    with search_on(dataset, "local") as known:  # it connects at the first search
        assert known.search
        assert known.take([0, 1]).search is None
        known.save(tmp_path / "again.h5")
        with pytest.raises(DogsimError, match="k=9"):
            nearest(known, [[0.0]], 9)
        with pytest.raises(DogsimError, match="NaN"):
            nearest(known, [[np.nan]], 1)
    assert Dataset.open(tmp_path / "again.h5").paths == four.paths


@pytest.mark.extra
@needs_ray
def test_features_in_memory_are_rejected(four: Dataset) -> None:
    with pytest.raises(DogsimError, match=r"Expected a dataset file"), search_on(four, "local"):
        pass


@pytest.mark.extra
@needs_ray
def test_a_search_without_a_cluster(four: Dataset, tmp_path: Path) -> None:
    four.save(tmp_path / "d.h5")
    message = refusal(
        "accuracy", "--dataset", tmp_path / "d.h5", "-k", 1, "--cluster", "127.0.0.1:9"
    )
    assert "No cluster answers" in message


class SlowWorkers:
    """Slow workers in this process that compute one call at a time."""

    def __init__(self, rows: Any, seconds: float) -> None:
        self.worker, self.seconds, self.busy = _SearchWorker(rows), seconds, False

    def __len__(self) -> int:
        return 3

    def results(self, _: str, items: Any, per_worker: int) -> Iterator[tuple[int, Any]]:
        assert not self.busy
        self.busy = True
        time.sleep(self.seconds)
        yield from enumerate(self.worker.nearest(*item) for item in items)
        self.busy = False


@pytest.mark.extra
@needs_ray
def test_threads_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A single query does not wait for all queries of another thread."""
    crowd(300).save(tmp_path / "d.h5")
    dataset = Dataset.open(tmp_path / "d.h5")
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(put=lambda queries: queries))
    monkeypatch.setattr(_ClusterSearch, "workers", SlowWorkers(_FeatureRows.of(dataset), 0.02))
    with search_on(dataset, "local", 100 * 10) as known, ThreadPoolExecutor() as threads:
        long = threads.submit(nearest, known, dataset.features, 5)
        time.sleep(0.05)
        for row in range(5):
            found = nearest(known, dataset.features[row], 5)
            np.testing.assert_array_equal(found, nearest(dataset, dataset.features[row], 5))
        assert not long.done()
        np.testing.assert_array_equal(long.result(), nearest(dataset, dataset.features, 5))


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    cluster = Nodes()
    yield cluster
    cluster.close()


@pytest.fixture(scope="module", params=["d.h5", "d.dogsim"])
def stored_crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place: Path = tmp_path_factory.mktemp("crowd") / request.param
    if place.suffix == ".dogsim":
        return sharded(crowd(3000, 64), place)
    crowd(3000, 64).save(place)
    return place


@pytest.mark.extra
@needs_ray
@pytest.mark.slow
def test_commands_print_the_same(nodes: Nodes, stored_crowd: Path) -> None:
    judge = ("accuracy", "--dataset", stored_crowd, "--k", 20, "--map-at-r", "--per-breed")
    others = (*judge, "--protocol", "matlab"), ("audit", stored_crowd)
    for command in (judge, *(others if stored_crowd.is_file() else ())):
        expected = json.loads(dogsim(*command, "--json").stdout)
        assert Command(*command, "--cluster", nodes.address).answer() == expected


@pytest.mark.extra
@needs_ray
@pytest.mark.slow
def test_a_search_survives_a_node_and_errors(nodes: Nodes, stored_crowd: Path) -> None:
    dataset = Dataset.open(stored_crowd)
    own = np.arange(len(dataset))
    with search_on(dataset, nodes.address) as known:
        for metric in METRICS:
            few = slice(0, None, 1 if metric in ("euclidean", "cosine") else 20)
            arguments = dataset.features[few], 20, metric, own[few]
            expected = nearest(dataset, *arguments)
            for one, other in zip(nearest(known, *arguments), expected, strict=True):
                np.testing.assert_array_equal(one, other)
            if metric == "euclidean":
                began = time.monotonic()
                nodes.kill_one()
            if metric == "sqeuclidean":
                assert time.monotonic() - began < 60
    nodes.mend()


@pytest.mark.extra
@needs_ray
@pytest.mark.slow
def test_an_error_of_a_worker(nodes: Nodes, tmp_path: Path) -> None:
    dataset = crowd(100)
    dataset.features[70] = 0
    dataset.save(tmp_path / "d.h5")
    with search_on(Dataset.open(tmp_path / "d.h5"), nodes.address) as known:
        for _ in range(2):  # the cluster still works after the error
            with pytest.raises(DogsimError, match="In the rows from 66 to 99: Row 4 .* all zeros"):
                nearest(known, dataset.features[:1], 3, "cosine")
            assert nearest(known, dataset.features[:1], 3)[0][0, 0] == 0


@pytest.mark.extra
@needs_ray
@pytest.mark.slow
def test_images_are_classified_the_same(nodes: Nodes, stored: Path, breeds_dir: Path) -> None:
    of = ("classify", breeds_dir, "-k", 3, "--dataset", stored, "--keep-self")
    expected = json.loads(dogsim(*of, "--json").stdout)
    assert len(expected["results"]) == 6
    assert Command(*of, "--cluster", nodes.address).answer() == expected


@pytest.mark.extra
@needs_ray
@pytest.mark.slow
def test_a_page_on_a_local_cluster(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_AUTH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    mark = f"DOGSIM_TEST_MARK=page-{os.getpid()}"
    monkeypatch.setenv(*mark.split("="))
    page = Command("serve", "--dataset", stored, "--port", 0, "--cluster")
    assert page.process.stdout
    address = json.loads(page.process.stdout.readline())["address"]
    with urlopen(f"{address}/api/answer?row=4&k=3", timeout=60) as answered:
        answer = json.load(answered)
    dataset = Dataset.open(stored)
    distances, rows = nearest(dataset, dataset.features[4:5], 3, exclude=[4])
    assert [each["row"] for each in answer["neighbours"]] == rows[0].tolist()
    assert [each["distance"] for each in answer["neighbours"]] == distances[0].tolist()
    page.stop(signal.SIGINT)
    assert page.ended()[0] == 130
    wait_until(lambda: processes_with(mark) == [], 30)
