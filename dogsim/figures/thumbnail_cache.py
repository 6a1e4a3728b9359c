"""Thumbnails of the images of a dataset, cached on disk by the content of their files."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.figures.thumbnails import JPEG_QUALITY, jpeg
from dogsim.plumbing.content_cache import ContentCache
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.identity import content_hash

THUMBNAIL_SIZES = (160, 320, 640)  # pixels of the longer side
MAX_CACHE_BYTES = 300_000_000  # of about 40,000 thumbnails of the smallest size
BATCH_IMAGES = 64

T = TypeVar("T")

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
    keys = dict(_in_threads(lambda row: _key(dataset, row, side), rows))
    cached = _cache.read(keys.values())
    found = {row: cached[key] for row, key in keys.items() if key in cached}
    missing = [row for row in keys if row not in found]
    computed = _in_threads(lambda row: jpeg(dataset.source(row), side), missing)
    for batch in track(batched(computed, BATCH_IMAGES), len(missing), "thumbnails"):
        _cache.write({keys[row]: content for row, content in batch})
        found.update(batch)
    return found


def _key(dataset: Dataset, row: int, side: int) -> str:
    return f"{content_hash(dataset, row)} {dataset.box(row)} {side} {JPEG_QUALITY}"


def _in_threads(function: Callable[[int], T], rows: Sequence[int]) -> Iterator[tuple[int, T]]:
    """Yield the rows for which a function raises no `DogsimError`, with its results."""

    def tried(row: int) -> list[tuple[int, T]]:
        try:
            return [(row, function(row))]
        except DogsimError:
            return []

    for results in prefetch(tried, rows, ahead=BATCH_IMAGES, threads=usable_cpus()):
        yield from results
