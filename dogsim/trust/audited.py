"""A dataset that is audited: which of its files exist, and which images can be compared."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, counted
from dogsim.image_files.facts import ImageFacts
from dogsim.image_files.files import existing_files
from dogsim.plumbing.threads import prefetch, usable_cpus
from dogsim.retrieval.own_neighbours import rows_with_direction


@dataclass(frozen=True, eq=False)
class AuditedDataset:
    """A dataset with what an audit cannot use of it.

    Attributes
    ----------
    dataset : Dataset
    exists : (n,) bool
        The images whose files exist.
    compared : Dataset
        The images whose features have a direction: that of zeros, or of NaN, is not defined.
    left_out : tuple of str
        One line for each set of images that an audit leaves out.
    """

    dataset: Dataset
    exists: NDArray[np.bool_]
    compared: Dataset
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, dataset: Dataset, name: str) -> "AuditedDataset":
        """Look for the files and check the features; `name` is that of the dataset in messages."""
        exists = existing_files(dataset.root, dataset.paths)
        has_direction = rows_with_direction(dataset.features)
        compared = dataset if has_direction.all() else dataset.take(np.flatnonzero(has_direction))
        lines = (*_file_lines(dataset, exists, name), *_feature_lines(dataset, has_direction, name))
        return cls(dataset, exists, compared, lines)

    def facts(self, paths: Iterable[str]) -> dict[str, ImageFacts]:
        """Read the facts of images by path; those that cannot be read are left out."""
        wanted = {*paths}
        rows = [row for row, path in enumerate(self.dataset.paths) if path in wanted]
        found = prefetch(self._facts_of, rows, ahead=64, threads=usable_cpus())
        pairs = zip((self.dataset.paths[row] for row in rows), found, strict=True)
        return {path: facts for path, facts in pairs if facts}

    def _facts_of(self, row: int) -> ImageFacts | None:
        try:
            return ImageFacts.of(self.dataset.image_file(row))
        except DogsimError:
            return None


def _file_lines(dataset: Dataset, exists: NDArray[np.bool_], name: str) -> Iterator[str]:
    missing = np.flatnonzero(~exists)
    if not len(missing):
        return
    number, first = counted(len(missing), "image"), dataset.paths[missing[0]]
    if len(missing) == len(dataset):
        yield (
            f"There is no image file of the {name} in {dataset.root or 'this folder'}: only equal "
            "features and equal files are found as duplicates, and poor images are not looked for. "
            "--root names the present folder."
        )
    else:
        yield (
            f"{number} of the {name} without a file, such as {first}: compared by features and "
            "stamps only, and not checked for quality."
        )


def _feature_lines(dataset: Dataset, has_direction: NDArray[np.bool_], name: str) -> Iterator[str]:
    undefined = np.flatnonzero(~has_direction)
    if len(undefined):
        yield (
            f"{counted(len(undefined), 'image')} of the {name} with features of zeros or NaN, such "
            f"as {dataset.paths[undefined[0]]}: not compared with the others."
        )
