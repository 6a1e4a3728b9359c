"""Features that are kept while a dataset is being made, so that a killed run goes on.

Beside ``OUT.h5`` stands the folder ``OUT.h5.partial`` of shards, each a small dataset file of the
pictures done in one stretch. A shard is written under another name, flushed to the disk and then
renamed (`files.replacing`), and never touched again; so is ``OUT.h5`` itself. HDF5 files are
endangered only while they are written, and at any moment of a kill every file with a final name is
closed and whole. A kill, a full disk and a power cut cost the stretch that was being worked on,
about `pipeline.SHARD` pictures; a file system that loses renames at a power cut may cost the shard
before.
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from dogsim.dataset import BLOCK, Dataset
from dogsim.errors import DogsimError
from dogsim.folders.listing import skipped_table
from dogsim.plumbing.files import remove_left_overs
from dogsim.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Part:
    """A closed file with features: the finished dataset or a shard."""

    file: Path
    paths: tuple[str, ...]
    stamps: NDArray[np.void]
    recipe: Recipe
    root: str
    dimension: int


def partial_folder(out: Path) -> Path:
    """Where the shards of `out` lie."""
    return out.with_name(f"{out.name}.partial")


@contextmanager
def only_run(out: Path) -> Iterator[None]:
    """Hold the lock on an output; it dies with its process.

    Raises `DogsimError` if another process holds it.
    """
    lock = FileLock(out.with_name(f".{out.name}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise DogsimError(f"Another run is writing {out}. Wait for it, or stop it.") from None
    try:
        for written in (out, skipped_table(out)):
            remove_left_overs(written)
        yield
    finally:
        lock.release()


def known_parts(out: Path) -> list[Part]:
    """Open what earlier runs left: the finished file first, then the shards.

    A shard that cannot be read is removed: its pictures are computed again. Raises `DogsimError`
    if the finished file is not one of ours.
    """
    parts = [_part(out)] if out.exists() else []
    for file in sorted(partial_folder(out).glob("*.h5")):
        try:
            parts.append(_part(file))
        except DogsimError:
            file.unlink()
    return parts


def add_shard(out: Path, shard: Dataset) -> Part:
    """Write a shard, whole or not at all."""
    folder = partial_folder(out)
    folder.mkdir(exist_ok=True)
    number = max((int(file.stem) for file in folder.glob("*.h5")), default=-1) + 1
    file = folder / f"{number:06d}.h5"
    shard.save(file)
    return _part(file)


def forget_shards(out: Path) -> None:
    """Remove the shards: `out` holds all that is in them, or they are not wanted."""
    shutil.rmtree(partial_folder(out), ignore_errors=True)


def gather(parts: Sequence[Part], rows: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.float32]]:
    """Yield features in blocks, each row named by its part and its row there."""
    with ExitStack() as stack:
        sources = [stack.enter_context(h5py.File(part.file))["features"] for part in parts]
        for i in range(0, len(rows), BLOCK):
            yield np.stack([sources[part][row] for part, row in rows[i : i + BLOCK]])


def _part(file: Path) -> Part:
    dataset = Dataset.open(file)
    if dataset.stamps is None or dataset.recipe is None:
        raise DogsimError(
            f"{file} exists and was not made by create-dataset. Name another output, or give "
            "--restart to replace it."
        )
    return Part(
        file=file,
        paths=dataset.paths,
        stamps=dataset.stamps,
        recipe=dataset.recipe,
        root=dataset.root,
        dimension=int(dataset.features.shape[1]),
    )
