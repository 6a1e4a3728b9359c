"""Create a dataset of Caltech-101.

The data: L. Fei-Fei, R. Fergus and P. Perona, "Learning generative visual models from few training
examples", CVPR workshop 2004; F.-F. Li et al., CaltechDATA 2022, doi:10.22002/D1.20086.
"""

import os
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dogsim.create_dataset import create_dataset
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, as_flag, as_path, reason
from dogsim.feature_extract import extract_features
from dogsim.folders.run_options import FeatureOptions, split_options
from dogsim.plumbing.files import check_output, make_folder
from dogsim.plumbing.terminal import note
from dogsim.sources.archives import unpack, verified_archive

if TYPE_CHECKING:
    from typing_extensions import Unpack

CALTECH_URL = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
CALTECH_BYTES = 137_414_764  # bytes
CALTECH_SHA256 = "331234750fc7f77520e50d9565e8b6907b03565e30320da1401130db08c61f91"
IMAGES = "101_ObjectCategories"  # a tar archive in the zip file, and the folder in it
BACKGROUND = "BACKGROUND_Google"  # the folder whose images have no class


def caltech101(
    folder: str | os.PathLike[str],
    archives: str | os.PathLike[str] | None = None,
    background: bool = False,
    backbone: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    **options: "Unpack[FeatureOptions]",
) -> Dataset:
    """Download Caltech-101, compute its features and write a dataset.

    `folder` then contains ``101_ObjectCategories``, a folder of images for each class, and
    ``caltech101.h5``. An archive that was downloaded and unpacked before is used again.

    Parameters
    ----------
    folder : path
        Created if it does not exist.
    archives : path, optional
        The folder with ``caltech-101.zip``; by default it is downloaded into `folder`.
    background : bool
        Whether to include the images of ``BACKGROUND_Google``, which have no class.
    backbone, weights, layer, resize, batch_size, engine, precision, strict, restart, views
        As for `dogsim.create_dataset`.
    mean, std, image_size
        As for `dogsim.create_dataset`.

    Returns
    -------
    Dataset

    Raises
    ------
    DogsimError
        If the archive cannot be downloaded, has another hash or cannot be unpacked, or
        `dogsim.create_dataset` fails.
    """
    folder = as_path("the folder", folder)
    source = None if archives is None else as_path("the folder of the archives", archives)
    exclude = [] if as_flag("background", background) else [BACKGROUND]
    network = {"backbone": backbone, "weights": weights, "layer": layer}
    given, run = split_options({**network, **options})
    make_folder(folder)
    check_output(folder / "caltech101.h5")
    images = folder / IMAGES
    if images.is_dir():
        note(f"{images} exists already.")
    else:  # find wrong options before the download of 137 MB
        extract_features([np.zeros((1, 1, 3), np.uint8)], given.load(), run.batch_size)
        archive = verified_archive(CALTECH_URL, folder, source, CALTECH_BYTES, CALTECH_SHA256)
        _unpack_images(archive, folder / f".{IMAGES}.tar.gz", images)
    out = folder / "caltech101.h5"
    return create_dataset(images, out, backbone, weights, layer, exclude=exclude, **options)


def _unpack_images(archive: Path, inner: Path, images: Path) -> None:
    """Unpack the folder of images from the tar archive in a zip archive."""
    try:
        with zipfile.ZipFile(archive) as opened:
            name = next((n for n in opened.namelist() if n.endswith(f"/{IMAGES}.tar.gz")), None)
            if name is None:
                raise DogsimError(
                    f"{archive} contains no {IMAGES}.tar.gz. Download {CALTECH_URL} again."
                )
            with opened.open(name) as content, inner.open("wb") as file:
                shutil.copyfileobj(content, file)
        unpack(inner, images)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DogsimError(f"Cannot unpack {archive}: {reason(error)}.") from error
    finally:
        inner.unlink(missing_ok=True)
