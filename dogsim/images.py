"""A file, an array or a PIL image becomes uint8 RGB of the wanted size."""

import io
import os
import threading
import warnings
from collections.abc import Callable, Container
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from dogsim.errors import DogsimError, reason, unknown
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.threads import Allowance

Source: TypeAlias = "str | os.PathLike[str] | NDArray[np.uint8] | Image.Image"
T = TypeVar("T")
RESIZES = ("squash", "crop")

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp"),
    *(".tif", ".tiff", ".avif", ".heic", ".ppm", ".pgm"),
)

FORMATS = (
    *("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "HEIF", "PPM"),
    "JPEG2000",
)
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")

LIMIT = "DOGSIM_MAX_MEGAPIXELS"
MEGAPIXELS = 200  # the largest sensor of a phone; no camera of one shot has more
BYTES_PER_PIXEL = 8  # four channels of 16 bits
# A photo takes a byte for 20 pixels at the most, a blank page 1000: from this size on it is a trap.
TIGHT, BOMB = 100, 50_000_000
LARGEST = 10_000  # side of a square
DEPTHS = (8, 10, 12, 14, 16)  # bits of a grey value
OVERSHOOT = 0.5  # of floats, by resampling: beyond black and white, as a part of the range
DECODING = Allowance(100_000_000)  # pixels that all threads together decode at a time
BLOCK_BYTES = 1 << 28
_OPENING = threading.Lock()


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
        If there is no such file, if it is not a picture or has more pixels than the environment
        variable ``DOGSIM_MAX_MEGAPIXELS`` allows (200 million by default), or if the array is of
        another kind.

    >>> load_image(np.zeros((40, 30), np.uint8), size=8).shape
    (8, 8, 3)
    """
    check_resize(resize)
    _check_size(size)
    return _opened(source, partial(_square, size=size, resize=resize))


def load_hashed(
    path: Path, size: int, resize: str, known: Container[str] = ()
) -> tuple[NDArray[np.uint8] | None, str]:
    """Load a picture file as `load_image` does, and hash the very bytes that were decoded.

    Returns the pixels, None where the SHA-256 is one of the `known`, and the SHA-256.
    """
    content = read_picture_bytes(path)
    sha256 = bytes_sha256(content)
    if sha256 in known:
        return None, sha256
    return _decoded(content, path, partial(_square, size=size, resize=resize)), sha256


def _square(image: Image.Image, size: int, resize: str) -> NDArray[np.uint8]:
    if image.size != (size, size):
        box = _central_square(*image.size) if resize == "crop" else None
        image = image.resize((size, size), Image.Resampling.BICUBIC, box=box)
    return np.array(image)


def _check_size(size: int) -> None:
    if not 1 <= size <= LARGEST:
        raise DogsimError(f"Received size={size}. Expected 1 to {LARGEST} pixels.")


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
    return _opened(source, lambda image: image)


def read_picture_bytes(path: Path) -> bytes:
    """Read a picture file, once, to be hashed and decoded.

    Raises `DogsimError` if it is not there, no regular file, or larger than any picture within the
    limit of pixels can be.
    """
    try:
        size, most = _regular_file(path).stat().st_size, BYTES_PER_PIXEL * most_pixels()
        if size > most:
            raise _unreadable(path, f"the file has {size:,} bytes, more than {most:,}")
        return path.read_bytes()
    except OSError as error:
        raise _unreadable(path, reason(error)) from error


def most_pixels() -> int:
    """How many pixels a picture may have: `MEGAPIXELS`, or what the variable `LIMIT` says.

    Raises `DogsimError` if that is no number above 0.
    """
    text = os.environ.get(LIMIT) or str(MEGAPIXELS)
    try:
        pixels = int(float(text) * 1e6)
    except (ValueError, OverflowError):
        pixels = 0
    if pixels < 1:
        raise DogsimError(f"Received {LIMIT}={text}. Expected a number of megapixels above 0.")
    return pixels


def _opened(source: Source, use: Callable[[Image.Image], T]) -> T:
    if isinstance(source, np.ndarray):
        return use(_to_rgb(_from_array(source)))
    if isinstance(source, Image.Image):
        return _told("the PIL image", lambda: use(_to_rgb(source)))
    if not isinstance(source, str | os.PathLike):
        raise DogsimError(f"Received {source!r}. Expected a path, a uint8 array or a PIL image.")
    return _decoded(read_picture_bytes(Path(source)), source, use)


def _decoded(content: bytes, name: Source, use: Callable[[Image.Image], T]) -> T:
    """Decode the content of a file, and use it while there is room; `name` is for messages."""

    def decode() -> T:
        with _header(content) as image:
            pixels = image.width * image.height
            _check_pixels(pixels, len(content), name)
            with DECODING.take(pixels):
                return use(_to_rgb(image))

    return _told(name, decode)


def _told(name: Source, decode: Callable[[], T]) -> T:
    try:
        return decode()
    except DogsimError:
        raise
    except Exception as error:  # decoders of broken files raise nearly anything
        raise _unreadable(name, reason(error)) from error


def _header(content: bytes) -> Image.Image:
    """Open a picture, of which only the header is read."""
    with _OPENING, warnings.catch_warnings():
        # Pillow's own limit would refuse large photos, and has one value for the whole process.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(io.BytesIO(content), formats=_formats())
        except UnidentifiedImageError as error:
            raise ValueError(_unknown_format(content)) from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


@cache
def _formats() -> list[str]:
    """Name the formats that are read; no other decoder sees a file, whatever its name is."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    Image.init()
    if "PILLOW_BLOCK_SIZE" not in os.environ:
        # In Pillow's pieces of 16 MB a large picture is never given back by the thread it was in.
        Image.core.set_block_size(BLOCK_BYTES)  # type: ignore[attr-defined]
    return [name for name in FORMATS if name in Image.OPEN]


def _unknown_format(content: bytes) -> str:
    brand = content[8:12] if content[4:8] == b"ftyp" else b""
    if brand in HEIC_BRANDS and "HEIF" not in _formats():
        return 'HEIC pictures are read once pillow-heif is there: pip install "dogsim[heic]"'
    if brand in AVIF_BRANDS and "AVIF" not in _formats():
        return 'AVIF pictures are read by Pillow from 11.3: pip install "pillow>=11.3"'
    return "its content is of no known picture format"


def _check_pixels(pixels: int, size: int, name: Source) -> None:
    most = most_pixels()
    if pixels > most:
        raise _unreadable(
            name, f"it has {pixels / 1e6:,.0f} megapixels, more than {most / 1e6:g} ({LIMIT})"
        )
    if pixels > TIGHT * size and pixels > BOMB and LIMIT not in os.environ:
        raise _unreadable(
            name,
            f"{size:,} bytes that unpack to {pixels / 1e6:,.0f} megapixels are no photo "
            f"({LIMIT}={pixels / 1e6:.0f} reads it all the same)",
        )


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


def _central_square(width: int, height: int) -> tuple[float, float, float, float]:
    # Cutting before resizing keeps memory small even for a picture of 1 x 20,000.
    side = min(width, height) * 224 / 256
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


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


def _eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Scale grey values of more than 8 bits by their true range.

    A file does not tell how many of its 16 or 32 bits are used: 12 come from a microscope or an
    X-ray. The least usual depth that holds the largest value is taken; floats go to 1 or to 255.
    """
    low, high = float(values.min()), float(values.max())
    floats = values.dtype.kind == "f"
    tops = (1.0, 255.0) if floats else tuple(2.0**bits - 1 for bits in DEPTHS)
    slack = OVERSHOOT if floats else 0.0
    top = next((top for top in tops if high <= top * (1 + slack) and low >= -top * slack), None)
    if top is None:  # also of NaN
        expected = "floats to 1 or to 255" if floats else "whole numbers from 0 to 65535"
        raise ValueError(f"its values go from {low:g} to {high:g}. Expected {expected}")
    if top == 65535:
        return (values // 257).astype(np.uint8)
    return np.rint(values.clip(0, top) * (255 / top)).astype(np.uint8)


def _to_rgb(image: Image.Image) -> Image.Image:
    image.load()
    if image.mode == "F" or image.mode.startswith("I"):
        grey = Image.fromarray(_eight_bits(np.asarray(image)))
        grey.info["exif"] = image.getexif().tobytes()
        image = grey
    try:
        image = ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block says nothing about the pixels
        image = image.copy()
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name != "find_pictures":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import dogsim  # importable from here as ever, but it looks at folders now

        return dogsim.find_pictures
