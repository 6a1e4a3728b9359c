"""Find images of poor quality: nearly one colour, tiny, blurred or unreadable.

The results are cached in the cache folder by the content of the files.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.images import open_image
from dogsim.plumbing.content_cache import ContentCache
from dogsim.retrieval.identity import content_key
from dogsim.trust.findings import PoorImage

MIN_SIDE = 64  # pixels
MIN_DEVIATION = 10  # standard deviation of the grey levels
JUDGED_SIDE = 224  # pixels of the square in which sharpness is measured
MIN_SHARPNESS = 0.05  # mean second difference in units of that deviation
UNREADABLE = "cannot be read"
MAX_QUALITY_BYTES = 100_000_000  # of the cache, some 700,000 images

_cache = ContentCache("quality-2", MAX_QUALITY_BYTES)


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
