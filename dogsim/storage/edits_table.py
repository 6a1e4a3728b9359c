"""Read and write the edits of a dataset in its HDF5 file."""

from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from dogsim.image_files.edits import Edit
from dogsim.storage.hdf5 import open_table

# The names of these tables and fields are part of the file format.
EDITED_PATHS, EDITED_LABELS, EDITS = "edited_paths", "edited_labels", "edits"
EDIT_DTYPE = np.dtype([("removed", "?"), ("size", "<i8"), ("mtime_ns", "<i8"), ("sha256", "S64")])


def write_edits(file: Any, edits: Sequence[Edit]) -> None:
    """Write edits to an open file; without edits it gets no table."""
    if not edits:
        return
    text = h5py.string_dtype("utf-8")
    file.create_dataset(EDITED_PATHS, data=[edit.path for edit in edits], dtype=text)
    file.create_dataset(EDITED_LABELS, data=[edit.label for edit in edits], dtype=text)
    rows = [(edit.removed, edit.size, edit.mtime_ns, edit.sha256.encode()) for edit in edits]
    file[EDITS] = np.array(rows, EDIT_DTYPE)


def read_edits(file: Any) -> tuple[Edit, ...]:
    """Read the edits of an open file; older files have none."""
    if EDITS not in file:
        return ()
    rows = np.asarray(open_table(file, EDITS), EDIT_DTYPE).tolist()
    paths, labels = (open_table(file, name).asstr()[:] for name in (EDITED_PATHS, EDITED_LABELS))
    return tuple(
        Edit(path, removed, label, size, mtime_ns, sha256.decode("ascii"))
        for path, label, (removed, size, mtime_ns, sha256) in zip(paths, labels, rows, strict=True)
    )
