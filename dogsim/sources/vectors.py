"""Features for other programs: a NumPy file, or a Parquet file that vector databases import."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.plumbing.files import replacing

ENDINGS = (".npy", ".parquet")
ROWS = 16384  # that are held at a time: a row group of Parquet


def check_vectors(out: Path) -> None:
    """Raise `DogsimError` unless `export_vectors` can write a file of that name.

    >>> check_vectors(Path("dogs.txt"))
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received dogs.txt. Expected a name that ends in .npy or .parquet.
    """
    if out.suffix not in ENDINGS:
        expected = " or ".join(ENDINGS)
        raise DogsimError(f"Received {out}. Expected a name that ends in {expected}.")
    if out.suffix == ".parquet" and find_spec("pyarrow") is None:
        raise DogsimError(
            "Parquet takes pyarrow, which is not installed. Run: pip install 'dogsim[parquet]'"
        )


def export_vectors(dataset: Dataset, out: Path) -> None:
    """Write a dataset's features, whole or not at all, in bounded memory.

    Parameters
    ----------
    dataset : Dataset
    out : Path
        ``.npy``: the features (n, d) float32, row by row as in the dataset. ``.parquet``: the
        columns ``id`` (the row), ``path``, ``breed`` and ``features``, in groups of `ROWS` rows.

    Raises
    ------
    DogsimError
        For another name, without pyarrow, or if the file cannot be written.
    """
    check_vectors(out)
    write = _write_npy if out.suffix == ".npy" else _write_parquet
    with replacing(out) as new:
        write(dataset, new)


def _write_npy(dataset: Dataset, file: Path) -> None:
    layout = {"descr": "<f4", "fortran_order": False, "shape": dataset.features.shape}
    with file.open("wb") as opened:
        np.lib.format.write_array_header_1_0(opened, layout)
        for start in range(0, len(dataset), ROWS):
            opened.write(np.ascontiguousarray(dataset.features[start : start + ROWS], "<f4").data)


def _write_parquet(dataset: Dataset, file: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    width = dataset.features.shape[1]
    kinds: dict[str, Any] = {"id": pa.int64(), "path": pa.string(), "breed": pa.string()}
    schema = pa.schema({**kinds, "features": pa.list_(pa.float32(), width)})
    with parquet.ParquetWriter(file, schema) as writer:
        for start in range(0, len(dataset), ROWS):
            rows = range(start, min(start + ROWS, len(dataset)))
            some = np.asarray(dataset.features[start : rows.stop], np.float32)
            columns = [
                pa.array(rows, kinds["id"]),
                pa.array(dataset.paths[start : rows.stop]),
                pa.array([dataset.breed(row) for row in rows]),
                pa.FixedSizeListArray.from_arrays(some.ravel(), width),
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=ROWS)
