"""The content of the image files of a dataset: the SHA-256 of each, and which files exist."""

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.identity import content_hash, stamped_hash

FILES_AHEAD = 64


@dataclass(frozen=True, eq=False)
class FileContents:
    """The files of some rows of a dataset.

    Attributes
    ----------
    hashes : dict of int to str
        The SHA-256 by row, 64 hexadecimal digits; that of the stamp if there is no file. Rows
        with neither are left out.
    readable : set of int
        The rows whose files can be opened.
    """

    hashes: dict[int, str]
    readable: set[int]


def file_contents(dataset: Dataset, rows: NDArray[np.intp]) -> FileContents:
    """Find the content of the files of some rows.

    Files whose size and time are those of their stamps are not read.
    """
    ascending = np.unique(rows).tolist()
    stamps = () if dataset.stamps is None else dataset.stamps["sha256"][ascending].tolist()
    hashes = {row: sha256.decode() for row, sha256 in zip(ascending, stamps, strict=False)}
    fresh = {row for row in ascending if stamped_hash(dataset, row)}
    others = [row for row in ascending if row not in fresh]
    found = prefetch(partial(_hash, dataset), others, FILES_AHEAD, usable_cpus())
    for batch in track(batched(zip(others, found, strict=True), FILES_AHEAD), len(others), "files"):
        read = {row: sha256 for row, sha256 in batch if sha256}
        hashes |= read
        fresh |= read.keys()
    return FileContents(hashes, fresh)


def _hash(dataset: Dataset, row: int) -> str:
    """Return the SHA-256 of the file of a row, "" if it cannot be read."""
    try:
        return content_hash(dataset, row)
    except DogsimError:
        return ""
