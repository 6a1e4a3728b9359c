"""A folder of breed folders becomes a dataset file."""

import os
from pathlib import Path

import numpy as np

from dogsim.backbones import load_extractor
from dogsim.dataset import Dataset, breed_name
from dogsim.errors import DogsimError
from dogsim.feature_extract import feature_batches
from dogsim.files import check_output
from dogsim.images import find_pictures
from dogsim.progress import track


def create_dataset(
    images_dir: str | os.PathLike[str],
    out: str | os.PathLike[str],
    backbone: str = "resnet50",
    weights: str = "imagenet",
    layer: str | None = None,
    resize: str = "squash",
    batch_size: int = 32,
) -> Dataset:
    """Compute the features of all pictures in a folder of breed folders and store them.

    MATLAB: ``create_dataset.m``, which saves ``features`` and ``paths`` to a .mat file.

    Parameters
    ----------
    images_dir : path
        ``images_dir/BREED/picture.jpg``; a folder name such as ``n02085620-Chihuahua`` or
        ``cocker_spaniel`` becomes the breed "Chihuahua" or "cocker spaniel".
    out : path
        The HDF5 file to write, see `Dataset.save`.
    backbone, weights, layer, resize
        As for `dogsim.load_extractor`.
    batch_size : int
        How many pictures go through the network at once.

    Returns
    -------
    Dataset
        Sorted by path.

    Raises
    ------
    DogsimError
        If there are no breed folders with pictures, a picture cannot be read, the network
        cannot be loaded or `out` cannot be written.
    """
    root, out = Path(images_dir), Path(out)
    pictures = _breed_pictures(root)
    check_output(out)
    paths = tuple(picture.relative_to(root).as_posix() for picture in pictures)
    names = [breed_name(path.split("/")[0]) for path in paths]
    breeds, labels = np.unique(names, return_inverse=True)
    extractor = load_extractor(backbone, weights, layer, resize)
    batches = feature_batches(pictures, extractor, batch_size)
    dataset = Dataset(
        features=np.concatenate(list(track(batches, len(pictures), "pictures"))),
        labels=labels.astype(np.int32),
        paths=paths,
        breeds=tuple(breeds.tolist()),
        recipe=extractor.recipe,
        root=str(root.resolve()),
    )
    dataset.save(out)
    return dataset


def _breed_pictures(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DogsimError(f"There is no folder {root}. Expected a folder of breed folders.")
    pictures = find_pictures(root)
    in_breeds = [picture for picture in pictures if picture.parent != root]
    if not in_breeds:
        raise DogsimError(
            f"None of the {len(pictures)} pictures in {root} is in a breed folder. "
            f"Expected {root}/BREED/picture.jpg, one folder for each breed."
        )
    return in_breeds
