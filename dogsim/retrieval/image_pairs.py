"""Verdicts on pairs of images of datasets, cached on disk by the content of both files.

Whole files are compared, also if a dataset crops its images: a copy is the same photo. The
keypoints of an image are found once, and most pairs have too few that match.
"""

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, replace
from functools import cache, partial
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import NamedTuple, TypeAlias

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.image_files.comparison import RE_ENCODED, Verdict, compare_images
from dogsim.image_files.facts import ImageFacts
from dogsim.plumbing.content_cache import ContentCache
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.retrieval.file_images import FileImages, have_same_pixels
from dogsim.retrieval.identity import content_hash, stamped_hash

VERDICTS_VERSION = 5  # part of the name of the cache; a new one for every change of a verdict
MAX_VERDICTS_BYTES = 256_000_000
BLOCK_PAIRS, PAIRS_AHEAD, FILES_AHEAD = 64, 16, 64
LOOKED_UP_PAIRS = 16_384  # in the cache at a time

Pair: TypeAlias = tuple[int, int]  # row of the dataset, row of the test set


class FileContents:
    """The files of a dataset, each looked at once.

    Attributes
    ----------
    dataset : Dataset
    hashes : dict of int to str
        The SHA-256 by row, 64 hexadecimal digits; that of the stamp if there is no file. Rows
        with neither are left out.
    readable : set of int
        The rows whose files can be opened.
    unread : set of int
        The rows whose files there was no time to read.
    """

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.hashes: dict[int, str] = {}
        self.readable: set[int] = set()
        self.unread: set[int] = set()
        self.file = cache(dataset.image_file)  # by row
        self._known: set[int] = set()

    def read(self, rows: Iterable[int], end: float = inf) -> None:
        """Find the content of the files of some rows until the time `end` of `time.monotonic`.

        Files whose size and time are those of their stamps are not read.
        """
        new = sorted({*rows} - self._known)
        self._known.update(new)
        dataset = self.dataset
        if dataset.stamps is not None:
            stamped = dataset.stamps["sha256"][new].tolist()
            self.hashes |= {row: sha256.decode() for row, sha256 in zip(new, stamped, strict=True)}
        fresh = {row for row in new if stamped_hash(dataset, row)}
        others = [row for row in new if row not in fresh]
        found = prefetch(partial(self._hash, end=end), others, FILES_AHEAD, usable_cpus())
        batches = batched(zip(others, found, strict=True), FILES_AHEAD)
        for batch in track(batches, len(others), "files"):
            read = {row: sha256 for row, sha256 in batch if sha256}
            self.hashes |= read
            fresh |= read.keys()
        self.readable |= fresh
        for row in self.unread:  # their stamps are out of date
            self.hashes.pop(row, None)

    def _hash(self, row: int, end: float) -> str:
        """Return the SHA-256 of the file of a row, "" if it cannot be read."""
        if time.monotonic() >= end and self.dataset.image_file(row).is_file():
            self.unread.add(row)
            return ""
        try:
            return content_hash(self.dataset, row)
        except DogsimError:
            return ""


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


class _OpenPair(NamedTuple):
    """A pair whose verdict is not known; `exchanged` if the second file has the lower hash."""

    pair: Pair
    key: str
    exchanged: bool


class PairComparison:
    """Compares images of a dataset with images of a test set, which may be the same dataset.

    Parameters
    ----------
    dataset, testset : Dataset
    seconds : float
        The time limit of all comparisons. Pairs whose verdict is cached take nearly no time.
    only_cached : bool
        Whether to use cached verdicts only. Then there is no time for the other pairs.
    purpose : str
        What the comparison looks for, for the progress bar.

    Attributes
    ----------
    contents, test_contents : FileContents
    end : float
        The time limit of reading files, as a time of `time.monotonic`.
    found : ComparedPairs
        The verdicts on all pairs so far.
    """

    def __init__(
        self,
        dataset: Dataset,
        testset: Dataset,
        seconds: float = inf,
        only_cached: bool = False,
        purpose: str = "copies",
    ) -> None:
        self.contents = FileContents(dataset)
        self.test_contents = self.contents if testset is dataset else FileContents(testset)
        self.end = time.monotonic() + seconds
        self._comparison_end = -inf if only_cached else self.end
        self.found = ComparedPairs()
        self._progress_text = f"pairs of images, to find {purpose}"
        self._images = FileImages()
        self._cache = ContentCache(f"pairs-{VERDICTS_VERSION}", MAX_VERDICTS_BYTES)

    def compare(self, pairs: Sequence[Pair]) -> None:
        """Compare pairs of rows, in the order of the list, and add their verdicts to `found`."""
        self.contents.read({row for row, _ in pairs}, self.end)
        self.test_contents.read({other for _, other in pairs}, self.end)
        found, n_looked_up = self.found, 0
        open_pairs: list[_OpenPair] = []
        for batch in batched(pairs, LOOKED_UP_PAIRS):
            open_pairs += self._without_known(batch)
            n_looked_up += len(batch)
            if time.monotonic() >= self.end:
                break
        if time.monotonic() < self._comparison_end:
            compared = self._compared(open_pairs)
            for verdicts in track(compared, len(open_pairs), self._progress_text):
                found.verdicts.update(verdicts)
        open_pairs = [each for each in open_pairs if each.pair not in found.verdicts]
        n_unreadable = sum(self._is_unreadable(each.pair) for each in open_pairs)
        found.n_not_compared += len(open_pairs) - n_unreadable + len(pairs) - n_looked_up

    def _without_known(self, pairs: Sequence[Pair]) -> list[_OpenPair]:
        """Add the verdicts on equal files and the cached ones, and return the other pairs."""
        one, two, found = self.contents, self.test_contents, self.found
        open_pairs = []
        for pair in pairs:
            row, other = pair
            if one.hashes.get(row, "") == two.hashes.get(other):
                found.verdicts[pair] = Verdict("same file")
            elif row in one.readable and other in two.readable:
                open_pairs.append(_open_pair(pair, one.hashes[row], two.hashes[other]))
            elif row in one.unread or other in two.unread:
                found.n_not_compared += 1
            else:
                self._add_unreadable(pair, [row in one.readable, other in two.readable])
        stored = self._cache.read(each.key for each in open_pairs)
        for each in open_pairs:
            if each.key in stored:
                verdict = Verdict(*json.loads(stored[each.key]))
                found.verdicts[each.pair] = verdict.reversed() if each.exchanged else verdict
        return [each for each in open_pairs if each.key not in stored]

    def _paths(self, pair: Pair) -> tuple[str, str]:
        one, two = self.contents.dataset, self.test_contents.dataset
        return one.paths[pair[0]], two.paths[pair[1]]

    def _add_unreadable(self, pair: Pair, are_readable: Iterable[bool]) -> None:
        paths = zip(self._paths(pair), are_readable, strict=True)
        self.found.unreadable.update(path for path, is_readable in paths if not is_readable)

    def _is_unreadable(self, pair: Pair) -> bool:
        return not self.found.unreadable.isdisjoint(self._paths(pair))

    def _compared(self, pairs: list[_OpenPair]) -> Iterator[list[tuple[Pair, Verdict]]]:
        """Compare pairs until the time is up, store the verdicts and yield those of each block."""
        threads = usable_cpus()

        def prepare(file: Path) -> None:
            if time.monotonic() < self._comparison_end:
                self._images.find(file)

        def verdict(each: _OpenPair) -> Verdict | None:
            return self._verdict(each) if time.monotonic() < self._comparison_end else None

        for block in batched(pairs, BLOCK_PAIRS):
            files = dict.fromkeys(file for each in block for file in self._files(each.pair))
            for _ in prefetch(prepare, files, PAIRS_AHEAD, threads):
                pass
            verdicts = prefetch(verdict, block, PAIRS_AHEAD, threads)
            known = [(each, v) for each, v in zip(block, verdicts, strict=True) if v]
            self._cache.write({each.key: json.dumps(astuple(v)).encode() for each, v in known})
            yield [(each.pair, v.reversed() if each.exchanged else v) for each, v in known]
            if time.monotonic() >= self._comparison_end:
                return

    def _files(self, pair: Pair) -> tuple[Path, Path]:
        return self.contents.file(pair[0]), self.test_contents.file(pair[1])

    def _verdict(self, each: _OpenPair) -> Verdict | None:
        """Compare the images of a pair, in the order of their hashes; None if one is unreadable."""
        files = self._files(each.pair)
        one, other = map(self._images.find, files)
        if one is None or other is None:
            self._add_unreadable(each.pair, [one is not None, other is not None])
            return None
        if each.exchanged:
            files, one, other = files[::-1], other, one
        try:
            verdict = compare_images(one, other)
            if verdict.change != RE_ENCODED:
                return verdict
            sizes = [(facts.width, facts.height) for facts in map(ImageFacts.of, files)]
            if sizes[0] == sizes[1]:
                return Verdict("same pixels") if have_same_pixels(*files) else verdict
        except DogsimError:  # a file has disappeared
            return None
        areas = [width * height for width, height in sizes]
        changes = ("smaller", "larger") if areas[0] > areas[1] else ("larger", "smaller")
        return replace(verdict, change=changes[0], reverse=changes[1])


def _open_pair(pair: Pair, one: str, other: str) -> _OpenPair:
    first, second = sorted((one, other))
    key = sha256(f"{first} {second}".encode()).hexdigest()[:32]
    return _OpenPair(pair, key, first != one)
