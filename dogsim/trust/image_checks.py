"""Check the images of an audited dataset one by one: their files, their features and their quality.

The qualities are cached in the cache folder by the content of the files.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, counted
from dogsim.image_files.facts import ImageFacts
from dogsim.image_files.files import existing_files
from dogsim.images import open_image
from dogsim.plumbing.content_cache import ContentCache
from dogsim.plumbing.threads import prefetch, usable_cpus
from dogsim.retrieval.identity import content_key
from dogsim.retrieval.own_neighbours import rows_with_direction
from dogsim.trust.findings import PoorImage

MIN_SIDE = 64  # pixels
MIN_DEVIATION = 10  # standard deviation of the grey levels
JUDGED_SIDE = 224  # pixels of the square in which sharpness is measured
MIN_SHARPNESS = 0.05  # mean second difference in units of that deviation
UNREADABLE = "cannot be read"
MAX_QUALITY_BYTES = 100_000_000  # of the cache, some 700,000 images

_cache = ContentCache("quality-2", MAX_QUALITY_BYTES)


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


def poor_images(dataset: Dataset, rows: Sequence[int]) -> tuple[PoorImage, ...]:
    """Find the images of poor quality among some rows of a dataset, whose files are read."""
    # Whether a file can be read depends on the installed decoders as well: that is not cached.
    found = _cache.compute_once(
        rows,
        partial(content_key, dataset),
        lambda row: _problem(dataset, row).encode(),
        "images checked",
    )
    problems = {row: found[row].decode() if row in found else UNREADABLE for row in rows}
    return tuple(PoorImage(dataset.paths[row], problems[row]) for row in rows if problems[row])


def _problem(dataset: Dataset, row: int) -> str:
    """Return the problem with the quality of an image, "" if it has none.

    Raises `DogsimError` if it cannot be read.
    """
    image = open_image(dataset.source(row), 2 * JUDGED_SIDE)  # a large JPEG is decoded faster
    if min(image.size) < MIN_SIDE:
        return f"tiny: {image.width} x {image.height} pixels"
    resized = image.convert("L").resize((JUDGED_SIDE, JUDGED_SIDE), Image.Resampling.BICUBIC)
    grey = np.asarray(resized, np.float64)  # (224, 224)
    deviation = float(grey.std())
    if deviation < MIN_DEVIATION:
        return "nearly one colour"
    vertical = grey[:-2, 1:-1] + grey[2:, 1:-1]
    second = np.abs(vertical + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1])
    return "blurred" if second.mean() < MIN_SHARPNESS * deviation else ""
