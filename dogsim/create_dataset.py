"""Create and update a dataset from a folder of breed folders."""

import os
from collections.abc import Generator, Set
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dogsim.dataset import Dataset
from dogsim.engines.choose import MIN_IMAGES_FOR_GPU
from dogsim.errors import DogsimError, as_path, counted
from dogsim.folders.extraction import (
    ComputeShards,
    ShardResult,
    check_strict,
    compute_shards,
    quantization_images,
)
from dogsim.folders.listing import assign_boxes, list_images, path_key
from dogsim.folders.resumable import ResumableRun
from dogsim.folders.run_options import DatasetOptions, RunOptions, split_options
from dogsim.folders.walk import ListedImage, SkippedFile
from dogsim.image_files.boxes import BoxFolder
from dogsim.image_files.layout import FolderLayout
from dogsim.image_files.square import RESIZES
from dogsim.networks.extractor import Extractor, NetworkOptions
from dogsim.plumbing.signals import defer_signals, sigterm_as_interrupt
from dogsim.plumbing.terminal import note
from dogsim.retrieval.scenes import find_scenes
from dogsim.storage.dataset_file import check_dataset_path

if TYPE_CHECKING:
    from typing_extensions import Unpack


@dataclass(frozen=True, eq=False)
class Update:
    """The result of `update_dataset`.

    Attributes
    ----------
    dataset : Dataset
    new, changed, kept, removed : int
        Numbers of images: computed for the first time, computed again because they have changed,
        not computed again, and removed because they no longer exist.
    skipped : tuple of SkippedFile
        Files without a row, each with ``path`` and ``reason``.
    """

    dataset: Dataset
    new: int
    changed: int
    kept: int
    removed: int
    skipped: tuple[SkippedFile, ...]


def create_dataset(
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    **options: "Unpack[DatasetOptions]",
) -> Dataset:
    """Compute the features of all images in a folder of breed folders and store them.

    MATLAB: ``create_dataset.m``, which saves ``features`` and ``paths`` to a .mat file.

    A run that was stopped is continued. If the dataset exists it is updated: only the features of
    new and changed images are computed. `update_dataset` returns how many these are as well.

    Parameters
    ----------
    images_dir : path
        ``images_dir/BREED/image.jpg``; a folder name such as ``n02085620-Chihuahua`` or
        ``cocker_spaniel`` becomes the breed "Chihuahua" or "cocker spaniel". If no folder contains
        an image, the images in `images_dir` itself are used, without a breed.
    out : path
        The HDF5 file to write, see `Dataset.save`. A name that ends in ``.dogsim`` creates a folder
        of shards, for datasets that are too large to be copied into one file (docs/scale.md).
    backbone, weights, layer, resize, engine, precision, views, mean, std, image_size
        As for `dogsim.load_extractor`; by default as in the file if it exists.
    batch_size : int
        Number of images that the network computes at once, by default 32.
    strict : bool
        Raise `DogsimError` for the first file that cannot be read, instead of skipping it.
    restart : bool
        Compute all features again and ignore those of earlier runs; an unfinished restart is
        continued.
    verify : bool
        Find changed images by the hash of their content instead of size and modification time.
    force : bool
        Replace a file at `out` that was not made by this function.
    boxes : path, optional
        A folder of PASCAL-VOC files, ``boxes/BREED/image.xml`` or without a suffix. An image with
        such a file is cropped to its largest box. By default as in the file; "" means no boxes.
    margin : float, optional
        Added to each side of a box, as a fraction of its width and height; by default 0.
    labels : {"top", "parent"}, path or regular expression, optional
        The rule that labels the images: "top", the folder directly below `images_dir`; "parent",
        the innermost folder; a CSV file with the columns path and label; or a regular expression
        with a group ``label``, searched in the file name. By default as in the file if it exists,
        else "top". Another rule computes no features.
    names : path, optional
        A CSV file with the columns code and name, by which labels become names; an empty text means
        no names. By default as in the file.
    exclude : sequence of str, optional
        Patterns such as ``"*_thumb.jpg"`` for names, or for paths relative to `images_dir`, of
        files and folders that are left out. By default as in the file; an empty sequence excludes
        nothing.
    scenes : {"none", "auto", "folder"}, path or regular expression, optional
        The rule that finds shots of one scene, which an evaluation counts as one: "auto", each
        image is compared with the six nearest ones of its breed, see
        `dogsim.retrieval.scenes.find_scenes`; "folder", images in the same innermost folder; a CSV
        file with the columns path and scene; or a regular expression with a group ``scene``,
        searched in the file name. By default as in the file, else "none". Another rule computes no
        features.
    forget_edits : bool
        Undo what `dogsim apply` has done to the dataset: include the images that it removed, and
        label all images by the rule. By default, and with `restart`, it is not undone.

    Returns
    -------
    Dataset
        Sorted by path.

    Raises
    ------
    DogsimError
        If there are no images or boxes, no image can be read, the network cannot be loaded, earlier
        features were made with other options, or `out` cannot be written or is another file.
    """
    update = update_dataset(images_dir, out, backbone, weights, layer, **options)
    if update.skipped:
        first, n = update.skipped[0], len(update.skipped)
        note(f"Skipped {n} of the files in {images_dir}, the first {first.path}: {first.reason}.")
    return update.dataset


def update_dataset(
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    **options: "Unpack[DatasetOptions]",
) -> Update:
    """Create or update a dataset, and return it with the numbers of images that have changed.

    The parameters and errors are those of `create_dataset`.
    """
    network, run_options = split_options(
        {"backbone": backbone, "weights": weights, "layer": layer} | options
    )
    return bring_up_to_date(images_dir, out, network, run_options)


def bring_up_to_date(
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    network: NetworkOptions,
    options: RunOptions,
    compute: ComputeShards = compute_shards,
) -> Update:
    """Create or update a dataset; `compute` computes the features, by default in this process."""
    root, out = as_path("the folder of images", images_dir), as_path("the output", out)
    network.check()
    check_dataset_path(out, [Path(network.weights)] if network.weights else [])
    flags = options.restart, options.force, options.wait, options.forget_edits
    with ResumableRun(out, *flags) as run, sigterm_as_interrupt():
        given = options.labels, options.names, options.exclude, options.scenes
        layout = FolderLayout.from_options(*given, run.layout)
        layout.read_tables()  # before anything is computed
        listing = list_images(root, layout, run.edits)
        check_strict(listing.skipped, options.strict)
        boxes = BoxFolder.from_options(options.boxes, options.margin, run.options)
        boxed, invalid = assign_boxes(listing.images, boxes)
        check_strict(invalid, options.strict)
        extractor = _extractor(network, run, root, boxed, boxes)
        run.prepare(extractor.recipe, listing, root)
        images = sorted([*boxed, *run.manifest.inaccessible(listing, root)], key=path_key)
        pending = run.manifest.keep_up_to_date(images, root, options.verify)
        skipped = listing.skipped + listing.left_out + invalid + run.manifest.unreadable
        with run.explaining_how_to_continue():
            results = compute(root, pending, extractor, options.batch_size, options.strict)
            skipped += _store(results, run)
            if not run.manifest.rows:
                raise _no_features(skipped, root)
            dataset = run.write(images, extractor.recipe, root, layout, find_scenes)
    return _update(dataset, run.previous_paths, {image.path for image in pending}, skipped)


def _extractor(
    network: NetworkOptions,
    run: ResumableRun,
    root: Path,
    images: list[ListedImage],
    boxes: BoxFolder,
) -> Extractor:
    """Return the extractor of the options; those that are not given are as in earlier runs."""
    network = network.with_defaults(run.options)
    sample = partial(quantization_images, root, images, network.resize or RESIZES[0])
    network = replace(network, few=len(images) < MIN_IMAGES_FOR_GPU, quantization_images=sample)
    extractor = network.extractor(run.recipe)
    return replace(extractor, recipe=replace(extractor.recipe, **boxes.options))


def _store(results: Generator[ShardResult, None, None], run: ResumableRun) -> list[SkippedFile]:
    """Store shards as they are computed, and return the skipped files.

    After Ctrl-C or an error the computation is closed at once, so that its workers and its progress
    bar end before the message is printed: the traceback would keep them alive.
    """
    skipped = []
    with closing(results):
        for shard, skipped_files in results:
            skipped += skipped_files
            if shard:
                with defer_signals():
                    run.add(shard)
    return skipped


def _update(
    dataset: Dataset, before: Set[str], pending: Set[str], skipped: list[SkippedFile]
) -> Update:
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


def _no_features(skipped: list[SkippedFile], root: Path) -> DogsimError:
    why = f"{skipped[0].path}: {skipped[0].reason}."
    return DogsimError(f"No image in {root} can be read ({counted(len(skipped), 'file')}). {why}")
