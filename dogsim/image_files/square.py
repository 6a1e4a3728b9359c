"""The square of pixels that a network takes, made of an image of any size."""

from math import ceil
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Resize: TypeAlias = Literal["squash", "crop", "pad"]
RESIZES: tuple[Resize, ...] = get_args(Resize)
# The mean colour of ImageNet's photos. Networks subtract it, so the margins are about 0, as those
# that convolutions add; black or white margins are strong edges.
PAD_COLOUR = (124, 116, 104)


def squared(image: Image.Image, size: int, resize: str) -> NDArray[np.uint8]:
    """Resize an RGB image to (size, size, 3) uint8, bicubic with antialiasing.

    `resize` is one of `RESIZES`, see `dogsim.load_image`.
    """
    if image.size == (size, size):
        return np.array(image)
    if resize == "pad":
        left, top, width, height = _padded_place(*image.size, size)
        square = Image.new("RGB", (size, size), PAD_COLOUR)
        square.paste(image.resize((width, height), Image.Resampling.BICUBIC), (left, top))
        return np.array(square)
    box = input_region(*image.size, size, resize)
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def input_region(
    width: int, height: int, size: int = 224, resize: str = "squash"
) -> tuple[float, float, float, float]:
    """Return the region of an image that the square shows: left, top, right, bottom in pixels.

    With ``"pad"`` it is larger than the image.

    >>> input_region(400, 256, 224, "crop")
    (88.0, 16.0, 312.0, 240.0)
    >>> input_region(400, 200, 100, "pad")
    (0.0, -100.0, 400.0, 300.0)
    """
    if resize == "squash" or (width, height) == (size, size):
        return 0.0, 0.0, float(width), float(height)
    if resize == "pad":
        left, top, padded_width, padded_height = _padded_place(width, height, size)
        across, down = width / padded_width, height / padded_height  # pixels of the image for one
        return -left * across, -top * down, (size - left) * across, (size - top) * down
    # Cropping before resizing needs little memory even for an image of 1 x 20,000.
    side = min(width, height) * 224 / 256
    x, y = (width - side) / 2, (height - side) / 2
    return x, y, x + side, y + side


def min_decoded_side(size: int, resize: str) -> int:
    """Return the side down to which a JPEG decoder may scale, which is coarser than bicubic."""
    return ceil(2 * size * 256 / 224) if resize == "crop" else 2 * size


def _padded_place(width: int, height: int, size: int) -> tuple[int, int, int, int]:
    """Return the place of a padded image in its square: left, top, width, height."""
    longer = max(width, height)
    width, height = (max(1, round(side * size / longer)) for side in (width, height))
    return (size - width) // 2, (size - height) // 2, width, height
