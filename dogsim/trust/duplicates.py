"""The same picture more than once: the same bytes, the same pixels, or nearly the same.

Neighbours are the candidates, and the pictures themselves decide: two are nearly the same if one
of them, mirrored or not, lies within the other, as the correlation of their brightness tells.
Re-encoding, resizing, mirroring and cropping leave it at 0.95 and more; two photos of one dog in
the same place reach 0.9. Similar is not a duplicate.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.images import Cropped, open_image
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.identity import row_hashes

KINDS = ("same file", "same pixels", "nearly the same")
SOUGHT = 64  # neighbours, enough for all that builds on them
CANDIDATES = 3  # neighbours of each picture that may be the same
TYPICAL = 10  # the neighbour whose distance says what is near
NEAR, CLOSE = 1.0, 0.5  # candidates' squared distances, in parts of the typical one
BICUBIC = Image.Resampling.BICUBIC
FIELDS = 64  # of a side
SIDES = COARSE, FINE = 16, 32
SMALLEST = 0.68  # of a side that a crop may leave
PERHAPS, SAME = 0.75, 0.93  # correlations

Grey = NDArray[np.float32]
Found: TypeAlias = tuple[NDArray[np.float64], NDArray[np.intp]]  # (n, k) distances, rows


@dataclass(frozen=True)
class Duplicates:
    """Rows of one and the same picture, ascending, and in how far they are the same: `KINDS`."""

    rows: tuple[int, ...]
    kind: str


def own_neighbours(dataset: Dataset) -> Found:
    """Find the nearest of each picture of a dataset, itself left out, by cosine distance.

    Returns
    -------
    distances, indices : (n, k) float64 and int
        As `dogsim.nearest` gives them; k is 64, or as many as there are.
    """
    k = min(SOUGHT, len(dataset) - 1)
    if k < 1:
        return np.empty((len(dataset), 0)), np.empty((len(dataset), 0), np.intp)
    return nearest(dataset, dataset, k, "cosine", np.arange(len(dataset)))


def find_duplicates(
    dataset: Dataset, near: bool = True, found: Found | None = None
) -> list[Duplicates]:
    """Find the groups of rows that show the same picture.

    Parameters
    ----------
    dataset : Dataset
        Its pictures are read where they can be; what cannot be read is told apart by its features.
    near : bool
        Whether to look at all near neighbours, or with False at the closest only, in seconds.
    found : Found, optional
        `own_neighbours`, where they have been sought already.

    Returns
    -------
    list of Duplicates
        Every row is in one group at most.

    >>> two = Dataset(np.ones((2, 2)), np.zeros(2, int), ("a.jpg", "b.jpg"), ("pug",))
    >>> find_duplicates(two)
    [Duplicates(rows=(0, 1), kind='same pixels')]
    """
    pairs = [*_equal(dataset, dataset, own=True)]
    equal = {(first, second) for first, second, _ in pairs}
    found = own_neighbours(dataset) if found is None else found
    candidates = {(min(pair), max(pair)) for pair in _candidates(found, NEAR if near else CLOSE)}
    pairs += _confirmed(dataset, dataset, sorted(candidates - equal))
    return _groups(pairs)


def find_leaks(dataset: Dataset, testset: Dataset) -> list[tuple[int, int, str]]:
    """Find the pictures of a test set that the dataset has as well.

    Returns
    -------
    list of (row, row of the test set, kind)
        For every such picture of the test set one of the dataset.
    """
    found: dict[int, tuple[int, int, str]] = {}
    for known, asked, kind in _equal(dataset, testset):
        found.setdefault(asked, (known, asked, kind))
    if not (len(dataset) and len(testset)):
        return []
    near = nearest(dataset, testset, min(TYPICAL, len(dataset)), "cosine")
    candidates = sorted(pair for pair in _candidates(near, NEAR) if pair[1] not in found)
    for known, asked, kind in _confirmed(dataset, testset, candidates):
        found.setdefault(asked, (known, asked, kind))
    return [found[asked] for asked in sorted(found)]


def _equal(dataset: Dataset, testset: Dataset, own: bool = False) -> Iterator[tuple[int, int, str]]:
    """Yield the pairs of rows whose files have the same bytes, or whose features are equal."""
    told: set[tuple[int, int]] = set()
    for kind, known, asked in _keys(dataset, testset):
        first: dict[object, int] = {}
        for row, key in enumerate(known):
            first.setdefault(key, row)
        pairs = ((first[key], row) for row, key in enumerate(asked) if key in first)
        for pair in pairs:
            if pair not in told and not (own and pair[0] == pair[1]):
                told.add(pair)
                yield *pair, kind


def _keys(
    dataset: Dataset, testset: Dataset
) -> Iterator[tuple[str, Iterable[object], Iterable[object]]]:
    if dataset.stamps is not None and testset.stamps is not None:
        yield KINDS[0], dataset.stamps["sha256"].tolist(), testset.stamps["sha256"].tolist()
    yield KINDS[1], row_hashes(dataset).tolist(), row_hashes(testset).tolist()


def _candidates(found: Found, reach: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs of a known and an asked row that are near enough to look at."""
    distances, indices = found
    if not distances.size:
        return
    typical = np.median(distances[:, :TYPICAL][:, -1])
    asked, which = np.nonzero(distances[:, :CANDIDATES] <= reach * typical)
    yield from zip(indices[asked, which].tolist(), asked.tolist(), strict=True)


def _confirmed(
    dataset: Dataset, testset: Dataset, pairs: list[tuple[int, int]]
) -> Iterator[tuple[int, int, str]]:
    """Yield those pairs whose pictures are the same, as far as they can be read."""
    look = partial(_compare, dataset, testset)
    if not (pairs and dataset.image_file(0).is_file() and testset.image_file(0).is_file()):
        return  # where they lay once; nothing to look at
    kinds = prefetch(look, pairs, ahead=64, threads=usable_cpus())
    for batch in track(batched(zip(pairs, kinds, strict=True), 64), len(pairs), "pairs"):
        yield from ((*pair, kind) for pair, kind in batch if kind)


def _groups(pairs: list[tuple[int, int, str]]) -> list[Duplicates]:
    """Join the pairs that share a row; a group is as little the same as its worst pair."""
    group_of: dict[int, tuple[set[int], set[str]]] = {}
    for first, second, kind in pairs:
        rows, kinds = group_of.get(first, ({first}, set()))
        others, other_kinds = group_of.get(second, ({second}, set()))
        merged = rows | others, kinds | other_kinds | {kind}
        group_of |= dict.fromkeys(merged[0], merged)
    groups = {tuple(sorted(rows)): max(kinds, key=KINDS.index) for rows, kinds in group_of.values()}
    return [Duplicates(rows, kind) for rows, kind in sorted(groups.items())]


def _compare(dataset: Dataset, testset: Dataset, pair: tuple[int, int]) -> str:
    """Tell in how far two pictures are the same, "" if they are not."""
    files = dataset.source(pair[0]), testset.source(pair[1])
    try:
        one, other = map(_look, files)
        if not same_picture(one, other):
            return ""
        if one.fields.tobytes() != other.fields.tobytes():
            return KINDS[2]  # and need not be opened again
        these, those = (np.asarray(open_image(file)) for file in files)
    except DogsimError:
        return ""
    return KINDS[1] if np.array_equal(these, those) else KINDS[2]


def same_picture(one: "Look", other: "Look") -> bool:
    """Tell whether one of two pictures, mirrored or not, lies within the other.

    Normalised cross-correlation (Lewis, "Fast template matching", 1995) at all places and sizes,
    first roughly, then, where that is not hopeless, on four times as many fields.

    >>> waves = np.sin(np.arange(64)[:, None] / 5 + np.arange(64) ** 2 / 400)
    >>> picture, turned = (Image.fromarray(np.uint8(128 + 100 * x)) for x in (waves, waves.T))
    >>> mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    >>> same_picture(Look(picture), Look(mirrored)), same_picture(Look(picture), Look(turned))
    (True, False)
    """
    roughly = {size: _correlation(one.coarse[size], other.coarse[size]) for size in one.coarse}
    likeliest = max(roughly, key=roughly.__getitem__)
    if roughly[likeliest] < PERHAPS:
        return False
    width, height = (FINE // COARSE * length for length in likeliest)
    # The likeliest sizes first: two in three copies end at the first, nine in ten by the fourth.
    sizes = sorted(_sizes(FINE), key=lambda size: abs(size[0] - width) + abs(size[1] - height))
    return any(_correlation(one.views(FINE, s), other.views(FINE, s)) >= SAME for s in sizes)


class Look:
    """The brightness of a picture, ready to be sought in another one."""

    def __init__(self, image: Image.Image) -> None:
        self.fields = image.convert("L").resize((FIELDS, FIELDS), Image.Resampling.BOX)
        self.whole = {side: _grey(self.fields.resize((side, side), BICUBIC)) for side in SIDES}
        self.coarse = {size: self.views(COARSE, size) for size in _sizes(COARSE)}

    def views(self, side: int, size: tuple[int, int]) -> tuple[Grey, Grey]:
        """All windows of a size (p, s), and the whole in that size, plain and mirrored, (s, 2).

        Each one less its mean and of length 1.
        """
        windows = sliding_window_view(self.whole[side], size[::-1]).reshape(-1, size[0] * size[1])
        small = _grey(self.fields.resize(size, BICUBIC))
        rows = _standard(np.vstack([windows, small.ravel(), small[:, ::-1].ravel()]))
        return rows[:-2], rows[-2:].T


@lru_cache(maxsize=512)
def _look(file: Path | Cropped) -> Look:
    return Look(open_image(file))


def _sizes(side: int) -> list[tuple[int, int]]:
    """The widths and heights of what may be left of a picture of so many fields."""
    smallest = round(SMALLEST * side)
    return [
        (width, height)
        for width in range(smallest, side + 1)
        for height in range(max(smallest, width - 2), min(side, width + 2) + 1)
    ]


def _grey(image: Image.Image) -> Grey:
    return np.asarray(image, np.float32)


def _standard(rows: Grey) -> Grey:
    size = np.float32(rows.shape[1])
    less = rows - rows.sum(axis=1, keepdims=True) / size
    lengths = np.sqrt(np.einsum("ij,ij->i", less, less))[:, None]
    # What is one colour all over correlates with nothing: less than one grey level is noise.
    return np.asarray(less / np.maximum(lengths, np.sqrt(size)))


def _correlation(one: tuple[Grey, Grey], other: tuple[Grey, Grey]) -> float:
    """The largest correlation of one picture, in some size, with a window of the other."""
    (here, mine), (there, yours) = one, other
    return max(float((here @ yours).max()), float((there @ mine).max()))
