"""Import datasets from MATLAB and Octave, and export datasets for them."""

import os
import re
from itertools import takewhile
from pathlib import Path
from posixpath import normpath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError, as_path
from dogsim.image_files.label_rule import PARENT, LabelRule
from dogsim.image_files.layout import FolderLayout
from dogsim.plumbing.files import replacing
from dogsim.plumbing.terminal import note
from dogsim.sources.matfile import describe, load_variables, save_variables, texts, variable_names

EXPORTED_VARIABLES = ("features", "paths", "labels", "breeds")
NOT_A_NAME = re.compile(r"\.{0,2}|[A-Za-z]:")  # parts of a path that name no folder
MAX_VARIABLE_BYTES = 2**31  # in version 5 of the format


def import_mat(
    path: str | os.PathLike[str], labels: str | os.PathLike[str] | None = None
) -> Dataset:
    """Read the features and paths that a MATLAB program saved.

    MATLAB: ``load`` of the file that ``create_dataset.m`` saves. Other variables are ignored.

    Parameters
    ----------
    path : path
        A .mat file of version 5, 7 or 7.3 with ``features``, n x d or d x n numbers (if n x n, each
        row is an image), and ``paths``, a cell array of n char vectors or a char matrix. The
        optional ``labels`` (1 to c, 0 = unknown) and ``breeds`` (c names), as `export_mat` writes
        them, determine the breeds unless `labels` is given.
    labels : {"top", "parent"}, path or regular expression, optional
        The rule that labels the images, as for `dogsim.create_dataset`, applied after the folders
        that all paths share; by default "parent", the innermost folder.

    Returns
    -------
    Dataset
        Without a recipe, because the file does not describe how the features were made; therefore
        it cannot be queried with images. If all paths are absolute, `root` is their common folder.

    Raises
    ------
    DogsimError
        If the file cannot be read or lacks a variable, or if the variables do not fit each other
        or are not finite numbers.
    """
    path = as_path("the .mat file", path)
    variables = load_variables(path, ("features", "paths"), ("labels", "breeds"))
    try:
        # A backslash separates folders on Windows only; elsewhere it is part of a name.
        names = texts(variables["paths"], "paths")
        paths = [name if name.startswith("/") else name.replace("\\", "/") for name in names]
        features = _features(variables["features"], len(paths))
        rule = LabelRule.from_options(labels, None, LabelRule(PARENT))
        given = {} if labels is not None else variables
        numbers, breeds = _labels(given, paths, rule)
        root, below = _split_root(paths)
        return Dataset(features, numbers, below, breeds, root=root, layout=FolderLayout(rule))
    except DogsimError as error:
        raise DogsimError(f"{path}: {error}") from error


def export_mat(dataset: DatasetOrFile, path: str | os.PathLike[str]) -> None:
    """Write a dataset for MATLAB and Octave, completely or not at all.

    MATLAB: ``load(path)`` then returns ``features`` (n x d single, like the output of
    ``activations``, equal to the stored ones bit for bit), ``paths`` (n x 1 cell, with the folder),
    ``labels`` (n x 1 double into ``breeds``, from 1; 0 = unknown) and ``breeds`` (c x 1 cell). The
    recipe is not written.

    Parameters
    ----------
    dataset : Dataset or path
    path : path
        The file to write, in version 5 of the format. MATLAB, Octave and `import_mat` read it;
        scipy reads it unless a path or a breed contains emoji. In that case a note is printed on
        stderr.

    Raises
    ------
    DogsimError
        If the features take 2 GiB or more, the limit of the format, or the file cannot be written.
    """
    dataset, path = as_dataset(dataset), as_path("the output", path)
    size = len(dataset) * dataset.features.shape[1] * 4
    if size >= MAX_VARIABLE_BYTES:
        raise DogsimError(
            f"Received {size:,} bytes of features. Expected less than {MAX_VARIABLE_BYTES:,}, "
            "the limit of a .mat file of version 5. MATLAB reads the dataset file itself: "
            "features = h5read('FILE.h5', '/features')'."
        )
    numbers: dict[str, NDArray[Any]] = {
        "features": np.asarray(dataset.features[:], np.float32),
        "labels": np.asarray(dataset.labels, np.float64)[:, None] + 1,
    }
    paths = [dataset.image_file(row).as_posix() for row in range(len(dataset))]
    if any(max(text, default="") > "\uffff" for text in (*paths, *dataset.breeds)):
        note(f"{path} contains emoji: MATLAB, Octave and import-mat read it, scipy does not.")
    with replacing(path) as temporary:
        save_variables(temporary, numbers, {"paths": paths, "breeds": dataset.breeds})


def made_by_export(path: Path) -> bool:
    """Return whether a file has exactly the variables that `export_mat` writes."""
    try:
        return set(variable_names(path)) == set(EXPORTED_VARIABLES)
    except Exception:  # other files cause many types
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
    with np.errstate(over="ignore"):  # an overflow becomes infinite, which is rejected
        features = np.ascontiguousarray(value if len(value) == n else value.T, np.float32)
    if not np.isfinite(features).all():
        row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
        raise DogsimError(
            f"features has NaN or infinity for image {row + 1}. Expected finite numbers: "
            "compute that row again or remove it."
        )
    return features


def _labels(
    variables: dict[str, NDArray[Any]], paths: list[str], rule: LabelRule
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    if {"labels", "breeds"} <= set(variables):
        try:
            names, numbers = texts(variables["breeds"], "breeds"), np.ravel(variables["labels"])
            if len(numbers) != len(paths) or not np.isin(numbers, range(len(names) + 1)).all():
                raise DogsimError(
                    f"labels is {describe(variables['labels'])}. Expected {len(paths)} numbers "
                    f"from 0 (unknown) to {len(names)}, the number of breeds."
                )
            return numbers.astype(np.int32) - 1, tuple(names)
        except DogsimError as error:  # other programs use these names for other variables
            note(f"{error} The breeds are taken from the folders of the images.")
    folders = [
        [part for part in normpath(path).split("/") if not NOT_A_NAME.fullmatch(part)]
        for path in paths
    ]
    shared = _shared_folders(folders)
    found = rule.label_images(["/".join(parts[len(shared) :]) for parts in folders])
    for each in found.notes:
        note(each)
    return found.labels, found.breeds


def _split_root(paths: list[str]) -> tuple[str, tuple[str, ...]]:
    """Return the common folder of absolute paths and the paths below; breed folders stay."""
    if not all(re.match(r"/|[A-Za-z]:/", path) for path in paths):
        return "", tuple(paths)
    parts = [path.split("/") for path in paths]
    shared = _shared_folders(parts)
    root = "/".join(shared) + "/" * (len(shared) == 1)  # the root is "/" or "C:/", not "" or "C:"
    return root, tuple("/".join(part[len(shared) :]) for part in parts)


def _shared_folders(paths: list[list[str]]) -> list[str]:
    """Return the folders that all paths begin with; the innermost folder of an image stays."""
    level = zip(*(parts[:-2] for parts in paths), strict=False)
    return [names[0] for names in takewhile(lambda names: len(set(names)) == 1, level)]
