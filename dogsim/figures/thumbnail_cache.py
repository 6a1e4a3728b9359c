"""Thumbnails of the images of a dataset, cached on disk by the content of their files."""

from collections.abc import Sequence

from dogsim.dataset import Dataset
from dogsim.figures.thumbnails import JPEG_QUALITY, jpeg
from dogsim.plumbing.content_cache import ContentCache
from dogsim.retrieval.identity import content_key

THUMBNAIL_SIZES = (160, 320, 640)  # pixels of the longer side
MAX_CACHE_BYTES = 300_000_000  # of about 40,000 thumbnails of the smallest size

_cache = ContentCache("thumbnails-1", MAX_CACHE_BYTES)


def thumbnail(dataset: Dataset, row: int, side: int) -> bytes:
    """Return an image of a dataset as JPEG, its longer side at most `side` pixels.

    Raises the errors of `dogsim.load_image`.
    """
    key = _key(dataset, row, side)
    if (found := _cache.read([key]).get(key)) is not None:
        return found
    content = jpeg(dataset.source(row), side)
    _cache.write({key: content})
    return content


def thumbnails(dataset: Dataset, rows: Sequence[int], side: int) -> dict[int, bytes]:
    """Return images of a dataset as JPEG by row, without those that cannot be read.

    A progress bar counts those that are not in the cache.
    """
    return _cache.compute_once(
        rows,
        lambda row: _key(dataset, row, side),
        lambda row: jpeg(dataset.source(row), side),
        "thumbnails",
    )


def _key(dataset: Dataset, row: int, side: int) -> str:
    return f"{content_key(dataset, row)} {side} {JPEG_QUALITY}"
