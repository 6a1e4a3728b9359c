"""A file, an array or a PIL image becomes uint8 RGB of the wanted size."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dogsim.errors import DogsimError, reason, unknown

Source: TypeAlias = "str | os.PathLike[str] | NDArray[np.uint8] | Image.Image"
RESIZES = ("squash", "crop")

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp"),
    *(".tif", ".tiff", ".avif", ".heic", ".ppm", ".pgm"),
)


def load_image(source: Source, size: int = 224, resize: str = "squash") -> NDArray[np.uint8]:
    """Load a picture as the square of pixels that a network takes.

    Parameters
    ----------
    source : path, array or PIL image
        A picture file; a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); or a PIL image.
    size : int
        Height and width of the result, pixels.
    resize : {"squash", "crop"}
        ``"squash"`` gives up the aspect ratio: MATLAB's ``imresize(img, [size size])``, bicubic
        with antialiasing. ``"crop"`` keeps it: the central square of 224/256 of the short side,
        as if that side had been resized to 256 and the middle 224 cut out.
        A picture already of the wanted size is passed through untouched.

    Returns
    -------
    (size, size, 3) uint8
        RGB, 0 to 255: upright by its EXIF orientation, transparency on white.

    Raises
    ------
    DogsimError
        If there is no such file, if it is not a picture, or if the array is of another kind.

    >>> load_image(np.zeros((40, 30), np.uint8), size=8).shape
    (8, 8, 3)
    """
    check_resize(resize)
    image = open_image(source)
    if image.size != (size, size):
        box = seen_part(*image.size, size, resize)
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.asarray(image)


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


def open_image(source: Source) -> Image.Image:
    """Open a picture of any mode at its own size, as an upright RGB image.

    Takes what `load_image` takes and raises what it raises.

    >>> open_image(np.zeros((40, 30), np.uint8)).size
    (30, 40)
    """
    if isinstance(source, np.ndarray):
        return _to_rgb(_from_array(source))
    if not isinstance(source, str | os.PathLike | Image.Image):
        raise DogsimError(f"Received {source!r}. Expected a path, a uint8 array or a PIL image.")
    try:
        if isinstance(source, Image.Image):
            return _to_rgb(source)
        with Image.open(_regular_file(Path(source))) as image:
            return _to_rgb(image)
    except DogsimError:
        raise
    except UnidentifiedImageError as error:
        raise _unreadable(source, "its content is of no known picture format") from error
    except Exception as error:  # decoders of broken files raise nearly anything
        raise _unreadable(source, reason(error)) from error


def read_picture_bytes(path: Path) -> bytes:
    """Read."""
    try:
        return _regular_file(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, reason(error)) from error


def _unreadable(source: Source, why: str) -> DogsimError:
    return DogsimError(f"Cannot read {source} as a picture: {why}.")


def _regular_file(path: Path) -> Path:
    if path.is_dir():
        raise DogsimError(f"Received the folder {path}. Expected a picture file.")
    if not path.exists():
        raise DogsimError(f"There is no picture {path}.")
    if not path.is_file():  # opening a pipe or a device could wait for ever
        raise DogsimError(f"{path} is not a regular file. Expected a picture file.")
    return path


def _from_array(array: NDArray[np.uint8]) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    known = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if array.dtype != np.uint8 or not known or array.size == 0:
        raise DogsimError(
            f"Received an array {array.shape} of {array.dtype}. "
            "Expected (h, w), (h, w, 3) or (h, w, 4) of uint8, 0 to 255."
        )
    return Image.fromarray(np.ascontiguousarray(array))


def _to_rgb(image: Image.Image) -> Image.Image:
    image = _upright(image)
    if image.mode.startswith("I"):  # 16 bits a pixel: Pillow would clip them to 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.mode == "F":
        image = image.convert("L")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _upright(image: Image.Image) -> Image.Image:
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block says nothing about the pixels
        return image


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name != "find_pictures":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import dogsim  # importable from here as ever, but it looks at folders now

        return dogsim.find_pictures
