"""Image files: the formats that are opened, the limit on their pixels, and why one is refused."""

import ctypes
import os
import re
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from io import BytesIO
from mimetypes import guess_type
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from dogsim.errors import DogsimError, not_found, reason

IMAGE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".ppm", ".pgm", ".pbm", ".pnm"),
)
# The only formats that are opened: Pillow runs other programs for some of the others.
PILLOW_FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "PPM"),
    "HEIF",  # by pillow-heif
)
JPEG_SIGNATURE = b"\xff\xd8\xff"
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
CONTAINER_BRANDS = {b"mif1", b"msf1"}  # of files that hold either HEIC or AVIF

MAX_PIXELS_VARIABLE = "DOGSIM_MAX_PIXELS"
MAX_PIXELS = 120_000_000  # the largest sensors except those of a few phones, which write JPEG
JPEG_PIXELS_FACTOR = 2.5  # JPEG may have more pixels: libjpeg scales down while it decodes
MAX_BYTES_PER_PIXEL = 16  # four channels of 32 bits, not compressed


class UnreadableError(DogsimError):
    """Raised for a file or content that is not an image; `why` is the reason without the name."""

    why = ""


class RefusedError(Exception):
    """Raised for an image that is not decoded: the reason, without the name of the image."""


def read_image_file(path: str | os.PathLike[str]) -> bytes:
    """Read an image file, so that the bytes that are hashed are the bytes that are decoded.

    Raises `DogsimError` if there is no such file or it cannot be read; its cause is the `OSError`.
    """
    with open_image_file(path) as (file, status):
        if status.st_size > MAX_BYTES_PER_PIXEL * max_pixels():
            raise unreadable(os.fsdecode(path), _too_many_pixels(max_pixels()))
        return file.read()


def existing_files(root: str, paths: Sequence[str]) -> NDArray[np.bool_]:
    """Return which of the files below a folder exist, (n,) bool.

    >>> existing_files(str(Path(__file__).parent), ["files.py", "none.jpg"]).tolist()
    [True, False]
    """
    files = (f"{root}/{path}" if root else path for path in paths)  # faster than a Path for each
    return np.fromiter(map(os.path.isfile, files), bool, len(paths))


@contextmanager
def open_image_file(path: str | os.PathLike[str]) -> Iterator[tuple[BinaryIO, os.stat_result]]:
    """Open a regular file for reading, and return it with its status.

    Raises `DogsimError` if there is no such file or it cannot be read; its cause is the `OSError`.
    """
    path = Path(os.fsdecode(path))
    try:
        # Without O_NONBLOCK, opening a pipe that has replaced the file would wait forever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DogsimError(f"{path} is not a regular file. Expected an image file.")
            yield file, status
    except DogsimError:  # a ValueError
        raise
    except IsADirectoryError as error:
        raise DogsimError(f"Received the folder {path}. Expected an image file.") from error
    except FileNotFoundError as error:
        raise not_found(path, f"There is no image {path}.") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise unreadable(path, reason(error)) from error


_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # Windows has neither this flag nor such pipes


def open_undecoded(content: bytes, pixel_limit: int | None = None) -> Image.Image:
    """Open an image without decoding it; `pixel_limit` counts if it is below `max_pixels`.

    Raises `RefusedError` if its format is unknown or it has too many pixels.
    """
    limit = min(max_pixels(), pixel_limit or max_pixels())
    if Image.MAX_IMAGE_PIXELS and limit > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = limit  # the user allows more than Pillow does
    try:
        image = identify(BytesIO(content))
    except UnidentifiedImageError as error:
        raise RefusedError(_unknown_format(content)) from error
    except Image.DecompressionBombError as error:
        raise RefusedError(_too_many_pixels(limit)) from error
    pixels, is_jpeg = image.width * image.height, isinstance(image, JpegImageFile)
    if pixels > (limit * JPEG_PIXELS_FACTOR if is_jpeg else limit):
        raise RefusedError(_too_many_pixels(limit))
    if pixels > limit:
        image.draft(None, (image.width // 2, image.height // 2))
    return image


def identify(file: BinaryIO) -> Image.Image:
    """Open an image of a known format without decoding it; a JPEG may have any number of pixels.

    Raises the errors of `PIL.Image.open`.
    """
    try:
        return Image.open(file, formats=_formats())
    except Image.DecompressionBombError:
        file.seek(0)
        if file.read(len(JPEG_SIGNATURE)) != JPEG_SIGNATURE:
            raise
        file.seek(0)
        return JpegImageFile(file)


def has_image_content(path: Path) -> bool:
    """Return whether the content of a file is an image that `open_undecoded` opens."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return False
        with Image.open(path, formats=_formats()):
            return True
    except Image.DecompressionBombError:
        return True
    except Exception:  # Pillow raises many types for other files
        return False


def has_image_suffix(path: Path) -> bool:
    """Return whether the suffix of a file is that of an image in any format."""
    Image.init()
    kind = guess_type(path.name)[0] or ""
    return path.suffix.lower() in Image.EXTENSION or kind.startswith("image/")


def max_pixels() -> int:
    """Return the largest number of pixels of an image; the environment can set it."""
    text = os.environ.get(MAX_PIXELS_VARIABLE, str(MAX_PIXELS))
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise DogsimError(
            f"Received {MAX_PIXELS_VARIABLE}={text}. Expected a number of pixels from 1 up."
        )
    return int(text)


def _too_many_pixels(limit: int) -> str:
    text = f"it has more than {limit:,} pixels"
    if limit < max_pixels():
        return text
    return f"{text}; {MAX_PIXELS_VARIABLE}=N in the environment allows N"


@cache
def _formats() -> list[str]:
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
    except ImportError:
        pass  # `_unknown_format` names the package for a HEIC file
    Image.init()
    with suppress(OSError, AttributeError):  # libtiff is not a library of its own everywhere
        libtiff = ctypes.CDLL(Image.core.__file__)  # type: ignore[attr-defined]
        libtiff.TIFFSetErrorHandler(None)  # it prints on stderr what Pillow raises
        libtiff.TIFFSetWarningHandler(None)
    # One block per image: the system gets it back at once, while the C library keeps small ones.
    Image.core.set_block_size(1 << 28)  # type: ignore[attr-defined]
    return [name for name in PILLOW_FORMATS if name in Image.OPEN]


def _unknown_format(content: bytes) -> str:
    brands = _brands(content)
    is_avif = bool(brands & {b"avif", b"avis"})
    is_heic = bool(brands & HEIC_BRANDS) or (bool(brands & CONTAINER_BRANDS) and not is_avif)
    if is_heic and "HEIF" not in _formats():
        return 'it is HEIC, which needs pillow-heif: pip install "dogsim[heic]"'
    if is_avif and "AVIF" not in _formats():
        return "it is AVIF, which needs a newer Pillow: pip install --upgrade pillow"
    return "its content is of no known image format"


def _brands(content: bytes) -> set[bytes]:
    """Return the brands in the first box of an ISO 14496-12 file, which name its format."""
    if content[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(content[:4], "big"), 256)
    return {content[8:12], *(content[i : i + 4] for i in range(16, end, 4))}


def unreadable(name: object, why: str) -> UnreadableError:
    """Return the error for a file or content called `name` that is not a readable image."""
    error = UnreadableError(f"Cannot read {name} as an image: {why}.")
    error.why = why
    return error
