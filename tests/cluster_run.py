"""The command line with short stretches of pictures, so that a small folder has many of them."""

import signal

from dogsim.cli import app
from dogsim.cluster import extraction
from dogsim.folders import manifest

signal.signal(signal.SIGINT, signal.default_int_handler)  # else a shell's "&" has it ignored
setattr(extraction, "SHARD_IMAGES", 16)  # noqa: B010
manifest.MIN_SHARD_ROWS = 8
app()
