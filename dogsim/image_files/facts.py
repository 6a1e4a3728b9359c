"""What an owner compares to choose between copies of an image: its size, its bytes and its date."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from os import PathLike

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IMAGELENGTH, IMAGEWIDTH, TiffImageFile

from dogsim.image_files.files import identify, open_image_file

EXIF_DATE_FORMAT = "%Y:%m:%d %H:%M:%S"
LATEST_DATE = "9999-12-31T23:59:59"  # stands for an unknown date


@dataclass(frozen=True)
class ImageFacts:
    """The size and the date of an image file.

    Attributes
    ----------
    width, height : int
        Pixels, upright by the EXIF orientation; 0 if the file is not a readable image.
    bytes : int
    date : str
        ISO 8601, local time to the second: EXIF's DateTimeOriginal, else the modification time of
        the file. "" if the file system stores a time outside of the years 1 to 9999.
    """

    width: int
    height: int
    bytes: int
    date: str

    @classmethod
    def of(cls, path: str | PathLike[str]) -> "ImageFacts":
        """Read the facts of a file without decoding its pixels.

        Raises `DogsimError` if there is no such file or it cannot be opened.
        """
        with open_image_file(path) as (file, status):
            width, height, date = 0, 0, ""
            # Pillow raises nearly anything for the metadata of a broken file.
            with suppress(Exception), identify(file) as image:
                width, height = _upright_size(image)
                date = _exif_date(image)
        return cls(width, height, status.st_size, date or _local_date(status.st_mtime))


NO_FACTS = ImageFacts(0, 0, 0, "")


def image_to_keep(paths: Iterable[str], images: Mapping[str, ImageFacts]) -> str:
    """Return which of several copies to keep.

    This is the copy with the most pixels, then with the most bytes, then with the earliest date,
    then with the first path in alphabetical order. A path without facts comes last.

    >>> a, b = ImageFacts(80, 60, 900, "2024-05-01"), ImageFacts(80, 60, 900, "2019-05-01")
    >>> images = {"a.jpg": a, "b.jpg": b}
    >>> image_to_keep(images, images)
    'b.jpg'
    """

    def rank(path: str) -> tuple[int, int, str, str]:
        facts = images.get(path, NO_FACTS)
        return -facts.width * facts.height, -facts.bytes, facts.date or LATEST_DATE, path

    return min(paths, key=rank)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    if isinstance(image, TiffImageFile):  # some versions of Pillow report the upright size
        width, height = image.tag_v2[IMAGEWIDTH], image.tag_v2[IMAGELENGTH]
    with suppress(Exception):  # a broken EXIF block
        if int(_exif(image).get(Base.Orientation, 1)) > 4:
            return height, width
    return width, height


def _exif(image: Image.Image) -> Image.Exif:
    return Image.Image.getexif(image)  # that of a PNG file would decode the pixels


def _exif_date(image: Image.Image) -> str:
    """Return when a camera took the image, "" if its metadata do not contain that."""
    details = _exif(image).get_ifd(IFD.Exif)
    try:
        text = str(details[Base.DateTimeOriginal]).strip(" \0")
        return datetime.strptime(text, EXIF_DATE_FORMAT).isoformat()
    except (KeyError, ValueError):  # such as "0000:00:00 00:00:00"
        return ""


def _local_date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return ""
