"""What is opened as a picture: which files, of which formats and how many pixels.

Whoever asks gets the content or an image that is not decoded yet, or a line that says why not.
"""

import os
import re
import stat
from functools import cache
from io import BytesIO
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from dogsim.errors import DogsimError, reason

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".ppm", ".pgm"),
)
# Only these are opened, whatever a file is called: Pillow knows formats that run other programs.
FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "PPM"),
    "HEIF",  # by pillow-heif
)
JPEG = b"\xff\xd8\xff"
HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}  # brands, and
CONTAINERS = {b"mif1", b"msf1"}  # those of a file that may hold AVIF as well

LIMIT = "DOGSIM_MAX_PIXELS"
MAX_PIXELS = 120_000_000  # the largest sensors beside a few telephones', which write JPEG
MAX_JPEG = 2.5  # times as many: libjpeg scales while it decodes
MOST_BYTES = 16  # of a pixel: four channels of 32 bits, not compressed


class UnreadableError(DogsimError):
    """A file or content that is no picture; `why` tells it without the name."""

    why = ""


class RefusedError(Exception):
    """Why a picture is not decoded, though perhaps it could be."""


def read_picture(path: str | os.PathLike[str]) -> bytes:
    """Read a picture file, so that what is hashed is what is decoded.

    Raises `DogsimError` if there is no such file or it cannot be read; its cause is the `OSError`.
    """
    path = Path(path)
    try:
        # Without O_NONBLOCK opening a pipe, which a file may have become, would wait for ever.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | _NONBLOCK)) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DogsimError(f"{path} is not a regular file. Expected a picture file.")
            if status.st_size > MOST_BYTES * max_pixels():
                raise unreadable(path, _too_many())
            return file.read()
    except IsADirectoryError as error:
        raise DogsimError(f"Received the folder {path}. Expected a picture file.") from error
    except FileNotFoundError as error:
        raise DogsimError(f"There is no picture {path}.") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        raise unreadable(path, reason(error)) from error


_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # Windows has no such flag, and no such pipes


def recognised(content: bytes) -> Image.Image:
    """Open a picture without decoding it; raises `RefusedError` if it has too many pixels."""
    most = max_pixels()
    if Image.MAX_IMAGE_PIXELS and most > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most  # the user allows more than Pillow does
    try:
        image: Image.Image = Image.open(BytesIO(content), formats=_formats())
    except UnidentifiedImageError as error:
        raise RefusedError(_unknown_format(content)) from error
    except Image.DecompressionBombError as error:
        if not content.startswith(JPEG):
            raise RefusedError(_too_many()) from error
        image = JpegImageFile(BytesIO(content))
    pixels, is_jpeg = image.width * image.height, isinstance(image, JpegImageFile)
    if pixels > (most * MAX_JPEG if is_jpeg else most):
        raise RefusedError(_too_many())
    if pixels > most:
        image.draft(None, (image.width // 2, image.height // 2))
    return image


def max_pixels() -> int:
    """How many pixels a picture may have, from the environment variable `LIMIT`."""
    text = os.environ.get(LIMIT, str(MAX_PIXELS))
    if not re.fullmatch(r"[1-9][0-9]{0,17}", text):
        raise DogsimError(f"Received {LIMIT}={text}. Expected a number of pixels from 1 up.")
    return int(text)


def _too_many() -> str:
    return f"it has more than {max_pixels():,} pixels; {LIMIT}=N in the environment allows N"


@cache
def _formats() -> list[str]:
    try:
        import pillow_heif

        pillow_heif.register_heif_opener()
    except ImportError:
        pass  # the message says what to install, should there be such a picture
    Image.init()
    # Pixels in one piece, which the system gets back at once; of pieces the C library keeps many.
    Image.core.set_block_size(1 << 28)  # type: ignore[attr-defined]
    return [name for name in FORMATS if name in Image.OPEN]


def _unknown_format(content: bytes) -> str:
    brands = _brands(content)
    is_avif = bool(brands & {b"avif", b"avis"})
    is_heic = bool(brands & HEIC) or (bool(brands & CONTAINERS) and not is_avif)
    if is_heic and "HEIF" not in _formats():
        return 'it is HEIC, which takes pillow-heif: pip install "dogsim[heic]"'
    if is_avif and "AVIF" not in _formats():
        return "it is AVIF, which takes a newer Pillow: pip install --upgrade pillow"
    return "its content is of no known picture format"


def _brands(content: bytes) -> set[bytes]:
    """What a file of ISO 14496-12 says that it is: the brands of its first box."""
    if content[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(content[:4], "big"), 256)
    return {content[8:12], *(content[i : i + 4] for i in range(16, end, 4))}


def unreadable(name: object, why: str) -> UnreadableError:
    """Make the error that tells why what is called `name` is no picture."""
    error = UnreadableError(f"Cannot read {name} as a picture: {why}.")
    error.why = why
    return error
