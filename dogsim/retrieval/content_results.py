"""Results that are computed from the image files of a dataset once, and cached by their content."""

from collections.abc import Callable, Sequence

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.plumbing.content_cache import ContentCache
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.identity import content_hash

BATCH_IMAGES = 64


def content_key(dataset: Dataset, row: int) -> str:
    """Return the key of an image in a cache: the hash of its file, and its box.

    Raises `DogsimError` if the file cannot be read.
    """
    return f"{content_hash(dataset, row)} {dataset.box(row)}"


def computed_once(
    cache: ContentCache,
    rows: Sequence[int],
    key_of: Callable[[int], str],
    compute: Callable[[int], bytes],
    what: str,
) -> dict[int, bytes]:
    """Return a result for each row, without those whose key or result raises `DogsimError`.

    Results that are not in the cache are computed in threads and stored; a progress bar counts
    them as `what`.
    """

    def key_or_none(row: int) -> str | None:
        try:
            return key_of(row)
        except DogsimError:
            return None

    def result_or_none(row: int) -> bytes | None:
        try:
            return compute(row)
        except DogsimError:
            return None

    threads = usable_cpus()
    found_keys = prefetch(key_or_none, rows, BATCH_IMAGES, threads)
    keys = {row: key for row, key in zip(rows, found_keys, strict=True) if key is not None}
    cached = cache.read(keys.values())
    results = {row: cached[key] for row, key in keys.items() if key in cached}
    missing = [row for row in keys if row not in results]
    computed = zip(missing, prefetch(result_or_none, missing, BATCH_IMAGES, threads), strict=True)
    for batch in track(batched(computed, BATCH_IMAGES), len(missing), what):
        new = {row: result for row, result in batch if result is not None}
        cache.write({keys[row]: result for row, result in new.items()})
        results |= new
    return results
