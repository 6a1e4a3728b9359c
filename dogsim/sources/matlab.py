"""Datasets from MATLAB and Octave, and for them."""

import os
import re
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import whosmat

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError
from dogsim.image_files.labels import labels_of_folders
from dogsim.plumbing.files import replacing
from dogsim.plumbing.terminal import note
from dogsim.sources.matfile import describe, load_variables, save_variables, texts

VARIABLES = ("features", "paths", "labels", "breeds")
MAT_LIMIT = 2**31  # bytes of a variable that version 5 of the format can hold


def import_mat(path: str | os.PathLike[str]) -> Dataset:
    """Read the features and paths that a MATLAB program saved.

    MATLAB: ``load`` of what ``create_dataset.m`` saves. Variables beside these are left alone.

    Parameters
    ----------
    path : path
        A .mat file of version 5, 7 or 7.3 with ``features``, n x d or d x n numbers (n x n: a
        picture a row), and ``paths``, a cell array of n char vectors or a char matrix. Where it
        has ``labels`` (1 to c, 0 = unknown) and ``breeds`` (c names) as `export_mat` writes them,
        they are taken; otherwise a picture's folder tells its breed.

    Returns
    -------
    Dataset
        Without recipe: the file does not tell how the features were made, so pictures cannot be
        asked of it. Where all paths are absolute, `root` is the folder they share.

    Raises
    ------
    DogsimError
        If the file cannot be read, lacks either, or they do not fit each other, are not numbers
        or not finite.
    """
    path = Path(path)
    variables = load_variables(path, ("features", "paths"), ("labels", "breeds"))
    try:
        paths = [_posix(text) for text in texts(variables["paths"], "paths")]
        features = _features(variables["features"], len(paths))
        labels, breeds = _labels(variables, paths)
        root, below = _split_root(paths)
        return Dataset(features, labels, below, breeds, root=root)
    except DogsimError as error:
        raise DogsimError(f"{path}: {error}") from error


def export_mat(dataset: DatasetOrFile, path: str | os.PathLike[str]) -> None:
    """Write a dataset for MATLAB and Octave, whole or not at all.

    MATLAB: ``load(path)`` then gives ``features`` (n x d single: what ``activations`` returns, and
    no digit lost or made up), ``paths`` (n x 1 cell, with the folder), ``labels`` (n x 1 double
    into ``breeds``, from 1; 0 = unknown) and ``breeds`` (c x 1 cell). The recipe is not kept.

    Parameters
    ----------
    dataset : Dataset or path
    path : path
        The file to write: version 5 of the format, which MATLAB and Octave read; scipy, and so
        `import_mat`, too, but for emoji in a path or a breed, of which a note tells.

    Raises
    ------
    DogsimError
        If the features take 2 GiB or more, the format's limit, or the file cannot be written.
    """
    dataset = as_dataset(dataset)
    size = len(dataset) * dataset.features.shape[1] * 4
    if size >= MAT_LIMIT:
        raise DogsimError(
            f"Received {size:,} bytes of features. Expected less than {MAT_LIMIT:,}, the most a "
            ".mat file of version 5 can hold. MATLAB reads the dataset file itself: "
            "features = h5read('FILE.h5', '/features')'."
        )
    numbers: dict[str, NDArray[Any]] = {
        "features": np.asarray(dataset.features, np.float32),
        "labels": np.asarray(dataset.labels, np.float64)[:, None] + 1,
    }
    paths = [dataset.image_file(row).as_posix() for row in range(len(dataset))]
    if any(max(text, default="") > "\uffff" for text in (*paths, *dataset.breeds)):
        note(
            f"{path} has emoji in its text: MATLAB and Octave read it, scipy and import-mat do not."
        )
    with replacing(Path(path)) as temporary:
        save_variables(temporary, numbers, {"paths": paths, "breeds": dataset.breeds})


def made_by_export(path: Path) -> bool:
    """Whether a file has just the variables that `export_mat` writes."""
    try:
        return {name for name, _, _ in whosmat(path, appendmat=False)} == set(VARIABLES)
    except Exception:  # readers of other files raise nearly anything
        return False


def _features(value: Any, n: int) -> NDArray[np.float32]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub" or value.ndim != 2:
        raise DogsimError(
            f"features is {describe(value)}. Expected a full n x d matrix of real numbers."
        )
    if n == 0 or n not in value.shape or value.size == 0:
        raise DogsimError(
            f"Received features {value.shape[0]} x {value.shape[1]} and {n} paths. "
            "Expected n x d or d x n features and n paths, n of at least 1."
        )
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused
        features = np.ascontiguousarray(value if len(value) == n else value.T, np.float32)
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise DogsimError(
            f"features has NaN or infinity for picture {row + 1}. Expected numbers: "
            "compute that one again or leave it out."
        )
    return features


def _labels(
    variables: dict[str, NDArray[Any]], paths: list[str]
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    if {"labels", "breeds"} <= set(variables):
        try:
            return _given_labels(variables["labels"], variables["breeds"], len(paths))
        except DogsimError as error:  # another program's variables of these names
            note(f"{error} The pictures' folders tell the breeds.")
    return labels_of_folders([_folder(path) for path in paths])


def _given_labels(
    labels: NDArray[Any], breeds: NDArray[Any], n: int
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    names, numbers = texts(breeds, "breeds"), np.ravel(labels)
    if len(numbers) != n or not np.isin(numbers, range(len(names) + 1)).all():
        raise DogsimError(
            f"labels is {describe(labels)}. Expected {n} numbers from 0 (unknown) to {len(names)}, "
            "the number of breeds."
        )
    return numbers.astype(np.int32) - 1, tuple(names)


def _folder(path: str) -> str:
    """Name the folder that tells a picture's breed, "" where none does."""
    folder = (path.split("/")[-2:-1] or [""])[0]
    return "" if re.fullmatch(r"\.|\.\.|[A-Za-z]:", folder) else folder


def _posix(path: str) -> str:
    # A backslash separates folders on Windows and is a letter of a name elsewhere.
    return path if path.startswith("/") else path.replace("\\", "/")


def _split_root(paths: list[str]) -> tuple[str, tuple[str, ...]]:
    """Find the folder that all absolute paths share, so that each keeps its breed's folder."""
    if not all(re.match(r"/|[A-Za-z]:/", path) for path in paths):
        return "", tuple(paths)
    parts = [path.split("/") for path in paths]
    level = zip(*(part[:-2] for part in parts), strict=False)
    shared = [names[0] for names in takewhile(lambda names: len(set(names)) == 1, level)]
    root = "/".join(shared) + "/" * (len(shared) == 1)  # a folder is "/" and "C:/", not "" and "C:"
    return root, tuple("/".join(part[len(shared) :]) for part in parts)
