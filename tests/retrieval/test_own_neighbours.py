"""The cached neighbours of a dataset's own images are those of `nearest`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import cloud

from dogsim import DogsimError, nearest
from dogsim.retrieval import own_neighbours as module
from dogsim.retrieval.own_neighbours import own_neighbours, rows_with_direction


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr("dogsim.plumbing.cache.cache_folder", lambda: tmp_path)
    return tmp_path


def test_equal_to_nearest_and_computed_once(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    known = cloud(300)
    expected = nearest(known, known, 20, "cosine", np.arange(300))
    monkeypatch.setattr(module, "SEARCH_ROWS", 128)
    for one, other in zip(own_neighbours(known, 20), expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    (file,) = cache.glob("near-*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(module, "_search", lambda *_: pytest.fail("computed again"))
        for one, other in zip(own_neighbours(cloud(300), 20), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    file.write_bytes(file.read_bytes()[:300])
    np.testing.assert_array_equal(own_neighbours(known, 20)[1], expected[1])


def test_other_features_or_numbers_are_computed(cache: Path) -> None:
    known = cloud(60)
    moved = replace(known, features=known.features[::-1].copy())
    for dataset, k in ((known, 5), (moved, 5), (known, 6)):
        expected = nearest(dataset, dataset, k, "cosine", np.arange(60))
        np.testing.assert_array_equal(own_neighbours(dataset, k)[1], expected[1])
    assert len([*cache.glob("near-*.npz")]) == 3


@pytest.mark.parametrize(("n", "k"), [(0, 0), (1, 0), (2, 1), (9, 8)])
def test_fewer_images_than_neighbours(n: int, k: int) -> None:
    distances, rows = own_neighbours(cloud(20).take(np.arange(n)), 64)
    assert distances.shape == rows.shape == (n, k)


def test_rows_without_a_direction() -> None:
    features = cloud(30).features.copy()
    features[3], features[5, 0], features[7, 1] = 0, np.nan, np.inf
    defined = rows_with_direction(features)
    assert np.flatnonzero(~defined).tolist() == [3, 5, 7]
    broken = replace(cloud(30), features=np.where(np.isfinite(features), features, 0))
    with pytest.raises(DogsimError, match="Row 3"):
        own_neighbours(broken, 4)
