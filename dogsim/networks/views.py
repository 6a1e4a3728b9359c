"""Views of an image: itself, its mirror and its crops; their features are averaged.

A dog that looks to the left is the same dog as one that looks to the right, but a network's
features of the two differ. The mean of their unit vectors keeps what they have in common: test-time
augmentation (Krizhevsky, Sutskever and Hinton 2012, section 4.1).
"""

from collections.abc import Iterator
from typing import Literal, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.engines.tensorflow import Compute
from dogsim.plumbing.arrays import unit_vectors

Views: TypeAlias = Literal["none", "flip", "flip,crops"]
VIEWS: tuple[Views, ...] = get_args(Views)
CROP_FRACTION = 7 / 8  # of the side, as 224 of 256
CROP_POSITIONS = ((0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5))  # across, down

Images: TypeAlias = NDArray[np.uint8]
_Number = TypeVar("_Number", np.uint8, np.float32)


def average_views(network: Compute, views: str) -> Compute:
    """Return a network that averages its features over several views of each image.

    Parameters
    ----------
    network : callable
        Maps (B, H, W, 3) uint8 to features (B, D) float32.
    views : str
        One of `VIEWS`: ``"none"`` returns `network` itself; ``"flip"`` uses the image and its
        mirror; ``"flip,crops"`` also its four corners and its centre, each seven eighths of its
        side and enlarged to the whole, and their mirrors: 12 views.

    Returns
    -------
    callable
        Maps images to the mean of the features of all views, each scaled to length 1 before.

    >>> left = np.zeros((1, 1, 2, 3), np.uint8)
    >>> left[0, 0, 0] = 255
    >>> ends = lambda images: images[:, 0, [0, -1], 0].astype(np.float32)
    >>> average_views(ends, "flip")(left)
    array([[0.5, 0.5]], dtype=float32)
    """
    if views == "none":
        return network

    def mean(images: Images) -> NDArray[np.float32]:
        units = [unit_vectors(network(view), np.float32) for view in views_of(images, views)]
        return np.asarray(np.mean(units, axis=0), np.float32)

    return mean


def views_of(images: Images, views: str) -> Iterator[Images]:
    """Yield all views of images, each (B, H, W, 3) uint8: themselves, their crops, the mirrors."""
    yield images
    yield mirrored(images)
    if "crops" in views:
        for across, down in CROP_POSITIONS:
            crops = np.stack([_enlarged(image, across, down) for image in images])
            yield crops
            yield mirrored(crops)


def mirrored(images: NDArray[_Number]) -> NDArray[_Number]:
    """Mirror images or feature maps, (B, h, w, D), left to right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def _enlarged(image: Images, across: float, down: float) -> Images:
    """Enlarge a crop of an image to the size of the image."""
    height, width = image.shape[:2]
    left, top = across * (1 - CROP_FRACTION) * width, down * (1 - CROP_FRACTION) * height
    box = (left, top, left + CROP_FRACTION * width, top + CROP_FRACTION * height)
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized)
