"""Facts about an image file that help to choose which of several copies to keep."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageFacts:
    """Size and date of an image file.

    Attributes
    ----------
    width, height : int
        Pixels, after EXIF orientation.
    bytes : int
        Size of the file.
    date : str
        When the photo was taken, or else when its file was changed, ISO 8601.
    """

    width: int
    height: int
    bytes: int
    date: str
