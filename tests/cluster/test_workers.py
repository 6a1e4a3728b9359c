"""Test the methods of the workers, called like Ray calls them; no test needs Ray."""

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
    marker = tmp_path / ".marker.tmp"
    marker.touch()
    return _ExtractionWorker(Path(made.root), tmp_path, marker, made.recipe, 2)  # type: ignore[arg-type]


def test_shards_of_workers_have_unique_names(worker: Any, stored: Path) -> None:
    worker.ready(__version__)
    images = list_images(worker.root).images
    done = [worker.shards(images), worker.shards(images)]  # like two workers with the same item
    files = [file for each in done for file in each.files]
    assert len({*files}) == 2
    assert [len(each) for each in done] == [len(images)] * 2
    expected = Dataset.open(stored)
    for file in files:
        assert Dataset.open(file).paths == expected.paths
        np.testing.assert_allclose(Dataset.open(file).features, expected.features, rtol=0.02)


def test_a_node_that_cannot_work_is_reported(worker: Any, tmp_path: Path) -> None:
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


def test_a_replaced_dataset_is_reported(stored: Path, tmp_path: Path) -> None:
    file = tmp_path / "d.h5"
    file.write_bytes(stored.read_bytes())
    rows = _FeatureRows.of(Dataset.open(file))
    np.testing.assert_array_equal(rows.map(), Dataset.open(stored).features)
    with pytest.raises(DogsimError, match="was replaced"):
        replace(rows, mtime_ns=1).map()
    file.unlink()
    with pytest.raises(DogsimError, match="cannot see"):
        rows.map()


def test_a_folder_of_shards_is_searched_in_ranges(four: Dataset, tmp_path: Path) -> None:
    rows = _FeatureRows.of(Dataset.open(sharded(four, tmp_path / "d.dogsim", 2)))
    assert len(pickle.dumps(rows)) < 1000  # independent of the number of shards
    worker = _SearchWorker(rows)
    worker.ready(__version__)
    for first, last in ((0, 4), (1, 3), (2, 3)):
        found = worker.nearest(first, last, four.features, 1, "euclidean")
        expected = nearest(four.features[first:last], four.features, 1)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1] + first)
    with pytest.raises(DogsimError, match="not stored in a file"):
        _FeatureRows.of(replace(four, features=np.asarray(four.features)))
