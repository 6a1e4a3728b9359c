"""Pictures to features at full speed: threads read what comes next while the network works."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.folders.listing import Picture, Skipped, box_rows, stamp_rows
from dogsim.image_files.files import UnreadableError, read_image_file
from dogsim.images import Cropped, load_image
from dogsim.networks.extractor import Extractor
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.terminal import printable, track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.recipe import Recipe

SHARD = 256
CALIBRATION = 300  # pictures to calibrate a network with: more tell no more


@dataclass(frozen=True, eq=False)
class _Read:
    """A picture that could be read: its pixels, and the hash of its file."""

    picture: Picture
    pixels: NDArray[np.uint8]
    sha256: str


_Stretch: TypeAlias = "list[tuple[NDArray[np.float32], list[_Read]]]"
# Features of a stretch of pictures, or the file of a shard that has them; and what was left out.
Computed: TypeAlias = tuple[Dataset | Path | None, list[Skipped]]
Compute: TypeAlias = Callable[[Path, list[Picture], Extractor, int, bool], Iterator[Computed]]


def _pixels(content: bytes, picture: Picture, size: int, resize: str) -> NDArray[np.uint8]:
    seen = Cropped(content, picture.box) if picture.box else content
    return load_image(seen, size, resize)


def _read(root: Path, recipe: Recipe, picture: Picture) -> _Read | Skipped:
    file = root / picture.path
    try:
        content = read_image_file(file)  # once: it may be replaced while it is decoded
        pixels = _pixels(content, picture, recipe.image_size, recipe.resize)
        return _Read(picture, pixels, bytes_sha256(content))
    except DogsimError as error:  # the file may also have gone since it was listed
        why = error.why if isinstance(error, UnreadableError) else str(error)[:-1]
        return Skipped(printable(picture.path), why)


def compute_shards(
    root: Path,
    pending: list[Picture],
    extractor: Extractor,
    batch_size: int,
    strict: bool,
) -> Iterator[tuple[Dataset | None, list[Skipped]]]:
    """Yield the features of a stretch of pictures after the other, and what was left out.

    Parameters
    ----------
    root : Path
        What the pictures' paths start from.
    pending : list of Picture
    extractor : Extractor
        Its network is loaded when the first image has been read.
    batch_size : int
        How many pictures go through the network at once.
    strict : bool
        Raise `DogsimError` for the first picture that cannot be read.

    Yields
    ------
    Dataset or None, list of Skipped
        At least `SHARD` pictures, less at the end and before an error or Ctrl-C is passed on; None
        if none could be read.
    """
    if not pending:
        return
    recipe = extractor.recipe
    read = partial(_read, root, recipe)
    results = prefetch(read, pending, ahead=3 * batch_size, threads=usable_cpus())
    stretch: _Stretch = []
    skipped: list[Skipped] = []
    try:
        for batch in track(batched(results, batch_size), len(pending), "pictures"):
            good = [result for result in batch if isinstance(result, _Read)]
            skipped += [result for result in batch if isinstance(result, Skipped)]
            refuse(skipped, strict)
            if good:
                stretch.append((extractor(np.stack([each.pixels for each in good])), good))
            if len(stretch) * batch_size >= SHARD:
                yield _shard(stretch, recipe, root), skipped
                stretch, skipped = [], []
    except (KeyboardInterrupt, DogsimError):
        if stretch:
            yield _shard(stretch, recipe, root), skipped
        raise
    yield _shard(stretch, recipe, root) if stretch else None, skipped


def calibration(
    root: Path, pictures: Sequence[Picture], resize: str, size: int
) -> list[NDArray[np.uint8]]:
    """Read some of the pictures, the same ones of the same folder, for a network in int8.

    Those that cannot be read are left out; raises `DogsimError` if none can.
    """
    chosen = random.Random(0).sample(pictures, min(CALIBRATION, len(pictures)))

    def load(picture: Picture) -> NDArray[np.uint8] | None:
        with suppress(DogsimError):
            return _pixels(read_image_file(root / picture.path), picture, size, resize)
        return None

    loaded = prefetch(load, chosen, ahead=len(chosen), threads=usable_cpus())
    if not (readable := [pixels for pixels in loaded if pixels is not None]):
        raise DogsimError(f"None of {len(chosen)} pictures drawn from {root} can be read.")
    return readable


def shard_of(
    features: NDArray[np.float32],
    pictures: Sequence[Picture],
    hashes: list[Any],
    recipe: Recipe,
    root: str,
) -> Dataset:
    """Put the features (n, d) of n pictures and the hashes of their files into a shard."""
    return Dataset(
        features=features,
        labels=np.full(len(pictures), -1, np.int32),
        paths=tuple(picture.path for picture in pictures),
        breeds=(),
        recipe=recipe,
        root=root,
        stamps=stamp_rows(pictures, hashes),
        boxes=box_rows(pictures),
    )


def _shard(stretch: _Stretch, recipe: Recipe, root: Path) -> Dataset:
    read = [each for _, batch in stretch for each in batch]
    features = np.concatenate([features for features, _ in stretch])
    hashes = [each.sha256 for each in read]
    return shard_of(features, [each.picture for each in read], hashes, recipe, str(root.resolve()))


def refuse(skipped: list[Skipped], strict: bool) -> None:
    """Raise `DogsimError` for the first skipped file if none may be."""
    if skipped and strict:
        raise DogsimError(f"{skipped[0].path}: {skipped[0].reason}. Mend or remove the file.")
