"""Networks kept ready to run: converted once, read back in a moment and without TensorFlow.

A kept network is one file in the user's cache folder: a zip archive, not compressed, with
OpenVINO's own two files and what they were made from. It appears whole or not at all, and whatever
is wrong with it (cut short, a bit turned over, of another version) costs no more than making it
again. OpenVINO compiles it for the processor at each start, in two or three tenths of a second. Its
own cache of that saves less than a tenth and takes as much room again.
"""

import json
import tempfile
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from dogsim.engines.openvino import import_openvino
from dogsim.errors import DogsimError, reason
from dogsim.plumbing.cache import cache_folder
from dogsim.plumbing.files import make_folder, replacing
from dogsim.plumbing.terminal import note

CONVERSION = 2  # to count up whenever the same weights are converted in another way
MADE_FROM, GRAPH, NUMBERS = "made_from.json", "network.xml", "network.bin"


def kept_network(made_from: Mapping[str, Any]) -> Any | None:
    """Read a kept network, None where there is none or it is not as it should be.

    Parameters
    ----------
    made_from : mapping
        What decides about the network, such as the SHA-256 of its weights and the layer.

    Returns
    -------
    openvino.Model or None
    """
    openvino = import_openvino()

    try:
        with zipfile.ZipFile(_file(made_from)) as archive:  # which has a check sum of each part
            if json.loads(archive.read(MADE_FROM)) != _with_versions(made_from):
                return None
            graph, numbers = archive.read(GRAPH), archive.read(NUMBERS)
        return openvino.Core().read_model(graph, numbers)
    except Exception:  # whatever a damaged file makes a reader raise: it is made again
        return None


def keep_network(network: Any, made_from: Mapping[str, Any]) -> None:
    """Keep a converted network, an `openvino.Model`; where that fails, say so and go on."""
    openvino = import_openvino()

    file = _file(made_from)
    try:
        make_folder(file.parent)
        beside = tempfile.TemporaryDirectory(dir=file.parent, prefix=".network-")
        with beside as folder, replacing(file) as temporary:
            openvino.save_model(network, Path(folder, GRAPH), compress_to_fp16=False)
            with zipfile.ZipFile(temporary, "w") as archive:
                archive.writestr(MADE_FROM, json.dumps(_with_versions(made_from)))
                for part in (GRAPH, NUMBERS):
                    archive.write(Path(folder, part), part)
    except (DogsimError, OSError, RuntimeError) as error:  # the last: OpenVINO's, of a full disk
        note(f"The network is not kept for the next time. {reason(error)}.")


def _file(made_from: Mapping[str, Any]) -> Path:
    digest = sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()
    name = made_from["name"].replace(":", "-")  # which Windows has no files with
    return cache_folder() / f"network-{name}-{digest[:12]}.zip"


def _with_versions(made_from: Mapping[str, Any]) -> dict[str, Any]:
    # In the file, not in its name: a new version takes the place of the old one.
    openvino = import_openvino()

    return {**made_from, "openvino": openvino.get_version(), "conversion": CONVERSION}
