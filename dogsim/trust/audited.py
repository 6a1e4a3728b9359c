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
        lines = tuple(_lines(dataset, exists, has_direction, name))
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


def _lines(
    dataset: Dataset, exists: NDArray[np.bool_], has_direction: NDArray[np.bool_], name: str
) -> Iterator[str]:
    """Yield the lines of `left_out`."""
    if not exists.any() and len(dataset):
        yield (
            f"No image of the {name} has a file in {dataset.root or 'this folder'}: the images are "
            "compared by their features only, and not checked for quality. --root names the folder."
        )
    elif not exists.all():
        yield (
            f"{_some(dataset, ~exists, name)} no file: compared by features only, and not checked "
            "for quality."
        )
    if not has_direction.all():
        yield (
            f"{_some(dataset, ~has_direction, name)} features of zeros or NaN: compared with no "
            "other image."
        )


def _some(dataset: Dataset, chosen: NDArray[np.bool_], name: str) -> str:
    """Return the number of chosen images and the first of them, as the subject of a sentence."""
    rows = np.flatnonzero(chosen)
    number, verb = counted(len(rows), "image"), "has" if len(rows) == 1 else "have"
    return f"{number} of the {name} (the first is {dataset.paths[rows[0]]}) {verb}"
