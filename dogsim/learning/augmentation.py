"""Data augmentation: random horizontal flip, random crop and random rotation."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, hypot

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.errors import DogsimError, as_number, shown
from dogsim.images import Source, load_image
from dogsim.plumbing.threads import prefetch, usable_cpus

MIN_AUGMENTED_CROP = 7 / 8  # of the side, as 224 of 256
MAX_ROTATION = 45.0  # degrees
PREFETCHED_BATCHES = 2  # batches of images that are read while the network computes


def augment(
    image: NDArray[np.uint8], rng: np.random.Generator, rotation: float = 0.0
) -> NDArray[np.uint8]:
    """Flip an image horizontally with probability 1/2, and resize a random crop to its full size.

    The side of the crop is 7/8 of the image's side or more. A network should not depend on the
    direction in which a dog looks, nor on its exact position.

    Parameters
    ----------
    image : (h, w, 3) uint8
    rng : numpy.random.Generator
    rotation : float
        Also rotate the image by a random angle of at most so many degrees in either direction, 0 to
        45. The corners are filled by reflection.

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
    if check_rotation(rotation):
        flipped = rotate(flipped, rng.uniform(-rotation, rotation))
    pixels = Image.fromarray(np.ascontiguousarray(flipped))
    return np.asarray(pixels.resize((width, height), Image.Resampling.BICUBIC, box=box))


def check_rotation(rotation: float) -> float:
    """Return an angle; raise `DogsimError` unless it is 0 to 45 degrees."""
    if not 0 <= as_number("rotation", rotation) <= MAX_ROTATION:
        raise DogsimError(f"Received rotation={rotation}. Expected 0 to {MAX_ROTATION:g} degrees.")
    return rotation


def rotate(image: NDArray[np.uint8], degrees: float) -> NDArray[np.uint8]:
    """Rotate an image (h, w, 3) anticlockwise about its centre; reflection fills the corners.

    >>> rotate(np.full((4, 6, 3), 7, np.uint8), 30).tolist() == np.full((4, 6, 3), 7).tolist()
    True
    """
    height, width = image.shape[:2]
    border = ceil((hypot(height, width) - min(height, width)) / 2) + 1
    padded = np.pad(image, [(border, border), (border, border), (0, 0)], "symmetric")
    turned = Image.fromarray(padded).rotate(degrees, Image.Resampling.BICUBIC)
    return np.asarray(turned)[border : border + height, border : border + width]


def load_batches(
    batches: Iterable[Sequence[Source]],
    size: int,
    resize: str,
    workers: int | None = None,
    augment_seed: int | None = None,
    rotation: float = 0.0,
) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of images, (B, size, size, 3) uint8, loaded in advance by threads.

    With `augment_seed` the images are augmented; the same seed gives the same images for any
    number of threads. Raises as `load_image` does.
    """

    def load(numbered: tuple[int, Sequence[Source]]) -> NDArray[np.uint8]:
        number, batch = numbered
        images = (load_image(source, size, resize) for source in batch)
        if augment_seed is None:
            return np.stack(list(images))
        rng = np.random.default_rng([augment_seed, number])
        return np.stack([augment(image, rng, rotation) for image in images])

    threads = workers or usable_cpus()
    return prefetch(load, enumerate(batches), PREFETCHED_BATCHES, threads=threads)
