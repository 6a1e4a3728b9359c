"""Data augmentation: random horizontal flip and random crop."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.errors import DogsimError, shown

MIN_AUGMENTED_CROP = 7 / 8  # of the side, as 224 of 256


def augment(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Flip an image horizontally with probability 1/2, and resize a random crop to its full size.

    The side of the crop is 7/8 of the image's side or more. A network should not depend on the
    direction in which a dog looks, nor on its exact position.

    Parameters
    ----------
    image : (h, w, 3) uint8
    rng : numpy.random.Generator

    Returns
    -------
    (h, w, 3) uint8

    >>> augmented = augment(np.full((8, 8, 3), 7, np.uint8), np.random.default_rng(0))
    >>> augmented.shape, bool((augmented == 7).all())
    ((8, 8, 3), True)
    """
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape[2:] != (3,):
        raise DogsimError(f"Received {shown(image)} as the image. Expected (h, w, 3) of uint8.")
    if not image.size or not isinstance(rng, np.random.Generator):
        raise DogsimError(
            f"Received an image {image.shape} and {shown(rng)}. Expected pixels and a "
            "numpy.random.Generator."
        )
    height, width = image.shape[:2]
    side = rng.uniform(MIN_AUGMENTED_CROP, 1)
    left, top = rng.uniform(0, 1 - side, 2)
    box = (left * width, top * height, (left + side) * width, (top + side) * height)
    flipped = image[:, ::-1] if rng.random() < 0.5 else image
    pixels = Image.fromarray(np.ascontiguousarray(flipped))
    return np.asarray(pixels.resize((width, height), Image.Resampling.BICUBIC, box=box))
