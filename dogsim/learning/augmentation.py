"""More pictures than there are: each one mirrored, and cropped a little, as chance has it."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SMALLEST = 7 / 8  # of the side that a crop keeps, as 224 of 256


def augment(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Mirror a picture left to right half of the time, and enlarge a large part of it to the whole.

    A dog looks to the left as well as to the right, and stands anywhere: a network shall not learn
    otherwise from the few pictures that there are.

    Parameters
    ----------
    image : (h, w, 3) uint8
    rng : numpy.random.Generator

    Returns
    -------
    (h, w, 3) uint8

    >>> same = augment(np.full((8, 8, 3), 7, np.uint8), np.random.default_rng(0))
    >>> same.shape, bool((same == 7).all())
    ((8, 8, 3), True)
    """
    height, width = image.shape[:2]
    part = rng.uniform(SMALLEST, 1)
    left, top = rng.uniform(0, 1 - part, 2)
    box = (left * width, top * height, (left + part) * width, (top + part) * height)
    mirrored = image[:, ::-1] if rng.random() < 0.5 else image
    picture = Image.fromarray(np.ascontiguousarray(mirrored))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))
