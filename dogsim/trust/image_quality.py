"""Find images of poor quality: nearly one colour, tiny, blurred or unreadable."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.images import open_image
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.trust.findings import PoorImage

MIN_SIDE = 64  # pixels
MIN_DEVIATION = 10  # standard deviation of the grey levels
MIN_SHARPNESS = 0.05  # mean second difference in units of that deviation, at 224 x 224 pixels
UNREADABLE = "cannot be read"
CHECKED_IMAGES = 64  # at a time


def poor_images(dataset: Dataset, rows: Sequence[int]) -> tuple[PoorImage, ...]:
    """Find the images of poor quality among some rows of a dataset, whose files are read."""
    problems = prefetch(partial(_problem, dataset), rows, ahead=64, threads=usable_cpus())
    found = []
    checked = batched(zip(rows, problems, strict=True), CHECKED_IMAGES)
    for batch in track(checked, len(rows), "images checked"):
        found += [PoorImage(dataset.paths[row], problem) for row, problem in batch if problem]
    return tuple(found)


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
