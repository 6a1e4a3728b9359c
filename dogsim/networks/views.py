"""A picture that is seen more than once: as it is, mirrored, and by its parts.

A dog that looks to the left is the same dog as one that looks to the right, and a network's
features of the two differ. Their mean, each brought to length 1 first, holds more of what they have
in common: the usual test-time augmentation (Krizhevsky, Sutskever and Hinton 2012, section 4.1).
"""

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.errors import unknown
from dogsim.plumbing.vectors import unit_vectors

Views: TypeAlias = Literal["none", "flip", "flip,crops"]
VIEWS: tuple[Views, ...] = get_args(Views)
PART = 7 / 8  # of the side that a crop keeps, as 224 of 256

Images: TypeAlias = NDArray[np.uint8]
_Number = TypeVar("_Number", np.uint8, np.float32)
Network: TypeAlias = Callable[[Images], NDArray[np.float32]]


def check_views(views: str) -> None:
    """Raise `DogsimError` unless `views` is one of `VIEWS`.

    >>> check_views("crop")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Unknown views 'crop'. Known: none, flip, flip,crops.
    """
    if views not in VIEWS:
        raise unknown("views", views, VIEWS)


def seen_by(network: Network, views: str) -> Network:
    """Let a network see each picture in several views; with ``"none"`` it stays as it is.

    Parameters
    ----------
    network : callable
        Maps (B, H, W, 3) uint8 to features (B, D) float32.
    views : str
        One of `VIEWS`: ``"flip"`` is the picture and its mirror, ``"flip,crops"`` also its four
        corners and its centre, each seven eighths of its side and enlarged to the whole, and their
        mirrors: 12 views.

    Returns
    -------
    callable
        Maps the same to the mean of the features of all views, each of length 1 before.

    >>> left = np.zeros((1, 1, 2, 3), np.uint8)
    >>> left[0, 0, 0] = 255
    >>> ends = lambda images: images[:, 0, [0, -1], 0].astype(np.float32)
    >>> seen_by(ends, "flip")(left)
    array([[0.5, 0.5]], dtype=float32)
    """
    if views == VIEWS[0]:
        return network

    def mean(images: Images) -> NDArray[np.float32]:
        found = [unit_vectors(network(view), np.float32) for view in views_of(images, views)]
        return np.asarray(np.mean(found, axis=0), np.float32)

    return mean


def views_of(images: Images, views: str) -> Iterator[Images]:
    """Yield all views of pictures, each (B, H, W, 3) uint8: themselves, mirrored, parts."""
    yield images
    yield mirrored(images)
    if "crops" in views:
        for across, down in [(0, 0), (0, 1), (1, 0), (1, 1), (0.5, 0.5)]:
            part = np.stack([_enlarged(image, across, down) for image in images])
            yield part
            yield mirrored(part)


def mirrored(images: NDArray[_Number]) -> NDArray[_Number]:
    """Mirror pictures or maps, (B, h, w, D), left to right."""
    return np.ascontiguousarray(images[:, :, ::-1])


def _enlarged(image: Images, across: float, down: float) -> Images:
    """Take the part of an image that begins so far across and down, as large as the whole."""
    height, width = image.shape[:2]
    left, top = across * (1 - PART) * width, down * (1 - PART) * height
    box = (left, top, left + PART * width, top + PART * height)
    picture = Image.fromarray(image)
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box=box))
