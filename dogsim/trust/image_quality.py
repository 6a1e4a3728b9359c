"""Find images of poor quality: nearly one colour, tiny, blurred or unreadable.

The results are cached in the cache folder by the content of the files.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.images import open_image
from dogsim.plumbing.content_cache import ContentCache
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.identity import content_hash
from dogsim.trust.findings import PoorImage

MIN_SIDE = 64  # pixels
MIN_DEVIATION = 10  # standard deviation of the grey levels
MIN_SHARPNESS = 0.05  # mean second difference in units of that deviation, at 224 x 224 pixels
UNREADABLE = "cannot be read"
CHECKED_IMAGES = 64  # at a time
MAX_QUALITY_BYTES = 100_000_000  # of the cache, some 700,000 images

_cache = ContentCache("quality-1", MAX_QUALITY_BYTES)


def poor_images(dataset: Dataset, rows: Sequence[int]) -> tuple[PoorImage, ...]:
    """Find the images of poor quality among some rows of a dataset, whose files are read."""
    keys = dict(zip(rows, _in_threads(partial(_key, dataset), rows), strict=True))
    cached = _cache.read(key for key in keys.values() if key)
    problems = {row: cached[key].decode() for row, key in keys.items() if key in cached}
    new = [row for row in rows if row not in problems]
    checked = zip(new, _in_threads(partial(_problem, dataset), new), strict=True)
    for batch in track(batched(checked, CHECKED_IMAGES), len(new), "images checked"):
        problems.update(batch)
        # Whether a file can be read depends on the installed decoders as well.
        certain = {keys[row]: problem for row, problem in batch if problem != UNREADABLE}
        _cache.write({key: problem.encode() for key, problem in certain.items() if key})
    return tuple(PoorImage(dataset.paths[row], problems[row]) for row in rows if problems[row])


def _in_threads(function: Callable[[int], str], rows: Sequence[int]) -> Iterator[str]:
    return prefetch(function, rows, ahead=CHECKED_IMAGES, threads=usable_cpus())


def _key(dataset: Dataset, row: int) -> str:
    """Return the name of an image's result in the cache, "" if its file cannot be read."""
    try:
        return f"{content_hash(dataset, row)} {dataset.box(row)}"
    except DogsimError:
        return ""


def _problem(dataset: Dataset, row: int) -> str:
    """Return the problem with the quality of an image, "" if it has none."""
    try:
        image = open_image(dataset.source(row))
    except DogsimError:
        return UNREADABLE
    if min(image.size) < MIN_SIDE:
        return f"tiny: {image.width} x {image.height} pixels"
    resized = image.convert("L").resize((224, 224), Image.Resampling.BICUBIC)
    grey = np.asarray(resized, np.float64)  # (224, 224)
    deviation = float(grey.std())
    if deviation < MIN_DEVIATION:
        return "nearly one colour"
    vertical = grey[:-2, 1:-1] + grey[2:, 1:-1]
    second = np.abs(vertical + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1])
    return "blurred" if second.mean() < MIN_SHARPNESS * deviation else ""
