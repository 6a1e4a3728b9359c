"""Create a folder of many shards, and a file from them, while few files may be open.

million_rows.py SHARDS ROWS_PER_SHARD

Prints the limit of open files and the peak memory in MB.
"""

import os
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from memory import peak_megabytes

from dogsim.folders.checkpoints import DATASET_MADE_BY, checkpoint_folder
from dogsim.folders.extraction import make_shard
from dogsim.folders.resumable import ResumableRun
from dogsim.folders.walk import ListedImage
from dogsim.image_files.layout import FolderLayout
from dogsim.recipe import Recipe
from dogsim.retrieval.scenes import find_scenes

MAX_OPEN_FILES, DIMENSION, BLOCK_ROWS = 255, 8, 1 << 17
shards, rows = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
recipe = Recipe("resnet50", "imagenet", "0" * 64, "avg_pool", 224)
images = [ListedImage(f"b/{i:07d}.jpg", 1, 1) for i in range(shards * rows)]

with TemporaryDirectory() as folder:
    out, other = Path(folder) / "d.dogsim", Path(folder) / "d.h5"
    for place in (out, checkpoint_folder(other)):
        place.mkdir()
    for number in range(shards):
        some = images[number * rows : (number + 1) * rows]
        features = np.full((rows, DIMENSION), number, np.float32)
        features[:, 0] = np.arange(rows)
        shard = make_shard(features, some, [b"0" * 64] * rows, recipe, folder)
        shard.write(out / f"{number:06d}.h5", DATASET_MADE_BY)
        os.link(out / f"{number:06d}.h5", checkpoint_folder(other) / f"{number:06d}.h5")
    for place in (out, other):
        with ResumableRun(place) as run:
            assert run.manifest.keep_up_to_date(images, Path(folder), verify=False) == []
            made = run.write(images, recipe, Path(folder), FolderLayout(), find_scenes).features
        for begin in range(0, len(made), BLOCK_ROWS):
            numbers = np.arange(begin, min(begin + BLOCK_ROWS, len(made)))
            for read in (made[begin : begin + BLOCK_ROWS], made[numbers]):
                assert (read[:, 0] == numbers % rows).all()
                assert (read[:, 1] == numbers // rows).all()
print(MAX_OPEN_FILES, peak_megabytes())
