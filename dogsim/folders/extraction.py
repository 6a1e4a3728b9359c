"""Compute the features of images while threads read and decode the next ones."""

import random
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, counted
from dogsim.folders.listing import image_fields
from dogsim.folders.walk import ListedImage, SkippedFile
from dogsim.image_files.files import UnreadableError, read_image_file
from dogsim.images import Cropped, load_image
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.terminal import printable, track
from dogsim.plumbing.threads import batched, decoding_threads, prefetch
from dogsim.recipe import Recipe

if TYPE_CHECKING:
    from dogsim.networks.extractor import Extractor

SHARD_IMAGES = 256
MAX_QUANTIZATION_IMAGES = 300  # more images do not improve the quantization


@dataclass(frozen=True, eq=False)
class _DecodedImage:
    """A listed image with its pixels (H, W, 3) and the hash of its file."""

    image: ListedImage
    pixels: NDArray[np.uint8]
    sha256: str


_Batch: TypeAlias = tuple[NDArray[np.float32], list[_DecodedImage]]  # features (b, d), b images
# A shard or the file of one, None if no image could be read, and the skipped files.
ShardResult: TypeAlias = tuple[Dataset | Path | None, list[SkippedFile]]
# The parameters are those of `compute_shards`.
ComputeShards: TypeAlias = (
    "Callable[[Path, list[ListedImage], Extractor, int, bool], Generator[ShardResult, None, None]]"
)


def compute_shards(
    root: Path, images: list[ListedImage], extractor: "Extractor", batch_size: int, strict: bool
) -> Generator[tuple[Dataset | None, list[SkippedFile]], None, None]:
    """Compute the features of images and yield them in shards.

    Parameters
    ----------
    root : Path
        The folder of the images; their paths are relative to it.
    images : list of ListedImage
    extractor : Extractor
        Its network is loaded when the first image has been read.
    batch_size : int
        Number of images that the network computes at once.
    strict : bool
        Raise `DogsimError` for the first image that cannot be read.

    Yields
    ------
    Dataset or None, list of SkippedFile
        At least `SHARD_IMAGES` images, except the last shard and a shard that is yielded before an
        error or Ctrl-C is raised. None if no image could be read.
    """
    if not images:
        return
    recipe = extractor.recipe
    decode = partial(_decode, root, recipe.resize, recipe.image_size)
    results = prefetch(decode, images, ahead=3 * batch_size, threads=decoding_threads())
    batches: list[_Batch] = []
    skipped: list[SkippedFile] = []
    try:
        for batch in track(batched(results, batch_size), len(images), "images"):
            decoded = [result for result in batch if isinstance(result, _DecodedImage)]
            skipped += [result for result in batch if isinstance(result, SkippedFile)]
            check_strict(skipped, strict)
            if decoded:
                pixels = np.stack([each.pixels for each in decoded])  # (b, H, W, 3)
                batches.append((extractor(pixels), decoded))
            if len(batches) * batch_size >= SHARD_IMAGES:
                yield _join_batches(batches, recipe, root), skipped
                batches, skipped = [], []
    except (KeyboardInterrupt, DogsimError):
        if batches:
            yield _join_batches(batches, recipe, root), skipped
        raise
    yield _join_batches(batches, recipe, root) if batches else None, skipped


def quantization_images(
    root: Path, images: Sequence[ListedImage], resize: str, size: int
) -> list[NDArray[np.uint8]]:
    """Read a fixed random sample of the images for the quantization of a network to int8.

    Images that cannot be read are left out; raises `DogsimError` if none can.
    """
    chosen = random.Random(0).sample(images, min(MAX_QUANTIZATION_IMAGES, len(images)))
    decode = partial(_decode, root, resize, size)
    results = prefetch(decode, chosen, ahead=len(chosen), threads=decoding_threads())
    if not (readable := [each.pixels for each in results if isinstance(each, _DecodedImage)]):
        raise DogsimError(
            f"No image sampled from {root} can be read ({counted(len(chosen), 'file')})."
        )
    return readable


def make_shard(
    features: NDArray[np.float32],
    images: Sequence[ListedImage],
    hashes: list[Any],
    recipe: Recipe,
    root: str,
) -> Dataset:
    """Return a dataset without labels from the features (n, d) and file hashes of n images."""
    return Dataset(
        features=features,
        labels=np.full(len(images), -1, np.int32),
        breeds=(),
        recipe=recipe,
        root=root,
        **image_fields(images, hashes),
    )


def check_strict(skipped: list[SkippedFile], strict: bool) -> None:
    """Raise `DogsimError` for the first skipped file if `strict`."""
    if skipped and strict:
        raise DogsimError(f"{skipped[0].path}: {skipped[0].reason}. Repair or remove the file.")


def _decode(root: Path, resize: str, size: int, image: ListedImage) -> _DecodedImage | SkippedFile:
    try:
        content = read_image_file(root / image.path)  # read once: the file may be replaced
        pixels = load_image(Cropped(content, image.box) if image.box else content, size, resize)
        return _DecodedImage(image, pixels, bytes_sha256(content))
    except DogsimError as error:  # the file may also have been removed after it was listed
        why = error.why if isinstance(error, UnreadableError) else str(error)[:-1]
        return SkippedFile(printable(image.path), why)


def _join_batches(batches: list[_Batch], recipe: Recipe, root: Path) -> Dataset:
    decoded = [each for _, batch in batches for each in batch]
    features = np.concatenate([features for features, _ in batches])  # (n, d)
    images, hashes = [each.image for each in decoded], [each.sha256 for each in decoded]
    return make_shard(features, images, hashes, recipe, str(root.resolve()))
