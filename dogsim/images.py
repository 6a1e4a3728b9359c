"""A file, an array or a PIL image becomes uint8 RGB of the wanted size."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from dogsim.errors import DogsimError, reason, unknown
from dogsim.image_files.boxes import Box, Parts
from dogsim.image_files.files import PICTURE_SUFFIXES as PICTURE_SUFFIXES  # from here as ever
from dogsim.image_files.files import RefusedError, read_picture, recognised, unreadable
from dogsim.plumbing.threads import Room

RESIZES = ("squash", "crop")

AT_ONCE = 40_000_000  # pixels that all threads together decode; a larger picture is decoded alone
ORIENTATION = 0x0112  # the number of the EXIF entry
WHITES = {"iu": (255, 4095, 65535, 2**31 - 1), "f": (1, 255, 65535)}  # of pixels that are numbers


@dataclass(frozen=True)
class Cropped:
    """A picture of which only a part is meant: taken wherever a picture is.

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
    """Name the file that a picture, or a part of one, lies in; None for what lies in none."""
    picture = source.source if isinstance(source, Cropped) else source
    return Path(picture) if isinstance(picture, str | os.PathLike) else None


def load_image(
    source: Source, size: int = 224, resize: str = "squash", name: str | None = None
) -> NDArray[np.uint8]:
    """Load a picture as the square of pixels that a network takes.

    Parameters
    ----------
    source : path, bytes, array, PIL image or Cropped
        A picture file or its content; a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); a
        PIL image; or a part of one of these.
    size : int
        Height and width of the result, pixels, from 1 up.
    resize : {"squash", "crop"}
        ``"squash"`` gives up the aspect ratio: MATLAB's ``imresize(img, [size size])``, bicubic
        with antialiasing. ``"crop"`` keeps it: the central square of 224/256 of the short side,
        as if that side had been resized to 256 and the middle 224 cut out.
        A picture already of the wanted size is passed through untouched. A JPEG of four times that
        size and more is scaled to half, a quarter or an eighth while it is decoded, which is
        faster; at least twice the wanted size remains.
    name : str, optional
        What errors call a picture that is given by its content; a path is called by itself.

    Returns
    -------
    (size, size, 3) uint8
        RGB, 0 to 255: upright by its EXIF orientation, transparency on white. Grey of more than 8
        bits is scaled so that the smallest usual white (255, 4095, 65535; 1 for fractions) that
        holds its numbers becomes 255.

    Raises
    ------
    DogsimError
        If there is no such file, if it is not a picture of a known format or has more pixels than
        the environment variable ``DOGSIM_MAX_PIXELS`` allows (120 million; 2.5 times as many for
        JPEG), if the array is of another kind, if a box does not fit its picture, or if `resize` or
        `size` is wrong.

    >>> load_image(np.zeros((40, 30), np.uint8), size=8).shape
    (8, 8, 3)
    """
    check_resize(resize)
    if not isinstance(size, int | np.integer) or size < 1:
        raise DogsimError(f"Received size={size!r}. Expected a number of pixels from 1 up.")
    with _opened(source, _kept_side(size, resize), name) as image:
        if image.size == (size, size):
            return np.array(image)
        box = seen_part(*image.size, size, resize)
        return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def seen_part(
    width: int, height: int, size: int = 224, resize: str = "squash"
) -> tuple[float, float, float, float]:
    """Tell which part of a picture `load_image` takes: left, top, right, bottom, in its pixels.

    >>> seen_part(400, 256, 224, "crop")
    (88.0, 16.0, 312.0, 240.0)
    """
    if resize == "squash" or (width, height) == (size, size):
        return 0.0, 0.0, float(width), float(height)
    # Cutting before resizing keeps memory small even for a picture of 1 x 20,000.
    side = min(width, height) * 224 / 256
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def check_resize(resize: str) -> None:
    """Raise `DogsimError` unless `resize` is one of `RESIZES`."""
    if resize not in RESIZES:
        raise unknown("resize", resize, RESIZES)


def many(images: Source | Iterable[Source]) -> Iterable[Source]:
    """Take one picture as a list of one, and let many be.

    >>> many("a.jpg"), many(["a.jpg", "b.jpg"])
    (['a.jpg'], ['a.jpg', 'b.jpg'])
    """
    if isinstance(images, str | bytes | os.PathLike | Image.Image | Cropped):
        return [images]
    if isinstance(images, np.ndarray) and images.ndim <= 3:
        return [images]
    return images


def open_image(source: Source, at_least: int | None = None, name: str | None = None) -> Image.Image:
    """Open a picture of any mode at its own size, as an upright RGB image.

    Takes what `load_image` takes and raises what it raises. With `at_least` a JPEG may come
    smaller, but neither of its sides less than so many pixels.

    >>> open_image(np.zeros((40, 30), np.uint8)).size
    (30, 40)
    """
    with _opened(source, at_least, name) as image:
        return image


@contextmanager
def _opened(source: Source, at_least: int | None, name: str | None) -> Iterator[Image.Image]:
    """Do what `open_image` does, with a share of all threads' room for as long as the block."""
    box = source.box if isinstance(source, Cropped) else None
    if file := file_of(source):
        name = str(file)
    content = _content(source.source if isinstance(source, Cropped) else source)
    try:
        if isinstance(content, Image.Image):
            yield _cut(_to_rgb(content), _parts(content, box))
            return
        with recognised(content) as image:
            pixels, parts = image.width * image.height, None
            if isinstance(image, JpegImageFile):  # others are decoded to tell their orientation
                parts = _parts(image, box)
                if at_least:
                    image.draft(None, _whole_size(at_least, parts, _orientation(image)))
                if not image.info.get("progressive"):  # which is held whole, whatever it becomes
                    pixels = image.width * image.height
            with _room.taking(pixels):
                yield _cut(_to_rgb(image), parts or _parts(image, box))
    except Exception as error:  # decoders of broken files raise nearly anything
        raise unreadable(name or "the content", reason(error)) from error


def _content(source: Source) -> bytes | Image.Image:
    if isinstance(source, np.ndarray):
        return Image.fromarray(_checked(source))
    if isinstance(source, str | os.PathLike):
        return read_picture(source)
    if isinstance(source, bytes | Image.Image):
        return source
    raise DogsimError(f"Received {source!r}. Expected a path, a uint8 array or a PIL image.")


def _parts(image: Image.Image, box: Box | None) -> Parts:
    """Tell which part of the upright picture a box leaves, 0 to 1."""
    if box is None:
        return 0.0, 0.0, 1.0, 1.0
    parts = box.parts(image.size, _orientation(image))
    if parts is None:
        size = f"{box.width:g} x {box.height:g}" if box.width else "another size"
        raise RefusedError(
            f"its box, of a picture of {size}, does not fit its {image.width} x {image.height}"
        )
    return parts


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # a broken EXIF block says nothing
        return 1


def _whole_size(at_least: int, parts: Parts, orientation: int) -> tuple[int, int]:
    """How large a picture has to be, as it is stored, for a part of it to have such sides."""
    left, top, right, bottom = parts
    width, height = ceil(at_least / (right - left)), ceil(at_least / (bottom - top))
    return (height, width) if orientation > 4 else (width, height)


def _cut(image: Image.Image, parts: Parts) -> Image.Image:
    """Cut a part out of an upright picture, of a pixel at least."""
    if parts == (0, 0, 1, 1):
        return image
    left, top, right, bottom = (
        round(part * side) for part, side in zip(parts, image.size * 2, strict=True)
    )
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, max(right, left + 1), max(bottom, top + 1)))


_room = Room(AT_ONCE)


def _kept_side(size: int, resize: str) -> int:
    """Tell to how many pixels a side may be scaled by the decoder, which is cruder than bicubic."""
    return 2 * size if resize == "squash" else ceil(2 * size * 256 / 224)


def _checked(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not known or array.size == 0:
        raise DogsimError(
            f"Received an array {array.shape} of {array.dtype}. "
            "Expected (h, w), (h, w, 3) or (h, w, 4) of uint8, 0 to 255."
        )
    return np.ascontiguousarray(array)


def _to_rgb(image: Image.Image) -> Image.Image:
    image = _upright(image)
    if image.mode[0] in "IF":  # Pillow would clip these numbers to 255
        image = Image.fromarray(_scaled(np.asarray(image)))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _scaled(numbers: NDArray[np.integer | np.floating]) -> NDArray[np.uint8]:
    """Bring numbers of more than 8 bits to 0 to 255."""
    least, most = numbers.min(), numbers.max()
    kind = "f" if numbers.dtype.kind == "f" else "iu"
    white = next((white for white in WHITES[kind] if most <= white), None)
    if white is None or not least >= 0:  # NaN is no less
        usual = " or ".join(f"{each:,}" for each in WHITES[kind])
        raise RefusedError(f"its pixels are numbers from {least} to {most}, not from 0 to {usual}")
    return np.asarray(np.round(numbers * (255 / white)), np.uint8)


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return image


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name != "find_images":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import dogsim  # importable from here as ever, but it looks at folders now

        return dogsim.find_images
