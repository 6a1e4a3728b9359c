"""A query: an image that is compared with the images of a dataset."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, as_path
from dogsim.image_files.boxes import Box, BoxFolder
from dogsim.image_files.files import read_image_file
from dogsim.image_files.square import min_decoded_side
from dogsim.images import Cropped, Source, file_of, load_image, opened
from dogsim.plumbing.threads import decoding_threads, prefetch
from dogsim.recipe import Recipe
from dogsim.retrieval.identity import row_of_file, rows_by_content

NO_BOXES = BoxFolder()


@dataclass(frozen=True, eq=False)
class Query:
    """An image whose file is read once, with its row in the dataset and its box.

    Attributes
    ----------
    image : Source
        The image as it was given; its region, if it has a box.
    content : Source
        The same in memory: the bytes of its file, or the array or PIL image.
    row : int, optional
        The row of the same image in the dataset, whose features need not be computed again.
    """

    image: Source
    content: Source
    row: int | None = None

    @classmethod
    def resolve(
        cls, image: Source, dataset: Dataset | None = None, boxes: BoxFolder = NO_BOXES
    ) -> "Query":
        """Read an image, and find its row in a dataset and its box.

        An image of the dataset has the box that is stored there, another one that of `boxes`; an
        image without a box stays whole. Raises `DogsimError` if the image cannot be read or its
        box is not valid.
        """
        whole = image.source if isinstance(image, Cropped) else image
        file = file_of(whole)
        content = read_image_file(file) if file else whole
        row = None
        if dataset and isinstance(content, bytes):
            row = row_of_file(dataset, content, file)
        box: Box | None = None
        if isinstance(image, Cropped):
            box = image.box
        elif file and dataset and dataset.boxes is not None and row is not None:
            box = dataset.box(row)
        elif file:
            box = boxes.box_of_query(file)
        if box is None:
            return cls(whole, content, row)
        return cls(Cropped(whole, box), Cropped(content, box), row)

    @property
    def file(self) -> Path | None:
        """The file of the image; None for an image in memory."""
        return file_of(self.image)

    def pixels(self, recipe: Recipe) -> NDArray[np.uint8]:
        """Return the pixels that a network takes, (size, size, 3); raise as `load_image` does."""
        return self.load(recipe)[0]

    def load(self, recipe: Recipe) -> tuple[NDArray[np.uint8], tuple[int, int]]:
        """Return the pixels that a network takes, and the width and height of the image as decoded.

        A large JPEG is decoded at a smaller size, see `load_image`, whose errors are raised.
        """
        name = str(self.file) if self.file else None
        size, resize = recipe.image_size, recipe.resize
        with opened(self.content, min_decoded_side(size, resize), name) as image:
            return load_image(image, size, resize), image.size


@dataclass(frozen=True, eq=False)
class LoadedQuery:
    """A query with its pixels (size, size, 3), its row in the dataset, or the error of reading it.

    Attributes
    ----------
    image : Source
        As in `Query`.
    pixels, row, error
        One of them is not None.
    size : (int, int), optional
        Width and height as decoded, see `Query.load`; None for a row or an error.
    """

    image: Source
    pixels: NDArray[np.uint8] | None = None
    row: int | None = None
    error: DogsimError | None = None
    size: tuple[int, int] | None = None


def read_queries(
    images: Iterable[Source], dataset: Dataset, recipe: Recipe, boxes: BoxFolder, ahead: int
) -> Iterator[LoadedQuery]:
    """Read queries in threads, at most `ahead` of them in advance, and yield them in order."""

    def read(image: Source) -> LoadedQuery:
        try:
            query = Query.resolve(image, dataset, boxes)
            if query.row is not None:
                return LoadedQuery(query.image, row=query.row)
            pixels, size = query.load(recipe)
            return LoadedQuery(query.image, pixels, size=size)
        except DogsimError as error:
            return LoadedQuery(image, error=error)

    rows_by_content(dataset)  # cached before the threads look it up
    return prefetch(read, images, ahead, threads=decoding_threads())


def box_folder(dataset: Dataset | None, folder: str | os.PathLike[str] | None) -> BoxFolder:
    """Return the boxes of queries, with the margin of the dataset's own boxes.

    Raises `DogsimError` if there is no such folder.
    """
    margin = dataset.recipe.margin if dataset and dataset.recipe else 0.0
    if folder is None or (isinstance(folder, str) and not folder):
        return NO_BOXES
    return BoxFolder(as_path("the folder of boxes", folder), margin)
