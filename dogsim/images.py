"""Decode a file, an array or a PIL image into uint8 RGB of a given size."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from dogsim.errors import DogsimError, as_integer, check_known, is_iterable, reason, shown
from dogsim.image_files.boxes import Box, RelativeBox
from dogsim.image_files.files import RefusedError, open_undecoded, read_image_file, unreadable
from dogsim.image_files.square import RESIZES, min_decoded_side, squared
from dogsim.plumbing.threads import Budget

MAX_DECODED_PIXELS = 40_000_000  # of all threads together; a larger image is decoded alone
MAX_SIZE = 16_384  # pixels of a side of the result: 800 MB
ORIENTATION_TAG = 0x0112  # of EXIF
# Of 32-bit images by dtype kind: no format says which number is white.
WHITE_LEVELS = {"iu": (255, 4095, 65535, 2**31 - 1), "f": (1, 255, 65535)}


@dataclass(frozen=True)
class Cropped:
    """A region of an image; every function that accepts an image accepts it.

    Attributes
    ----------
    source : path, bytes, array or PIL image
    box : Box

    >>> load_image(Cropped(np.zeros((40, 30), np.uint8), Box(5, 5, 20, 20)), size=8).shape
    (8, 8, 3)
    """

    source: "Source"
    box: Box


Source: TypeAlias = str | os.PathLike[str] | bytes | NDArray[np.uint8] | Image.Image | Cropped


def file_of(source: Source) -> Path | None:
    """Return the file of an image, or of a region of one; None for an image in memory."""
    image = source.source if isinstance(source, Cropped) else source
    return Path(os.fsdecode(image)) if isinstance(image, str | os.PathLike) else None


def load_image(
    source: Source, size: int = 224, resize: str = "squash", name: str | None = None
) -> NDArray[np.uint8]:
    """Load an image as the square of pixels that a network takes.

    Parameters
    ----------
    source : path, bytes, array, PIL image or Cropped
        An image file or its content; a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); a
        PIL image; or a region of one of these.
    size : int
        Height and width of the result, pixels, from 1 to 16,384.
    resize : {"squash", "crop", "pad"}
        ``"squash"`` changes the aspect ratio: MATLAB's ``imresize(img, [size size])``, bicubic
        with antialiasing. ``"crop"`` keeps it: the central square of 224/256 of the short side,
        as if that side had been resized to 256 and the middle 224 cut out. ``"pad"`` keeps it and
        shows the whole image, with margins in the mean colour of ImageNet.
        An image that already has this size is returned unchanged. A JPEG of at least four
        times that size is scaled to half, a quarter or an eighth while it is decoded, which is
        faster; at least twice that size remains.
    name : str, optional
        The name in error messages of an image given by its content; a path names itself.

    Returns
    -------
    (size, size, 3) uint8
        RGB, 0 to 255: upright by its EXIF orientation, transparency on white. Grey of 9 to 16 bits
        is scaled by the bit depth of the file: the largest number of 16 bits, 65535, becomes 255.
        Numbers of 32 bits are scaled so that the smallest usual white level (255, 4095, 65535; 1
        for floats) that is not below their maximum becomes 255.

    Raises
    ------
    DogsimError
        If there is no such file, if it is not an image of a known format or has more pixels than
        the environment variable ``DOGSIM_MAX_PIXELS`` allows (120 million; 2.5 times as many for
        JPEG), if the array is of another kind, if a box does not fit its image, or if `resize` or
        `size` is wrong.

    >>> load_image(np.zeros((40, 30), np.uint8), size=8).shape
    (8, 8, 3)
    """
    check_known("resize", resize, RESIZES)
    size = as_integer("size", size, 1, MAX_SIZE, "pixels")
    with opened(source, min_decoded_side(size, resize), name) as image:
        return squared(image, size, resize)


def as_images(images: Source | Iterable[Source]) -> Iterable[Source]:
    """Return a list of one for a single image, and an iterable of images unchanged.

    >>> as_images("a.jpg"), as_images(["a.jpg", "b.jpg"])
    (['a.jpg'], ['a.jpg', 'b.jpg'])
    """
    if isinstance(images, str | bytes | os.PathLike | Image.Image | Cropped):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim <= 3:
        return [images]
    if not is_iterable(images):
        raise DogsimError(
            f"Received {shown(images)}. Expected an image (a path, a uint8 array or a PIL image) "
            "or several."
        )
    return images


def open_image(source: Source, at_least: int | None = None, name: str | None = None) -> Image.Image:
    """Open an image of any mode at its own size, as an upright RGB image.

    Accepts the images of `load_image` and raises the same errors. With `at_least`, a JPEG may be
    scaled down while it is decoded, but no side below that number of pixels.

    >>> open_image(np.zeros((40, 30), np.uint8)).size
    (30, 40)
    """
    with opened(source, at_least, name) as image:
        return image.copy() if image is source else image


@contextmanager
def opened(
    source: Source,
    at_least: int | None = None,
    name: str | None = None,
    pixel_limit: int | None = None,
) -> Iterator[Image.Image]:
    """Open an image as `open_image` does; its pixels count as decoded until the block ends.

    A PIL image may be the source itself, so the block must not change it. With `pixel_limit`, an
    image file may have no more pixels than that, 2.5 times as many if it is a JPEG.
    """
    box = source.box if isinstance(source, Cropped) else None
    if file := file_of(source):
        name = str(file)
    content = _content(source.source if isinstance(source, Cropped) else source)
    try:
        if isinstance(content, Image.Image):
            yield _decoded(content, box)
            return
        with open_undecoded(content, pixel_limit) as image:
            pixels, region = image.width * image.height, None
            if isinstance(image, JpegImageFile):
                region = _relative_box(image, box)
                if at_least:
                    image.draft(None, _min_stored_size(at_least, region, _orientation(image)))
                if not image.info.get("progressive"):  # those are held at full size while decoding
                    pixels = image.width * image.height
            with _decoding.reserve(pixels):
                yield _decoded(image, box, region)
    except Exception as error:  # decoders of broken files raise nearly anything
        raise unreadable(name or "the content", reason(error)) from error


def _decoded(image: Image.Image, box: Box | None, region: RelativeBox | None = None) -> Image.Image:
    if isinstance(image, TiffImageFile):  # decoding turns it upright
        region = _relative_box(image, box)
    rgb = _to_rgb(image)  # other formats decode to read their orientation
    return _crop(rgb, region or _relative_box(image, box))


_decoding = Budget(MAX_DECODED_PIXELS)


def _content(source: Source) -> bytes | Image.Image:
    if isinstance(source, np.ndarray):
        array = source[:, :, 0] if source.ndim == 3 and source.shape[2] == 1 else source
        known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
        if array.dtype != np.uint8 or not known or array.size == 0:
            raise DogsimError(
                f"Received an array {array.shape} of {array.dtype}. "
                "Expected (h, w), (h, w, 3) or (h, w, 4) of uint8, 0 to 255."
            )
        return Image.fromarray(np.ascontiguousarray(array))
    if isinstance(source, str | os.PathLike):
        return read_image_file(source)
    if isinstance(source, bytes | Image.Image):
        return source
    raise DogsimError(f"Received {shown(source)}. Expected a path, a uint8 array or a PIL image.")


def _relative_box(image: Image.Image, box: Box | None) -> RelativeBox:
    """Return the region of a box in the upright image, as fractions from 0 to 1."""
    if box is None:
        return 0.0, 0.0, 1.0, 1.0
    stored, orientation = image.size, _orientation(image)
    if isinstance(image, TiffImageFile) and orientation > 4:  # its size is that of the upright one
        stored = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    region = box.relative_to(stored, orientation)
    if region is None:
        size = f"{box.width:g} x {box.height:g}" if box.width else "another size"
        raise RefusedError(
            f"its box, for an image of {size}, does not fit its {image.width} x {image.height}"
        )
    return region


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION_TAG, 1))
    except Exception:  # a broken EXIF block
        return 1


def _min_stored_size(at_least: int, region: RelativeBox, orientation: int) -> tuple[int, int]:
    """Return the stored size at which a region has at least the given sides."""
    left, top, right, bottom = region
    width, height = ceil(at_least / (right - left)), ceil(at_least / (bottom - top))
    return (height, width) if orientation > 4 else (width, height)


def _crop(image: Image.Image, region: RelativeBox) -> Image.Image:
    """Crop an upright image to a region, at least one pixel wide and high."""
    if region == (0, 0, 1, 1):
        return image
    left, top, right, bottom = (
        round(fraction * side) for fraction, side in zip(region, image.size * 2, strict=True)
    )
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


def _to_rgb(image: Image.Image) -> Image.Image:
    levels = _white_levels(image)  # while it is the opened file, and has its tags
    image.load()
    if _orientation(image) in range(2, 9):  # else Pillow makes a copy
        with suppress(Exception):  # a broken EXIF block; the pixels are fine
            image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":  # Pillow would clip these values to 255
        image = Image.fromarray(_to_uint8(np.asarray(image), levels))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _white_levels(image: Image.Image) -> tuple[int, ...]:
    """Return the numbers that may be white in an image of more than 8 bits."""
    if image.mode.startswith("I;16"):
        tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
        return (2 ** tags.get(BITSPERSAMPLE, (16,))[0] - 1,)
    if image.mode == "I" and image.format == "PPM":  # Pillow scales it to 16 bits
        return (65535,)
    return WHITE_LEVELS["f" if image.mode == "F" else "iu"]


def _to_uint8(
    values: NDArray[np.integer | np.floating], levels: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Scale values to 0 to 255 by the smallest white level that is not below their maximum."""
    lowest, highest = values.min(), values.max()
    white = next((white for white in levels if highest <= white), None)
    if white is None or not lowest >= 0:  # NaN fails both comparisons
        usual = " or ".join(f"{each:,}" for each in levels)
        raise RefusedError(
            f"its pixels are numbers from {lowest} to {highest}, not from 0 to {usual}"
        )
    return np.asarray(np.round(values * (255 / white)), np.uint8)
