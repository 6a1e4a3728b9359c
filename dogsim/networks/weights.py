"""The weights of a network: downloaded by Keras, or read from a file."""

import contextlib
import io
import os
import socket
import sys
import urllib.error
import urllib.request
import warnings
import zipfile
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError, not_found, reason
from dogsim.plumbing.files import expand_home, file_sha256
from dogsim.plumbing.threads import DOWNLOAD_TIMEOUT_SECONDS, with_timeout

IMAGENET = "imagenet"  # the weights with which a network was published
OFFLINE_BACKBONE = "efficientnet-lite2"  # its ImageNet weights are installed with dogsim
KERAS_STORAGE = "https://storage.googleapis.com/tensorflow/keras-applications/"
SERVER_TIMEOUT_SECONDS = DOWNLOAD_TIMEOUT_SECONDS / 2  # twice: for an answer, and for the file
# Of red, green and blue over ImageNet, with white = 1.
IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
T = TypeVar("T")


class WeightsUnavailableError(DogsimError):
    """Raised if the weights of a network are neither cached nor can be downloaded.

    Attributes
    ----------
    problem : str
        The first part of the message: which weights are missing, and why.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem = problem


def given_file(weights: str | os.PathLike[str]) -> Path | None:
    """Return the path of a given weight file; None for ImageNet's weights.

    >>> given_file("gone.h5")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no weight file gone.h5. Expected 'imagenet' or a file.
    """
    if weights == IMAGENET:
        return None
    if not Path(weights).is_file():
        message = f"There is no weight file {weights}. Expected {IMAGENET!r} or a file."
        raise not_found(weights, message)
    return Path(weights)


def weights_sha256(file: Path) -> str:
    """Return the SHA-256 of a weight file, computed once while the file is unchanged."""
    status = file.stat()
    return _sha256(file, status.st_size, status.st_mtime_ns, status.st_ino)


@lru_cache(maxsize=16)
def _sha256(file: Path, *_: int) -> str:
    return file_sha256(file)


def cached_weights(file_name: str) -> Path | None:
    """Return the path of a weight file in Keras' cache, None if it is not there or truncated."""
    path = _keras_home() / "models" / file_name
    try:
        h5py.File(path).close()
    except OSError:
        return None
    return path


def keras_download(build: Callable[[], Any], network: str, file_name: str) -> Any:
    """Build a network with ImageNet weights, which Keras downloads once, checks and caches.

    Parameters
    ----------
    build : callable
        Builds the network with ``weights="imagenet"``.
    network : str
        Its name, for messages.
    file_name : str
        Name of the weight file in Keras' cache.

    Returns
    -------
    keras.Model

    Raises
    ------
    WeightsUnavailableError
        If the weights cannot be downloaded; the message has the reason and three alternatives.
    """
    folder = _keras_home() / "models"
    host = None if cached_weights(file_name) else KERAS_STORAGE
    remedy = f"give a file (--weights FILE), or put {file_name} into {folder}"
    try:
        return downloaded(build, network, host, remedy)
    except WeightsUnavailableError:
        file = folder / file_name
        if host and file.exists():  # Keras knows no hash of some files: these are not the weights
            file.unlink()
        raise


def downloaded(fetch: Callable[[], T], network: str, host: str | None, remedy: str) -> T:
    """Return the result of `fetch`, which downloads weights; fail soon if no server answers.

    Parameters
    ----------
    fetch : callable
    network : str
        Its name, for messages.
    host : str, optional
        An address that is tried first, because downloaders may have long timeouts. None if nothing
        has to be downloaded.
    remedy : str
        What the user can do instead, besides using the network that is installed.

    Raises
    ------
    WeightsUnavailableError
        If `fetch` raises anything.
    """
    try:
        if host:
            _check_reachable(host)  # before the import of Keras, which takes seconds
        # Downloaders report their progress on stdout, which is for results.
        with _socket_timeout(), contextlib.redirect_stdout(sys.stderr or io.StringIO()):
            return fetch()
    except DogsimError:
        raise
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise WeightsUnavailableError(
            f"The weights of {network} could not be downloaded ({reason(error)}).",
            f"Either {remedy}, or use the network whose weights are installed: "
            f"--backbone {OFFLINE_BACKBONE}.",
        ) from error


def load_weight_file(model: Any, path: Path, network: str) -> None:
    """Load the weights of an ``.h5`` or ``.weights.h5`` file into a network.

    `network` is its name, for messages. Raises `DogsimError` if the file does not contain all
    weights of the network.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about weights in the file that are not needed
            model.load_weights(path)
    except Exception as error:  # Keras raises ValueError, KeyError or OSError
        raise DogsimError(
            f"The weights in {path} do not fit {network}: {_headline(error)}. "
            "Name the network they belong to with --backbone, or give another file."
        ) from error
    _correct_normalization(model)


def load_keras_file(path: Path) -> Any:
    """Load a whole Keras model in safe mode, so that no code in the file is executed.

    Raises `DogsimError` if the file is not such a model.
    """
    if path.suffix != ".keras":  # safe mode does not cover Keras' older format
        raise DogsimError(f"Received the model {path}. Expected a file that ends in .keras.")
    try:
        if not zipfile.is_zipfile(path):  # Keras would report that there is no such file
            raise ValueError("it is not a zip archive")
        return import_keras().models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # errors of zip, json, hdf5 and Keras
        raise DogsimError(
            f"Cannot load {path} as a Keras model: {_headline(error)}. "
            "Expected a file written by model.save('NAME.keras')."
        ) from error


def file_has_top(path: Path, top_layers: Collection[str]) -> bool:
    """Return whether an ``.h5`` file in Keras' older format contains the classifier's layers.

    That format is read layer by layer, so the network must be built as it was saved. Raises
    `DogsimError` if the file is not HDF5.
    """
    try:
        with h5py.File(path) as file:
            names = file.get("model_weights", file).attrs.get("layer_names", ())
            return any(os.fsdecode(name) in top_layers for name in names)
    except (OSError, RuntimeError, TypeError) as error:
        raise DogsimError(
            f"{path} is not a weight file ({reason(error)}). "
            "Expected .h5, .weights.h5 or .keras of Keras."
        ) from error


def _correct_normalization(model: Any) -> None:
    """Correct the variance of a network that normalises its input with ImageNet's mean.

    Keras' files of EfficientNet B0 to B7 contain standard deviations in place of variances. Keras
    corrects it with another layer, but only after its own download (Keras issue 49930).
    """
    for layer in model.layers:
        if type(layer).__name__ == "Normalization" and layer.weights:
            mean, variance, count = layer.get_weights()
            if np.allclose(mean, IMAGENET_MEAN, atol=1e-3):
                layer.set_weights([mean, variance * IMAGENET_STD, count])
                layer.finalize_state()


def _headline(error: Exception) -> str:
    # Keras' messages can fill a page; the first line has the reason
    return reason(Exception((str(error).strip() or repr(error)).splitlines()[0]))


def _keras_home() -> Path:
    """Return the folder that Keras uses: ``.keras`` in the home folder, or in /tmp."""
    home = expand_home("~")
    default = Path(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.environ.get("KERAS_HOME", default))


@contextlib.contextmanager
def _socket_timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SERVER_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _check_reachable(url: str) -> None:
    """Raise `OSError` if no server answers in time."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        with_timeout(lambda: urllib.request.urlopen(request).close(), SERVER_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as answer:
        answer.close()  # any answer shows that the server is reachable
