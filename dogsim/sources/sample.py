"""Datasets of the drawings installed with dogsim; features are in the user's cache folder."""

import os
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from dogsim.create_dataset import bring_up_to_date
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, as_flag, as_texts, counted, path_text, shown
from dogsim.folders.listing import find_images
from dogsim.folders.run_options import RunOptions
from dogsim.networks.backbones import DEFAULT_BACKBONE, default_backbone, find_backbone
from dogsim.networks.extractor import NetworkOptions
from dogsim.networks.weights import IMAGENET, OFFLINE_BACKBONE, given_file, weights_sha256
from dogsim.plumbing.cache import cache_folder
from dogsim.plumbing.files import locked, make_folder
from dogsim.plumbing.terminal import note
from dogsim.sources.installed_files import HARD_FOLDER, QUERY_FOLDER, SAMPLE_FOLDER, data_folder


def sample_queries() -> list[Path]:
    """List the query images of the sample, one of each breed; none is in the dataset."""
    return find_images(data_folder(QUERY_FOLDER))


def sample_dataset(
    weights: str | os.PathLike[str] | None = None,
    hard: bool = False,
    backbone: str | None = None,
) -> Dataset:
    """Open the dataset of the drawings; its features are computed at the first use.

    The breeds of the 300 drawings of the sample are easy to separate. The 250 drawings of the
    harder sample show similar breeds, unusual poses and bad light, and some labels are wrong:
    ``key.csv`` in their folder lists these.

    The backbone of the sample is the default of `dogsim.load_extractor`. That of the harder sample
    is EfficientNet-Lite2, which is installed with dogsim, because the lessons state its results.
    The name is printed on stderr and is part of the recipe. Features are computed in float32, so
    that results hardly depend on the processor.

    Parameters
    ----------
    weights : str or path, optional
        ``"imagenet"`` or a weight file, each for ResNet-50, see `dogsim.load_extractor`.
    hard : bool
        Whether to open the harder sample.
    backbone : str, optional
        Name of a network with ImageNet weights, such as ``"efficientnet-lite2"``.

    Raises
    ------
    DogsimError
        If both `weights` and `backbone` are given, the weights that were given cannot be downloaded
        or do not fit, or the cache folder cannot be written.
    """
    folder = HARD_FOLDER if as_flag("hard", hard) else SAMPLE_FOLDER
    if weights is not None and backbone is not None:
        raise DogsimError(
            f"Received weights and the backbone {shown(backbone)}. Expected one of them: weights "
            f"are for {DEFAULT_BACKBONE}."
        )
    if weights is not None:
        file = given_file(path_text("the weight file", weights))
        dataset = _cached(folder, DEFAULT_BACKBONE, file)
    elif backbone is not None:
        (name,) = as_texts("the backbone", [backbone])
        find_backbone(name)  # raises an error if there is none
        dataset = _cached(folder, name)
    else:
        dataset = _cached(folder, OFFLINE_BACKBONE if hard else _sample_backbone(folder))
    recipe = dataset.recipe
    note(
        f"Dataset: the {'harder ' if hard else ''}sample, "
        f"{counted(len(dataset), 'drawing')} of {counted(len(dataset.breeds), 'breed')}, "
        f"features of {recipe.backbone if recipe else 'an unknown network'}."
    )
    return dataset


def _sample_backbone(folder: str) -> str:
    """Return the default backbone; do not retry a download that failed at an earlier use."""
    offline = _cache_file(folder, OFFLINE_BACKBONE).is_file()
    if offline and not find_backbone(DEFAULT_BACKBONE).imagenet_file():
        return OFFLINE_BACKBONE
    return default_backbone()


def _cached(folder: str, backbone: str, weights: Path | None = None) -> Dataset:
    file, images = _cache_file(folder, backbone, weights), data_folder(folder)
    try:
        dataset = Dataset.open(file)
    except DogsimError:  # not created yet, or damaged, or being created by another process
        make_folder(file.parent)
        network = NetworkOptions(
            backbone=backbone, weights=str(weights or IMAGENET), precision="float32"
        )
        with locked(file.with_suffix(""), wait=True):
            dataset = _open_or_create(file, images, network)
    # The features are read at once, so that the cache may be cleared while they are in use. A later
    # installation may be in another folder.
    return replace(dataset, root=str(images), features=np.array(dataset.features))


def _open_or_create(file: Path, images: Path, network: NetworkOptions) -> Dataset:
    """Open the dataset that another process created and may be using, or create it."""
    try:
        return Dataset.open(file)
    except DogsimError:
        return bring_up_to_date(images, file, network, RunOptions(force=True)).dataset


def _cache_file(folder: str, backbone: str, weights: Path | None = None) -> Path:
    digest = _images_digest(folder).copy()
    if weights:
        digest.update(weights_sha256(weights).encode())
    return cache_folder() / f"sample-{backbone}-{digest.hexdigest()[:12]}.h5"


@cache
def _images_digest(folder: str) -> Any:
    digest = sha256()
    for image in find_images(data_folder(folder)):
        digest.update(image.read_bytes())
    return digest
