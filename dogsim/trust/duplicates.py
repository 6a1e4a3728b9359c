"""Find duplicates: the same file, the same pixels, or a copy of one photo; and shots of one scene.

The nearest neighbours by features are the candidates, and the pixels of the whole files decide, see
`dogsim.retrieval.image_pairs`. Without image files, equal stamps are the same file; equal features
only say that the network saw the same, which may be a part of two different images.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from dogsim.dist_calc import NeighbourArrays
from dogsim.plumbing.arrays import connected_components
from dogsim.retrieval.identity import feature_keys

if TYPE_CHECKING:
    from dogsim.retrieval.image_pairs import ComparedPairs, FileContents, Pair, PairComparison

DuplicateKind: TypeAlias = Literal["same file", "same pixels", "copy", "same features"]
DUPLICATE_KINDS: tuple[DuplicateKind, ...] = get_args(DuplicateKind)  # the most certain first
SAME_SCENE = "same scene"
CANDIDATE_NEIGHBOURS = 16  # other neighbours of each image that may be its copies

Rows: TypeAlias = tuple[int, ...]
SharedPair: TypeAlias = tuple[int, int, DuplicateKind]  # row of the dataset, row of the test set


@dataclass(frozen=True)
class DuplicateGroup:
    """The rows of one photo in a dataset, ascending, and the kind of its least certain pair.

    Every pair of rows was compared and is a duplicate.
    """

    rows: Rows
    kind: DuplicateKind


@dataclass(frozen=True, eq=False)
class Duplicates:
    """The duplicates within a dataset.

    Attributes
    ----------
    groups : list of DuplicateGroup
        A row is in several groups if it is a duplicate of others that are none of each other, such
        as two crops of a photo that share little.
    connected : list of tuple of int
        The rows that are connected by duplicates, ascending: groups that share a row are one.
    scenes : list of tuple of int
        Groups of rows that show one scene and are no duplicates, ascending. Scenes that the
        dataset declares are left out.
    compared : ComparedPairs
        The verdicts by pair of rows, the lower row first. Of equal files only the first row is
        compared.
    first : list of int
        The first row with the same file as each row.
    """

    groups: list[DuplicateGroup]
    connected: list[Rows]
    scenes: list[Rows]
    compared: "ComparedPairs"
    first: list[int]

    def change(self, kept: int, row: int) -> str:
        """Describe how the image of a row differs from its duplicate `kept`, "" if it does not."""
        one, other = self.first[kept], self.first[row]
        verdict = self.compared.verdicts.get((min(one, other), max(one, other)))
        return "" if verdict is None else verdict.change if one < other else verdict.reverse


def find_duplicates(
    comparison: "PairComparison", neighbours: NeighbourArrays | None = None
) -> Duplicates:
    """Find the groups of rows that show the same photo.

    Parameters
    ----------
    comparison : PairComparison
        Of the images of a dataset with each other.
    neighbours : (distances, indices), each (n, k), optional
        The nearest rows of each row by cosine distance, itself left out. Without them only equal
        features and equal files are candidates.

    >>> from dogsim import Dataset
    >>> from dogsim.retrieval.image_pairs import PairComparison
    >>> two = Dataset(np.ones((2, 2)), np.zeros(2, int), ("a.jpg", "b.jpg"), ("pug",))
    >>> find_duplicates(PairComparison(two, two)).groups
    [DuplicateGroup(rows=(0, 1), kind='same features')]
    """
    dataset = comparison.contents.dataset
    comparison.contents.read(range(len(dataset)), comparison.end)
    features = feature_keys(dataset).tolist()
    hashes = comparison.contents.hashes
    first = _first_rows([hashes.get(row, features[row]) for row in range(len(dataset))])
    equal = np.array([*_equal_pairs(features, first)], np.intp).reshape(-1, 2)
    pairs, distances = equal, np.zeros(len(equal))
    if neighbours is not None:
        near, near_distances = _near_pairs(neighbours, first, comparison.contents)
        pairs, distances = np.concatenate([equal, near]), np.append(distances, near_distances)
    # The keypoints of near rows were found lately. If time is short, the nearest pairs come first.
    keys = (distances,) if comparison.end < inf else (pairs[:, 1], pairs[:, 0])
    candidates = [*dict.fromkeys(map(tuple, pairs[np.lexsort(keys)].tolist()))]
    kinds = _compare_all_of_groups(comparison, candidates, features)
    return _duplicates(kinds, comparison, first)


def _first_rows(keys: Sequence[object]) -> list[int]:
    """Return the first row with the key of each row."""
    first: dict[object, int] = {}
    return [first.setdefault(key, row) for row, key in enumerate(keys)]


def _equal_pairs(keys: Sequence[object], first: Sequence[int]) -> "Iterator[Pair]":
    """Yield the first row of each key with each later row of it, those of equal files once."""
    for row, other in enumerate(_first_rows(keys)):
        if first[row] == row and first[other] != row:
            yield first[other], row


def _near_pairs(
    neighbours: NeighbourArrays, first: Sequence[int], contents: "FileContents"
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return candidates with files, (m, 2) rows, of equal files the first; and distances (m,)."""
    names, with_file = np.array(first, np.intp), np.zeros(len(first), bool)
    with_file[[*contents.readable, *contents.unread]] = True
    distances, indices = neighbours
    units = names[indices]  # (n, k)
    order = np.argsort(units, axis=1, kind="stable")
    ordered = np.take_along_axis(units, order, axis=1)
    is_first = np.ones(units.shape, bool)  # of the neighbours that are equal files
    np.put_along_axis(is_first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    wanted = is_first & with_file[indices] & with_file[:, None] & (units != names[:, None])
    rows, places = np.nonzero(wanted & (wanted.cumsum(axis=1) <= CANDIDATE_NEIGHBOURS))
    pairs = np.sort(np.stack([names[rows], units[rows, places]], axis=1), axis=1)
    return pairs, distances[rows, places]


def _compare_all_of_groups(
    comparison: "PairComparison", pairs: "list[Pair]", features: Sequence[object]
) -> "dict[Pair, DuplicateKind]":
    """Compare pairs, and all other pairs of which each has the same duplicate."""
    compared: set[Pair] = set()
    kinds: dict[Pair, DuplicateKind] = {}
    while pairs:
        comparison.compare(pairs)
        compared.update(pairs)
        kinds |= _kinds(pairs, comparison.found, features, features)
        adjacent = _adjacent(kinds)
        found = {pair for others in adjacent.values() for pair in combinations(sorted(others), 2)}
        pairs = sorted(found - compared)
    return kinds


def _kinds(
    pairs: "Iterable[Pair]",
    compared: "ComparedPairs",
    features: Sequence[object],
    test_features: Sequence[object],
) -> "dict[Pair, DuplicateKind]":
    """Return the kind of each pair of duplicates."""
    kinds: dict[Pair, DuplicateKind] = {}
    for pair in pairs:
        verdict = compared.verdicts.get(pair)
        if verdict is None and features[pair[0]] == test_features[pair[1]]:
            kinds[pair] = "same features"
        elif verdict and verdict.kind in ("same file", "same pixels", "copy"):
            kinds[pair] = verdict.kind
    return kinds


def _adjacent(pairs: "Iterable[Pair]") -> dict[int, set[int]]:
    """Return the duplicates of each row that has any."""
    adjacent: dict[int, set[int]] = defaultdict(set)
    for row, other in pairs:
        adjacent[row].add(other)
        adjacent[other].add(row)
    return adjacent


def _duplicates(
    kinds: "Mapping[Pair, DuplicateKind]", comparison: "PairComparison", first: list[int]
) -> Duplicates:
    """Return the groups of duplicates and of scenes; in `kinds`, equal files are their first."""
    equal: dict[int, list[int]] = defaultdict(list)
    for row, each in enumerate(first):
        equal[each].append(row)

    def with_equal(rows: Rows) -> Rows:
        return tuple(sorted(other for row in rows for other in equal[row]))

    components, groups = _components(kinds), []
    for rows in _cliques(kinds):
        found = (kinds[pair] for pair in combinations(rows, 2))
        groups.append(DuplicateGroup(with_equal(rows), max(found, key=DUPLICATE_KINDS.index)))
    with_copies = {row for rows in components for row in rows}
    for row in {*first} - with_copies:
        if len(equal[row]) > 1:
            components.append((row,))
            has_file = row in comparison.contents.hashes
            kind: DuplicateKind = "same file" if has_file else "same features"
            groups.append(DuplicateGroup(with_equal((row,)), kind))
    groups.sort(key=lambda group: group.rows)
    connected = sorted(map(with_equal, components))
    return Duplicates(groups, connected, _scenes(comparison, connected), comparison.found, first)


def _components(pairs: "Iterable[Pair]") -> list[Rows]:
    """Return the rows that are connected by pairs, ascending."""
    rows, nodes = np.unique(np.array([*pairs], np.intp), return_inverse=True)
    numbers = connected_components(nodes.reshape(-1, 2), len(rows))
    by_component: dict[int, list[int]] = defaultdict(list)
    for row, number in zip(rows.tolist(), numbers.tolist(), strict=True):
        by_component[number].append(row)
    return [tuple(rows) for rows in by_component.values()]


def _cliques(pairs: "Iterable[Pair]") -> Iterator[Rows]:
    """Find groups in which each row is a duplicate of all others, so that each pair is in one."""
    pairs = list(pairs)
    adjacent = _adjacent(pairs)
    uncovered = {row: {*others} for row, others in adjacent.items()}
    for component in _components(pairs):
        while any(uncovered[row] for row in component):
            centre = max(component, key=lambda row: (len(uncovered[row]), -row))
            covered = sorted(adjacent[centre] - uncovered[centre])
            clique = [centre]
            for row in [*sorted(uncovered[centre]), *covered]:
                if adjacent[row].issuperset(clique):
                    clique.append(row)
            for row in clique:
                uncovered[row].difference_update(clique)
            yield tuple(sorted(clique))


def _scenes(comparison: "PairComparison", connected: list[Rows]) -> list[Rows]:
    """Return the groups of rows of one scene; of duplicates only the first row counts."""
    first = {row: rows[0] for rows in connected for row in rows}
    pairs = _pairs_of_scenes(comparison.found)
    named = ((first.get(row, row), first.get(other, other)) for row, other in pairs)
    found = _components(pair for pair in named if pair[0] != pair[1])
    declared = comparison.contents.dataset.scenes
    return [rows for rows in found if declared is None or len({*declared[[*rows]].tolist()}) > 1]


def find_shared(
    comparison: "PairComparison", neighbours: NeighbourArrays
) -> tuple[list[SharedPair], "list[Pair]"]:
    """Find the photos and the scenes of a test set that the dataset contains as well.

    Parameters
    ----------
    comparison : PairComparison
        Of the images of the dataset with those of the test set.
    neighbours : (distances, indices), each (n_test, k)
        The nearest rows of the dataset for each image of the test set.

    Returns
    -------
    leaks : list of (row, row of the test set, kind)
        One for each image of the test set that is a duplicate, with the most certain one.
    scenes : list of (row, row of the test set)
        One for each other image of the test set that shows a scene of the dataset.
    """
    datasets = comparison.contents.dataset, comparison.test_contents.dataset
    features, test_features = (feature_keys(each).tolist() for each in datasets)
    pairs = {(row, query) for query, rows in enumerate(neighbours[1].tolist()) for row in rows}
    pairs |= {*_shared_pairs(features, test_features)}
    known = (each.stamps for each in datasets)
    stamps = [each["sha256"].tolist() for each in known if each is not None]
    if len(stamps) == 2:
        pairs |= {*_shared_pairs(*stamps)}
    ordered = sorted(pairs, key=lambda pair: pair[::-1])
    comparison.compare(ordered)
    kinds = _kinds(ordered, comparison.found, features, test_features)
    leaks: dict[int, SharedPair] = {}
    for row, query in sorted(kinds, key=lambda pair: DUPLICATE_KINDS.index(kinds[pair])):
        leaks.setdefault(query, (row, query, kinds[row, query]))
    scenes: dict[int, Pair] = {}
    for row, query in _pairs_of_scenes(comparison.found):
        if query not in leaks:
            scenes.setdefault(query, (row, query))
    return [leaks[query] for query in sorted(leaks)], [scenes[query] for query in sorted(scenes)]


def _pairs_of_scenes(compared: "ComparedPairs") -> "list[Pair]":
    return sorted(pair for pair, verdict in compared.verdicts.items() if verdict.kind == SAME_SCENE)


def _shared_pairs(keys: Sequence[object], test_keys: Sequence[object]) -> "Iterator[Pair]":
    """Yield the first row of each key with each row of the test set that has it."""
    first = {key: row for row, key in reversed([*enumerate(keys)])}
    yield from ((first[key], row) for row, key in enumerate(test_keys) if key in first)
