"""Create datasets of the official train and test lists of Stanford Dogs.

The data: A. Khosla et al., "Novel Dataset for Fine-Grained Image Categorization", FGVC 2011.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dogsim.create_dataset import Update, bring_up_to_date
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, as_flag, as_path
from dogsim.feature_extract import extract_features
from dogsim.folders.run_options import FeatureOptions, split_options
from dogsim.image_files.square import RESIZES
from dogsim.networks.views import VIEWS
from dogsim.plumbing.files import check_output, check_replaceable, make_folder
from dogsim.plumbing.terminal import note
from dogsim.sources.archives import unpack, verified_archive
from dogsim.sources.matfile import load_variables, texts
from dogsim.storage.dataset_file import made_by

if TYPE_CHECKING:
    from typing_extensions import Unpack

BASE_URL = "http://vision.stanford.edu/aditya86/ImageNetDogs/"
ARCHIVES = {  # of each unpacked folder: size in bytes, SHA-256; images.tar is that of Images
    "lists": (481_280, "34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c"),
    "Images": (793_579_520, "a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58"),
    "Annotation": (21_852_160, "662ed36f707be6b195c2fda392d8e153e83af28cedc8e2134a649f198def30fd"),
}
ALL_IMAGES = "stanford_dogs"
SPLIT_MADE_BY = "stanford-dogs"
SPLITS = {"train": 12_000, "test": 8_580}  # numbers of images


def stanford_dogs(
    folder: str | os.PathLike[str],
    archives: str | os.PathLike[str] | None = None,
    annotations: bool = False,
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    crop_boxes: bool = False,
    **options: "Unpack[FeatureOptions]",
) -> dict[str, Dataset]:
    """Download Stanford Dogs, compute its features and write datasets of the official lists.

    `folder` then contains ``Images``, ``lists``, optionally ``Annotation``, and the datasets
    ``stanford_dogs.h5`` (all images), ``train.h5`` and ``test.h5``. The datasets of cropped images
    are named ``stanford_dogs_cropped.h5`` and so on. Archives that were downloaded and unpacked
    before are used again.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    archives : path, optional
        The folder with the archives; by default they are downloaded into `folder`.
    annotations : bool
        Whether to download the bounding boxes, too.
    backbone, weights, layer, resize, batch_size, engine, precision, strict, restart, views
        As for `dogsim.create_dataset`; the defaults of `resize` and `views` are those of
        `dogsim.load_extractor`.
    crop_boxes : bool
        Download the bounding boxes, and crop each image to its largest box.
    margin, mean, std, image_size
        As for `dogsim.create_dataset`.

    Returns
    -------
    dict of str to Dataset
        ``"train"`` (12,000 images) and ``"test"`` (8,580), in the lists' order.

    Raises
    ------
    DogsimError
        If an archive cannot be downloaded, has another hash or cannot be unpacked, a listed image
        is missing, or `dogsim.create_dataset` fails.
    """
    folder = as_path("the folder", folder)
    source = None if archives is None else as_path("the folder of the archives", archives)
    with_boxes = as_flag("annotations", annotations) | as_flag("crop_boxes", crop_boxes)
    files = {split: split_file(folder, split, crop_boxes) for split in SPLITS}
    given = {"backbone": backbone, "weights": weights, "layer": layer, **options}
    network, run = split_options({"resize": RESIZES[0], "views": VIEWS[0], **given})
    if run.margin and not crop_boxes:
        raise DogsimError(f"Received margin={run.margin} without boxes. Add --crop-boxes.")
    make_folder(folder)
    check_output(split_file(folder, ALL_IMAGES, crop_boxes))
    if not (folder / "Images").is_dir():  # find wrong options before the download of 800 MB
        extract_features([np.zeros((1, 1, 3), np.uint8)], network.load(), run.batch_size)
    splits = official_splits(folder, source, with_boxes)
    for split, paths in splits.items():
        _check_ours(files[split], paths)
    run = replace(run, boxes=folder / "Annotation" if crop_boxes else None)
    out = split_file(folder, ALL_IMAGES, crop_boxes)
    update = bring_up_to_date(folder / "Images", out, network, run)
    listed = [path for paths in splits.values() for path in paths]
    _check_complete(update, listed, folder / "Images")
    found = update.dataset
    return {split: _save_split(found, paths, files[split]) for split, paths in splits.items()}


def official_splits(
    folder: Path, archives: Path | None = None, annotations: bool = False
) -> dict[str, list[str]]:
    """Download and unpack Stanford Dogs, and return the paths in its official lists.

    Parameters
    ----------
    folder : Path
        Contains ``Images``, ``lists`` and, with `annotations`, ``Annotation`` afterwards. What it
        contains already is used.
    archives, annotations
        As for `stanford_dogs`.

    Returns
    -------
    dict of str to list of str
        ``"train"`` and ``"test"``: paths relative to ``Images``, in the lists' order.

    Raises
    ------
    DogsimError
        If an archive cannot be downloaded, has another hash or cannot be unpacked, or a listed
        image is missing.
    """
    for name in ("lists", "Images", "Annotation")[: 3 if annotations else 2]:
        _provide(folder, name, archives)
    return {split: _official(folder, split, count) for split, count in SPLITS.items()}


def split_file(folder: Path, split: str, cropped: bool) -> Path:
    """Return the path of the dataset of a split, see `stanford_dogs`."""
    return folder / f"{split}{'_cropped' if cropped else ''}.h5"


def _save_split(dataset: Dataset, paths: list[str], file: Path) -> Dataset:
    row_of = {path: row for row, path in enumerate(dataset.paths)}
    split = dataset.take([row_of[path] for path in paths])
    split.save(file, SPLIT_MADE_BY)
    return split


def _check_ours(file: Path, paths: list[str]) -> None:
    """Raise `DogsimError` if the file of a split exists and is not that split."""
    check_output(file)
    check_replaceable(
        file,
        lambda there: made_by(there) == SPLIT_MADE_BY or list(Dataset.open(there).paths) == paths,
        force=False,
        remedy="Move it away.",
    )


def _check_complete(update: Update, listed: list[str], images: Path) -> None:
    """Raise `DogsimError` if a listed image has no features."""
    missing = sorted(set(listed) - set(update.dataset.paths))
    if missing:
        reasons = {each.path: each.reason for each in update.skipped}
        raise DogsimError(
            f"{len(missing):,} of the listed images cannot be read, the first {missing[0]}: "
            f"{reasons.get(missing[0], 'it is missing')}. Repair it, or remove {images} and run "
            "again to unpack it again; computed features are kept. If the file of its boxes is "
            "removed, the image is not cropped."
        )


def _provide(folder: Path, name: str, source: Path | None) -> None:
    """Create ``folder/name`` from its archive, completely or not at all."""
    target = folder / name
    if target.is_dir():
        note(f"{target} exists already.")
        return
    unpack(
        verified_archive(BASE_URL + f"{name.lower()}.tar", folder, source, *ARCHIVES[name]), target
    )


def _official(folder: Path, split: str, count: int) -> list[str]:
    """Read the official list of a split; raise `DogsimError` if an image is missing."""
    file = folder / "lists" / f"{split}_list.mat"
    paths = texts(load_variables(file, ["file_list"])["file_list"], "file_list")
    if len(paths) != count:
        raise DogsimError(f"{file} lists {len(paths):,} images. Expected {count:,}.")
    missing = [path for path in paths if not (folder / "Images" / path).is_file()]
    if missing:
        raise DogsimError(
            f"{len(missing):,} of the {count:,} images in {file} are missing, the first "
            f"{missing[0]}. Remove {folder / 'Images'} and run again to unpack it again."
        )
    return paths
