"""Export features for other programs: NumPy files, and Parquet files for vector databases."""

from pathlib import Path
from typing import Any

import numpy as np

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.plumbing.files import replacing
from dogsim.plumbing.optional import check_installed, require

EXPORT_SUFFIXES = (".npy", ".parquet")
EXPORT_ROWS = 16384  # rows in memory at a time: a row group of Parquet


def check_vectors(out: Path) -> None:
    """Raise `DogsimError` unless `export_vectors` can write a file of that name.

    >>> check_vectors(Path("dogs.txt"))
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received dogs.txt. Expected a name that ends in .npy or .parquet.
    """
    if out.suffix not in EXPORT_SUFFIXES:
        expected = " or ".join(EXPORT_SUFFIXES)
        raise DogsimError(f"Received {out}. Expected a name that ends in {expected}.")
    if out.suffix == ".parquet":
        check_installed("pyarrow", "parquet", "Parquet")


def export_vectors(dataset: Dataset, out: Path) -> None:
    """Write the features of a dataset, completely or not at all, in bounded memory.

    Parameters
    ----------
    dataset : Dataset
    out : Path
        ``.npy``: the features (n, d) float32, row by row as in the dataset. ``.parquet``: the
        columns ``id`` (the row), ``path``, ``breed`` and ``features``, `EXPORT_ROWS` rows a group.

    Raises
    ------
    DogsimError
        For another suffix, if pyarrow is not installed, or if the file cannot be written.
    """
    check_vectors(out)
    write = _write_npy if out.suffix == ".npy" else _write_parquet
    with replacing(out) as new:
        write(dataset, new)


def _write_npy(dataset: Dataset, file: Path) -> None:
    layout = {"descr": "<f4", "fortran_order": False, "shape": dataset.features.shape}
    with file.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, layout)
        for start in range(0, len(dataset), EXPORT_ROWS):
            opened.write(
                np.ascontiguousarray(dataset.features[start : start + EXPORT_ROWS], "<f4").data
            )


def _write_parquet(dataset: Dataset, file: Path) -> None:
    pa, parquet = (require(name, "parquet", "Parquet") for name in ("pyarrow", "pyarrow.parquet"))
    width = dataset.features.shape[1]
    types: dict[str, Any] = {"id": pa.int64(), "path": pa.string(), "breed": pa.string()}
    schema = pa.schema({**types, "features": pa.list_(pa.float32(), width)})
    with parquet.ParquetWriter(file, schema) as writer:
        for start in range(0, len(dataset), EXPORT_ROWS):
            rows = range(start, min(start + EXPORT_ROWS, len(dataset)))
            features = np.asarray(dataset.features[start : rows.stop], np.float32)
            columns = [
                pa.array(rows, types["id"]),
                pa.array(dataset.paths[start : rows.stop]),
                pa.array([dataset.breed(row) for row in rows]),
                pa.FixedSizeListArray.from_arrays(features.ravel(), width),
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=EXPORT_ROWS)
