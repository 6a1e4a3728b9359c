"""What a worker does on its node, called as Ray calls it; none of it needs Ray."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sharded import sharded

from dogsim import Dataset, DogsimError, __version__
from dogsim.cluster.extraction import _ExtractionWorker
from dogsim.cluster.search import _FeatureRows, _SearchWorker
from dogsim.dist_calc import nearest
from dogsim.folders.listing import list_images


@pytest.fixture
def worker(stored: Path, tmp_path: Path) -> Any:
    made = Dataset.open(stored)
    sign = tmp_path / ".sign.tmp"
    sign.touch()
    return _ExtractionWorker(Path(made.root), tmp_path, sign, made.recipe, 2)  # type: ignore[arg-type]


def test_a_worker_writes_shards_that_never_collide(worker: Any, stored: Path) -> None:
    worker.ready(__version__)
    pictures = list_images(worker.root).images
    done = [worker.shards(pictures), worker.shards(pictures)]  # as two that took it for lost
    files = [file for each in done for file in each.files]
    assert len({*files}) == 2
    assert [len(each) for each in done] == [len(pictures)] * 2
    expected = Dataset.open(stored)
    for file in files:
        assert Dataset.open(file).paths == expected.paths
        np.testing.assert_allclose(Dataset.open(file).features, expected.features, rtol=0.02)


def test_a_node_that_cannot_work_says_so(worker: Any, tmp_path: Path) -> None:
    with pytest.raises(DogsimError, match=r"This node has dogsim .* Expected 9\.9"):
        worker.ready("9.9")
    worker.recipe = replace(worker.recipe, weights_sha256="0" * 64)
    with pytest.raises(DogsimError, match="a network of this node with weights_sha256"):
        worker.ready(__version__)
    worker.root = tmp_path / "gone"
    with pytest.raises(DogsimError, match="cannot see .*gone"):
        worker.ready(__version__)
    worker.marker.unlink()
    with pytest.raises(DogsimError, match="file system that all nodes share"):
        worker.ready(__version__)


def test_a_dataset_that_was_replaced_is_seen(stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "d.h5"
    file.write_bytes(stored.read_bytes())
    rows = _FeatureRows.of(Dataset.open(file))
    np.testing.assert_array_equal(rows.map(), Dataset.open(stored).features)
    with pytest.raises(DogsimError, match="was replaced"):
        replace(rows, mtime_ns=1).map()
    file.unlink()
    with pytest.raises(DogsimError, match="cannot see"):
        rows.map()


def test_a_folder_is_searched_by_ranges_of_rows(four: Dataset, tmp_path: Path) -> None:
    rows = _FeatureRows.of(Dataset.open(sharded(four, tmp_path / "d.dogsim", 2)))
    assert len(pickle.dumps(rows)) < 1000  # however many shards there are
    worker = _SearchWorker(rows)
    worker.ready(__version__)
    for first, last in ((0, 4), (1, 3), (2, 3)):
        found = worker.nearest(first, last, four.features, 1, "euclidean")
        expected = nearest(four.features[first:last], four.features, 1)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1] + first)
    with pytest.raises(DogsimError, match="not stored in a file"):
        _FeatureRows.of(replace(four, features=np.asarray(four.features)))
