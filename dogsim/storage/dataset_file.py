"""Read and write dataset files (HDF5).

A dataset can also be a folder of shards. Its file is then an index in that folder: instead of the
features it contains the positions of their rows in the shards.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, TypeAlias

import h5py
import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, not_found, reason, shown
from dogsim.plumbing.files import check_output, follow_link, replacing
from dogsim.plumbing.signals import defer_signals
from dogsim.recipe import OPTIONAL_FIELDS, Recipe
from dogsim.storage.edits import Edit, read_edits, write_edits
from dogsim.storage.hdf5 import FileState, create_hdf5, map_rows, open_table, read_exactly
from dogsim.storage.sharded_rows import RUN_DTYPE, ShardedRows, TableLocation

FORMAT = "dogsim-dataset"
FILE_VERSION, INDEX_VERSION = 1, 2  # format_version of a whole file and of an index of shards
WRITE_ROWS = 1024  # rows of a block that is written at once
STAMP_DTYPE = np.dtype([("size", "<i8"), ("mtime_ns", "<i8"), ("sha256", "S64")])
TABLE_DTYPE = np.dtype([("offset", "<i8"), ("rows", "<i8")])  # features in a shard
OPTIONAL_DTYPES = {"learned": np.bool_, "boxes": np.float64, "scenes": np.int32}
LAYOUT_NAMES = ("label_rule", "label_names", "exclude", "scene_rule")  # see `FolderLayout`
FOLDER_SUFFIX, INDEX_NAME = ".dogsim", "index.h5"

Features: TypeAlias = "NDArray[np.float32] | ShardedRows"


class DamagedError(DogsimError):
    """Raised if a file can be read, but its content is not a complete dataset."""


def is_sharded(path: Path) -> bool:
    """Return whether a dataset at `path` is a folder of shards; an existing file is not.

    >>> is_sharded(Path("dogs.dogsim")), is_sharded(Path("dogs.h5"))
    (True, False)
    """
    return path.suffix == FOLDER_SUFFIX and not path.is_file()


def check_dataset_path(path: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Raise `DogsimError` if no dataset can be written to `path`, see `check_output`."""
    target = follow_link(path)
    check_output(target / INDEX_NAME if is_sharded(target) and target.is_dir() else path, inputs)


@contextmanager
def open_dataset_file(path: Path) -> Iterator[Any]:
    """Open a dataset file; an error inside the block is reported as an error of the file.

    Raises
    ------
    DogsimError
        If there is no such file, it cannot be read, or was written by another program or a newer
        version.
    DamagedError
        If it can be read, but its content is not a complete dataset.
    """
    if not path.is_file():
        folder = path.name == INDEX_NAME and path.parent.is_dir()
        what, out = ("dataset in the folder", path.parent) if folder else ("dataset file", path)
        raise not_found(out, f"There is no {what} {out}. dogsim create-dataset DIR -o F makes it.")
    try:
        with h5py.File(path) as file:
            _check_format(file)
            yield file
    except DogsimError as error:
        raise DogsimError(f"{path}: {error}") from error
    except MemoryError as error:
        raise DogsimError(
            f"Cannot read {path}: {reason(error)}. Expected features that are stored contiguously "
            "as float32: they are read on access, others as a whole."
        ) from error
    except (OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        # HDF5 reports the error number of a failed read in the text only.
        if isinstance(error, OSError) and (error.errno is not None or "errno = " in str(error)):
            raise DogsimError(f"Cannot read {path}: {reason(error)}.") from error
        remedy = (
            "It may be cut short; dogsim create-dataset --force makes a new one in its place."
            if h5py.is_hdf5(path)
            else "Expected a file of dogsim create-dataset."
        )
        raise DamagedError(f"Cannot read {path} as a dataset: {reason(error)}. {remedy}") from error


def map_features(path: Path) -> Features:
    """Map the features of a dataset file into memory; read nothing else of it."""
    with open_dataset_file(path) as file:
        return _features(file, path)


def features_file(features: Features) -> Path | None:
    """Return the file that features are mapped from, or the index of their shards, else None."""
    if isinstance(features, ShardedRows):
        return features.folder / INDEX_NAME
    name = features.filename if isinstance(features, np.memmap) else None
    return None if name is None else Path(name)


def read_fields(path: Path) -> dict[str, Any]:
    """Read the fields of a `Dataset`, and map its features; raise as `open_dataset_file`."""
    while True:
        before = _state(path)
        with open_dataset_file(path) as file:
            fields = {
                "features": _features(file, path),
                "labels": read_exactly(file, "labels", np.int32),
                "paths": tuple(open_table(file, "paths").asstr()[:]),
                "breeds": tuple(open_table(file, "breeds").asstr()[:]),
                "recipe": _read_recipe(file.attrs),
                "root": _text(file.attrs.get("root", "")),
                "layout": {
                    name: _text(file.attrs[name]) for name in LAYOUT_NAMES if name in file.attrs
                },
                "stamps": _read_stamps(file) if "stamps" in file else None,
                "edits": read_edits(file),
                **{
                    name: read_exactly(file, name, dtype) if name in file else None
                    for name, dtype in OPTIONAL_DTYPES.items()
                },
            }
        if _state(path) == before:
            return fields  # otherwise the map may belong to a new file that replaced this one


def made_by(path: Path) -> str:
    """Return the name of the command that made a dataset file, "" if it contains none."""
    with open_dataset_file(path) as file:
        return _text(file.attrs.get("made_by", ""))


def known_shards(path: Path) -> frozenset[str]:
    """Return the names of the shards in an index, and of those that it has replaced."""
    with open_dataset_file(path) as file:
        keys = [key for key in ("shards", "replaced") if key in file]
        return frozenset(name for key in keys for name in open_table(file, key).asstr()[:])


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
    scenes: NDArray[np.int32] | None = None,
    layout: Mapping[str, str] | None = None,
    edits: Sequence[Edit] = (),
    made_by: str = "",
    replaced: Iterable[str] = (),
) -> None:
    """Write a dataset file whose features (n, dimension) are given in blocks of rows.

    `ShardedRows` are not copied: the file becomes the index of their shards and must be in their
    folder. `replaced` are the shards in that folder that the dataset no longer uses.

    The other parameters are fields of `Dataset`. The caller holds the lock of the file, see
    `dogsim.plumbing.files.writing`. Raises `DogsimError` if the file cannot be written.
    """
    text = h5py.string_dtype("utf-8")
    _require_storable([*paths, *breeds, *(name for e in edits for name in (e.path, e.label))])
    # HDF5 writes through a callback, which must not raise: signals wait for the end of a block.
    with replacing(Path(path)) as new, defer_signals() as let_through, create_hdf5(new) as file:
        if isinstance(blocks, ShardedRows):
            _write_index(file, blocks, replaced)
        else:
            features, row = file.create_dataset("features", (len(paths), dimension), np.float32), 0
            for block in blocks:
                features[row : row + len(block)] = block
                row += len(block)
                let_through()
        file["labels"] = np.asarray(labels, np.int32)
        file.create_dataset("paths", data=list(paths), dtype=text)
        file.create_dataset("breeds", data=list(breeds), dtype=text)
        optional = {"stamps": stamps, "learned": learned, "boxes": boxes, "scenes": scenes}
        for name, rows in optional.items():
            if rows is not None:
                file[name] = rows
        write_edits(file, edits)
        version = INDEX_VERSION if isinstance(blocks, ShardedRows) else FILE_VERSION
        attributes = {"format": FORMAT, "format_version": version, "made_by": made_by, "root": root}
        attributes |= {**(layout or {}), **(asdict(recipe) if recipe else {})}
        for name, value in attributes.items():
            file.attrs[name] = _as_attribute(value)


def _write_index(file: Any, rows: ShardedRows, replaced: Iterable[str]) -> None:
    text = h5py.string_dtype("utf-8")
    file.create_dataset("shards", data=[table.file for table in rows.tables], dtype=text)
    file.create_dataset("replaced", data=list(replaced), dtype=text)
    file["tables"] = np.array([(table.offset, table.rows) for table in rows.tables], TABLE_DTYPE)
    file["runs"] = rows.runs
    file.attrs["dimension"] = rows.shape[1]


def _features(file: Any, path: Path) -> Features:
    """Map the features of an open file, or of the shards in an index."""
    if "shards" not in file:
        stored = open_table(file, "features")
        if stored.ndim != 2 or not stored.shape[1]:
            raise DogsimError(f"Received features {stored.shape}. Expected (n, d), d from 1 up.")
        return map_rows(stored, path)
    names, locations = open_table(file, "shards").asstr()[:], open_table(file, "tables")[:].tolist()
    tables = [TableLocation(name, *each) for name, each in zip(names, locations, strict=True)]
    runs = open_table(file, "runs")[:].astype(RUN_DTYPE)
    dimension = int(file.attrs["dimension"])
    sizes = {each.name: each.stat().st_size for each in os.scandir(path.parent)}
    lost = [each.file for each in tables if sizes.get(each.file, -1) < each.end(dimension)]
    if lost:
        raise ValueError(
            f"shards missing or cut short: {len(lost)} of {len(tables)}, such as {lost[0]}"
        )
    return ShardedRows(path.parent, tables, runs, dimension)


def _read_stamps(file: Any) -> NDArray[np.void]:
    stamps = np.asarray(open_table(file, "stamps"), STAMP_DTYPE)
    if not re.fullmatch(rb"[0-9a-f]*", stamps["sha256"].tobytes()):
        raise DogsimError("stamps has a wrong SHA-256. Expected 64 hexadecimal digits per image.")
    return stamps


def _check_format(file: Any) -> None:
    received = _text(file.attrs.get("format", "nothing"))
    if received != FORMAT:
        raise DogsimError(
            f"this HDF5 file has format={received!r}. Expected {FORMAT!r}, "
            "a file of dogsim create-dataset."
        )
    version = int(file.attrs.get("format_version", 0))
    if version > INDEX_VERSION:
        raise DogsimError(
            f"format version {version} is newer than {INDEX_VERSION}, the newest that this dogsim "
            "reads. Upgrade it: pip install --upgrade dogsim"
        )


def _read_recipe(attributes: Any) -> Recipe | None:
    names = [field.name for field in fields(Recipe)]
    if not all(name in attributes for name in names if name not in OPTIONAL_FIELDS):
        return None
    values: dict[str, Any] = {name: _text(attributes[name]) for name in names if name in attributes}
    numbers = {"image_size": int(values["image_size"]), "margin": float(values.get("margin", 0))}
    return Recipe(**{**values, **numbers})


def _text(value: Any) -> str:
    return os.fsdecode(value) if isinstance(value, bytes) else str(value)  # fixed-length text


def _as_attribute(value: Any) -> Any:
    """Return a value that an HDF5 attribute can store; a path that is not UTF-8 becomes bytes."""
    if not isinstance(value, str):
        return value
    _require_storable([value], "surrogateescape")
    try:
        value.encode()
    except UnicodeEncodeError:
        return np.bytes_(os.fsencode(value))
    return value


def _require_storable(names: Iterable[str], errors: str = "strict") -> None:
    """Raise `DogsimError` if a name is not UTF-8 (or bytes of a path), or contains NUL."""
    for name in names:
        try:
            content = name.encode(errors=errors)
        except UnicodeEncodeError:
            content = b"\0"
        if b"\0" in content:
            raise DogsimError(f"Received the name {shown(name)}. Expected UTF-8: rename the file.")


def _state(path: Path) -> FileState | None:
    """Return the state of a file, None if there is none."""
    with suppress(OSError):
        return FileState.of(path)
    return None
