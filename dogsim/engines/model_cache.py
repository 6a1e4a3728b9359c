"""Cache of converted networks: converted once, then read without TensorFlow in a moment.

A cached network is one file in the user's cache folder: an uncompressed zip archive of OpenVINO's
two files and the key that they belong to. It is written as a whole or not at all. If it is damaged
or of another version, the network is converted again. OpenVINO compiles it for the CPU at each
start, in two or three tenths of a second; its own cache of compiled networks saves less than a
tenth and takes as much space again.
"""

import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from dogsim.engines.openvino import OPENVINO_ERRORS, import_openvino
from dogsim.errors import DogsimError, reason
from dogsim.plumbing.cache import cache_folder
from dogsim.plumbing.files import make_folder, replacing
from dogsim.plumbing.terminal import note

CONVERSION_VERSION = 2  # increase it whenever the same weights are converted in another way
# Names in the archive; OpenVINO calls the last two its intermediate representation (IR).
KEY_FILE, IR_GRAPH_FILE, IR_WEIGHTS_FILE = "made_from.json", "network.xml", "network.bin"


def cached_model(key: Callable[[], Mapping[str, Any]], convert: Callable[[], Any]) -> Any:
    """Return a network from the cache; if it is not there, convert it and store it.

    Parameters
    ----------
    key : callable
        Returns what determines the network: its ``name``, the SHA-256 of its weights, the layer
        and so on. It is called again after the conversion, which may have downloaded the weights.
    convert : callable
        Returns the `openvino.Model`.

    Returns
    -------
    openvino.Model
    """
    model = _read(key())
    if model is None:
        model = convert()
        _write(model, key())
    return model


def _read(key: Mapping[str, Any]) -> Any | None:
    openvino = import_openvino()
    try:
        with zipfile.ZipFile(_file(key)) as archive:  # has a check sum for each file
            if json.loads(archive.read(KEY_FILE)) != _with_versions(key):
                return None
            graph, weights = archive.read(IR_GRAPH_FILE), archive.read(IR_WEIGHTS_FILE)
        return openvino.Core().read_model(graph, weights)
    except Exception:  # any error that a damaged file causes: it is converted again
        return None


def _write(model: Any, key: Mapping[str, Any]) -> None:
    """Store a network; if that fails, report it and continue."""
    try:
        file = _file(key)
        make_folder(file.parent)
        temporary_folder = tempfile.TemporaryDirectory(dir=file.parent, prefix=".network-")
        with temporary_folder as folder, replacing(file) as temporary:
            import_openvino().save_model(model, Path(folder, IR_GRAPH_FILE), compress_to_fp16=False)
            with zipfile.ZipFile(temporary, "w") as archive:
                archive.writestr(KEY_FILE, json.dumps(_with_versions(key)))
                for name in (IR_GRAPH_FILE, IR_WEIGHTS_FILE):
                    archive.write(Path(folder, name), name)
    except (DogsimError, OSError, *OPENVINO_ERRORS) as error:  # if the disk is full
        note(f"The converted network is not cached. {reason(error)}.")


def _file(key: Mapping[str, Any]) -> Path:
    digest = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    name = key["name"].replace(":", "-")  # not allowed in file names on Windows
    return cache_folder() / f"network-{name}-{digest[:12]}.zip"


def _with_versions(key: Mapping[str, Any]) -> dict[str, Any]:
    # In the file, not in its name: a new version replaces the old one.
    return {
        **key,
        "openvino": import_openvino().get_version(),
        "conversion": CONVERSION_VERSION,
    }
