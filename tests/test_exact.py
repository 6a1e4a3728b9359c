"""The neighbours equal those of a search that computes and sorts all distances in float64."""

import gc
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sharded import sharded

from dogsim import exact
from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.plumbing import sieve
from dogsim.storage import gallery as storage
from dogsim.storage.gallery import Gallery
from dogsim.storage.hdf5 import ReplacedError

Array = NDArray[Any]
KINDS = ("spread", "ties", "near", "offset", "huge", "tiny", "outlier", "zeros", "copies")
METRICS = exact.PRODUCT_METRICS


def reference(
    gallery: Array, queries: Array, k: int, metric: str, exclude: Array | None = None
) -> tuple[Array, Array]:
    """Search in plain float64; ties go to the lower index."""
    distances = cdist(queries.astype(float), gallery.astype(float), metric)
    rows = np.tile(np.arange(len(gallery)), (len(queries), 1))
    if exclude is not None:
        distances[np.arange(len(queries)), exclude] = np.inf
    order = np.lexsort((rows, distances))[:, :k]
    return np.take_along_axis(distances, order, axis=1), order


def assert_exact(
    gallery: Any, plain: Array, queries: Array, k: int, metric: str, exclude: Array | None = None
) -> None:
    distances, rows = nearest(gallery, queries, k, metric, exclude)
    expected_distances, expected_rows = reference(plain, queries, k, metric, exclude)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(distances, expected_distances)


def vectors(kind: str, n: int, d: int, seed: int, dtype: Any = np.float32) -> Array:
    """Return vectors (n, d) that are hard to separate by float32 products."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    if kind == "ties":
        x = rng.integers(0, 3, (n, d)).astype(float)
        x[(x == 0).all(axis=1), 0] = 1
    elif kind == "near":  # each differs from the first by a few units in the last place
        x = x[:1].astype(dtype).astype(float) * (1 + rng.integers(-3, 4, (n, d)) * 2.0**-23)
    elif kind == "offset":
        x += 1e4
    elif kind in ("huge", "tiny"):
        x *= 1e18 if kind == "huge" else 1e-25
    elif kind == "outlier":
        x[rng.integers(0, n, 2)] *= 1e6
    elif kind == "zeros":
        x[rng.integers(0, n, n // 4)] = 0
    elif kind == "copies":
        x[rng.integers(0, n, n // 2)] = x[0]
    return x.astype(dtype)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many chunks, tiles, groups, threads and gathered blocks, also for few vectors."""
    for name, value in (("MAX_CHUNK_ROWS", 13), ("MAX_TILE_QUERIES", 5), ("CHUNK_ROWS", 11)):
        monkeypatch.setattr(exact, name, value)
    for name in ("MIN_GROUPS", "MIN_GROUPED_COLUMNS"):
        monkeypatch.setattr(sieve, name, 1)
    monkeypatch.setattr(storage, "BLOCK_ROWS", 7)
    monkeypatch.setattr(storage, "MAX_DOUBLE_BYTES", 8000)  # half of the galleries are larger
    for name, value in (("GATHERED_ROWS", 3), ("MIN_PAIRS_FOR_THREADS", 30)):
        monkeypatch.setattr(sys.modules["dogsim.dist_calc"], name, value)


@pytest.mark.usefixtures("small_blocks")
@given(
    kind=st.sampled_from(KINDS),
    metric=st.sampled_from(METRICS),
    n=st.integers(2, 150),
    d=st.integers(2, 40),
    m=st.integers(1, 12),
    seed=st.integers(0, 2**32),
    data=st.data(),
)
@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_equals_a_plain_search(
    kind: str, metric: str, n: int, d: int, m: int, seed: int, data: st.DataObject
) -> None:
    if (kind, metric) == ("zeros", "cosine"):
        return
    x = vectors(kind, n, d, seed)
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, n, m)
    queries = x[rows] if data.draw(st.booleans()) else vectors(kind, m, d, seed + 1)
    if metric == "cosine" and not queries.any(axis=1).all():
        return
    exclude = rows if data.draw(st.booleans()) else None
    k = data.draw(st.integers(1, n - (exclude is not None)))
    assert_exact(x, x, queries, k, metric, exclude)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_at_the_usual_sizes(kind: str, metric: str) -> None:
    if (kind, metric) == ("zeros", "cosine"):
        return
    x = vectors(kind, 1500, 64, 1)
    rows = np.arange(40)
    for k in (1, 20, 100, 1499):
        assert_exact(x, x, x[rows], k, metric, rows)
    assert_exact(x, x, x[:1], 20, metric)
    assert_exact(x, x, x[:3], 1500, metric)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "column-major": np.asfortranarray,
    "every second column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "reversed": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "unaligned": lambda x: unaligned(x),
}


def unaligned(x: Array) -> Array:
    memory = np.empty(x.nbytes + 1, np.uint8)[1:]
    moved: Array = memory.view(x.dtype).reshape(x.shape)
    moved[:] = x
    return moved


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_memory_layouts(layout: str, dtype: type) -> None:
    x = vectors("copies", 300, 24, 2, dtype)
    stored = LAYOUTS[layout](x)
    for queries in (stored[:9], stored[:1]):
        for metric in METRICS:
            assert_exact(stored, np.array(stored), queries, 7, metric)


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint16, np.int64, np.longdouble])
def test_types_of_numbers(dtype: type) -> None:
    rng = np.random.default_rng(3)
    x: Array = rng.integers(1, 50, (400, 12)).astype(dtype)
    queries: Array = rng.integers(1, 50, (6, 12)).astype(dtype)
    for metric in METRICS:
        assert_exact(x, x, queries, 9, metric)
        assert_exact(x, x, queries + 0.1, 9, metric)


def test_files(tmp_path: Path) -> None:
    x = vectors("copies", 700, 24, 4)
    mapped = np.memmap(tmp_path / "x.raw", np.float32, "w+", shape=x.shape)
    mapped[:] = x
    mapped.flush()
    paths = tuple(f"b{i % 3}/{i}.jpg" for i in range(700))
    dataset = Dataset(x, np.arange(700, dtype=np.int32) % 3, paths, ("a", "b", "c"))
    dataset.save(tmp_path / "d.h5")
    shards = sharded(dataset, tmp_path / "d.dogsim", 40)
    for stored in (
        np.memmap(tmp_path / "x.raw", np.float32, "r", shape=x.shape),
        Dataset.open(tmp_path / "d.h5"),
        Dataset.open(shards),
    ):
        for metric in METRICS:
            for _ in range(2):  # the second search knows the lengths of the rows
                assert_exact(stored, x, x[:8], 11, metric, np.arange(8))
                assert_exact(stored, x, x[:1], 11, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_not_a_number_in_any_row(metric: str) -> None:
    for value in (np.nan, np.inf, -np.inf):
        for row in (0, 1033, 2499):
            x = vectors("spread", 2500, 8, 5)
            x[row, 3] = value
            with pytest.raises(DogsimError, match="The dataset has features of NaN or infinity"):
                nearest(x, vectors("spread", 6, 8, 6), 3, metric)
            with pytest.raises(DogsimError, match="The test set has features of NaN or infinity"):
                nearest(vectors("spread", 9, 8, 6), x, 3, metric)


def test_a_row_of_zeros_has_no_direction_but_a_tiny_one_has() -> None:
    x = vectors("tiny", 300, 8, 7)
    assert_exact(x, x, x[:6], 5, "cosine")
    x[250] = 0
    with pytest.raises(DogsimError, match="Row 250 of the dataset has features that are all zeros"):
        nearest(x, x[:6], 5, "cosine")
    assert_exact(x, x, x[:6], 5, "euclidean")


@given(
    kind=st.sampled_from(KINDS),
    metric=st.sampled_from(["euclidean", "cosine"]),
    d=st.integers(1, 70),
    seed=st.integers(0, 2**32),
)
@example("huge", "cosine", 64, 0)
@settings(max_examples=60, deadline=None)
def test_the_bounds_of_the_proof(kind: str, metric: str, d: int, seed: int) -> None:
    """Score, slack and error enclose the numbers that rank, computed as fractions."""
    x, queries = vectors(kind, 12, d, seed), vectors(kind, 3, d, seed + 1)
    if metric == "cosine" and not (x.any(axis=1).all() and queries.any(axis=1).all()):
        return
    ranking = exact._ranking(Gallery(x), queries, metric)
    if ranking is None:
        return
    chunk = ranking.chunk(slice(0, 12))
    assert chunk
    scores = chunk.scores(ranking.queries, np.empty(36, np.float32))
    for i, q in enumerate(queries.tolist()):
        for j, g in enumerate(x.tolist()):
            product = sum(Fraction(a) * Fraction(b) for a, b in zip(q, g, strict=True))
            q2, g2 = (sum(Fraction(a) ** 2 for a in each) for each in (q, g))
            number = float(g2 - 2 * product)  # rounded in the 53rd digit, far below the bounds
            if metric == "cosine":
                number = -float(product) / math.sqrt(float(q2)) / math.sqrt(float(g2))
            score, error, slack = float(scores[i, j]), ranking.errors[i], chunk.slack[j]
            assert score - error <= number <= score + 2 * slack + error


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["spread", "outlier"])
def test_candidates_are_hardly_more_than_the_neighbours(kind: str, metric: str) -> None:
    """Otherwise the search is slow, though correct."""
    x = vectors(kind, 3000, 128, 8)
    found = exact.candidates(x, x[:300], 20, None, metric)
    counts = [len(rows) for rows in found if rows is not None]
    assert len(counts) == 300
    assert min(counts) >= 20
    assert np.median(counts) <= 22
    (rows,) = exact.candidates(x, vectors("spread", 1, 128, 9), 20, None, metric)
    assert rows is not None
    assert len(rows) <= 22


@pytest.mark.usefixtures("small_blocks")
def test_vectors_far_from_the_origin_are_shifted() -> None:
    x = vectors("spread", 3000, 32, 10) + 1e3
    assert exact._ranking(Gallery(x), x[:9], "euclidean").select(3000, 3, None) == [None] * 9  # type: ignore[union-attr]
    counts = [0 if rows is None else len(rows) for rows in exact.candidates(x, x[:9], 3)]
    assert 3 <= min(counts) <= max(counts) < 100
    assert_exact(x, x, x[:9], 3, "euclidean", np.arange(9))


def lengths_computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each computation of squared lengths will add its rows."""
    counts: list[int] = []
    compute = storage.squared_lengths

    def counted(rows: Array) -> Array:
        counts.append(len(rows))
        return compute(rows)

    monkeypatch.setattr(storage, "squared_lengths", counted)
    return counts


def test_an_opened_dataset_keeps_the_lengths_of_its_rows(
    four: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = lengths_computed(monkeypatch)
    four.save(tmp_path / "d.h5")
    dataset = Dataset.open(tmp_path / "d.h5")
    known = len(storage._kept)
    for metric in METRICS[:2]:
        nearest(dataset, [[5.2]], 1, metric)
        nearest(dataset, dataset, 1, metric)
    assert counts == [4]
    assert len(storage._kept) == known + 2  # with the float64 copy
    del dataset
    gc.collect()
    assert len(storage._kept) == known


def test_a_small_gallery_that_is_read_often_is_copied_to_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = vectors("spread", 6, 4, 1)
    gallery, constant = Gallery(x), x.copy()
    constant.flags.writeable = False
    kept = Gallery(constant)
    for one in (gallery, kept):
        assert one._float64_copy(5) is None
        assert np.array_equal(one._float64_copy(6), x)  # type: ignore[arg-type]
    assert gallery._float64_copy(5) is None  # the array may change
    assert kept._float64_copy(1) is Gallery(constant)._float64_copy(6)
    rows, memory = np.array([4, 0]), np.empty((2, 4))
    assert kept.float64_reader(1)(rows, memory) is memory
    assert np.array_equal(memory, x[rows])
    monkeypatch.setattr(storage, "MAX_DOUBLE_BYTES", 8 * 6 * 4 - 1)
    assert kept._float64_copy(6) is None
    assert np.array_equal(kept.float64_reader(6)(rows[::-1], memory), x[rows[::-1]])


def test_a_replaced_file_has_other_lengths(four: Dataset, tmp_path: Path) -> None:
    file = tmp_path / "d.h5"
    four.save(file)
    opened = Dataset.open(file)
    assert nearest(opened, [[5.2]], 1)[1].tolist() == [[2]]
    Dataset(-four.features, four.labels, four.paths, four.breeds).save(file)
    with pytest.raises(ReplacedError):
        nearest(opened, [[5.2]], 1)
    assert_exact(Dataset.open(file), -np.asarray(four.features), np.array([[5.2]]), 4, "euclidean")


@pytest.mark.parametrize("frozen", [False, True])
def test_rows_that_can_change_are_read_again(frozen: bool) -> None:
    """A view that cannot be written to changes with the array that it belongs to."""
    x = vectors("spread", 200, 8, 11)
    seen = x[:]
    seen.flags.writeable = not frozen
    for factor in (1, 100, 0.01):
        x[::3] *= np.float32(factor)
        assert_exact(seen, x, x[:9], 5, "euclidean")
        dataset = Dataset(seen, np.zeros(200, np.int32), tuple(map(str, range(200))), ("a",))
        assert_exact(dataset, x, x[:1], 5, "cosine")


def test_frozen_rows_keep_their_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = lengths_computed(monkeypatch)
    x = vectors("spread", 200, 8, 12)
    x.flags.writeable = False
    for _ in range(3):
        assert_exact(x, x, x[:2], 5, "cosine")
        assert_exact(x[50:], x[50:], x[:2], 5, "euclidean")
    assert counts == [200, 150, 150, 150]  # a slice is another array
