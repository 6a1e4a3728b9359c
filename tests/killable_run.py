"""Run `dogsim create-dataset` without a network, and kill it at a given point.

Pipeline, files and locks are the real ones; only the network is replaced, by the mean of each
colour, so that a run takes a second. Usage: killable_run.py WHERE NUMBER DIR OUT [OPTION ...].
WHERE is the name of a point below; the process kills itself when it has passed it NUMBER times.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import h5py
from mean_colours import SEAM

from dogsim.cli import app
from dogsim.folders import extraction
from dogsim.folders.checkpoints import CheckpointFolder
from dogsim.networks.extractor import NetworkOptions

where, number = sys.argv[1], int(sys.argv[2])


def killing(name: str, function: Any, after: bool = False) -> Any:
    def counted(*arguments: Any, **options: Any) -> Any:
        global number
        result = function(*arguments, **options) if after else None
        if where == name:
            number -= 1
            if number < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return result if after else function(*arguments, **options)

    return counted


signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell ignores it in background processes
for name, method in SEAM.items():
    setattr(NetworkOptions, name, method)
extraction.SHARD_IMAGES = 16
h5py.Dataset.__setitem__ = killing("write", h5py.Dataset.__setitem__)
h5py.File.close = killing("closed", h5py.File.close, after=True)
os.fsync = killing("fsync", os.fsync)
Path.replace = killing("before replace", Path.replace)  # type: ignore[method-assign]
Path.replace = killing("after replace", Path.replace, after=True)  # type: ignore[method-assign]
CheckpointFolder.clear = killing("before clean-up", CheckpointFolder.clear)  # type: ignore[method-assign]

app(["create-dataset", sys.argv[3], "-o", *sys.argv[4:]])
