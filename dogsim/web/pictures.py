"""Pictures that are shown: of the dataset by row, and those that are asked about."""

from concurrent.futures import Future
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.figures.thumbnails import jpeg
from dogsim.images import input_region, load_image
from dogsim.networks.extractor_for import require_recipe
from dogsim.plumbing.files import bytes_sha256
from dogsim.retrieval.identity import rows_by_content
from dogsim.web.shelf import Shelf
from dogsim.web.worker import Worker

SIZES = (160, 320, 640)  # pixels of the longer side
KEPT = 64_000_000  # bytes of thumbnails


@dataclass(frozen=True, eq=False)
class Seen:
    """A picture that is asked about.

    Attributes
    ----------
    row : int, optional
        Where the dataset has the very same file.
    pixels : (size, size, 3) uint8
        As the network sees it.
    shown : bytes
        A JPEG to look at.
    """

    row: int | None
    pixels: NDArray[np.uint8]
    shown: bytes


class Pictures:
    """Decodes pictures in threads of its own, and keeps small ones in a bounded memory.

    Nothing is written, and a picture of the dataset is named by its row only.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset, self._rows = dataset, rows_by_content(dataset)
        self._kept: Shelf[bytes] = Shelf(KEPT, len)
        self._small: Worker[tuple[int, int], bytes] = Worker(self._thumbnails, 1024, threads=2)
        self._large: Worker[bytes, Seen] = Worker(self._seen, threads=2)

    def thumbnail(self, row: int, size: int) -> "Future[bytes]":
        """Make a JPEG of picture `row`, its longer side at most `size` pixels, one of `SIZES`."""
        check_row(row, len(self._dataset))
        if size not in SIZES:
            raise DogsimError(f"Received size={size}. Expected {', '.join(map(str, SIZES))}.")
        return self._small.ask((row, size))

    def look_at(self, content: bytes) -> "Future[Seen]":
        """Decode the content of a picture file; its errors are those of `dogsim.load_image`."""
        require_recipe(self._dataset.recipe)
        return self._large.ask(content)

    def _thumbnails(self, asked: list[tuple[int, int]]) -> list[bytes]:
        return [self._thumbnail(row, size) for row, size in asked]

    def _thumbnail(self, row: int, size: int) -> bytes:
        kept = self._kept.get((row, size))
        if kept is None:
            kept = jpeg(self._dataset.source(row), size)
            self._kept.put((row, size), kept)
        return kept

    def _seen(self, contents: list[bytes]) -> list[Seen]:
        recipe = require_recipe(self._dataset.recipe)
        return [
            Seen(
                row=self._rows.get(bytes_sha256(content)),
                pixels=load_image(content, recipe.image_size, recipe.resize),
                shown=jpeg(content, SIZES[-1]),
            )
            for content in contents
        ]


def seen_box(shown: bytes, size: int, resize: str) -> tuple[float, float, float, float]:
    """Which part of a picture a network sees: left, top, right, bottom, each from 0 to 1."""
    with Image.open(BytesIO(shown)) as image:
        width, height = image.size
    left, top, right, bottom = input_region(width, height, size, resize)
    return left / width, top / height, right / width, bottom / height


def check_row(row: int, rows: int) -> None:
    """Raise `DogsimError` unless a dataset of so many rows has that one."""
    if not 0 <= row < rows:
        raise DogsimError(f"Received row {row}. Expected 0 to {rows - 1}, a row of the dataset.")
