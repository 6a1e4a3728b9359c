"""Compute features on the nodes of a cluster: each worker writes the shards of its images.

All work in progress is in the folder of `dogsim.folders.checkpoints` on a file system that all
nodes share. A lost worker, a lost node or a killed driver loses only the images in progress. The
names of these shards are unique, so that a worker that was considered lost never overwrites the
shard of another one.
"""

import os
import secrets
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from dogsim.cluster.connection import check_cluster, connected
from dogsim.cluster.workers import Workers, check_version
from dogsim.errors import DogsimError
from dogsim.folders.checkpoints import CheckpointFolder, checkpoint_folder, options_of
from dogsim.folders.extraction import (
    SHARD_IMAGES,
    ComputeShards,
    ShardResult,
    check_strict,
    compute_shards,
)
from dogsim.folders.walk import ListedImage, SkippedFile
from dogsim.networks.extractor import Extractor, NetworkOptions
from dogsim.plumbing.files import follow_link, make_folder
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched
from dogsim.recipe import DECISIVE_FIELDS, Recipe

# An item costs 0.1 s in itself, and a failure half an item on average: scripts/scale.py.
MAX_SHARDS_PER_ITEM = 4
MIN_ITEMS_PER_WORKER = 8  # so that all workers finish at about the same time


def compute_on(address: str, out: Path) -> ComputeShards:
    """Return the function that computes the shards of `out` on a cluster.

    Parameters
    ----------
    address : str
        See `dogsim.cluster.connection.check_cluster`, which is called at once.
    out : Path
        The dataset file to create; it and the images must be on a file system that all nodes share.
    """
    check_cluster(address)
    return partial(_compute, address, checkpoint_folder(follow_link(out).resolve()))


def _compute(
    address: str,
    folder: Path,
    root: Path,
    images: list[ListedImage],
    extractor: Extractor,
    batch_size: int,
    strict: bool,
) -> Generator[ShardResult, None, None]:
    """Compute shards as `compute_shards` does, but yield their files, in any order."""
    if not images:
        return
    with connected(address), _marker_file(folder) as marker:
        arguments = root.resolve(), folder, marker, extractor.recipe, batch_size
        workers = Workers(_ExtractionWorker, *arguments)
        size = len(images) // (MIN_ITEMS_PER_WORKER * len(workers))
        size = max(SHARD_IMAGES, min(MAX_SHARDS_PER_ITEM * SHARD_IMAGES, size))
        found = workers.results("shards", ((item,) for item in batched(images, size)))
        for result in track((result for _, result in found), len(images), "images"):
            yield from ((file, []) for file in result.files)
            check_strict(result.skipped, strict)
            yield None, result.skipped


@contextmanager
def _marker_file(folder: Path) -> Iterator[Path]:
    """Create a file with a random name, by which a worker checks that its node shares `folder`."""
    make_folder(folder)
    marker = folder / f".{secrets.token_hex(16)}.tmp"
    marker.write_text(marker.name, encoding="ascii")
    try:
        yield marker
    finally:
        marker.unlink(missing_ok=True)


@dataclass(frozen=True)
class _ItemResult:
    """The shard files and the skipped files of a number of images."""

    files: list[Path]
    skipped: list[SkippedFile]
    n_images: int

    def __len__(self) -> int:
        return self.n_images


class _ExtractionWorker:
    """A worker that holds the network and computes the shards of images."""

    def __init__(
        self, root: Path, folder: Path, marker: Path, recipe: Recipe, batch_size: int
    ) -> None:
        self.root, self.folder, self.marker = root, folder, marker
        self.recipe, self.batch_size = recipe, batch_size

    def ready(self, expected: str) -> None:
        """Raise `DogsimError` unless this node has the files, the network and the same dogsim."""
        check_version(expected)
        for path, shared in ((self.marker, self.folder), (self.root, self.root)):
            if not path.exists():
                raise DogsimError(
                    f"This node cannot see {shared}. "
                    "Expected a file system that all nodes share, mounted at the same path"
                )
        if not os.access(self.folder, os.W_OK):
            raise DogsimError(f"This node cannot write to {self.folder}")
        self.extractor  # noqa: B018

    @cached_property
    def extractor(self) -> Extractor:
        extractor = NetworkOptions().with_defaults(options_of(self.recipe)).load()
        names = (*DECISIVE_FIELDS, "engine", "precision")
        self.recipe.require(extractor.recipe, "a network of this node", names)
        return replace(extractor, recipe=self.recipe)

    def shards(self, images: list[ListedImage]) -> _ItemResult:
        """Compute and store the shards of images."""
        files: list[Path] = []
        skipped: list[SkippedFile] = []
        folder = CheckpointFolder(self.folder)
        for shard, skipped_files in compute_shards(
            self.root, images, self.extractor, self.batch_size, strict=False
        ):
            skipped += skipped_files
            if shard is not None:
                files.append(folder.add(shard, unique_name=True))
        return _ItemResult(files, skipped, len(images))
