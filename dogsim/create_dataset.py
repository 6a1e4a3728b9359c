"""A folder of breed folders becomes a dataset file."""

import os
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from dogsim.dataset import Dataset, write_dataset
from dogsim.errors import DogsimError
from dogsim.folders.listing import Picture, Skipped, list_pictures
from dogsim.folders.reading import compute_shards, refuse, stamp_rows
from dogsim.folders.shards import (
    Part,
    add_shard,
    forget_shards,
    gather,
    known_parts,
    only_run,
    partial_folder,
)
from dogsim.networks.backbones import known_recipe, load_extractor
from dogsim.plumbing.files import check_output, file_sha256
from dogsim.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Update:
    """What a run of `update_dataset` has done.

    Attributes
    ----------
    dataset : Dataset
    new, changed, kept, removed : int
        How many pictures were computed for the first time or again, taken over, and dropped.
    skipped : tuple of Skipped
        Files that gave no row, each with ``path`` and ``reason``.
    """

    dataset: Dataset
    new: int
    changed: int
    kept: int
    removed: int
    skipped: tuple[Skipped, ...]


def create_dataset(
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    backbone: str = "resnet50",
    weights: str = "imagenet",
    layer: str | None = None,
    resize: str = "squash",
    batch_size: int = 32,
    engine: str = "auto",
    precision: str = "auto",
    strict: bool = False,
    restart: bool = False,
    verify: bool = False,
) -> Dataset:
    """Compute the features of all pictures in a folder of breed folders and store them.

    MATLAB: ``create_dataset.m``, which saves ``features`` and ``paths`` to a .mat file.

    A run that was stopped goes on where it was; a finished one is brought up to date, and computes
    only pictures that are new or have changed.

    Parameters
    ----------
    images_dir : path
        ``images_dir/BREED/picture.jpg``; a folder name such as ``n02085620-Chihuahua`` or
        ``cocker_spaniel`` becomes the breed "Chihuahua" or "cocker spaniel".
    out : path
        The HDF5 file to write, see `Dataset.save`.
    backbone, weights, layer, resize, engine, precision
        As for `dogsim.load_extractor`.
    batch_size : int
        How many pictures go through the network at once.
    strict : bool
        Stop at the first file that cannot be read, rather than leave it out.
    restart : bool
        Compute everything anew, whatever earlier runs left.
    verify : bool
        Tell changed pictures by a hash of their content, not by size and time.

    Returns
    -------
    Dataset
        Sorted by path.

    Raises
    ------
    DogsimError
        If there are no breed folders with pictures, none can be read, the network cannot be loaded,
        earlier work was made in another way, or `out` cannot be written.
    """
    return update_dataset(
        *(images_dir, out, backbone, weights, layer, resize),
        *(batch_size, engine, precision, strict, restart, verify),
    ).dataset


def update_dataset(
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    backbone: str = "resnet50",
    weights: str = "imagenet",
    layer: str | None = None,
    resize: str = "squash",
    batch_size: int = 32,
    engine: str = "auto",
    precision: str = "auto",
    strict: bool = False,
    restart: bool = False,
    verify: bool = False,
) -> Update:
    """Do what `create_dataset` does, and tell what was done."""
    root, out = Path(images_dir), Path(out)
    if batch_size < 1:
        raise DogsimError(f"Received batch_size={batch_size}. Expected a number from 1 up.")
    pictures, skipped = list_pictures(root)
    refuse(skipped, strict)
    check_output(out)
    load = cache(partial(load_extractor, backbone, weights, layer, resize, engine, precision))
    with only_run(out):
        if restart:
            forget_shards(out)
        parts = [] if restart else known_parts(out)
        recipe = known_recipe(parts[0].recipe, backbone, weights, layer, resize) if parts else None
        recipe = recipe or load().recipe
        _check_recipe(parts, recipe, out)
        before = set(parts[0].paths) if parts and parts[0].file == out else set()

        rows = _find_known(pictures, parts, root, verify)
        kept = len(rows)
        pending = [picture for picture in pictures if picture.path not in rows]
        try:
            for shard, unreadable in compute_shards(
                root, pending, recipe, load, batch_size, strict
            ):
                skipped += unreadable
                if shard:
                    rows |= {path: (len(parts), row) for row, path in enumerate(shard.paths)}
                    parts.append(add_shard(out, shard))
            _refuse_nothing(rows, skipped, root)
            _finish(out, [p for p in pictures if p.path in rows], parts, rows, recipe, root)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"Stopped. {_how_to_go_on(out)}") from None
        except DogsimError as error:
            raise DogsimError(f"{error} {_how_to_go_on(out)}".rstrip()) from error
    computed = [picture.path for picture in pending if picture.path in rows]
    changed = sum(path in before for path in computed)
    return Update(
        dataset=Dataset.open(out),
        new=len(computed) - changed,
        changed=changed,
        kept=kept,
        removed=len(before - set(rows)),
        skipped=tuple(skipped),
    )


def _refuse_nothing(rows: dict[str, tuple[int, int]], skipped: list[Skipped], root: Path) -> None:
    if not rows:
        raise DogsimError(
            f"None of the {len(skipped)} pictures in {root} can be read. "
            f"{skipped[0].path}: {skipped[0].reason}."
        )


def _how_to_go_on(out: Path) -> str:
    folder = partial_folder(out)
    if not folder.is_dir():
        return ""
    return f"What is done is kept in {folder}: run the same command again to go on."


def _check_recipe(parts: list[Part], recipe: Recipe, out: Path) -> None:
    for part in parts:
        try:
            part.recipe.require(recipe, "this command")
        except DogsimError as error:
            raise DogsimError(
                f"{part.file} was made in another way: {error} "
                f"Give --restart to make {out.name} anew, or name another output."
            ) from error


def _find_known(
    pictures: list[Picture], parts: list[Part], root: Path, verify: bool
) -> dict[str, tuple[int, int]]:
    """Find the part and row of each picture that has not changed since it was computed."""
    place = {path: (i, row) for i, part in enumerate(parts) for row, path in enumerate(part.paths)}
    known = {}
    for picture in pictures:
        if picture.path in place:
            i, row = place[picture.path]
            stamp = parts[i].stamps[row]
            if verify:
                same = file_sha256(root / picture.path).encode() == stamp["sha256"]
            else:
                same = (picture.size, picture.mtime_ns) == (stamp["size"], stamp["mtime_ns"])
            if same:
                known[picture.path] = (i, row)
    return known


def _finish(
    out: Path,
    pictures: list[Picture],
    parts: list[Part],
    rows: dict[str, tuple[int, int]],
    recipe: Recipe,
    root: Path,
) -> None:
    """Write the rows of all pictures to `out`, unless it holds just these already."""
    places = [rows[picture.path] for picture in pictures]
    stamps = stamp_rows(pictures, [parts[i].stamps[row]["sha256"] for i, row in places])
    paths, home = tuple(picture.path for picture in pictures), str(root.resolve())
    done = parts[0]
    unchanged = done.file == out and (done.paths, done.root) == (paths, home)
    if not (unchanged and np.array_equal(done.stamps, stamps)):
        breeds, labels = np.unique([picture.breed for picture in pictures], return_inverse=True)
        write_dataset(
            out,
            gather(parts, places),
            done.dimension,
            labels=labels,
            paths=paths,
            breeds=breeds.tolist(),
            recipe=recipe,
            root=home,
            stamps=stamps,
        )
    forget_shards(out)
