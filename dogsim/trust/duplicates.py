"""Find duplicate images: the same bytes, the same pixels, or nearly the same.

Nearest neighbours are the candidates; the pixels decide. Two images are near-duplicates if one of
them, mirrored or not, correlates with a window of the other (normalised cross-correlation of the
brightness). Re-encoding, resizing, mirroring and cropping leave a correlation of 0.95 and more;
two photos of one dog in the same place reach 0.9 and are not duplicates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.dist_calc import NeighbourArrays
from dogsim.errors import DogsimError
from dogsim.images import Cropped, open_image
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.identity import feature_keys

DuplicateKind = Literal["same file", "same pixels", "nearly the same"]
DUPLICATE_KINDS: tuple[DuplicateKind, ...] = get_args(DuplicateKind)  # the most similar first

CANDIDATE_NEIGHBOURS = 3  # neighbours of each image that may be its duplicates
TYPICAL_RANK = 10  # neighbour whose median distance is the typical one
CANDIDATE_THRESHOLD, QUICK_CANDIDATE_THRESHOLD = 1.0, 0.5  # times the typical distance
GREY_SIDE = 64  # pixels
COARSE_SIDE, FINE_SIDE = 16, 32  # pixels
MIN_DUPLICATE_CROP = 0.68  # of a side
COARSE_THRESHOLD, DUPLICATE_THRESHOLD = 0.75, 0.93  # correlation

Grey = NDArray[np.float32]
Pair: TypeAlias = tuple[int, int, DuplicateKind]  # row of the dataset, row of the test set


@dataclass(frozen=True)
class DuplicateGroup:
    """The rows of one image in a dataset, ascending, and the kind of its least similar pair."""

    rows: tuple[int, ...]
    kind: DuplicateKind


def find_duplicates(
    dataset: Dataset, neighbours: NeighbourArrays | None = None, quick: bool = False
) -> list[DuplicateGroup]:
    """Find the groups of rows that show the same image.

    Parameters
    ----------
    dataset : Dataset
        Its image files are read where they exist; without them only equal features and equal
        stamps count as duplicates.
    neighbours : (distances, indices), each (n, k), optional
        The nearest rows of each row by cosine distance, itself left out. Without them only equal
        features and equal stamps count, too.
    quick : bool
        Compare only very close neighbours, which takes seconds.

    Returns
    -------
    list of DuplicateGroup
        A row is in at most one group.

    >>> from dogsim import Dataset
    >>> two = Dataset(np.ones((2, 2)), np.zeros(2, int), ("a.jpg", "b.jpg"), ("pug",))
    >>> find_duplicates(two)
    [DuplicateGroup(rows=(0, 1), kind='same pixels')]
    """
    pairs = [pair for pair in _equal_pairs(dataset, dataset) if pair[0] != pair[1]]
    equal = {(first, second) for first, second, _ in pairs}
    threshold = QUICK_CANDIDATE_THRESHOLD if quick else CANDIDATE_THRESHOLD
    candidates = _candidates(neighbours, threshold) if neighbours else ()
    ordered = {(min(pair), max(pair)) for pair in candidates}
    pairs += _compared_pairs(dataset, dataset, sorted(ordered - equal))
    return _groups(pairs)


def find_leaks(dataset: Dataset, testset: Dataset, neighbours: NeighbourArrays) -> list[Pair]:
    """Find the images of a test set that the dataset contains as well.

    Parameters
    ----------
    dataset, testset : Dataset
    neighbours : (distances, indices), each (n_test, k)
        The nearest rows of the dataset for each image of the test set, by cosine distance.

    Returns
    -------
    list of (row, row of the test set, kind)
        One entry for each such image of the test set, with one row of the dataset.
    """
    leaks: dict[int, Pair] = {}
    for pair in _equal_pairs(dataset, testset):
        leaks.setdefault(pair[1], pair)
    candidates = _candidates(neighbours, CANDIDATE_THRESHOLD)
    open_pairs = sorted(pair for pair in candidates if pair[1] not in leaks)
    for pair in _compared_pairs(dataset, testset, open_pairs):
        leaks.setdefault(pair[1], pair)
    return [leaks[row] for row in sorted(leaks)]


def _equal_pairs(dataset: Dataset, testset: Dataset) -> Iterator[Pair]:
    """Yield pairs with equal files or equal features, with the first such row of the dataset."""
    keys: dict[DuplicateKind, list[list[object]]] = {}
    if dataset.stamps is not None and testset.stamps is not None:
        keys["same file"] = [x["sha256"].tolist() for x in (dataset.stamps, testset.stamps)]
    keys["same pixels"] = [feature_keys(x).tolist() for x in (dataset, testset)]
    yielded: set[tuple[int, int]] = set()
    for kind, (dataset_keys, testset_keys) in keys.items():
        first: dict[object, int] = {}
        for row, key in enumerate(dataset_keys):
            first.setdefault(key, row)
        for pair in ((first[key], row) for row, key in enumerate(testset_keys) if key in first):
            if pair not in yielded:
                yielded.add(pair)
                yield *pair, kind


def _candidates(neighbours: NeighbourArrays, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs (row, row of the query) that are close enough to compare their pixels."""
    distances, indices = neighbours  # (n, k)
    if not distances.size:
        return
    typical = np.median(distances[:, :TYPICAL_RANK][:, -1])
    queries, ranks = np.nonzero(distances[:, :CANDIDATE_NEIGHBOURS] <= threshold * typical)
    yield from zip(indices[queries, ranks].tolist(), queries.tolist(), strict=True)


def _compared_pairs(
    dataset: Dataset, testset: Dataset, pairs: list[tuple[int, int]]
) -> Iterator[Pair]:
    """Compare the images of each pair and yield the duplicates among them."""
    if not (pairs and dataset.image_file(0).is_file() and testset.image_file(0).is_file()):
        return  # the image files are not on this machine
    compare = partial(_compare, dataset, testset)
    kinds = prefetch(compare, pairs, ahead=64, threads=usable_cpus())
    for batch in track(batched(zip(pairs, kinds, strict=True), 64), len(pairs), "pairs"):
        yield from ((*pair, kind) for pair, kind in batch if kind)


def _groups(pairs: list[Pair]) -> list[DuplicateGroup]:
    """Join the pairs that share a row."""
    group_of: dict[int, tuple[set[int], set[DuplicateKind]]] = {}
    for first, second, kind in pairs:
        rows, kinds = group_of.get(first, ({first}, set()))
        others, other_kinds = group_of.get(second, ({second}, set()))
        merged = rows | others, kinds | other_kinds | {kind}
        group_of |= dict.fromkeys(merged[0], merged)
    groups = {
        tuple(sorted(rows)): max(kinds, key=DUPLICATE_KINDS.index)
        for rows, kinds in group_of.values()
    }
    return [DuplicateGroup(rows, kind) for rows, kind in sorted(groups.items())]


def _compare(dataset: Dataset, testset: Dataset, pair: tuple[int, int]) -> DuplicateKind | None:
    """Return the kind of duplicate that two images are; None if they differ."""
    sources = dataset.source(pair[0]), testset.source(pair[1])
    try:
        one, other = map(_grey_image, sources)
        if not is_near_duplicate(one, other):
            return None
        if one.image.tobytes() != other.image.tobytes():
            return "nearly the same"  # without opening both files again
        pixels, other_pixels = (np.asarray(open_image(source)) for source in sources)
    except DogsimError:
        return None
    return "same pixels" if np.array_equal(pixels, other_pixels) else "nearly the same"


class GreyImage:
    """The brightness of an image at a small size, ready to be compared with another one.

    Attributes
    ----------
    image : PIL.Image.Image
        64 x 64 grey pixels.
    at_side : dict of int to (side, side) float32
        The same at the coarse and the fine size.
    coarse : dict of (width, height) to arrays
        `windows` of the coarse size.
    """

    def __init__(self, image: Image.Image) -> None:
        self.image = image.convert("L").resize((GREY_SIDE, GREY_SIDE), Image.Resampling.BOX)
        self.at_side = {side: self._resized((side, side)) for side in (COARSE_SIDE, FINE_SIDE)}
        self.coarse = {size: self.windows(COARSE_SIDE, size) for size in _crop_sizes(COARSE_SIDE)}

    def windows(self, side: int, size: tuple[int, int]) -> tuple[Grey, Grey]:
        """Return all p windows of a size in the image, and the whole image at that size.

        Returns
        -------
        windows : (p, width * height) float32
        templates : (width * height, 2) float32
            The whole image and its mirror image. All vectors have mean 0 and length 1.
        """
        pixels = size[0] * size[1]
        windows = sliding_window_view(self.at_side[side], size[::-1]).reshape(-1, pixels)
        whole = self._resized(size)
        rows = _normalised(np.vstack([windows, whole.ravel(), whole[:, ::-1].ravel()]))
        return rows[:-2], rows[-2:].T

    def _resized(self, size: tuple[int, int]) -> Grey:
        return np.asarray(self.image.resize(size, Image.Resampling.BICUBIC), np.float32)


def is_near_duplicate(one: GreyImage, other: GreyImage) -> bool:
    """Return whether one of two images, mirrored or not, is a part of the other.

    Normalised cross-correlation (Lewis, "Fast template matching", 1995) at all positions and crop
    sizes: at the coarse size first, then, if that is high enough, at the fine size.

    >>> waves = np.sin(np.arange(64)[:, None] / 5 + np.arange(64) ** 2 / 400)
    >>> image, turned = (Image.fromarray(np.uint8(128 + 100 * x)) for x in (waves, waves.T))
    >>> mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    >>> one = GreyImage(image)
    >>> is_near_duplicate(one, GreyImage(mirrored)), is_near_duplicate(one, GreyImage(turned))
    (True, False)
    """
    coarse = {size: _max_correlation(one.coarse[size], other.coarse[size]) for size in one.coarse}
    best = max(coarse, key=coarse.__getitem__)
    if coarse[best] < COARSE_THRESHOLD:
        return False
    width, height = (FINE_SIDE // COARSE_SIDE * length for length in best)
    # The likeliest sizes first: two in three duplicates are found at the first size, nine in ten
    # at the first four.
    sizes = sorted(_crop_sizes(FINE_SIDE), key=lambda s: abs(s[0] - width) + abs(s[1] - height))
    return any(
        _max_correlation(one.windows(FINE_SIDE, size), other.windows(FINE_SIDE, size))
        >= DUPLICATE_THRESHOLD
        for size in sizes
    )


@lru_cache(maxsize=512)
def _grey_image(source: Path | Cropped) -> GreyImage:
    return GreyImage(open_image(source))


def _crop_sizes(side: int) -> list[tuple[int, int]]:
    """List the (width, height) of all crops to search for in an image of `side` pixels."""
    smallest = round(MIN_DUPLICATE_CROP * side)
    return [
        (width, height)
        for width in range(smallest, side + 1)
        for height in range(max(smallest, width - 2), min(side, width + 2) + 1)
    ]


def _normalised(rows: Grey) -> Grey:
    """Subtract the mean of each row and scale it to length 1."""
    size = np.float32(rows.shape[1])
    centred = rows - rows.sum(axis=1, keepdims=True) / size
    lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))[:, None]
    # A deviation below one grey level is noise: an image of one colour correlates with nothing.
    return np.asarray(centred / np.maximum(lengths, np.sqrt(size)))


def _max_correlation(one: tuple[Grey, Grey], other: tuple[Grey, Grey]) -> float:
    """Return the largest correlation of one whole image with a window of the other."""
    (windows, templates), (other_windows, other_templates) = one, other
    return max(float((windows @ other_templates).max()), float((other_windows @ templates).max()))
