"""The drawings that come with dogsim, and their features in the user's cache folder."""

from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from dogsim.create_dataset import bring_up_to_date
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.folders.listing import find_images
from dogsim.networks.backbones import find_backbone
from dogsim.networks.extractor import NetworkOptions
from dogsim.networks.weights import (
    IMAGENET,
    WeightsUnavailableError,
    given_file,
    weights_sha256,
)
from dogsim.plumbing.cache import cache_folder
from dogsim.plumbing.files import make_folder
from dogsim.plumbing.terminal import note

DEFAULT, INSTALLED = "resnet50", "efficientnet-lite0"
PLAIN, HARD = "sample_dogs", "hard_dogs"  # folders of pictures


def sample_queries() -> list[Path]:
    """List the sample's query pictures, one of each breed and none of them in the dataset."""
    return find_images(_folder("sample_queries"))


def sample_dataset(weights: str = IMAGENET, hard: bool = False) -> Dataset:
    """Open the dataset of the drawings; their features are computed at first use.

    The 300 of the sample are easy to tell apart. The 250 of the harder one are of breeds that look
    alike, in odd poses and bad light, and some labels are wrong: `key.csv` beside them tells which.

    ResNet-50 makes them where its weights can be had, EfficientNet-Lite0 where they cannot. Which
    it was is told on stderr and stands in the recipe.

    Parameters
    ----------
    weights : str
        ``"imagenet"`` or a weight file of ResNet-50, see `dogsim.load_extractor`.
    hard : bool
        Whether to open the harder sample.

    Returns
    -------
    Dataset

    Raises
    ------
    DogsimError
        If the weight file does not fit, or the cache folder cannot be written.
    """
    folder = HARD if hard else PLAIN
    if file := given_file(weights):
        dataset = _cached(folder, DEFAULT, file)
    elif _cache_file(folder, INSTALLED).is_file() and not find_backbone(DEFAULT).imagenet_file():
        dataset = _cached(folder, INSTALLED)  # no use knocking at a closed door every time
    else:
        try:
            dataset = _cached(folder, DEFAULT)
        except WeightsUnavailableError as error:
            note(f"{error} The sample takes {INSTALLED}.")
            dataset = _cached(folder, INSTALLED)
    recipe = dataset.recipe
    note(
        f"Dataset: the {'harder ' if hard else ''}sample, "
        f"{len(dataset)} drawings of {len(dataset.breeds)} breeds, "
        f"features of {recipe.backbone if recipe else 'an unknown network'}."
    )
    return dataset


def _cached(folder: str, backbone: str, weights: Path | None = None) -> Dataset:
    file, pictures = _cache_file(folder, backbone, weights), _folder(folder)
    try:
        dataset = Dataset.open(file)
    except DogsimError:  # not made yet, or damaged; or another process is making it
        make_folder(file.parent)
        options = NetworkOptions(backbone=backbone, weights=str(weights or IMAGENET))
        dataset = bring_up_to_date(pictures, file, options, force=True, wait=True).dataset
    return replace(dataset, root=str(pictures))  # a later installation may lie elsewhere


def _cache_file(folder: str, backbone: str, weights: Path | None = None) -> Path:
    digest = _pictures_digest(folder).copy()
    if weights:
        digest.update(weights_sha256(weights).encode())
    return cache_folder() / f"sample-{backbone}-{digest.hexdigest()[:12]}.h5"


@cache
def _pictures_digest(folder: str) -> Any:
    digest = sha256()
    for picture in find_images(_folder(folder)):
        digest.update(picture.read_bytes())
    return digest


def _folder(name: str) -> Path:
    package = Path(__file__).resolve().parent.parent
    for data in (package / "data", package.parent / "data"):  # installed; in a source tree
        if (data / name).is_dir():
            return data / name
    raise DogsimError(f"The folder {name} of the sample is missing. Install dogsim again.")
