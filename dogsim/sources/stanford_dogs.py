"""Stanford Dogs, from its own site or from disk, as datasets of the official train and test lists.

The data: A. Khosla et al., "Novel Dataset for Fine-Grained Image Categorization", FGVC 2011.
"""

import os
from pathlib import Path

import numpy as np

from dogsim.create_dataset import Update, bring_up_to_date
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.feature_extract import extract_features
from dogsim.networks.extractor import NetworkOptions
from dogsim.plumbing.download import DownloadError, download, verify
from dogsim.plumbing.files import check_output, check_replaceable, make_folder
from dogsim.plumbing.terminal import note
from dogsim.plumbing.unpack import unpack
from dogsim.sources.matfile import load_variables, texts
from dogsim.storage.dataset_file import made_by

BASE = "http://vision.stanford.edu/aditya86/ImageNetDogs/"
ARCHIVES = {  # what becomes of it: the archive, its bytes, its SHA-256
    "lists": (
        "lists.tar",
        481_280,
        "34b47cacd9a98b5d150e084f24d29391c084c55272295ec65c85651bc35f4d6c",
    ),
    "Images": (
        "images.tar",
        793_579_520,
        "a443fc2f9a851aa1a7b8e4fa4af94b8459fce2c9f5a2f4dd4669cf9673a4ec58",
    ),
    "Annotation": (
        "annotation.tar",
        21_852_160,
        "662ed36f707be6b195c2fda392d8e153e83af28cedc8e2134a649f198def30fd",
    ),
}
MADE_BY = "stanford-dogs"
SPLITS = {"train": 12_000, "test": 8_580}  # pictures


def stanford_dogs(
    folder: str | os.PathLike[str],
    archives: str | os.PathLike[str] | None = None,
    annotations: bool = False,
    backbone: str = "resnet50",
    weights: str = "imagenet",
    layer: str | None = None,
    resize: str = "squash",
    batch_size: int = 32,
    engine: str = "auto",
    precision: str = "auto",
    strict: bool = False,
    restart: bool = False,
    crop_boxes: bool = False,
    margin: float | None = None,
    views: str = "none",
    mean: str | None = None,
    std: str | None = None,
    image_size: int | None = None,
) -> dict[str, Dataset]:
    """Fetch Stanford Dogs, compute its features and write them by the official lists.

    What has been fetched and unpacked before is taken as it is. In `folder` then lie ``Images``,
    ``lists``, on request ``Annotation``, and ``stanford_dogs.h5`` (all pictures), ``train.h5`` and
    ``test.h5``; of cropped pictures ``stanford_dogs_cropped.h5`` and so on, beside those of whole
    ones.

    Parameters
    ----------
    folder : path
        Made where it is missing.
    archives : path, optional
        The folder with the archives; by default they are downloaded into `folder`.
    annotations : bool
        Whether to fetch the bounding boxes too.
    backbone, weights, layer, resize, batch_size, engine, precision, strict, restart, views
        As for `dogsim.create_dataset`.
    crop_boxes : bool
        Fetch the bounding boxes, and see of each picture only its largest box.
    margin : float, optional
        As for `dogsim.create_dataset`.
    mean, std, image_size
        Of an ONNX file, as for `dogsim.create_dataset`.

    Returns
    -------
    dict of str to Dataset
        ``"train"`` (12,000 pictures) and ``"test"`` (8,580), in the lists' order.

    Raises
    ------
    DogsimError
        If an archive cannot be had, is another or cannot be unpacked, a listed picture is missing,
        or as `dogsim.create_dataset` does.
    """
    folder, kind = Path(folder), "_cropped" if crop_boxes else ""
    out = folder / f"stanford_dogs{kind}.h5"
    files = {split: folder / f"{split}{kind}.h5" for split in SPLITS}
    if margin and not crop_boxes:
        raise DogsimError(f"Received margin={margin} without boxes. Give --crop-boxes, too.")
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
    make_folder(folder)
    check_output(out)
    if not (folder / "Images").is_dir():  # a wrong option shall not wait for 800 MB
        extract_features([np.zeros((1, 1, 3), np.uint8)], options.load(), batch_size)
    for name in ("lists", "Images", "Annotation")[: 3 if annotations or crop_boxes else 2]:
        _provide(folder, name, Path(archives) if archives else None)
    splits = {split: _official(folder, split, count) for split, count in SPLITS.items()}
    images = folder / "Images"
    for split, paths in splits.items():
        _check_ours(files[split], paths)
    boxes = folder / "Annotation" if crop_boxes else None
    how = batch_size, strict, restart
    update = bring_up_to_date(images, out, options, *how, boxes=boxes, margin=margin)
    _require_all(update, [path for paths in splits.values() for path in paths], images)
    row_of = {path: row for row, path in enumerate(update.dataset.paths)}
    datasets = {
        split: update.dataset.take([row_of[path] for path in paths])
        for split, paths in splits.items()
    }
    for split, dataset in datasets.items():
        dataset.save(files[split], MADE_BY)
    return datasets


def _check_ours(file: Path, paths: list[str]) -> None:
    """Raise `DogsimError` where a file of another kind lies in the place of a split."""
    check_output(file)
    check_replaceable(
        file,
        lambda there: made_by(there) == MADE_BY or list(Dataset.open(there).paths) == paths,
        force=False,
        remedy="Move it away.",
    )


def _require_all(update: Update, listed: list[str], images: Path) -> None:
    """Raise `DogsimError` where a listed picture gave no features."""
    lacking = sorted(set(listed) - set(update.dataset.paths))
    if lacking:
        reasons = {each.path: each.reason for each in update.skipped}
        raise DogsimError(
            f"{len(lacking):,} of the listed pictures cannot be read, the first {lacking[0]}: "
            f"{reasons.get(lacking[0], 'it is gone')}. Put it right, or remove {images} and run "
            "again to have it unpacked anew; what is computed is kept. A picture whose file of "
            "boxes is removed is seen whole."
        )


def _provide(folder: Path, name: str, source: Path | None) -> None:
    """Have ``folder/name``, which appears when all of its archive has been unpacked."""
    target = folder / name
    if target.is_dir():
        note(f"{target} is there already.")
        return
    file, size, sha256 = ARCHIVES[name]
    if source is None:
        _fetch(folder / file, size, sha256)
    else:
        _check(source / file, size, sha256)
    unpack((source or folder) / file, target)


def _fetch(archive: Path, size: int, sha256: str) -> None:
    if archive.is_file():
        try:
            return verify(archive, size, sha256)
        except DogsimError as error:
            aside = archive.replace(archive.with_name(f"{archive.name}.wrong"))
            note(f"{error} It is now {aside}.")
    url = BASE + archive.name
    try:
        download(url, archive, size, sha256)
    except DownloadError as error:
        raise DogsimError(
            f"{error} Or download {url} by other means and name its folder: --from FOLDER."
        ) from error
    return None


def _check(archive: Path, size: int, sha256: str) -> None:
    if not archive.is_file():
        raise DogsimError(f"There is no {archive}. Expected {archive.name} of {BASE} there.")
    try:
        verify(archive, size, sha256)
    except DogsimError as error:
        raise DogsimError(f"{error} Download {BASE}{archive.name} again.") from error


def _official(folder: Path, split: str, count: int) -> list[str]:
    """Read a list of pictures and see that each of them is there."""
    file = folder / "lists" / f"{split}_list.mat"
    paths = texts(load_variables(file, ["file_list"])["file_list"], "file_list")
    if len(paths) != count:
        raise DogsimError(f"{file} lists {len(paths):,} pictures. Expected {count:,}.")
    missing = [path for path in paths if not (folder / "Images" / path).is_file()]
    if missing:
        raise DogsimError(
            f"{len(missing):,} of the {count:,} pictures in {file} are missing, the first "
            f"{missing[0]}. Remove {folder / 'Images'} and run again to have it unpacked anew."
        )
    return paths
