"""Test that rows in many files are read like those of an array."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dogsim import DogsimError
from dogsim.storage.sharded_rows import RUN_DTYPE, ShardedRows, TableLocation, slice_rows

SIZES = (1, 7, 3, 12)


@pytest.fixture
def table(tmp_path: Path) -> ShardedRows:
    """Tables with rows of three numbers, in files with other bytes before and after them."""
    rng, tables = np.random.default_rng(0), []
    for number, size in enumerate(SIZES):
        before, content = b"\1" * 5 * number, rng.normal(size=(size, 3)).astype("<f4")
        (tmp_path / str(number)).write_bytes(before + content.tobytes() + b"behind")
        whole = np.array([(0, 0, size)], RUN_DTYPE)
        location = TableLocation(str(number), len(before), size)
        tables.append(ShardedRows(tmp_path, [location], whole, 3))
    return ShardedRows.concatenate(tables)


def array_of(table: ShardedRows) -> NDArray[np.float32]:
    contents = [(table.folder / location.file).read_bytes() for location in table.tables]
    found = [
        np.frombuffer(content[location.offset :][: 12 * location.rows], "<f4").reshape(-1, 3)
        for location, content in zip(table.tables, contents, strict=True)
    ]
    return np.concatenate(found)


def keys(n: int, rng: np.random.Generator) -> list[Any]:
    first, last = sorted(rng.integers(0, n + 1, 2).tolist())
    numbers = [slice(first, last), slice(None), slice(last, first, -1), slice(first, None, 3)]
    picked = rng.integers(-n, n, rng.integers(0, 9)) if n else np.empty(0, int)
    return [*numbers, picked, picked.tolist(), rng.random(n) < 0.5, [], *picked[:1]]


def test_rows_equal_those_of_an_array(table: ShardedRows) -> None:
    expected, rng = array_of(table), np.random.default_rng(1)
    np.testing.assert_array_equal(np.asarray(table), expected)
    for _ in range(60):
        chosen = rng.integers(-len(expected), len(expected), rng.integers(0, 30))
        some, array = table.take(chosen), expected[chosen]
        assert (some.shape, some.ndim, len(some)) == (array.shape, array.ndim, len(array))
        assert all(location.rows for location in some.tables)
        for key in keys(len(array), rng):
            np.testing.assert_array_equal(some[key], array[key])
        np.testing.assert_array_equal(list(some) or np.empty((0, 3)), array)
        first, last = sorted(rng.integers(0, len(array) + 1, 2))
        np.testing.assert_array_equal(slice_rows(some, first, last), slice_rows(array, first, last))
        joined = ShardedRows.concatenate([some, table])
        np.testing.assert_array_equal(joined[:], np.concatenate([array, expected]))


def test_a_slice_of_one_file_is_not_copied(table: ShardedRows) -> None:
    mapped = table[2:5].base
    assert table[3:8].base is mapped  # the second file, not copied
    assert not table[2:5].flags.writeable
    assert np.array(table).flags.writeable
    assert len(table.take(np.arange(len(table))).runs) == len(SIZES)


def test_a_row_out_of_range(table: ShardedRows) -> None:
    for key in (len(table), -len(table) - 1, [0, len(table)]):
        with pytest.raises(IndexError, match="of 23"):
            table[key]
    for wrong in (1.5, [True], np.zeros((2, 2), int), "a"):
        with pytest.raises(IndexError, match="Expected rows"):
            table[wrong]


def test_a_file_that_is_missing_or_too_short(table: ShardedRows) -> None:
    (table.folder / "2").unlink()
    (table.folder / "3").write_bytes(b"too short")
    (table.folder / "0").write_bytes(b"")
    fresh = ShardedRows(table.folder, table.tables, table.runs, 3)
    assert fresh[1:8].shape == (7, 3)
    for row in (0, 9, 20):
        with pytest.raises(DogsimError, match=r"Cannot read .* open the dataset again"):
            fresh[row]


def test_invalid_runs(table: ShardedRows) -> None:
    for run in [(4, 0, 1), (-1, 0, 1), (0, -1, 1), (1, 0, -2), (1, 5, 3)]:
        with pytest.raises(ValueError, match="a run of rows (is|has)"):
            ShardedRows(table.folder, table.tables, np.array([run], RUN_DTYPE), 3)
