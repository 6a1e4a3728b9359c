"""Run the command line with small items of work, so that a small folder has many of them."""

import signal

from dogsim.cli import app
from dogsim.cluster import extraction
from dogsim.folders import manifest

signal.signal(
    signal.SIGINT, signal.default_int_handler
)  # a shell ignores it in background processes
setattr(extraction, "SHARD_IMAGES", 16)  # noqa: B010
manifest.MIN_SHARD_ROWS = 8
app()
