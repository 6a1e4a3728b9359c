"""Where a network's weights come from: Keras' download, or a file given by hand."""

import contextlib
import os
import socket
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py

from dogsim.errors import DogsimError
from dogsim.networks._keras import import_keras
from dogsim.plumbing.download import PATIENCE, in_time

HOST = "https://storage.googleapis.com/tensorflow/keras-applications/"


class WeightsUnavailableError(DogsimError):
    """The ImageNet weights of a network can neither be found nor downloaded."""


def cached_weights(file_name: str) -> Path | None:
    """Path of a weight file that Keras has downloaded before, None if there is none."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    for folder in (home, Path("/tmp/.keras")):  # the second is Keras' choice for a read-only home
        path = folder / "models" / file_name
        if path.is_file():
            return path
    return None


def download_weights(build: Callable[[], Any], network: str, file_name: str) -> tuple[Any, Path]:
    """Let Keras download its ImageNet weights once, check their hash and cache them.

    Parameters
    ----------
    build : callable
        Builds the network with ``weights="imagenet"``.
    network : str
        Its name, for messages.
    file_name : str
        What Keras calls the weight file.

    Returns
    -------
    keras.Model, Path
        The network and its weight file in Keras' cache.

    Raises
    ------
    WeightsUnavailableError
        If the weights cannot be had; says why, and the three other ways to weights.
    """
    import_keras()
    try:
        # Keras reports its progress on stdout, which belongs to results.
        with _impatient_sockets(), contextlib.redirect_stdout(sys.stderr):
            if cached_weights(file_name) is None:
                _knock(HOST)
            model = build()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        cache = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
        raise WeightsUnavailableError(
            f"The ImageNet weights of {network} could not be downloaded "
            f"({' '.join(str(error).split())}). Either give a file (--weights FILE), "
            f"or put {file_name} into {cache}, "
            "or use the network whose weights are installed: --backbone efficientnet-lite0."
        ) from error
    path = cached_weights(file_name)
    if path is None:
        raise DogsimError(f"Keras did not leave {file_name} in its cache folder. Set KERAS_HOME.")
    return model, path


def load_weight_file(model: Any, path: Path, network: str) -> None:
    """Fill a network with the numbers of an ``.h5`` or ``.weights.h5`` file.

    Raises `DogsimError` if the file does not hold every number that the network needs.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts the file has beyond what is needed
            model.load_weights(path)
    except Exception as error:  # Keras raises ValueError, KeyError or OSError
        raise DogsimError(
            f"The weights in {path} do not fit {network}"
            f"{' with its classifier' if _has_top(model) else ''}: {_first_line(error)} "
            "Name the network they belong to with --backbone, or give another file."
        ) from error


def load_keras_file(path: Path) -> Any:
    """Load a whole Keras model, in safe mode: code that a file may carry is not run.

    Raises `DogsimError` if the file is not such a model.
    """
    try:
        return import_keras().models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zip, json, hdf5 and Keras errors alike
        raise DogsimError(
            f"Cannot load {path} as a Keras model: {_first_line(error)} "
            "Expected a file written by model.save('NAME.keras')."
        ) from error


def file_has_top(path: Path) -> bool:
    """Whether an ``.h5`` file in Keras' older format holds the classifier as well.

    That format is read layer after layer, so the network must be built as it was saved.
    Raises `DogsimError` if the file is no HDF5 file.
    """
    try:
        with h5py.File(path) as file:
            layers = file.get("model_weights", file).attrs.get("layer_names", ())
            return any(name in (b"predictions", "predictions") for name in layers)
    except OSError as error:
        raise DogsimError(
            f"{path} is not a weight file ({error}). Expected .h5, .weights.h5 or .keras of Keras."
        ) from error


def _has_top(model: Any) -> bool:
    return bool(model.layers[-1].name == "predictions")


def _first_line(error: Exception) -> str:
    line = (str(error) or repr(error)).strip().splitlines()[0].strip()
    return line if line.endswith(".") else f"{line}."


@contextlib.contextmanager
def _impatient_sockets() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _knock(url: str) -> None:
    # any answer shows that the way is open
    with contextlib.suppress(urllib.error.HTTPError):
        in_time(lambda: urllib.request.urlopen(urllib.request.Request(url, method="HEAD")).close())
