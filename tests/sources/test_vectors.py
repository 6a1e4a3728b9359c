"""Test the export of features for other programs."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from commands import dogsim_json, refusal

from dogsim import Dataset
from dogsim.plumbing import optional
from dogsim.sources import vectors


@pytest.fixture
def file(four: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(vectors, "EXPORT_ROWS", 3)
    four.save(tmp_path / "d.h5")
    return tmp_path / "d.h5"


def test_numpy_reads_the_exported_features(four: Dataset, file: Path) -> None:
    out = file.with_suffix(".npy")
    result = dogsim_json("export", file, out)
    assert (result["file"], result["images"]) == (str(out), 4)
    np.testing.assert_array_equal(np.load(out), four.features)
    assert np.load(out, mmap_mode="r").dtype == np.float32


def test_no_file_is_replaced_without_force(file: Path) -> None:
    out = file.with_suffix(".npy")
    out.write_text("mine")
    assert "exists" in refusal("export", file, out)
    assert out.read_text() == "mine"
    dogsim_json("export", file, out, "--force")
    assert np.load(out).shape == (4, 1)
    assert "read by this command" in refusal("export", out, out)


def test_an_unknown_suffix(file: Path) -> None:
    assert "Expected a name that ends in" in refusal("export", file, file.with_suffix(".txt"))


def test_a_missing_pyarrow_is_reported(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    message = refusal("export", file, file.with_suffix(".parquet"))
    assert 'pip install "dogsim[parquet]"' in message


@pytest.mark.extra
@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed")
def test_parquet_has_ids_and_row_groups(four: Dataset, file: Path) -> None:
    from pyarrow import parquet

    out = file.with_suffix(".parquet")
    dogsim_json("export", file, out)
    read = parquet.ParquetFile(out)
    assert read.num_row_groups == 2
    table = read.read().to_pydict()
    assert table["id"] == [0, 1, 2, 3]
    assert tuple(table["path"]) == four.paths
    assert table["breed"] == ["pug", "pug", "whippet", "whippet"]
    np.testing.assert_array_equal(np.array(table["features"], np.float32), four.features)
