"""The image files of a dataset as a browser can show them, at their full size."""

from typing import TYPE_CHECKING

from dogsim.figures.thumbnails import jpeg
from dogsim.image_files.files import RefusedError, open_undecoded, read_image_file, unreadable

if TYPE_CHECKING:
    from dogsim.dataset import Dataset

BROWSER_MEDIA_TYPES = {  # by the format in Pillow; MPO is a JPEG with a second image
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "GIF": "image/gif",
    "WEBP": "image/webp",
}


def original(dataset: "Dataset", row: int) -> tuple[bytes, str]:
    """Return the whole image of a row and its media type.

    It is the content of the file, unchanged, if browsers show its format, and a JPEG of the same
    size otherwise. Raises the errors of `dogsim.load_image`: no other file is ever returned.
    """
    path = dataset.image_file(row)
    content = read_image_file(path)
    try:
        with open_undecoded(content) as image:
            media_type, size = BROWSER_MEDIA_TYPES.get(image.format or ""), image.size
    except RefusedError as error:
        raise unreadable(str(path), str(error)) from error
    return (content, media_type) if media_type else (jpeg(content, max(size)), "image/jpeg")
