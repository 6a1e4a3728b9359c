"""Features with their labels and paths, in memory and in HDF5."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.errors import DogsimError, as_integer, as_path, as_texts, counted, shown
from dogsim.image_files.boxes import Box
from dogsim.image_files.layout import FolderLayout
from dogsim.images import Cropped
from dogsim.plumbing.arrays import REAL, WHOLE, as_numbers, as_row_indices
from dogsim.plumbing.files import check_output, locked
from dogsim.plumbing.optional import require
from dogsim.recipe import Recipe
from dogsim.storage.dataset_file import (
    INDEX_NAME,
    WRITE_ROWS,
    DamagedError,
    read_fields,
    write_dataset,
)
from dogsim.storage.edits import Edit
from dogsim.storage.sharded_rows import as_rows

UNSTORED_FIELDS = ("features", "search")  # `write_dataset` writes the features in blocks
# Shape and kind of dtype of a row of these fields.
OPTIONAL_ROWS = {
    **{"stamps": ((), "V"), "learned": ((), "b")},
    **{"boxes": ((6,), REAL), "scenes": ((), WHOLE)},
}
# From queries (m, d), k, a metric and rows (m,) to exclude to the result of `dogsim.nearest`.
NeighbourSearch: TypeAlias = Callable[
    [NDArray[np.floating], int, str, NDArray[np.intp] | None],
    tuple[NDArray[np.float64], NDArray[np.intp]],
]


@dataclass(frozen=True, eq=False)
class Dataset:
    """The gallery: features of the known images with their labels and paths.

    MATLAB: the variables ``features`` and ``paths`` of ``create_dataset.m``'s .mat file.

    Attributes
    ----------
    features : (n, d) float32
        Row i belongs to image i. The features of a folder of shards are read on access, see
        `dogsim.storage.sharded_rows.ShardedRows`; `numpy.asarray` reads all of them.
    labels : (n,) int32
        Index into `breeds`; -1 if the breed is unknown.
    paths : tuple of n str
        Image files, POSIX style, relative to `root`.
    breeds : tuple of str
        Names of the classes.
    recipe : Recipe, optional
        How the features were made. Without it the dataset cannot be queried with images.
    root : str
        The folder that `paths` are relative to.
    stamps : (n,) array of `STAMP_DTYPE`, optional
        Size, modification time and SHA-256 of each image file, by which `dogsim.create_dataset`
        finds the images that have changed.
    learned : (n,) bool, optional
        The images that the network or head of the features was trained on: an evaluation with
        these as queries is too optimistic.
    boxes : (n, 6) float64, optional
        The crop of each image that the features were computed from, see `Box`, with its margin;
        zeros for a whole image. None if all images are whole.
    scenes : (n,) int32, optional
        Images with the same number show one scene, such as the shots of a burst. An evaluation
        leaves out all images of the query's scene.
    layout : FolderLayout
        The rule that labelled the images, and the patterns of the files that were left out.
    edits : tuple of Edit
        The images that `dogsim apply` removed or relabelled, which an update does not undo.
    search : callable, optional
        Replaces `dogsim.nearest` for this dataset, for example by a search on a cluster.

    Raises
    ------
    DogsimError
        If the fields do not fit each other.

    >>> two = Dataset(np.eye(2), np.array([0, -1]), ("a.jpg", "b.jpg"), ("pug",))
    >>> len(two), two.breed(0), two.breed(1)
    (2, 'pug', 'unknown')
    """

    features: NDArray[np.float32]
    labels: NDArray[np.int32]
    paths: tuple[str, ...]
    breeds: tuple[str, ...]
    recipe: Recipe | None = None
    root: str = ""
    stamps: NDArray[np.void] | None = None
    learned: NDArray[np.bool_] | None = None
    boxes: NDArray[np.float64] | None = None
    scenes: NDArray[np.int32] | None = None
    layout: FolderLayout = field(default_factory=FolderLayout)
    edits: tuple[Edit, ...] = ()
    search: NeighbourSearch | None = None

    def __post_init__(self) -> None:
        converted = {
            "features": as_rows("features", self.features),
            "labels": as_numbers("labels", self.labels, WHOLE),
            "paths": as_texts("paths", self.paths),
            "breeds": as_texts("breeds", self.breeds),
        }
        for name, value in converted.items():
            object.__setattr__(self, name, value)
        n = len(self.paths)
        if self.features.ndim != 2 or len(self.features) != n or self.labels.shape != (n,):
            raise DogsimError(
                f"Received features {self.features.shape}, labels {self.labels.shape} "
                f"and {n} paths. Expected (n, d), (n,) and n."
            )
        if n and not (self.labels.min() >= -1 and self.labels.max() < len(self.breeds)):
            raise DogsimError(
                f"Received labels from {self.labels.min()} to {self.labels.max()}. "
                f"Expected -1 (unknown) to {len(self.breeds) - 1}, the indices of the breeds."
            )
        self._check_optional_fields(n)

    def _check_optional_fields(self, n: int) -> None:
        for name, (shape, kinds) in OPTIONAL_ROWS.items():
            rows = getattr(self, name)
            if rows is None:
                continue
            if not isinstance(rows, np.ndarray) or rows.dtype.kind not in kinds:
                raise DogsimError(f"Received {name} as {shown(rows)}. Expected an array or None.")
            if rows.shape != (n, *shape):
                raise DogsimError(f"Received {name} {rows.shape}. Expected {(n, *shape)}.")
        if self.recipe is not None and not isinstance(self.recipe, Recipe):
            raise DogsimError(f"Received {shown(self.recipe)} as the recipe. Expected a Recipe.")
        edits = self.edits
        if not (isinstance(edits, tuple) and all(isinstance(edit, Edit) for edit in edits)):
            raise DogsimError(f"Received {shown(edits)} as the edits. Expected a tuple of Edit.")
        if self.search is not None and not callable(self.search):
            raise DogsimError(f"Received {shown(self.search)} as the search. Expected a function.")
        if not isinstance(self.root, str):
            raise DogsimError(f"Received {shown(self.root)} as the root. Expected a text.")

    def __repr__(self) -> str:
        network = self.recipe.backbone if self.recipe else "an unknown network"
        return (
            f"<Dataset: {counted(len(self), 'image')} of {counted(len(self.breeds), 'breed')}, "
            f"features {self.features.shape} of {network}>"
        )

    def __len__(self) -> int:
        return len(self.paths)

    def breed(self, row: int) -> str:
        """Return the breed of image `row`, "unknown" if it has none."""
        return self.breed_of_label(int(self.labels[self._row(row)]))

    def breed_of_label(self, label: int) -> str:
        """Return the breed of a label, "unknown" for -1."""
        label = as_integer("label", label, -1, len(self.breeds) - 1, "the indices of the breeds")
        return self.breeds[label] if label >= 0 else "unknown"

    @property
    def breed_sizes(self) -> NDArray[np.intp]:
        """Number of images of each breed, (len(breeds),)."""
        return np.bincount(self.labels[self.labels >= 0], minlength=len(self.breeds))

    def image_file(self, row: int) -> Path:
        """Return the path of the file of image `row`."""
        return Path(self.root) / self.paths[self._row(row)]

    def box(self, row: int) -> Box | None:
        """Return the crop of image `row` that the features were computed from, None if whole."""
        return None if self.boxes is None else Box.from_row(self.boxes[self._row(row)])

    def source(self, row: int) -> Path | Cropped:
        """Return the source of image `row` for `dogsim.load_image`: its file, or a crop of it."""
        box = self.box(row)
        file = self.image_file(row)
        return Cropped(file, box) if box else file

    def label_of_path(self, path: str | os.PathLike[str]) -> str | None:
        """Return the breed that the path of an image names by the label rule of the dataset.

        None if the path names no breed of the dataset, see `LabelRule.label_of_query`.

        >>> dataset = Dataset(np.eye(1), np.array([0]), ("a.jpg",), ("cocker spaniel",))
        >>> dataset.label_of_path("photos/Cocker-Spaniel_7.jpg")
        'cocker spaniel'
        """
        path = as_path("an image", path)
        return self.layout.rule.label_of_query(path, self.root, self.breeds)

    def _row(self, row: int) -> int:
        return as_integer("row", row, 0, len(self) - 1, "the rows of the dataset")

    def require_comparable(self, testset: "Dataset") -> None:
        """Raise `DogsimError` if the recipes of both datasets are known and differ.

        A dataset of another program has no recipe; then only the shapes are compared.
        """
        testset = as_dataset(testset)
        if self.recipe and testset.recipe:
            self.recipe.require(testset.recipe, "a test set")

    def take(self, rows: ArrayLike) -> "Dataset":
        """Return the images of the given rows in their order; breeds, recipe and root stay.

        MATLAB: ``features(rows, :)`` and ``paths(rows)``. `rows` is (m,) int, each from 0 to n - 1;
        other rows raise `DogsimError`.

        >>> Dataset(np.eye(2), np.array([0, 0]), ("a.jpg", "b.jpg"), ("pug",)).take([1]).paths
        ('b.jpg',)
        """
        chosen = as_row_indices("rows", rows, len(self))
        optional = {name: getattr(self, name) for name in OPTIONAL_ROWS}
        return replace(
            self,
            features=self.features[chosen],
            labels=np.asarray(self.labels)[chosen],
            paths=tuple(self.paths[row] for row in chosen),
            search=None,  # it searches all rows
            **{name: rows[chosen] for name, rows in optional.items() if rows is not None},
        )

    def to_frame(self) -> Any:
        """Convert paths, breeds and features to a pandas frame.

        It has one row per image with the columns ``path``, ``breed`` and ``f0``, ``f1``, ...: a
        copy of the features, float32. Raises `DogsimError` if pandas is not installed.

        >>> Dataset(np.eye(2), np.array([0, -1]), ("a.jpg", "b.jpg"), ("pug",)).to_frame()
            path    breed   f0   f1
        0  a.jpg      pug  1.0  0.0
        1  b.jpg  unknown  0.0  1.0
        """
        pandas = require("pandas", "pandas", "A frame")
        names = [f"f{i}" for i in range(self.features.shape[1])]
        frame = pandas.DataFrame(np.array(self.features[:], np.float32), columns=names)
        frame.insert(0, "breed", list(map(self.breed, range(len(self)))))
        frame.insert(0, "path", list(self.paths))
        return frame

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Open a dataset file, or a folder of shards; the features are read from disk on access.

        Raises `DogsimError` if there is no such file, or if it is not a dataset, is cut short or
        was written by a newer version.
        """
        path = as_path("the dataset", path)
        path = path / INDEX_NAME if path.is_dir() else path
        fields = read_fields(path)
        try:
            layout = FolderLayout.from_attributes(fields.pop("layout"))
            return cls(**fields, layout=layout)
        except DogsimError as error:
            raise DamagedError(f"{path}: {error}") from error

    @property
    def stored_fields(self) -> dict[str, Any]:
        """All fields except the features, as `write_dataset` takes them."""
        fields = {name: value for name, value in vars(self).items() if name not in UNSTORED_FIELDS}
        return {**fields, "layout": self.layout.attributes}

    def save(self, path: str | os.PathLike[str], made_by: str = "") -> None:
        """Write a dataset file, completely or not at all; an older file of that name is replaced.

        `made_by` is the name of the command that made it. Raises `DogsimError` if the file cannot
        be written, or another process is writing it.
        """
        path = as_path("the output", path)
        check_output(path)
        with locked(path):
            self.write(path, made_by)

    def write(self, path: str | os.PathLike[str], made_by: str = "") -> None:
        """Write a dataset file as `save` does; the caller holds the lock of the file."""
        as_texts("made_by", [made_by])
        path = as_path("the output", path)
        blocks = (self.features[i : i + WRITE_ROWS] for i in range(0, len(self), WRITE_ROWS))
        write_dataset(path, blocks, self.features.shape[1], **self.stored_fields, made_by=made_by)


DatasetOrFile: TypeAlias = Dataset | str | os.PathLike[str]


def as_dataset(dataset: DatasetOrFile) -> Dataset:
    """Return a dataset unchanged, or open the dataset of a path; raise `DogsimError` for others."""
    if isinstance(dataset, str | os.PathLike):
        return Dataset.open(dataset)
    if not isinstance(dataset, Dataset):
        raise DogsimError(
            f"Received {type(dataset).__name__}. Expected a Dataset or the path of a dataset file."
        )
    return dataset
