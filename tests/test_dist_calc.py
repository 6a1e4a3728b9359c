import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from dogsim import exact
from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset
from dogsim.dist_calc import METRICS, _candidates, dist_calc, mink, nearest
from dogsim.errors import DogsimError
from dogsim.plumbing.progress import StepProgress, watched
from dogsim.recipe import Recipe

RNG = np.random.default_rng(5)
GALLERY, QUERIES = RNG.normal(size=(60, 17)), RNG.normal(size=(9, 17))


@pytest.mark.parametrize("metric", METRICS)
def test_dist_calc_equals_scipy(metric: str) -> None:
    assert np.array_equal(dist_calc(GALLERY, QUERIES, metric), cdist(QUERIES, GALLERY, metric))


def test_rows_are_tests_and_columns_the_dataset() -> None:
    distances = dist_calc([[0, 0], [3, 4], [6, 8]], [[3, 4], [0, 0]])
    assert distances.tolist() == [[5, 0, 5], [0, 5, 10]]


def test_mink_worked_example() -> None:
    values, indices = mink([[9, 2, 7, 2, 1], [4, 4, 4, 4, 4]], 3)
    assert values.tolist() == [[1, 2, 2], [4, 4, 4]]
    assert indices.tolist() == [[4, 1, 3], [0, 1, 2]]  # ties go to the lower index


def test_mink_of_a_tie_across_the_end() -> None:
    _, indices = mink([3, 1, 3, 3, 0], 3)
    assert indices.tolist() == [4, 1, 0]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.data())
@settings(deadline=None)
def test_mink_is_a_stable_sort(numbers: list[int], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(numbers)))
    values, indices = mink(numbers, k)
    assert indices.tolist() == sorted(range(len(numbers)), key=lambda i: numbers[i])[:k]
    assert values.tolist() == sorted(numbers)[:k]


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint64, np.array])
def test_k_of_numpy(kind: Callable[[int], int]) -> None:
    """Arithmetic with it must not overflow: 8 bits hold 3, but not the size of a gallery."""
    gallery = np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32)
    ours, plain = nearest(gallery, gallery[:2], kind(3)), nearest(gallery, gallery[:2], 3)
    assert ours[1].tolist() == plain[1].tolist()
    labels = np.arange(600, dtype=np.int32) % 2
    dataset = Dataset(gallery, labels, tuple(map(str, range(600))), ("pug", "whippet"))
    assert accuracy(dataset, kind(3)) == accuracy(dataset, 3)


@pytest.mark.parametrize("k", [0, -1, 4])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(DogsimError, match=rf"Received k={k}. Expected 1 to 3"):
        mink([1, 2, 3], k)
    with pytest.raises(DogsimError, match=rf"Received k={k}. Expected 1 to 3"):
        nearest(np.eye(3), np.eye(3), k)


def test_nan_is_refused() -> None:
    with pytest.raises(DogsimError, match="NaN"):
        mink([1, np.nan], 1)
    for bad in (np.nan, np.inf):
        with pytest.raises(DogsimError, match="NaN or infinity"):
            nearest([[0.0, bad]], [[0.0, 0.0]], 1)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "cityblock"])
def test_nearest_equals_scikit_learn(metric: str) -> None:
    peer = NearestNeighbors(n_neighbors=7, metric=metric, algorithm="brute").fit(GALLERY)
    distances, indices = nearest(GALLERY, QUERIES, 7, metric)
    expected_distances, expected_indices = peer.kneighbors(QUERIES)
    assert np.array_equal(indices, expected_indices)
    np.testing.assert_allclose(distances, expected_distances, rtol=1e-12)


def adversarial(seed: int, dtype: type) -> NDArray[np.floating]:
    """Return vectors with inexact float32 products: duplicates, offsets, tiny spreads, zeros."""
    rng = np.random.default_rng(seed)
    n, d = int(rng.integers(2, 60)), int(rng.integers(1, 40))
    vectors = rng.normal(size=(n, d))
    vectors *= 10.0 ** rng.integers(-12, 6)
    vectors += rng.choice([0.0, 0.0, 1.0, 1e4, 1e8])
    vectors[rng.integers(0, n, n // 3)] = vectors[0]
    near = rng.integers(0, n, n // 3)
    vectors[near] = np.nextafter(vectors[near], np.inf)
    if rng.random() < 0.3:
        vectors[rng.integers(0, n)] = 0
    if rng.random() < 0.2:
        vectors *= 1e-30
    return vectors.astype(dtype)


@given(st.integers(0, 2**32), st.sampled_from(METRICS), st.sampled_from([np.float32, np.float64]))
@settings(max_examples=400, deadline=None)
def test_nearest_equals_a_float64_search(seed: int, metric: str, dtype: type) -> None:
    vectors = adversarial(seed, dtype)
    if metric in ("cosine", "correlation"):
        vectors = vectors[(vectors != vectors[:, :1]).any(axis=1) & vectors.any(axis=1)]
        if (
            len(vectors) < 2
            or vectors.shape[1] < 2
            or np.isnan(cdist(vectors, vectors, metric)).any()
        ):
            return
    rng = np.random.default_rng(seed)
    rows = np.arange(len(vectors))
    for test_rows in (rows, rows[: exact.MAX_DIRECT_QUERIES]):  # few are computed directly
        k = int(rng.integers(1, len(vectors)))
        full = dist_calc(vectors, vectors[test_rows], metric)
        for exclude in (None, test_rows):
            if exclude is not None:
                full[test_rows, test_rows] = np.inf
            values, indices = mink(full, k)
            found_values, found_indices = nearest(vectors, vectors[test_rows], k, metric, exclude)
            assert np.array_equal(found_indices, indices)
            assert np.array_equal(found_values, values)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_a_few_queries_have_candidates(metric: str) -> None:
    """Also if float32 cannot separate the neighbours; an overflow has none."""
    rng = np.random.default_rng(6)
    near = np.repeat(rng.normal(size=(1, 30)), 500, axis=0).astype(np.float32)
    near[::3] += rng.normal(scale=1e-5, size=(167, 30)).astype(np.float32)
    spread = rng.normal(size=(500, 30)).astype(np.float32)
    for gallery, in_range in ((spread, True), (near, True), (spread * np.float32(1e30), False)):
        (rows,) = _candidates(gallery, gallery[:1], 5, metric, np.zeros(1, int))
        assert (rows is not None) == (in_range or metric == "cosine")
        values, indices = mink(dist_calc(gallery, gallery[:1], metric)[:, 1:], 5)
        found = nearest(gallery, gallery[:1], 5, metric, exclude=[0])
        assert np.array_equal(found[0], values)
        assert np.array_equal(found[1], indices + 1)


def test_nearest_in_many_small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {metric: nearest(GALLERY, QUERIES, 5, metric) for metric in METRICS}
    monkeypatch.setattr(sys.modules["dogsim.dist_calc"], "MAX_BLOCK_BYTES", 1)
    monkeypatch.setattr(sys.modules["dogsim.exact"], "CHUNK_ROWS", 7)
    for metric in METRICS:
        for found, expected_array in zip(
            nearest(GALLERY, QUERIES, 5, metric), expected[metric], strict=True
        ):
            assert np.array_equal(found, expected_array)


def test_invalid_arguments() -> None:
    with pytest.raises(DogsimError, match="Unknown metric 'euclid'; did you mean 'euclidean'"):
        dist_calc(GALLERY, QUERIES, "euclid")
    with pytest.raises(DogsimError, match=r"dataset \(60, 17\) and a test set \(9, 3\)"):
        dist_calc(GALLERY, QUERIES[:, :3])
    with pytest.raises(DogsimError, match="Row 1 of the dataset has features that are all zeros"):
        nearest([[1.0, 0.0], [0.0, 0.0]], [[1.0, 1.0]], 1, "cosine")
    with pytest.raises(DogsimError, match="Row 1 of the test set has features that are all equal"):
        dist_calc(np.eye(3), [[1.0, 0.0, 2.0], [0.1, 0.1, 0.1]], "correlation")


def test_datasets_of_other_recipes_are_not_compared(four: Dataset) -> None:
    def made_by(backbone: str) -> Dataset:
        recipe = Recipe(backbone, "imagenet", "00", "avg_pool", 224)
        return Dataset(four.features, four.labels, four.paths, four.breeds, recipe)

    assert dist_calc(four, made_by("vgg16")).shape == (4, 4)  # a file of another program has none
    with pytest.raises(DogsimError, match=r"backbone=vgg16.*needs backbone=resnet50"):
        dist_calc(made_by("resnet50"), made_by("vgg16"))


def test_one_vector_is_one_image(four: Dataset, tmp_path: Path) -> None:
    four.save(tmp_path / "d.h5")
    assert dist_calc(four, four.features[1]).tolist() == [[1, 0, 4, 5]]
    assert nearest(tmp_path / "d.h5", [5.2], 1)[1].tolist() == [[2]]
    wrong: list[Any] = [(four.features[0], four), (four, None), ("gone.h5", four), (four, "x")]
    for dataset, testset in wrong:
        with pytest.raises(DogsimError, match="Expected|There is no dataset file"):
            dist_calc(dataset, testset)


def test_exclude_is_a_row_for_each_query(four: Dataset) -> None:
    assert nearest(four, four, 1, exclude=[1, 0, 3, 2])[1].ravel().tolist() == [0, 1, 2, 3]
    for exclude, message in (
        ([0, 1, 2], r"exclude \(3,\)"),
        ([0, 1, 2, 4], "exclude from 0 to 4. Expected 0 to 3"),
        ([-1, 0, 1, 2], "exclude from -1 to 2"),
        ([0.0, 1.0, 2.0, 3.0], "float64. Expected"),
        ([[0, 1, 2, 3]], r"exclude \(1, 4\)"),
    ):
        with pytest.raises(DogsimError, match=message):
            nearest(four, four, 1, exclude=exclude)


@pytest.mark.parametrize("k", [1.0, "1", None, True, np.float32(1)])
def test_k_is_a_whole_number(k: Any, four: Dataset) -> None:
    with pytest.raises(DogsimError, match="Expected a whole number"):
        nearest(four, four, k)
    with pytest.raises(DogsimError, match="Expected a whole number"):
        mink([1, 2, 3], k)


def test_the_search_reports_its_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["dogsim.dist_calc"], "MAX_BLOCK_BYTES", 1)  # a query at a time
    x, found = np.eye(4), list[StepProgress]()
    with watched(found.append):
        nearest(x, x, 1)
    assert [each.fraction for each in found] == [0, 0.25, 0.5, 0.75, 1]
    assert {each.what for each in found} == {"queries"}
