"""Find the scenes of a dataset from its image files.

The nearest images of the same breed are the candidates, and the verdicts of `PairComparison`
decide: copies and shots of one scene are joined, also through other images.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import dist_calc, nearest
from dogsim.errors import counted
from dogsim.plumbing.arrays import connected_components
from dogsim.plumbing.terminal import hidden_progress, note, printable, track
from dogsim.plumbing.threads import batched
from dogsim.retrieval.image_pairs import Pair, PairComparison
from dogsim.retrieval.own_neighbours import SEARCH_ROWS
from dogsim.retrieval.scores import wilson_interval
from dogsim.storage.sharded_rows import take_rows

SCENE_NEIGHBOURS = 6  # of each image, with which it is compared
CHECK_SECONDS, MAX_SAMPLED, CHECK_BATCH = 5.0, 50, 2  # seconds, images
MIN_SHARE_OF_NEAREST = 0.5  # of the images compared so far; with fewer the check ends
MAX_IN_SCENE = 0.1  # of the images; more make leave-one-out misleading


def find_scenes(dataset: Dataset) -> NDArray[np.int32]:
    """Return the number of the scene of each image, (n,).

    An image is compared with its `SCENE_NEIGHBOURS` nearest images of the same breed, or of all if
    its breed is unknown. A scene is a connected component of the pairs that are equal, copies or
    shots of one scene. An image that cannot be read is its own scene, and a line reports it. The
    verdicts are cached by content, so that an update compares only new pairs.

    >>> find_scenes(Dataset(np.eye(2), np.array([0, 1]), ("a.jpg", "b.jpg"), ("cat", "pug")))
    array([0, 1], dtype=int32)
    """
    blocks = _near_in_breed(dataset, np.arange(len(dataset)), SCENE_NEIGHBOURS)
    tracked = track(blocks, len(dataset), "images compared by features")
    near = np.concatenate([np.empty((0, 2), np.intp), *(each.reshape(-1, 2) for each in tracked)])
    pairs = np.unique(np.sort(near), axis=0).tolist()
    comparison = PairComparison(dataset, dataset, purpose="scenes")
    comparison.compare([(first, second) for first, second in pairs])
    found = comparison.found
    if found.unreadable:
        note(
            f"{counted(len(found.unreadable), 'image')} cannot be read (the first is "
            f"{printable(min(found.unreadable))}): each is its own scene."
        )
    joined = [pair for pair, verdict in found.verdicts.items() if verdict.kind != "different"]
    return connected_components(joined, len(dataset)).astype(np.int32)


@dataclass(frozen=True)
class SceneCheck:
    """A sample of images, and those of them that have another shot of their scene.

    Attributes
    ----------
    images : int
        Number of images in the sample: those with a file and another image of their breed.
    compared : int
        Number of these that were compared with another image, those with the nearest one first.
    in_scene : int
        Number of these that are a copy, or a shot of the same scene, of that image.

    >>> SceneCheck(50, compared=12, in_scene=10).matters, SceneCheck(50, 2, 0).matters
    (True, False)
    """

    images: int
    compared: int
    in_scene: int

    @property
    def matters(self) -> bool:
        """Whether more than `MAX_IN_SCENE` of the dataset has such a shot, by the 95 % interval."""
        if not self.images:
            return False
        return wilson_interval(self.in_scene / self.images, self.images)[0] > MAX_IN_SCENE


def check_scenes(dataset: Dataset, seconds: float = CHECK_SECONDS) -> SceneCheck | None:
    """Compare images of a sample with their nearest image of the same breed.

    The sample is always the same. The images with the nearest neighbour come first, because shots
    of one scene are near. The check ends if fewer than half of those compared have one, if the
    answer is clear, or when the time is over. Returns None if no two images of a breed can be read.
    """
    pairs, found = _sampled_pairs(dataset), SceneCheck(0, 0, 0)
    comparison = PairComparison(dataset, dataset, seconds)
    for batch in batched(pairs, CHECK_BATCH):
        with hidden_progress():
            comparison.compare(batch)
        verdicts = comparison.found.verdicts.values()
        in_scene = sum(verdict.kind != "different" for verdict in verdicts)
        found = SceneCheck(len(pairs), len(verdicts), in_scene)
        n_missed = comparison.found.n_not_compared
        if found.matters or n_missed or in_scene < MIN_SHARE_OF_NEAREST * found.compared:
            break
    return found if found.compared else None


def _sampled_pairs(dataset: Dataset) -> list[Pair]:
    """Return pairs of a row and its nearest row of the same breed, those with files, nearest first.

    Distances are compared with the median distance of the row to the sample.
    """
    rows = np.random.default_rng(0).permutation(np.flatnonzero(dataset.labels >= 0))[:MAX_SAMPLED]
    near = [each.reshape(-1, 2) for each in _near_in_breed(dataset, rows, 1)]
    pairs = np.concatenate([np.empty((0, 2), np.intp), *near])  # (m, 2)
    if not len(pairs):
        return []
    queries, others = (np.asarray(dataset.features[each], np.float64) for each in pairs.T)
    typical = np.median(dist_calc(queries, queries), axis=1)  # (m,)
    ratios = np.linalg.norm(queries - others, axis=1) / np.maximum(typical, np.finfo(float).tiny)
    ordered = [
        (first, second) for first, second in pairs[np.argsort(ratios, kind="stable")].tolist()
    ]
    return [pair for pair in ordered if all(dataset.image_file(row).is_file() for row in pair)]


def _near_in_breed(dataset: Dataset, rows: NDArray[np.intp], k: int) -> Iterator[NDArray[np.intp]]:
    """Yield pairs of rows and their k nearest rows of the same breed, or all: (b, <= k, 2)."""
    labels = np.asarray(dataset.labels)
    for label in np.unique(labels[rows]):
        of_breed = np.flatnonzero(labels == label) if label >= 0 else np.arange(len(dataset))
        gallery, n_near = take_rows(dataset.features, of_breed), min(k, len(of_breed) - 1)
        for batch in batched(rows[labels[rows] == label], SEARCH_ROWS):
            block = np.array(batch)  # (b,)
            if n_near < 1:
                yield np.empty((len(block), 0, 2), np.intp)
                continue
            own, queries = np.searchsorted(of_breed, block), dataset.features[block]
            near = of_breed[nearest(gallery, queries, n_near, exclude=own)[1]]  # (b, k)
            yield np.stack([np.broadcast_to(block[:, None], near.shape), near], axis=2)
