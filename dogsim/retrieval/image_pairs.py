"""Verdicts on pairs of images of datasets, cached on disk by the content of both files.

Whole files are compared, also if a dataset crops its images: a copy is the same photo. The
keypoints of an image are found once, and most pairs have too few that match.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import TypeAlias

import numpy as np

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.image_files.changes import RE_ENCODED
from dogsim.image_files.comparison import Verdict, compare_images
from dogsim.plumbing.content_cache import ContentCache
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.file_contents import FileContents, file_contents
from dogsim.retrieval.file_images import FileImages, have_same_pixels

VERDICTS_VERSION = 4  # part of the name of the cache; a new one for every change of a verdict
MAX_VERDICTS_BYTES = 256_000_000
BLOCK_PAIRS, PAIRS_AHEAD = 256, 16

Pair: TypeAlias = tuple[int, int]  # row of the dataset, row of the test set


@dataclass(eq=False)
class ComparedPairs:
    """The verdicts on pairs of images.

    Attributes
    ----------
    verdicts : dict of (int, int) to Verdict
        By pair of rows. A pair is left out if a file is missing or unreadable, unless the stamps
        say that the files are equal, and if there was no time for it.
    unreadable : set of str
        Paths of the files that are missing or are not readable images.
    n_not_compared : int
        Number of pairs for which there was no time.
    """

    verdicts: dict[Pair, Verdict] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    n_not_compared: int = 0

    def __or__(self, other: "ComparedPairs") -> "ComparedPairs":
        """Return both, for different pairs of the same datasets."""
        return ComparedPairs(
            self.verdicts | other.verdicts,
            self.unreadable | other.unreadable,
            self.n_not_compared + other.n_not_compared,
        )


@dataclass(frozen=True)
class _OpenPair:
    """A pair without a verdict, with its files in the order of their hashes."""

    pair: Pair
    key: str
    exchanged: bool
    files: tuple[Path, Path]
    paths: tuple[str, str]


def compare_pairs(
    dataset: Dataset, testset: Dataset, pairs: Sequence[Pair], seconds: float = inf
) -> ComparedPairs:
    """Compare pairs of images, in the order of the list.

    Parameters
    ----------
    dataset, testset : Dataset
        May be the same.
    pairs : sequence of (int, int)
        Rows of the dataset and of the test set.
    seconds : float
        The time limit. Pairs whose verdict is cached take nearly none.
    """
    end = time.monotonic() + seconds
    found = ComparedPairs()
    cache = ContentCache(f"pairs-{VERDICTS_VERSION}", MAX_VERDICTS_BYTES)
    remaining = _without_equal_files(dataset, testset, pairs, found)
    stored = cache.read(each.key for each in remaining)
    for each in remaining:
        if each.key in stored:
            verdict = Verdict(*json.loads(stored[each.key]))
            found.verdicts[each.pair] = verdict.reversed() if each.exchanged else verdict
    remaining = [each for each in remaining if each.pair not in found.verdicts]
    for batch in track(_compared(remaining, end, cache, found), len(remaining), "pairs of images"):
        found.verdicts.update(batch)
    found.n_not_compared = sum(
        each.pair not in found.verdicts and found.unreadable.isdisjoint(each.paths)
        for each in remaining
    )
    return found


def _without_equal_files(
    dataset: Dataset, testset: Dataset, pairs: Sequence[Pair], found: ComparedPairs
) -> list[_OpenPair]:
    """Add the verdicts on equal files, and return the pairs whose images can be compared."""
    contents, others = _contents(dataset, testset, pairs)
    remaining = []
    for pair in pairs:
        row, other = pair
        hashes = contents.hashes.get(row, ""), others.hashes.get(other, "")
        if hashes[0] == hashes[1] != "":
            found.verdicts[pair] = Verdict("same file")
        elif row not in contents.readable:
            found.unreadable.add(dataset.paths[row])
        elif other not in others.readable:
            found.unreadable.add(testset.paths[other])
        else:
            sides = [
                (hashes[0], dataset.image_file(row), dataset.paths[row]),
                (hashes[1], testset.image_file(other), testset.paths[other]),
            ]
            (one, file, path), (two, other_file, other_path) = sorted(sides)
            key = sha256(f"{one} {two}".encode()).hexdigest()[:32]
            files, paths = (file, other_file), (path, other_path)
            each = _OpenPair(pair, key, hashes[0] != one, files, paths)
            remaining.append(each)
    return remaining


def _contents(
    dataset: Dataset, testset: Dataset, pairs: Sequence[Pair]
) -> tuple[FileContents, FileContents]:
    rows, others = np.array(pairs, np.intp).reshape(-1, 2).T
    if dataset is testset:
        contents = file_contents(dataset, np.union1d(rows, others))
        return contents, contents
    return file_contents(dataset, rows), file_contents(testset, others)


def _compared(
    pairs: list[_OpenPair], end: float, cache: ContentCache, found: ComparedPairs
) -> Iterator[list[tuple[Pair, Verdict]]]:
    """Compare pairs until `end`, store the verdicts and yield those of each block."""
    images, threads = FileImages(), usable_cpus()

    def prepare(file: Path) -> None:
        if time.monotonic() < end:
            images.find(file)

    def verdict(each: _OpenPair) -> Verdict | None:
        return _verdict(each, images, found.unreadable) if time.monotonic() < end else None

    for block in batched(pairs, BLOCK_PAIRS):
        files = dict.fromkeys(file for each in block for file in each.files)
        for _ in prefetch(prepare, files, PAIRS_AHEAD, threads):
            pass
        verdicts = prefetch(verdict, block, PAIRS_AHEAD, threads)
        known = [(each, v) for each, v in zip(block, verdicts, strict=True) if v]
        cache.write({each.key: json.dumps(astuple(v)).encode() for each, v in known})
        yield [(each.pair, v.reversed() if each.exchanged else v) for each, v in known]


def _verdict(each: _OpenPair, images: FileImages, unreadable: set[str]) -> Verdict | None:
    one, other = (images.find(file) for file in each.files)
    if one is None or other is None:
        found = zip(each.paths, (one, other), strict=True)
        unreadable.update(path for path, image in found if image is None)
        return None
    try:
        verdict = compare_images(one, other)
        if verdict.change != RE_ENCODED:
            return verdict
        if one.size == other.size:
            return Verdict("same pixels") if have_same_pixels(*each.files) else verdict
    except DogsimError:  # a file has disappeared
        return None
    is_smaller = one.size[0] * one.size[1] > other.size[0] * other.size[1]
    sizes = ("smaller", "larger") if is_smaller else ("larger", "smaller")
    return replace(verdict, change=sizes[0], reverse=sizes[1])
