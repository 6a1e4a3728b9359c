"""A search on a real cluster of three nodes finds what one machine finds, bit for bit."""

import json
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from commands import dogsim, refusal
from nodes import Command, Nodes
from sharded import sharded

from dogsim import Dataset, DogsimError
from dogsim.cluster.search import merged, spread
from dogsim.dist_calc import METRICS, mink, nearest

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")


def crowd(n: int, d: int = 16) -> Dataset:
    """Pictures of which many are equally near: small whole numbers, and copies."""
    rng = np.random.default_rng(n)
    features = rng.integers(1, 4, (n, d)).astype(np.float32)
    features[n // 2 :: 7] = features[0]
    paths = tuple(f"b{i % 5}/{i}.jpg" for i in range(n))
    return Dataset(
        features, np.arange(n, dtype=np.int32) % 5, paths, tuple(f"b{i}" for i in range(5))
    )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("parts", [1, 2, 3, 40])
def test_parts_are_merged_to_what_the_whole_gives(metric: str, parts: int) -> None:
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
        for one, other in zip(merged(found, k, exclude), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_ties_go_to_the_lower_row_across_parts() -> None:
    near = np.array([[1.0, 1.0]]), np.array([[3, 7]])
    far = np.array([[0.0, 1.0]]), np.array([[9, 10]])
    assert merged([near, far], 4)[1].tolist() == [[9, 3, 7, 10]]
    assert mink([1, 1, 0, 1], 4)[1].tolist() == [2, 0, 1, 3]


def test_who_searches_is_asked_by_all_that_seeks(four: Dataset, tmp_path: Path) -> None:
    four.save(tmp_path / "d.h5")
    dataset = Dataset.open(tmp_path / "d.h5")
    with spread(dataset, "local") as known:  # it is joined when something is sought
        assert known.search
        assert known.take([0, 1]).search is None
        known.save(tmp_path / "again.h5")
        with pytest.raises(DogsimError, match="k=9"):
            nearest(known, [[0.0]], 9)
        with pytest.raises(DogsimError, match="NaN"):
            nearest(known, [[np.nan]], 1)
    assert Dataset.open(tmp_path / "again.h5").paths == four.paths


def test_features_in_memory_cannot_be_spread(four: Dataset) -> None:
    with pytest.raises(DogsimError, match=r"Expected a dataset file"), spread(four, "local"):
        pass


def test_a_search_where_nobody_answers(four: Dataset, tmp_path: Path) -> None:
    four.save(tmp_path / "d.h5")
    told = refusal("accuracy", "--dataset", tmp_path / "d.h5", "-k", 1, "--cluster", "127.0.0.1:9")
    assert "Nobody answers" in told


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


@needs_ray
@pytest.mark.slow
def test_commands_answer_alike(nodes: Nodes, stored_crowd: Path) -> None:
    judge = ("accuracy", "--dataset", stored_crowd, "--k", 20, "--map-at-r", "--per-breed")
    others = (*judge, "--protocol", "matlab"), ("audit", stored_crowd)
    for command in (judge, *(others if stored_crowd.is_file() else ())):
        expected = json.loads(dogsim(*command, "--json").stdout)
        assert Command(*command, "--cluster", nodes.address).answer() == expected


@needs_ray
@pytest.mark.slow
def test_a_search_survives_a_node_and_errors(nodes: Nodes, stored_crowd: Path) -> None:
    dataset = Dataset.open(stored_crowd)
    own = np.arange(len(dataset))
    with spread(dataset, nodes.address) as known:
        for metric in METRICS:
            few = slice(0, None, 1 if metric in ("euclidean", "cosine") else 20)
            asked = dataset.features[few], 20, metric, own[few]
            expected = nearest(dataset, *asked)
            for one, other in zip(nearest(known, *asked), expected, strict=True):
                np.testing.assert_array_equal(one, other)
            if metric == "euclidean":
                began = time.monotonic()
                nodes.kill_one()
            if metric == "sqeuclidean":
                assert time.monotonic() - began < 60
    nodes.mend()


@needs_ray
@pytest.mark.slow
def test_a_dataset_that_a_worker_finds_wrong(nodes: Nodes, tmp_path: Path) -> None:
    dataset = crowd(100)
    dataset.features[70] = 0
    dataset.save(tmp_path / "d.h5")
    with spread(Dataset.open(tmp_path / "d.h5"), nodes.address) as known:
        for _ in range(2):  # and it goes on afterwards
            with pytest.raises(DogsimError, match="In the rows from 66 to 99: Row 4 .* is all zer"):
                nearest(known, dataset.features[:1], 3, "cosine")
            assert nearest(known, dataset.features[:1], 3)[0][0, 0] == 0
