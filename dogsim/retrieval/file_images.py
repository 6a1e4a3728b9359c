"""Images of files, decoded at a size fit for comparisons; their keypoints are found once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from PIL import Image

from dogsim.errors import DogsimError
from dogsim.image_files.alignment import Keypoints, find_keypoints
from dogsim.image_files.detail import Pixels
from dogsim.image_files.small_image import SmallImage, small_image
from dogsim.images import open_image

COMPARED_SIDE = 512  # pixels; a larger image is reduced to this side squared
MIN_DECODED_SIDE = 640  # a JPEG may be scaled down while it is decoded, but not below
MAX_KEYPOINTS_HELD, MAX_PIXELS_HELD = 5000, 64  # images, of 60 kB and of 0.8 MB


@dataclass(frozen=True, eq=False)
class FileImage:
    """An image of a file.

    Attributes
    ----------
    keypoints : Keypoints
    small : SmallImage
    pixels : callable
        Decodes the image again, (h, w, 3) uint8, at most `COMPARED_SIDE` squared.
    """

    keypoints: Keypoints
    small: SmallImage
    pixels: Callable[[], Pixels]


class FileImages:
    """Images of files by path; the keypoints and the pixels of the last ones are held."""

    def __init__(self) -> None:
        self.find = lru_cache(MAX_KEYPOINTS_HELD)(self._find)
        self._pixels = lru_cache(MAX_PIXELS_HELD)(_pixels)

    def _find(self, file: Path) -> FileImage | None:
        """Return the image of a file, None if it cannot be read."""
        try:
            pixels = self._pixels(file)
        except DogsimError:
            return None
        keypoints = find_keypoints(pixels)
        small = small_image(pixels, keypoints)
        return FileImage(keypoints, small, partial(self._pixels, file))


def have_same_pixels(file: Path, other: Path) -> bool:
    """Return whether two image files decode to the same pixels; raise `DogsimError` if not both."""
    return bool(np.array_equal(np.asarray(open_image(file)), np.asarray(open_image(other))))


def _pixels(file: Path) -> Pixels:
    image = open_image(file, MIN_DECODED_SIDE)
    factor = COMPARED_SIDE / float(np.sqrt(image.width * image.height))
    if factor < 1:
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.array(image)
