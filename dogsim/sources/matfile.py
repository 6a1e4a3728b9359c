"""Read the variables of a MATLAB file of any version as arrays, and write version 5."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat, savemat, whosmat
from scipy.io.matlab import matfile_version

from dogsim.errors import DogsimError, not_found, reason
from dogsim.sources.mat5 import cell_array, char_rows, read_mat5
from dogsim.storage.hdf5 import open_table

INTEGER_CLASSES = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
SUPPORTED_CLASSES = {"cell", "char", "double", "single", "logical"} | INTEGER_CLASSES
SUPPORTED_FILES = "a .mat file of version 5, 7 or 7.3 (in Octave: save -v7)"


def load_variables(
    path: Path, needed: Iterable[str], optional: Iterable[str] = ()
) -> dict[str, NDArray[Any]]:
    """Read variables of a .mat file, and nothing else of it.

    MATLAB: ``load(path, names{:})``. Files of version 4 are read by `scipy.io.loadmat`. A file of
    version 7.3 is HDF5: an attribute contains the class, a cell contains references, and the
    dimensions are reversed.

    Parameters
    ----------
    path : Path
    needed, optional : str
        Names of variables.

    Returns
    -------
    dict of str to array
        Numbers of their own type, (rows, columns); char matrices as (rows,) str; cell arrays as
        (rows, columns) object, whose elements are arrays.

    Raises
    ------
    DogsimError
        If the file does not exist, cannot be read or lacks a needed variable.
    """
    needed = list(needed)
    names = [*needed, *optional]
    if not path.is_file():
        raise not_found(path, f"There is no file {path}. Expected {SUPPORTED_FILES}.")
    try:
        read = _read_hdf5 if h5py.is_hdf5(path) else _read_mat
        found, values = read(path, names)
    except DogsimError as error:
        raise DogsimError(f"{path}: {error}") from error
    except Exception as error:  # broken files cause many types
        raise DogsimError(
            f"Cannot read {path}: {reason(error)}. It is damaged, cut short, or not "
            f"{SUPPORTED_FILES}."
        ) from error
    if missing := [name for name in needed if name not in values]:
        raise DogsimError(
            f"{path} has the variables {', '.join(found) or '(none)'}. Expected {missing[0]} too; "
            f"if it is a string array, save {missing[0]} = cellstr({missing[0]})."
        )
    return values


def save_variables(
    path: Path, numbers: Mapping[str, NDArray[Any]], cells: Mapping[str, Sequence[str]]
) -> None:
    """Write a .mat file of version 5, which MATLAB, Octave and (except emoji) scipy read.

    MATLAB: ``save(path, names{:}, '-v6')``.

    Parameters
    ----------
    path : Path
    numbers : dict of str to array
        Written by `scipy.io.savemat`.
    cells : dict of str to n strings
        Each becomes an n x 1 cell array of char vectors. They are not written by `savemat`, which
        encodes text as UTF-8: beyond ASCII MATLAB rejects it and Octave truncates it (scipy issue
        4431).

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    with path.open("wb") as file:
        savemat(file, dict(numbers))
        for name, strings in cells.items():
            file.write(cell_array(name, strings))


def texts(value: NDArray[Any], name: str) -> list[str]:
    """Return the strings of a cell array of char, or the rows of a char matrix without padding.

    MATLAB: ``cellstr(value)``. Raises `DogsimError` for other values; `name` is the variable's name
    in the message.

    >>> texts(np.array(["ab  ", "abcd"]), "paths")
    ['ab', 'abcd']
    """
    cells = list(value.ravel(order="F")) if value.dtype == object else [value]
    if value.dtype == object and all(_is_text(cell) and cell.size < 2 for cell in cells):
        return [str(cell.item()) if cell.size else "" for cell in cells]
    if _is_text(value):
        return [str(row).rstrip(" ") for row in value.ravel()]
    raise DogsimError(
        f"{name} is {describe(value)}. Expected a cell array of char vectors: {name} = "
        f"cellstr({name}) makes one of a string array or a char matrix."
    )


def describe(value: Any) -> str:
    """Return the size and type of a variable as text, for messages.

    >>> describe(np.zeros((2, 3)))
    '2 x 3 float64'
    """
    if not value.shape:
        return str(value)
    kinds = {"O": "cell", "U": "char", "V": "struct or object"}
    kind = kinds.get(value.dtype.kind, value.dtype.name)
    sparse = "" if isinstance(value, np.ndarray) else "sparse "
    return f"{' x '.join(map(str, value.shape))} {sparse}{kind}"


def _is_text(value: Any) -> bool:
    return isinstance(value, np.ndarray) and (value.dtype.kind == "U" or value.size == 0)


def variable_names(path: Path) -> list[str]:
    """List the variables of a .mat file of version 5; raise an exception for other files."""
    return _read_mat(path, [])[0]


def _read_mat(path: Path, names: list[str]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Read a file before version 7.3."""
    if matfile_version(path, appendmat=False)[0] > 0:
        return read_mat5(path, names)
    values = loadmat(path, appendmat=False, variable_names=names)
    found = [name for name, _, _ in whosmat(path, appendmat=False) if name]
    return found, {name: value for name, value in values.items() if name in names}


def _read_hdf5(path: Path, names: list[str]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    with h5py.File(path) as file:
        found = [name for name in file if not name.startswith("#")]  # "#refs#": contents of cells
        if not any("MATLAB_class" in file[name].attrs for name in found):
            raise DogsimError(
                f"this HDF5 file was not saved by MATLAB. Expected {SUPPORTED_FILES}."
            )
        items = {name: file[name] for name in names if name in file}
        for name, item in items.items():
            if isinstance(item, h5py.Dataset):
                open_table(file, name)  # raises if its values are in another file
        return found, {name: _value(file, item) for name, item in items.items()}


def _value(file: Any, item: Any) -> NDArray[Any]:
    """Convert an item of a 7.3 file to the array that `loadmat` returns; columns come first."""
    kind = np.bytes_(item.attrs.get("MATLAB_class", b"something")).decode()
    if kind not in SUPPORTED_CLASSES or not isinstance(item, h5py.Dataset):
        return np.array(f"a {kind} variable", object)  # for `describe`
    if item.attrs.get("MATLAB_empty", 0):  # then the data are the shape
        shape = tuple(int(length) for length in item[()].ravel())
        empty: NDArray[Any] = np.empty(shape, {"cell": "O", "char": "U1"}.get(kind, "f8"))
        return empty
    stored = item[()].T
    if kind == "cell":
        cells = np.empty(stored.shape, object)
        for index, reference in np.ndenumerate(stored):
            cells[index] = _value(file, file[reference])
        return cells
    if kind == "char":
        return char_rows(stored)
    return np.asarray(stored)
