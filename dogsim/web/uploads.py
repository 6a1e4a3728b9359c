"""Uploaded images: in memory, under random names, and deleted after an hour."""

import secrets
import threading
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from cachetools import TTLCache
from numpy.typing import NDArray

MAX_UPLOADS, UPLOAD_SECONDS = 100, 3600  # in the cache

Features: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True, eq=False)
class Upload:
    """An uploaded image.

    Attributes
    ----------
    pixels : (size, size, 3) uint8
        The input of the network.
    preview : bytes
        A JPEG for the page.
    size : (int, int)
        Width and height as decoded, see `dogsim.retrieval.query.Query.load`.
    """

    pixels: NDArray[np.uint8]
    preview: bytes
    size: tuple[int, int]


@dataclass(frozen=True)
class ServedQuery:
    """An image with its features (d,): a row of the dataset, or an upload.

    An upload has a random name that nobody can guess. Row and name identify a query.
    """

    features: Features = field(compare=False)
    row: int | None = None
    name: str = ""
    upload: Upload | None = field(default=None, compare=False)


class UploadCache:
    """The last uploads, and the novelty of those that have an answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queries: TTLCache[str, ServedQuery] = TTLCache(MAX_UPLOADS, UPLOAD_SECONDS)
        self._novelty_p: TTLCache[str, float] = TTLCache(MAX_UPLOADS, UPLOAD_SECONDS)

    def add(self, features: Features, upload: Upload) -> ServedQuery:
        """Cache an upload with its features, so that later requests find it by its name."""
        query = ServedQuery(features, name=secrets.token_urlsafe(12), upload=upload)
        with self._lock:
            self._queries[query.name] = query
        return query

    def get(self, name: str) -> ServedQuery | None:
        """Return the upload of a name, None if it is not in the cache."""
        with self._lock:
            return self._queries.get(name)

    def add_novelty(self, name: str, novelty_p: float) -> list[float]:
        """Record the novelty p-value of an upload, and return those of all uploads."""
        with self._lock:
            self._novelty_p[name] = novelty_p
            return list(self._novelty_p.values())
