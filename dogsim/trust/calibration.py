"""Calibration scores of a dataset: its leave-one-out scores, cached on disk.

Conformal prediction compares the scores of a new image with these scores. Images that the network
or the head has learned from vote, but do not calibrate: their scores are better than those of new
images.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, counted
from dogsim.image_files.files import existing_files
from dogsim.networks.trained_models import has_training_record
from dogsim.plumbing.cache import cache_arrays, read_cached_arrays
from dogsim.plumbing.terminal import note
from dogsim.retrieval.identity import features_hash, learned
from dogsim.retrieval.image_pairs import VERDICTS_VERSION, PairComparison
from dogsim.retrieval.own_neighbours import own_neighbours
from dogsim.trust.breed_means import BreedMeans
from dogsim.trust.conformal import BreedPValues, check_confidence
from dogsim.trust.duplicates import find_duplicates
from dogsim.trust.leave_one_out import (
    MAX_NEIGHBOURS,
    MAX_VOTING_NEIGHBOURS,
    VOTE_BLOCK_ROWS,
    Float64Array,
    LeaveOneOut,
    left_out_together,
    novelty_scores,
    soft_votes,
    voting_neighbours,
)

CALIBRATION_VERSION = 7  # part of the name in the cache
CACHED_FIELDS = ("rows", "place", "temperature", "own", "novelty")
NOT_COMPARED = "n_not_compared"  # pairs of images, for which there was no time
MAX_COMPARISON_SECONDS = 8  # a first answer takes 10 at most


@dataclass(frozen=True, eq=False)
class QueryScores:
    """The scores of some queries.

    Attributes
    ----------
    shares : (b, c) float64
        The mean of each breed's share in the vote of the neighbours and in that of the means.
    novelty : (b,) float64
        See `dogsim.trust.leave_one_out.novelty_scores`.
    place : (b,) int
        The index in `Calibration.rows` of the image that shows the same as the query, whose
        calibration scores do not count for it; -1 if there is none.
    """

    shares: Float64Array
    novelty: Float64Array
    place: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Calibration:
    """The calibration scores of a dataset, and the vote that scores new images.

    Attributes
    ----------
    dataset : Dataset
    rows : (m,) int
        The rows that vote, ascending, as in `LeaveOneOut`.
    place : (n,) int
        For each image of the dataset the index in `rows` of the image that votes for its group of
        duplicates, -1 if its breed is unknown.
    temperature : float
        T of both votes.
    own : (m,) float64
        The share of each image's own breed in the votes on it, see `QueryScores`; NaN if the
        network or the head has learned from the image, or its breed has one scene.
    novelty : (m,) float64
        Its novelty score; NaN for the same images.
    """

    dataset: Dataset
    rows: NDArray[np.intp]
    place: NDArray[np.intp]
    temperature: float
    own: Float64Array
    novelty: Float64Array

    @cached_property
    def units(self) -> NDArray[np.intp]:
        """Numbers of the images that are left out together, (n,), see `left_out_together`."""
        return left_out_together(self.dataset, self.place)

    @property
    def n_calibrating(self) -> int:
        """Number of images that calibrate."""
        return int((~np.isnan(self.own)).sum())

    @cached_property
    def by_breed(self) -> BreedPValues:
        """The p-values of each breed among its own images."""
        labels = self.dataset.labels[self.rows]
        return BreedPValues(self.own, labels, len(self.dataset.breeds))

    @cached_property
    def _means(self) -> BreedMeans:
        return BreedMeans(self.dataset, self.rows, self.units)

    def scores(
        self, features: NDArray[np.float32], rows: NDArray[np.intp] | None = None
    ) -> Iterator[QueryScores]:
        """Compute the scores of queries, one block of rows at a time.

        Parameters
        ----------
        features, rows
            As for `dogsim.trust.conformal.prediction_sets`.
        """
        rows = np.full(len(features), -1) if rows is None else rows
        place = np.where(rows >= 0, self.place[rows], -1)  # (n,)
        for start in range(0, len(features), VOTE_BLOCK_ROWS):
            block = slice(start, start + VOTE_BLOCK_ROWS)
            voting = voting_neighbours(
                self.dataset, self.rows, self.units, features[block], place[block]
            )
            yield self.scores_of_votes(features[block], *voting, place[block])

    def scores_of_votes(
        self,
        features: NDArray[np.float32],
        squares: Float64Array,
        labels: NDArray[np.int32],
        place: NDArray[np.intp],
    ) -> QueryScores:
        """Compute the scores of queries whose voting neighbours are given.

        Parameters
        ----------
        features : (b, d) float32
        squares, labels
            As `voting_neighbours` returns them.
        place
            As in `QueryScores`.
        """
        votes = soft_votes(squares, labels, self.temperature, len(self.dataset.breeds))
        means = self._means.shares(features, place, self.temperature)
        return QueryScores((votes + means) / 2, novelty_scores(squares, votes), place)


def calibration_for(dataset: Dataset, confidence: float) -> Calibration:
    """Calibrate a dataset and check that it supports a confidence.

    Raises
    ------
    DogsimError
        If the confidence is out of range; if too few images calibrate (9 are needed for 0.9, 19
        for 0.95), not counting those that the network or the head has learned from; if the head
        does not record which these are; or if so many images have no similar image of their own
        breed that each set would contain every breed.
    """
    check_confidence(confidence)
    calibration = calibration_of(dataset)
    n, needed = calibration.n_calibrating, int(np.ceil(1 / (1 - confidence) - 1 - 1e-9))
    if n < needed:
        raise DogsimError(
            f"Received confidence={confidence:g} and a dataset with {counted(n, 'usable image')}. "
            f"Expected at least {needed} of known breeds, duplicates not counted: "
            f"{_remedy(calibration)}."
        )
    missed = float((calibration.own == 0).sum() + 1) / (n + 1)
    # `missed` is the p-value of a breed with a score of 0; in small datasets all images vote.
    if missed > 1 - confidence and len(calibration.rows) > MAX_VOTING_NEIGHBOURS:
        raise DogsimError(
            f"Received confidence={confidence:g} and a dataset in which {missed:.1%} of the images "
            "have no similar image of their own breed. Each set would contain every breed. "
            f"Expected a confidence of less than {1 - missed:.3f}."
        )
    return calibration


def _remedy(calibration: Calibration) -> str:
    """Return what to do if too few images calibrate."""
    remedy = "lower the confidence, or add images"
    if excluded := len(calibration.rows) - calibration.n_calibrating:
        remedy += f"; {counted(excluded, 'image')} not counted, because "
        if not learned(calibration.dataset).any():
            return remedy + "their breeds have one scene"
        remedy += "the network or the head has learned from them: "
        remedy += "dogsim deep-ranking --hold-back 0.2 holds some back"
    return remedy


@lru_cache(maxsize=1)
def calibration_of(dataset: Dataset) -> Calibration:
    """Calibrate a dataset, or read its calibration from the cache folder.

    The name in the cache is a hash of features and labels. A damaged file is replaced. If the
    network or the head has learned from an image, its group of duplicates does not calibrate.

    Raises
    ------
    DogsimError
        If fewer than two images vote, or the head does not record which images it has learned
        from.
    """
    recipe = dataset.recipe
    if recipe and recipe.head_sha256 and not has_training_record(Path(recipe.head)):
        raise DogsimError(
            f"Received a dataset with features of the head {recipe.head}, which is missing or "
            "does not record the images that it has learned from. Those cannot be used for "
            "calibration. Expected a head of dogsim deep-ranking at this path: restore it, or use "
            "the dataset before dogsim project."
        )
    trained_on = learned(dataset)
    name = f"trust-{_content_hash(dataset, trained_on)}"
    arrays = read_cached_arrays(name, (*CACHED_FIELDS, NOT_COMPARED))
    if arrays and not arrays[NOT_COMPARED]:
        return _stored(dataset, arrays)
    # If an earlier run had no time for some pairs, the verdicts that were found since are used.
    neighbours, only_cached = own_neighbours(dataset, MAX_NEIGHBOURS), arrays is not None
    comparison = PairComparison(dataset, dataset, MAX_COMPARISON_SECONDS, only_cached)
    duplicates = find_duplicates(comparison, neighbours)
    n_open = duplicates.compared.n_not_compared
    _note_open_pairs(n_open)
    if arrays and n_open >= arrays[NOT_COMPARED]:
        return _stored(dataset, arrays)
    calibration = _calibrate(LeaveOneOut(dataset, neighbours, duplicates.connected), trained_on)
    fields = {field: getattr(calibration, field) for field in CACHED_FIELDS}
    cache_arrays(name, **fields, **{NOT_COMPARED: n_open})
    return calibration


def _stored(dataset: Dataset, arrays: dict[str, Any]) -> Calibration:
    fields = {field: arrays[field] for field in CACHED_FIELDS}
    return Calibration(dataset, **fields | {"temperature": float(arrays["temperature"])})


def _note_open_pairs(number: int) -> None:
    if number:
        note(
            f"{counted(number, 'pair')} of similar images were not checked for copies within "
            f"{MAX_COMPARISON_SECONDS} seconds. If many of them are copies, the confidence is too "
            "high. Run dogsim audit once to check all pairs; later runs use its result."
        )


def _calibrate(left_out: LeaveOneOut, trained_on: NDArray[np.bool_]) -> Calibration:
    dataset, rows, place = left_out.dataset, left_out.rows, left_out.place
    calibrates = np.ones(len(rows), bool)
    calibrates[place[trained_on & (place >= 0)]] = False
    if dataset.scenes is not None:
        calibrates &= _of_several_scenes(left_out)
    temperature = left_out.best_temperature(rows[calibrates] if calibrates.any() else rows)
    nothing = np.full(len(rows), np.nan)
    empty = Calibration(dataset, rows, place, temperature, nothing, nothing)
    own, novelty = np.full((2, len(rows)), np.nan)
    for start in range(0, len(rows), VOTE_BLOCK_ROWS):
        block = slice(start, start + VOTE_BLOCK_ROWS)
        some = rows[block]
        voting = left_out.squares[some], left_out.labels[some]
        scores = empty.scores_of_votes(dataset.features[some], *voting, place[some])
        own[block] = scores.shares[np.arange(len(some)), dataset.labels[some]]
        novelty[block] = scores.novelty
    own[~calibrates] = novelty[~calibrates] = np.nan
    return replace(empty, own=own, novelty=novelty)


def _of_several_scenes(left_out: LeaveOneOut) -> NDArray[np.bool_]:
    """Return which images that vote are of a breed with several scenes, (m,) bool."""
    # Without its only scene a breed has no image left, which it will have for a new image.
    labels = left_out.dataset.labels[left_out.rows]
    pairs = np.unique(np.stack([labels, left_out.units[left_out.rows]]), axis=1)
    return np.asarray(np.bincount(pairs[0])[labels] > 1)


def _content_hash(dataset: Dataset, trained_on: NDArray[np.bool_]) -> str:
    """Hash everything that a calibration depends on."""
    versions = CALIBRATION_VERSION, VERDICTS_VERSION
    content = *versions, features_hash(dataset), len(dataset.breeds)
    digest = sha256(repr(content).encode())
    digest.update(np.ascontiguousarray(dataset.labels, np.int32).tobytes())
    digest.update(np.packbits(trained_on).tobytes())
    # Duplicates depend on the hashes of the files, and on which files can be compared.
    if dataset.stamps is not None:
        digest.update(np.ascontiguousarray(dataset.stamps["sha256"]).tobytes())
    if dataset.scenes is not None:
        digest.update(dataset.scenes.astype("<i4").tobytes())
    digest.update(np.packbits(existing_files(dataset.root, dataset.paths)).tobytes())
    return digest.hexdigest()[:32]
