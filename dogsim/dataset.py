"""Features with their labels and paths, in memory and in HDF5."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.breeds import breed_key
from dogsim.breeds import breed_name as breed_name  # importable from here as ever
from dogsim.errors import DogsimError, reason
from dogsim.plumbing.files import replacing, writing
from dogsim.plumbing.hdf5 import mapped_rows, new_hdf5
from dogsim.recipe import HEAD, Recipe

FORMAT = "dogsim-dataset"
FORMAT_VERSION = 1
BLOCK = 1024  # rows that are written at a time
STAMP = np.dtype([("size", "<i8"), ("mtime_ns", "<i8"), ("sha256", "S64")])


class DamagedError(DogsimError):
    """A file can be read, and what it holds is no dataset or not all of one."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """The pictures that are known: the gallery.

    MATLAB: the variables ``features`` and ``paths`` of ``create_dataset.m``'s .mat file.

    Attributes
    ----------
    features : (n, d) float32
        Row i belongs to picture i.
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

    def __post_init__(self) -> None:
        n = len(self.paths)
        if np.ndim(self.features) != 2 or len(self.features) != n or np.shape(self.labels) != (n,):
            raise DogsimError(
                f"Received features {np.shape(self.features)}, labels {np.shape(self.labels)} "
                f"and {n} paths. Expected (n, d), (n,) and n."
            )
        if self.stamps is not None and self.stamps.shape != (n,):
            raise DogsimError(f"Received stamps {self.stamps.shape}. Expected ({n},).")
        labels = np.asarray(self.labels)
        if n and not (labels.min() >= -1 and labels.max() < len(self.breeds)):
            raise DogsimError(
                f"Received labels from {labels.min()} to {labels.max()}. "
                f"Expected -1 (unknown) to {len(self.breeds) - 1}, the indices of the breeds."
            )

    def __len__(self) -> int:
        return len(self.paths)

    def breed(self, row: int) -> str:
        """Name of the breed of picture `row`; "unknown" where it has none."""
        return self.breed_of_label(int(self.labels[row]))

    def breed_of_label(self, label: int) -> str:
        """Name of the breed with that label; "unknown" for -1."""
        return self.breeds[label] if label >= 0 else "unknown"

    def picture(self, row: int) -> Path:
        """Where the file of picture `row` lies."""
        return Path(self.root) / self.paths[row]

    def breed_told_by(self, picture: str | os.PathLike[str]) -> str | None:
        """Find the breed that a picture's folder or file name tells, None if neither does.

        >>> dataset = Dataset(np.eye(1), np.array([0]), ("a.jpg",), ("cocker spaniel",))
        >>> dataset.breed_told_by("photos/Cocker-Spaniel.jpg")
        'cocker spaniel'
        """
        path, known = Path(picture), {breed_key(breed): breed for breed in self.breeds}
        names = (breed_key(breed_name(name)) for name in (path.parent.name, path.stem))
        return next((known[name] for name in names if name in known), None)

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
            features=np.asarray(self.features)[chosen],
            labels=np.asarray(self.labels)[chosen],
            paths=tuple(self.paths[row] for row in chosen),
            stamps=None if self.stamps is None else self.stamps[chosen],
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> "Dataset":
        """Open a dataset file; its features are read from disk as they are needed.

        Raises `DogsimError` if there is no such file, or if it is not a dataset, is cut short or
        was written by a newer version.
        """
        path = Path(path)
        if not path.is_file():
            raise DogsimError(
                f"There is no dataset file {path}. dogsim create-dataset DIR -o {path} makes one."
            )
        try:
            with h5py.File(path) as file:
                _check_format(file, path)
                return cls(
                    features=mapped_rows(file["features"], path),
                    labels=np.asarray(file["labels"], np.int32),
                    paths=tuple(file["paths"].asstr()),
                    breeds=tuple(file["breeds"].asstr()),
                    recipe=_read_recipe(file.attrs),
                    root=_text(file.attrs.get("root", "")),
                    stamps=np.asarray(file["stamps"], STAMP) if "stamps" in file else None,
                )
        except DogsimError as error:
            raise DogsimError(f"{path}: {error}") from error
        except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, OSError) and _of_the_system(error):
                raise DogsimError(f"Cannot read {path}: {reason(error)}.") from error
            remedy = (
                "It may be cut short; dogsim create-dataset --force makes a new one in its place."
                if h5py.is_hdf5(path)
                else "Expected a file of dogsim create-dataset."
            )
            raise DamagedError(
                f"Cannot read {path} as a dataset: {reason(error)}. {remedy}"
            ) from error

    def save(self, path: str | os.PathLike[str], made_by: str = "") -> None:
        """Write a dataset file, whole or not at all; an older file of that name is replaced.

        `made_by` names the command that made it, see `dogsim.dataset.made_by`. Raises `DogsimError`
        if the file cannot be written, or another process is writing it.
        """
        with writing(Path(path)):
            self.write(path, made_by)

    def write(self, path: str | os.PathLike[str], made_by: str = "") -> None:
        """Do what `save` does, for a caller who holds the lock of the file."""
        blocks = (self.features[i : i + BLOCK] for i in range(0, len(self), BLOCK))
        fields = {name: value for name, value in vars(self).items() if name != "features"}
        write_dataset(path, blocks, self.features.shape[1], **fields, made_by=made_by)


def write_dataset(
    path: str | os.PathLike[str],
    blocks: Iterable[NDArray[np.floating]],
    dimension: int,
    *,
    labels: NDArray[np.integer],
    paths: Sequence[str],
    breeds: Sequence[str],
    recipe: Recipe | None,
    root: str,
    stamps: NDArray[np.void] | None,
    made_by: str = "",
) -> None:
    """Write a dataset file whose features, (n, dimension), come in blocks of rows.

    The rest are a `Dataset`'s fields. The caller holds the file's lock, see
    `dogsim.plumbing.files.writing`. Raises `DogsimError` if the file cannot be written.
    """
    text = h5py.string_dtype("utf-8")
    _require_utf8([*paths, *breeds])
    with replacing(Path(path)) as temporary, new_hdf5(temporary) as file:
        features = file.create_dataset("features", (len(paths), dimension), np.float32)
        row = 0
        for block in blocks:
            features[row : row + len(block)] = block
            row += len(block)
        file["labels"] = np.asarray(labels, np.int32)
        file.create_dataset("paths", data=list(paths), dtype=text)
        file.create_dataset("breeds", data=list(breeds), dtype=text)
        if stamps is not None:
            file["stamps"] = stamps
        file.attrs.update({"format": FORMAT, "format_version": FORMAT_VERSION, "made_by": made_by})
        for name, value in {"root": root, **(asdict(recipe) if recipe else {})}.items():
            file.attrs[name] = _stored(value)


def made_by(path: Path) -> str:
    """Name the command that made a dataset file, "" where the file does not tell.

    Raises `DogsimError` if it is not one.
    """
    Dataset.open(path)
    with h5py.File(path) as file:
        return _text(file.attrs.get("made_by", ""))


def _check_format(file: Any, path: Path) -> None:
    received = _text(file.attrs.get("format", "nothing"))
    if received != FORMAT:
        raise DogsimError(
            f"this HDF5 file has format={received!r}. Expected {FORMAT!r}, "
            "a file of dogsim create-dataset."
        )
    version = int(file.attrs.get("format_version", 0))
    if version > FORMAT_VERSION:
        raise DogsimError(
            f"format version {version} is newer than {FORMAT_VERSION}, the newest that this dogsim "
            "reads. Upgrade it: pip install --upgrade dogsim"
        )


def _read_recipe(attributes: Any) -> Recipe | None:
    names = [field.name for field in fields(Recipe)]
    if not all(name in attributes for name in names if name not in HEAD):
        return None
    values: dict[str, Any] = {name: _text(attributes[name]) for name in names if name in attributes}
    return Recipe(**{**values, "image_size": int(values["image_size"])})


def _text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)  # of a fixed length


def _stored(value: Any) -> Any:
    """What an attribute can hold: a folder whose name is not UTF-8 only as bytes."""
    try:
        str(value).encode()
    except UnicodeEncodeError:
        return np.bytes_(os.fsencode(value))
    return value


def _require_utf8(names: Iterable[str]) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise DogsimError(
                f"Received the name {os.fsencode(name)!r}. Expected UTF-8: rename the file."
            ) from None


def _of_the_system(error: OSError) -> bool:
    """Whether reading failed, as against what was read; HDF5 tells its errors as text."""
    return error.errno is not None or "errno = " in str(error)
