"""A folder of breed folders becomes a dataset file."""

import os
from collections.abc import Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dogsim.dataset import Dataset
from dogsim.engines.choose import MIN_IMAGES_FOR_GPU
from dogsim.errors import DogsimError
from dogsim.folders.extraction import Compute, calibration, compute_shards, refuse
from dogsim.folders.listing import Skipped, in_order, list_images, with_boxes
from dogsim.folders.resumable import Shards
from dogsim.image_files.boxes import BoxFolder
from dogsim.images import RESIZES
from dogsim.networks.extractor import NetworkOptions
from dogsim.plumbing.signals import defer_signals, sigterm_as_interrupt
from dogsim.plumbing.terminal import note
from dogsim.storage.dataset_file import check_dataset_path


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
    backbone: str | None = None,
    weights: str | None = None,
    layer: str | None = None,
    resize: str | None = None,
    batch_size: int = 32,
    engine: str = "auto",
    precision: str = "auto",
    strict: bool = False,
    restart: bool = False,
    verify: bool = False,
    force: bool = False,
    boxes: str | os.PathLike[str] | None = None,
    margin: float | None = None,
    views: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    image_size: int | None = None,
) -> Dataset:
    """Compute the features of all pictures in a folder of breed folders and store them.

    MATLAB: ``create_dataset.m``, which saves ``features`` and ``paths`` to a .mat file.

    A run that was stopped goes on where it was; a finished one is brought up to date, and computes
    only pictures that are new or have changed. `update_dataset` does the same and tells what it has
    done.

    Parameters
    ----------
    images_dir : path
        ``images_dir/BREED/picture.jpg``; a folder name such as ``n02085620-Chihuahua`` or
        ``cocker_spaniel`` becomes the breed "Chihuahua" or "cocker spaniel". Where no folder has
        pictures, those in `images_dir` itself are taken, of unknown breed.
    out : path
        The HDF5 file to write, see `Dataset.save`. A name that ends in ``.dogsim`` makes a folder
        of shards, for sets that are never to be copied into one file (docs/scale.md).
    backbone, weights, layer, resize, engine, precision, mean, std, image_size
        As for `dogsim.load_extractor`; what is not given is as in the file, where there is one.
    batch_size : int
        How many pictures go through the network at once.
    strict : bool
        Stop at the first file that cannot be read, rather than leave it out.
    restart : bool
        Compute everything anew, whatever earlier runs left, but for an unfinished restart, which
        goes on.
    verify : bool
        Tell changed pictures by a hash of their content, not by size and time.
    force : bool
        Replace a file at `out` that this function did not make.
    boxes : path, optional
        A folder of PASCAL-VOC files, ``boxes/BREED/picture.xml`` or without a suffix. Of each
        picture that has one only its largest box is seen. What is not given is as in the file; an
        empty text is no folder.
    margin : float, optional
        What is added to each side of a box, in parts of its width and height; by default nothing.
    views : {"none", "flip", "flip,crops"}, optional
        In which views each picture is seen, as for `dogsim.load_extractor`; what is not given is as
        in the file, where there is one.

    Returns
    -------
    Dataset
        Sorted by path.

    Raises
    ------
    DogsimError
        If there are no pictures or boxes, none can be read, the network cannot be loaded, earlier
        work was made in another way, or `out` cannot be written or is a file of another kind.
    """
    options = NetworkOptions(
        backbone=backbone,
        weights=weights,
        layer=layer,
        resize=resize,
        engine=engine,
        precision=precision,
        views=views,
        mean=mean,
        std=std,
        image_size=image_size,
    )
    how = batch_size, strict, restart, verify, force
    update = bring_up_to_date(images_dir, out, options, *how, boxes=boxes, margin=margin)
    if update.skipped:
        first, n = update.skipped[0], len(update.skipped)
        note(f"Skipped {n} of the files in {images_dir}, the first {first.path}: {first.reason}.")
    return update.dataset


def update_dataset(
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    backbone: str | None = None,
    weights: str | None = None,
    layer: str | None = None,
    resize: str | None = None,
    batch_size: int = 32,
    engine: str = "auto",
    precision: str = "auto",
    strict: bool = False,
    restart: bool = False,
    verify: bool = False,
    force: bool = False,
    boxes: str | os.PathLike[str] | None = None,
    margin: float | None = None,
    views: str | None = None,
    mean: str | None = None,
    std: str | None = None,
    image_size: int | None = None,
) -> Update:
    """Do what `create_dataset` does, take and raise what it does, and tell what was done.

    Returns
    -------
    Update
        The dataset, how many pictures were new, changed, kept and removed, and what was skipped.
    """
    options = NetworkOptions(
        backbone=backbone,
        weights=weights,
        layer=layer,
        resize=resize,
        engine=engine,
        precision=precision,
        views=views,
        mean=mean,
        std=std,
        image_size=image_size,
    )
    how = batch_size, strict, restart, verify, force
    return bring_up_to_date(images_dir, out, options, *how, boxes=boxes, margin=margin)


def bring_up_to_date(
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    options: NetworkOptions,
    batch_size: int = 32,
    strict: bool = False,
    restart: bool = False,
    verify: bool = False,
    force: bool = False,
    wait: bool = False,
    boxes: str | os.PathLike[str] | None = None,
    margin: float | None = None,
    compute: Compute = compute_shards,
) -> Update:
    """Do the work of `update_dataset`; with `wait` after another process that writes `out`.

    `compute` is who computes features: by default this process.
    """
    root, out = Path(images_dir), Path(out)
    if batch_size < 1:
        raise DogsimError(f"Received batch_size={batch_size}. Expected a number from 1 up.")
    options.check()
    check_dataset_path(out, [Path(options.weights)] if options.weights else [])
    listing = list_images(root)
    refuse(listing.skipped, strict)
    with Shards(out, restart, force, wait) as shards, sigterm_as_interrupt():
        options, cropped = (
            options.with_defaults(shards.options),
            BoxFolder.from_options(boxes, margin, shards.options),
        )
        seen, unfit = with_boxes(listing.pictures, cropped)
        refuse(unfit, strict)
        some = partial(calibration, root, seen, options.resize or RESIZES[0])
        options = replace(options, few=len(seen) < MIN_IMAGES_FOR_GPU, calibration=some)
        extractor = options.extractor(shards.recipe)
        recipe = replace(extractor.recipe, **cropped.options)
        extractor = replace(extractor, recipe=recipe)
        shards.require_seen(listing, root)
        shards.settle(recipe)
        pictures = sorted([*seen, *shards.kept.unseen(listing, root)], key=in_order)
        pending = shards.kept.find(pictures, root, verify)
        skipped = listing.skipped + listing.linked + unfit + shards.kept.unread
        with shards.telling_how_to_go_on():
            for shard, bad in compute(root, pending, extractor, batch_size, strict):
                skipped += bad
                if shard:
                    with defer_signals():
                        shards.add(shard)
            if not shards.kept.rows:
                raise _nothing(skipped, root)
            dataset = shards.write(pictures, recipe, root)
    return _told(dataset, shards.before, {picture.path for picture in pending}, skipped)


def _told(dataset: Dataset, before: Set[str], pending: Set[str], skipped: list[Skipped]) -> Update:
    now = frozenset(dataset.paths)
    computed = now & pending
    return Update(
        dataset=dataset,
        new=len(computed - before),
        changed=len(computed & before),
        kept=len(now - computed),
        removed=len(before - now),
        skipped=tuple(skipped),
    )


def _nothing(skipped: list[Skipped], root: Path) -> DogsimError:
    return DogsimError(
        f"None of the {len(skipped)} pictures in {root} can be read. "
        f"{skipped[0].path}: {skipped[0].reason}."
    )
