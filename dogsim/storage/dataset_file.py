"""The dataset file, HDF5: what lies where in it, written whole, and read where it lies.

A dataset can also be a folder of shards: its file is an index there, in the place of whose features
stands in which rows of which shards they lie.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.files import check_output, replacing, written_through
from dogsim.plumbing.signals import uninterrupted
from dogsim.recipe import HEAD, Recipe
from dogsim.storage.hdf5 import mapped_rows, new_hdf5
from dogsim.storage.sharded_rows import RUN, Place, ShardedRows

FORMAT = "dogsim-dataset"
FORMAT_VERSION = 2  # the newest that is read: of an index; that of a file is 1
BLOCK = 1024  # rows that are written at a time
STAMP = np.dtype([("size", "<i8"), ("mtime_ns", "<i8"), ("sha256", "S64")])
FOLDER, INDEX = ".dogsim", "index.h5"  # how a folder of shards ends, and its file
TABLE = np.dtype([("offset", "<i8"), ("rows", "<i8")])  # of features in a shard

Features: TypeAlias = "NDArray[np.float32] | ShardedRows"


class DamagedError(DogsimError):
    """A file can be read, and what it holds is no dataset or not all of one."""


def is_sharded(path: Path) -> bool:
    """Whether what is to be written there is a folder of shards, by its name; a file stays one.

    >>> is_sharded(Path("dogs.dogsim")), is_sharded(Path("dogs.h5"))
    (True, False)
    """
    return path.suffix == FOLDER and not path.is_file()


def check_place(path: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Raise `DogsimError` if `path` is no place for a dataset; as `files.check_output` does."""
    target = written_through(path)
    check_output(target / INDEX if is_sharded(target) and target.is_dir() else path, inputs)


@contextmanager
def reading(path: Path) -> Iterator[Any]:
    """Open a dataset file, and tell in a line what is wrong with it, also within the block.

    Raises
    ------
    DogsimError
        If there is no such file, it cannot be read, or was written by another program or a newer
        version.
    DamagedError
        If it can be read and does not hold what it should.
    """
    if not path.is_file():
        folder = path.name == INDEX and path.parent.is_dir()
        what, out = ("dataset in the folder", path.parent) if folder else ("dataset file", path)
        raise DogsimError(f"There is no {what} {out}. dogsim create-dataset DIR -o OUT makes one.")
    try:
        with h5py.File(path) as file:
            _check_format(file)
            yield file
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
        raise DamagedError(f"Cannot read {path} as a dataset: {reason(error)}. {remedy}") from error


def read_features(path: Path) -> Features:
    """Map the features of a dataset file where they lie, and read nothing else of it."""
    with reading(path) as file:
        return _features(file, path)


def file_of(features: Features) -> Path | None:
    """The file that features are mapped from, or the index of their shards; None for others."""
    if isinstance(features, ShardedRows):
        return features.folder / INDEX
    name = features.filename if isinstance(features, np.memmap) else None
    return None if name is None else Path(name)


def read_fields(path: Path) -> dict[str, Any]:
    """Read a `Dataset`'s fields; the features are mapped where they lie. Raises as `reading`."""
    while True:
        before = _identity(path)
        with reading(path) as file:
            fields = {
                "features": _features(file, path),
                "labels": np.asarray(file["labels"], np.int32),
                "paths": tuple(file["paths"].asstr()),
                "breeds": tuple(file["breeds"].asstr()),
                "recipe": _read_recipe(file.attrs),
                "root": _text(file.attrs.get("root", "")),
                "stamps": np.asarray(file["stamps"], STAMP) if "stamps" in file else None,
                "learned": np.asarray(file["learned"], bool) if "learned" in file else None,
                "boxes": np.asarray(file["boxes"], np.float64) if "boxes" in file else None,
            }
        if _identity(path) == before:
            return fields  # else it was replaced in between, and the map may be of the new file


def made_by(path: Path) -> str:
    """Name the command that made a dataset file, "" where the file does not tell."""
    with reading(path) as file:
        return _text(file.attrs.get("made_by", ""))


def known_shards(path: Path) -> frozenset[str]:
    """Names of the shards that an index is of, and of those that it has replaced."""
    with reading(path) as file:
        names = [name for part in ("shards", "replaced") if part in file for name in file[part]]
        return frozenset(name.decode() for name in names)


def write_dataset(
    path: str | os.PathLike[str],
    blocks: Iterable[NDArray[np.floating]] | ShardedRows,
    dimension: int,
    *,
    labels: NDArray[np.integer],
    paths: Sequence[str],
    breeds: Sequence[str],
    recipe: Recipe | None,
    root: str,
    stamps: NDArray[np.void] | None,
    learned: NDArray[np.bool_] | None = None,
    boxes: NDArray[np.float64] | None = None,
    made_by: str = "",
    replaced: Iterable[str] = (),
) -> None:
    """Write a dataset file whose features, (n, dimension), come in blocks of rows.

    Features that lie in shards stay there, and the file becomes their index: it has to lie in their
    folder. `replaced` are shards there that are no part of it, and never will be.

    The rest are a `Dataset`'s fields. The caller holds the file's lock, see
    `dogsim.plumbing.files.writing`. Raises `DogsimError` if the file cannot be written.
    """
    text = h5py.string_dtype("utf-8")
    _require_utf8([*paths, *breeds])
    # HDF5 calls back to write, and nothing may be raised there: a stop waits for the block's end.
    with replacing(Path(path)) as new, uninterrupted() as let_through, new_hdf5(new) as file:
        if isinstance(blocks, ShardedRows):
            _write_index(file, blocks, replaced)
        else:
            _write_features(file, blocks, (len(paths), dimension), let_through)
        file["labels"] = np.asarray(labels, np.int32)
        file.create_dataset("paths", data=list(paths), dtype=text)
        file.create_dataset("breeds", data=list(breeds), dtype=text)
        for name, of_rows in {"stamps": stamps, "learned": learned, "boxes": boxes}.items():
            if of_rows is not None:
                file[name] = of_rows
        version = FORMAT_VERSION if isinstance(blocks, ShardedRows) else 1
        file.attrs.update({"format": FORMAT, "format_version": version, "made_by": made_by})
        for name, value in {"root": root, **(asdict(recipe) if recipe else {})}.items():
            file.attrs[name] = _stored(value)


def _write_features(
    file: Any,
    blocks: Iterable[NDArray[np.floating]],
    shape: tuple[int, int],
    let_through: Callable[[], None],
) -> None:
    features, row = file.create_dataset("features", shape, np.float32), 0
    for block in blocks:
        features[row : row + len(block)] = block
        row += len(block)
        let_through()


def _write_index(file: Any, rows: ShardedRows, replaced: Iterable[str]) -> None:
    text = h5py.string_dtype("utf-8")
    file.create_dataset("shards", data=[place.file for place in rows.places], dtype=text)
    file.create_dataset("replaced", data=list(replaced), dtype=text)
    file["tables"] = np.array([(place.offset, place.rows) for place in rows.places], TABLE)
    file["runs"] = rows.runs
    file.attrs["dimension"] = rows.shape[1]


def _features(file: Any, path: Path) -> Features:
    """Map the features of an open file, or of the shards that it is the index of."""
    if "shards" not in file:
        return mapped_rows(file["features"], path)
    names, tables = file["shards"].asstr(), file["tables"][:].tolist()
    places = [Place(name, *table) for name, table in zip(names, tables, strict=True)]
    runs, dimension = file["runs"][:].astype(RUN), int(file.attrs["dimension"])
    there = {each.name: each.stat().st_size for each in os.scandir(path.parent)}
    gone = [each.file for each in places if there.get(each.file, 0) < each.end(dimension)]
    if gone:
        raise ValueError(f"{len(gone)} of its {len(places)} shards are lost or cut, as {gone[0]}")
    return ShardedRows(path.parent, places, runs, dimension)


def _check_format(file: Any) -> None:
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
    numbers = {"image_size": int(values["image_size"]), "margin": float(values.get("margin", 0))}
    return Recipe(**{**values, **numbers})


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


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell which file lies at a path, so that one can see whether it was replaced."""
    with suppress(OSError):
        status = path.stat()
        return status.st_ino, status.st_mtime_ns
    return None


def _of_the_system(error: OSError) -> bool:
    """Whether reading failed, as against what was read; HDF5 tells its errors as text."""
    return error.errno is not None or "errno = " in str(error)
