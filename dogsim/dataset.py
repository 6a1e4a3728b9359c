"""Features with their labels and paths, in memory and in HDF5."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.errors import DogsimError
from dogsim.image_files.boxes import Box
from dogsim.image_files.labels import breed_key
from dogsim.image_files.labels import (
    breed_name as breed_name,  # with the next ones: importable from here
)
from dogsim.images import Cropped
from dogsim.plumbing.files import writing
from dogsim.recipe import Recipe
from dogsim.storage.dataset_file import BLOCK, INDEX, DamagedError, read_fields
from dogsim.storage.dataset_file import FORMAT as FORMAT
from dogsim.storage.dataset_file import FORMAT_VERSION as FORMAT_VERSION
from dogsim.storage.dataset_file import STAMP as STAMP
from dogsim.storage.dataset_file import write_dataset as write_dataset
from dogsim.storage.sharded_rows import ShardedRows

MEMORY = ("features", "search")  # what is not written as it is
# Takes queries (m, d), k, the metric and rows to exclude, and finds what `dogsim.nearest` finds.
Search: TypeAlias = Callable[
    [NDArray[np.floating], int, str, NDArray[np.intp] | None],
    tuple[NDArray[np.float64], NDArray[np.intp]],
]


@dataclass(frozen=True, eq=False)
class Dataset:
    """The pictures that are known: the gallery.

    MATLAB: the variables ``features`` and ``paths`` of ``create_dataset.m``'s .mat file.

    Attributes
    ----------
    features : (n, d) float32
        Row i belongs to picture i. Where they lie in a folder of shards this is no array but stands
        for one: rows are read as they are asked for, and `numpy.asarray` reads all, see
        `dogsim.storage.sharded_rows.ShardedRows`.
    labels : (n,) int32
        Index into `breeds`; -1 where the breed is not known.
    paths : tuple of n str
        Picture files, POSIX style, relative to `root`.
    breeds : tuple of str
        Names of the classes.
    recipe : Recipe, optional
        How the features were made. Without it pictures cannot be asked of the dataset.
    root : str
        The folder that `paths` start from.
    stamps : (n,) array of `STAMP`, optional
        Size, time of change and hash of each picture file, by which `dogsim.create_dataset` knows
        what has changed since.
    learned : (n,) bool, optional
        From which pictures the features' network or head has learned, see
        `dogsim.sameness.learned`: judging it by these flatters it. None where that is not stored.
    boxes : (n, 6) float64, optional
        The part of each picture that the features are of, see `dogsim.boxes.Box`, margin and all;
        zeros for a whole picture. None where all are whole.
    search : callable, optional
        Who finds neighbours in it in the place of `dogsim.nearest`: a cluster, or `dogsim.expand`.

    Raises
    ------
    DogsimError
        If the parts do not fit each other.

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
    search: Search | None = None

    def __post_init__(self) -> None:
        fitting = {
            "features": _numbers("features", self.features, "iuf", np.float32),
            "labels": _numbers("labels", self.labels, "iu", np.int32),
            "paths": tuple(self.paths),
            "breeds": tuple(self.breeds),
        }
        for name, value in fitting.items():
            object.__setattr__(self, name, value)
        n = len(self.paths)
        if self.features.ndim != 2 or len(self.features) != n or self.labels.shape != (n,):
            raise DogsimError(
                f"Received features {self.features.shape}, labels {self.labels.shape} "
                f"and {n} paths. Expected (n, d), (n,) and n."
            )
        if self.stamps is not None and self.stamps.shape != (n,):
            raise DogsimError(f"Received stamps {self.stamps.shape}. Expected ({n},).")
        if self.learned is not None and self.learned.shape != (n,):
            raise DogsimError(f"Received learned {self.learned.shape}. Expected ({n},).")
        if self.boxes is not None and self.boxes.shape != (n, 6):
            raise DogsimError(f"Received boxes {self.boxes.shape}. Expected ({n}, 6).")
        if n and not (self.labels.min() >= -1 and self.labels.max() < len(self.breeds)):
            raise DogsimError(
                f"Received labels from {self.labels.min()} to {self.labels.max()}. "
                f"Expected -1 (unknown) to {len(self.breeds) - 1}, the indices of the breeds."
            )

    def __repr__(self) -> str:
        made = self.recipe.backbone if self.recipe else "an unknown network"
        return (
            f"<Dataset: {len(self)} pictures of {len(self.breeds)} breeds, "
            f"features {self.features.shape} of {made}>"
        )

    def __len__(self) -> int:
        return len(self.paths)

    def breed(self, row: int) -> str:
        """Name of the breed of picture `row`; "unknown" where it has none."""
        return self.breed_of_label(int(self.labels[row]))

    def breed_of_label(self, label: int) -> str:
        """Name of the breed with that label; "unknown" for -1."""
        return self.breeds[label] if label >= 0 else "unknown"

    def image_file(self, row: int) -> Path:
        """Return the path of image `row`."""
        return Path(self.root) / self.paths[row]

    def box(self, row: int) -> Box | None:
        """Which part of picture `row` the network saw; None for all of it."""
        return None if self.boxes is None else Box.from_row(self.boxes[row])

    def source(self, row: int) -> Path | Cropped:
        """What to open to see of picture `row` what the network saw: its file, or a part of it."""
        box = self.box(row)
        return Cropped(self.image_file(row), box) if box else self.image_file(row)

    def label_of_path(self, path: str | os.PathLike[str]) -> str | None:
        """Return the breed that is the name of an image's folder or file, None if neither is one.

        >>> dataset = Dataset(np.eye(1), np.array([0]), ("a.jpg",), ("cocker spaniel",))
        >>> dataset.label_of_path("photos/Cocker-Spaniel.jpg")
        'cocker spaniel'
        """
        breeds = {breed_key(breed): breed for breed in self.breeds}
        names = (breed_key(breed_name(name)) for name in (Path(path).parent.name, Path(path).stem))
        return next((breeds[name] for name in names if name in breeds), None)

    def require_comparable(self, testset: "Dataset") -> None:
        """Raise `DogsimError` if both tell how their features were made, and tell it differently.

        A dataset of another program has no recipe; then the shapes alone decide.
        """
        if self.recipe and testset.recipe:
            self.recipe.require(testset.recipe, "a test set")

    def take(self, rows: ArrayLike) -> "Dataset":
        """Pick pictures, in the order of `rows`; breeds, recipe and root stay.

        MATLAB: ``features(rows, :)`` and ``paths(rows)``. `rows` is (m,) int, each 0 to n - 1;
        raises `DogsimError` for others.

        >>> Dataset(np.eye(2), np.array([0, 0]), ("a.jpg", "b.jpg"), ("pug",)).take([1]).paths
        ('b.jpg',)
        """
        chosen = np.asarray(rows)
        chosen = chosen.astype(np.intp) if chosen.shape == (0,) else chosen  # of floats, from []
        if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
            raise DogsimError(
                f"Received rows {chosen.shape} of {chosen.dtype}. Expected (m,) whole numbers."
            )
        if len(chosen) and not (chosen.min() >= 0 and chosen.max() < len(self)):
            raise DogsimError(
                f"Received rows from {chosen.min()} to {chosen.max()}. "
                f"Expected 0 to {len(self) - 1}, the rows of the dataset."
            )
        return replace(
            self,
            features=self.features[chosen],
            labels=np.asarray(self.labels)[chosen],
            paths=tuple(self.paths[row] for row in chosen),
            stamps=None if self.stamps is None else self.stamps[chosen],
            learned=None if self.learned is None else self.learned[chosen],
            boxes=None if self.boxes is None else self.boxes[chosen],
            search=None,  # it knows all rows
        )

    def to_frame(self) -> Any:
        """Give paths, breeds and features to pandas.

        Returns
        -------
        pandas.DataFrame
            A row for each picture, with the columns ``path``, ``breed`` and ``f0``, ``f1``, ...: a
            copy of the features, float32.

        Raises
        ------
        DogsimError
            Without pandas.

        >>> Dataset(np.eye(2), np.array([0, -1]), ("a.jpg", "b.jpg"), ("pug",)).to_frame()
            path    breed   f0   f1
        0  a.jpg      pug  1.0  0.0
        1  b.jpg  unknown  0.0  1.0
        """
        if find_spec("pandas") is None:
            raise DogsimError(
                "A frame takes pandas, which is not installed. Run: pip install 'dogsim[pandas]'"
            )
        import pandas as pd

        names = [f"f{i}" for i in range(self.features.shape[1])]
        frame = pd.DataFrame(np.array(self.features, np.float32), columns=names)
        frame.insert(0, "breed", list(map(self.breed, range(len(self)))))
        frame.insert(0, "path", list(self.paths))
        return frame

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Open a dataset file, or folder; its features are read from disk as they are needed.

        Raises `DogsimError` if there is no such file, or if it is not a dataset, is cut short or
        was written by a newer version.
        """
        path = Path(path)
        path = path / INDEX if path.is_dir() else path
        fields = read_fields(path)
        try:
            return cls(**fields)
        except DogsimError as error:  # its parts do not fit each other
            raise DamagedError(f"{path}: {error}") from error

    def save(self, path: str | os.PathLike[str], made_by: str = "") -> None:
        """Write a dataset file, whole or not at all; an older file of that name is replaced.

        `made_by` names the command that made it, see `dogsim.dataset_file.made_by`. Raises
        `DogsimError` if the file cannot be written, or another process is writing it.
        """
        with writing(Path(path)):
            self.write(path, made_by)

    def write(self, path: str | os.PathLike[str], made_by: str = "") -> None:
        """Do what `save` does, for a caller who holds the lock of the file."""
        blocks = (self.features[i : i + BLOCK] for i in range(0, len(self), BLOCK))
        fields = {name: value for name, value in vars(self).items() if name not in MEMORY}
        write_dataset(path, blocks, self.features.shape[1], **fields, made_by=made_by)


DatasetOrFile: TypeAlias = Dataset | str | os.PathLike[str]


def as_dataset(dataset: DatasetOrFile) -> Dataset:
    """Take a dataset as it is, and open one that is named by its file.

    Raises `DogsimError` if it is neither.
    """
    if isinstance(dataset, str | os.PathLike):
        return Dataset.open(dataset)
    if not isinstance(dataset, Dataset):
        raise DogsimError(
            f"Received {type(dataset).__name__}. Expected a Dataset or the path of a dataset file."
        )
    return dataset


def _numbers(name: str, value: Any, kinds: str, kind: Any) -> Any:
    """Turn a list into an array, and let an array be, wherever it lies."""
    if isinstance(value, ShardedRows):
        return value
    array = value if isinstance(value, np.ndarray) else np.asarray(value)
    if array.size == 0 and not isinstance(value, np.ndarray):
        array = array.astype(kind)  # of [] NumPy makes floats
    if array.dtype.kind not in kinds:
        raise DogsimError(f"Received {name} of {array.dtype}. Expected {np.dtype(kind)}.")
    return array
