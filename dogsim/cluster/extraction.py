"""Pictures to features on many machines: each worker writes the shards of its stretches.

What is done lies on the file system that all nodes share, in the folder of
`dogsim.folders.checkpoints`, and
nowhere else: a lost worker, a lost node and a killed driver cost the stretches that were being
worked on. The numbers of these shards are drawn, so that a worker that was taken for lost never
writes over what another has written.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from dogsim.cluster.connection import check_cluster, joined
from dogsim.cluster.workers import Workers, require_same_version
from dogsim.errors import DogsimError
from dogsim.folders.checkpoints import PartialFolder, options_of
from dogsim.folders.extraction import SHARD, Compute, Computed, compute_shards, refuse
from dogsim.folders.listing import Picture, Skipped
from dogsim.folders.resumable import partial_folder
from dogsim.networks.extractor import Extractor, NetworkOptions
from dogsim.plumbing.files import follow_link, make_folder
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched
from dogsim.recipe import DECISIVE, Recipe

# A stretch costs a tenth of a second by itself, and a failure half a stretch: scripts/scale.py.
MOST_SHARDS = 4  # of a stretch
PARTS = 8  # stretches for each worker, at least, so that all end at about the same time


def compute_on(address: str, out: Path) -> Compute:
    """Who computes the shards of `out`: a cluster, for `dogsim.create_dataset.bring_up_to_date`.

    Parameters
    ----------
    address : str
        See `dogsim.cluster.connection.check_cluster`, which is called at once.
    out : Path
        The dataset file that is made, on a file system that all nodes share, as the pictures are.
    """
    check_cluster(address)
    return partial(_compute, address, partial_folder(follow_link(out).resolve()))


def _compute(
    address: str,
    folder: Path,
    root: Path,
    pending: list[Picture],
    extractor: Extractor,
    batch_size: int,
    strict: bool,
) -> Iterator[Computed]:
    """Do what `compute_shards` does; the shards come as files, in whatever order."""
    if not pending:
        return
    with joined(address), _seen_by_all(folder) as sign:
        workers = Workers(_Worker, root.resolve(), folder, sign, extractor.recipe, batch_size)
        length = max(SHARD, min(MOST_SHARDS * SHARD, len(pending) // (PARTS * len(workers))))
        found = workers.results("shards", ((stretch,) for stretch in batched(pending, length)))
        for done in track((done for _, done in found), len(pending), "pictures"):
            yield from ((file, []) for file in done.files)
            refuse(done.skipped, strict)
            yield None, done.skipped


@contextmanager
def _seen_by_all(folder: Path) -> Iterator[Path]:
    """A file with a secret, by which a worker sees that its node shares the folder with us."""
    make_folder(folder)
    sign = folder / f".{secrets.token_hex(16)}.tmp"
    sign.write_text(sign.name, encoding="ascii")
    try:
        yield sign
    finally:
        sign.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Done:
    """What a worker has made of so many pictures: the files of shards, and what was left out."""

    files: list[Path]
    skipped: list[Skipped]
    pictures: int

    def __len__(self) -> int:
        return self.pictures


class _Worker:
    """Holds the network and computes stretches of a listing."""

    def __init__(
        self, root: Path, folder: Path, sign: Path, recipe: Recipe, batch_size: int
    ) -> None:
        self.root, self.folder, self.sign = root, folder, sign
        self.recipe, self.batch_size = recipe, batch_size

    def ready(self, expected: str) -> None:
        """Raise `DogsimError` unless this node has the files, the network and the same dogsim."""
        require_same_version(expected)
        for path in (self.sign, self.root):
            if not path.exists():
                raise DogsimError(
                    f"This node does not see {path.parent if path == self.sign else path}. "
                    "Expected a file system that all nodes share, at the same place"
                )
        if not os.access(self.folder, os.W_OK):
            raise DogsimError(f"This node cannot write to {self.folder}")
        self.extractor  # noqa: B018

    @cached_property
    def extractor(self) -> Extractor:
        extractor = NetworkOptions().with_defaults(options_of(self.recipe)).load()
        names = (*DECISIVE, "engine", "precision")
        self.recipe.require(extractor.recipe, "a network of this node", names)
        return replace(extractor, recipe=self.recipe)

    def shards(self, pictures: list[Picture]) -> _Done:
        """Compute a stretch of pictures, and keep their features."""
        files, skipped = [], []
        for shard, bad in compute_shards(
            self.root, pictures, self.extractor, self.batch_size, strict=False
        ):
            skipped += bad
            if shard is not None:
                files.append(PartialFolder(self.folder).add(shard, drawn=True).file)
        return _Done(files, skipped, len(pictures))
