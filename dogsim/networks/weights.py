"""Where a network's weights come from: Keras' download, or a file given by hand."""

import contextlib
import os
import socket
import sys
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np

from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError, reason
from dogsim.plumbing.download import DOWNLOAD_TIMEOUT_SECONDS
from dogsim.plumbing.files import file_sha256
from dogsim.plumbing.threads import with_timeout

IMAGENET = "imagenet"  # the weights that a network was published with
HOST = "https://storage.googleapis.com/tensorflow/keras-applications/"
# Of ImageNet's red, green and blue.
MEAN = np.array([0.485, 0.456, 0.406], np.float32)
STD = np.array([0.229, 0.224, 0.225], np.float32)
T = TypeVar("T")


class WeightsUnavailableError(DogsimError):
    """The weights of a network can neither be found nor downloaded."""


def given_file(weights: str) -> Path | None:
    """Path of the weight file given by hand, None where ImageNet's weights are asked for.

    >>> given_file("gone.h5")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no weight file gone.h5. Expected 'imagenet' or a file.
    """
    if weights == IMAGENET:
        return None
    if not Path(weights).is_file():
        raise DogsimError(f"There is no weight file {weights}. Expected {IMAGENET!r} or a file.")
    return Path(weights)


def weights_sha256(file: Path) -> str:
    """SHA-256 of a weight file, computed once as long as the file stays as it is."""
    now = file.stat()
    return _sha256(file, now.st_size, now.st_mtime_ns, now.st_ino)


@lru_cache(maxsize=16)
def _sha256(file: Path, *_: int) -> str:
    return file_sha256(file)


def cached_weights(file_name: str) -> Path | None:
    """Path of a weight file that Keras has downloaded before, None if there is none."""
    for folder in (_keras_home(), Path("/tmp/.keras")):  # the second: Keras' for a read-only home
        path = folder / "models" / file_name
        if path.is_file():
            return path
    return None


def keras_download(build: Callable[[], Any], network: str, file_name: str) -> Any:
    """Build a network whose ImageNet weights Keras downloads once, checks and caches.

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
    keras.Model

    Raises
    ------
    WeightsUnavailableError
        If the weights cannot be had; says why, and the three other ways to weights.
    """
    import_keras()
    host = None if cached_weights(file_name) else HOST
    way_out = f"give a file (--weights FILE), or put {file_name} into {_keras_home() / 'models'}"
    try:
        return downloaded(build, network, host, way_out)
    except WeightsUnavailableError:
        # Of some files Keras knows no hash: what else has come in their place shall not stay.
        if host and (wrong := cached_weights(file_name)):
            wrong.unlink()
        raise


def downloaded(fetch: Callable[[], T], network: str, host: str | None, way_out: str) -> T:
    """Return what `fetch` returns, which downloads weights; gives up soon where nothing answers.

    Parameters
    ----------
    fetch : callable
    network : str
        Its name, for messages.
    host : str, optional
        An address to knock at first: what downloads may be very patient. None if nothing has to
        be downloaded.
    way_out : str
        What else the user can do, beside taking the network that is installed.

    Raises
    ------
    WeightsUnavailableError
        If `fetch` raises anything.
    """
    try:
        # Downloaders report their progress on stdout, which belongs to results.
        with _impatient_sockets(), contextlib.redirect_stdout(sys.stderr):
            if host:
                _knock(host)
            return fetch()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise WeightsUnavailableError(
            f"The weights of {network} could not be downloaded ({reason(error)}). "
            f"Either {way_out}, "
            "or use the network whose weights are installed: --backbone efficientnet-lite0."
        ) from error


def load_weight_file(model: Any, path: Path, network: str) -> None:
    """Fill a network with the numbers of an ``.h5`` or ``.weights.h5`` file.

    `network` is its name, for messages. Raises `DogsimError` if the file does not hold every number
    that the network needs.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of parts the file has beyond what is needed
            model.load_weights(path)
    except Exception as error:  # Keras raises ValueError, KeyError or OSError
        raise DogsimError(
            f"The weights in {path} do not fit {network}: {_headline(error)}. "
            "Name the network they belong to with --backbone, or give another file."
        ) from error
    _normalise_as_on_imagenet(model)


def load_keras_file(path: Path) -> Any:
    """Load a whole Keras model, in safe mode: code that a file may carry is not run.

    Raises `DogsimError` if the file is not such a model.
    """
    if path.suffix != ".keras":  # of Keras' older format, which safe mode does not cover
        raise DogsimError(f"Received the model {path}. Expected a file that ends in .keras.")
    try:
        return import_keras().models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zip, json, hdf5 and Keras errors alike
        raise DogsimError(
            f"Cannot load {path} as a Keras model: {_headline(error)}. "
            "Expected a file written by model.save('NAME.keras')."
        ) from error


def file_has_top(path: Path, top_layers: Collection[str]) -> bool:
    """Whether an ``.h5`` file in Keras' older format holds the classifier's layers as well.

    That format is read layer after layer, so the network must be built as it was saved.
    Raises `DogsimError` if the file is no HDF5 file.
    """
    try:
        with h5py.File(path) as file:
            layers = file.get("model_weights", file).attrs.get("layer_names", ())
            return any(
                (name.decode() if isinstance(name, bytes) else name) in top_layers
                for name in layers
            )
    except OSError as error:
        raise DogsimError(
            f"{path} is not a weight file ({reason(error)}). "
            "Expected .h5, .weights.h5 or .keras of Keras."
        ) from error


def _normalise_as_on_imagenet(model: Any) -> None:
    """Let a network divide by the deviations of ImageNet's colours, not by their roots.

    Keras' files of EfficientNet B0 to B7 have them where variances are expected. Keras puts that
    right with a further layer, but only if it downloads them itself (its issue 49930).
    """
    for layer in model.layers:
        if type(layer).__name__ == "Normalization" and layer.weights:
            mean, variance, count = layer.get_weights()
            if np.allclose(mean, MEAN, atol=1e-3):
                layer.set_weights([mean, variance * STD, count])
                layer.finalize_state()


def _headline(error: Exception) -> str:
    # Keras goes on for a page; its first line says what is wrong
    return reason(Exception((str(error).strip() or repr(error)).splitlines()[0]))


def _keras_home() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))


@contextlib.contextmanager
def _impatient_sockets() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _knock(url: str) -> None:
    request = urllib.request.Request(url, method="HEAD")
    try:
        with_timeout(lambda: urllib.request.urlopen(request).close(), DOWNLOAD_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as answer:
        answer.close()  # any answer shows that the way is open
