"""Calibration scores of a dataset: its leave-one-out scores, cached on disk.

Conformal prediction compares the scores of a new image with these. Images that the network or the
head has learned from still vote, but do not calibrate: their scores are better than those of new
images.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.networks.training_record import has_training_record
from dogsim.plumbing.cache import cache_arrays, read_cached_arrays
from dogsim.retrieval.identity import features_hash, learned
from dogsim.retrieval.query_expansion import require_plain
from dogsim.trust.leave_one_out import VOTING_NEIGHBOURS, Float64Array, LeaveOneOut

CALIBRATION_VERSION = 3  # part of the name in the cache


@dataclass(frozen=True, eq=False)
class Calibration:
    """The calibration scores of a dataset, and what it takes to score a new image.

    Attributes
    ----------
    rows : (m,) int
    place : (n,) int
        The rows that vote, as in `LeaveOneOut`.
    temperature : float
        T of the vote.
    own : (m,) float64
        The share of each image's own breed in the vote on it; NaN if the network or the head has
        learned from the image.
    novelty : (m,) float64
        Its novelty score; NaN for the same images.
    """

    rows: NDArray[np.intp]
    place: NDArray[np.intp]
    temperature: float
    own: Float64Array
    novelty: Float64Array

    @property
    def counting(self) -> int:
        """Number of images that calibrate."""
        return int((~np.isnan(self.own)).sum())


def calibration_for(dataset: Dataset, confidence: float) -> Calibration:
    """Calibrate a dataset and check that it supports a confidence.

    Raises
    ------
    DogsimError
        As `dogsim.trust.conformal.prediction_sets` does.
    """
    check_confidence(confidence)
    calibration = calibration_of(dataset)
    counting, needed = calibration.counting, int(np.ceil(1 / (1 - confidence) - 1 - 1e-9))
    if counting < needed:
        remedy = "lower the confidence, or add images"
        if excluded := len(calibration.rows) - counting:
            remedy += (
                f"; {excluded} images do not count because the network or the head has learned "
                "from them: dogsim deep-ranking --hold-back 0.2 holds some back"
            )
        raise DogsimError(
            f"Received confidence={confidence:g} and a dataset in which {counting} images count. "
            f"Expected at least {needed} of known breeds, duplicates not counted: {remedy}."
        )
    missed = float((calibration.own == 0).sum() + 1) / (counting + 1)
    # The p-value of a breed without a vote. It is large in small datasets, where all images vote.
    if missed > 1 - confidence and len(calibration.rows) > VOTING_NEIGHBOURS:
        raise DogsimError(
            f"Received confidence={confidence:g} and a dataset in which {missed:.1%} of the images "
            "have no neighbour of their own breed that votes. Each set would contain every breed. "
            f"Expected a confidence of less than {1 - missed:.3f}."
        )
    return calibration


def check_confidence(confidence: float) -> None:
    """Raise `DogsimError` unless a confidence is more than 0 and less than 1."""
    if not 0 < confidence < 1:
        raise DogsimError(
            f"Received confidence={confidence}. Expected more than 0 and less than 1, as 0.9."
        )


@lru_cache(maxsize=1)
def calibration_of(dataset: Dataset) -> Calibration:
    """Calibrate a dataset, or read its calibration from the cache folder.

    The name in the cache is a hash of features and labels. A damaged file is computed again.

    Raises
    ------
    DogsimError
        If fewer than two images vote, or the head does not record which images it has learned
        from.
    """
    require_plain(dataset)
    _require_training_record(dataset)
    trained_on = learned(dataset)
    name = f"trust-{_content_hash(dataset, trained_on)}"
    if arrays := read_cached_arrays(name, [field.name for field in fields(Calibration)]):
        return replace(Calibration(**arrays), temperature=float(arrays["temperature"]))
    calibration = calibrate(LeaveOneOut(dataset, quick=True), trained_on)
    cache_arrays(name, **vars(calibration))
    return calibration


def calibrate(left_out: LeaveOneOut, trained_on: NDArray[np.bool_]) -> Calibration:
    """Compute the calibration scores of a dataset.

    Parameters
    ----------
    left_out : LeaveOneOut
    trained_on : (n,) bool
        Whether the network or the head has learned from an image. If so, its whole group of
        duplicates does not calibrate.
    """
    rows, place = left_out.rows, left_out.place
    new = np.ones(len(rows), bool)
    new[place[trained_on & (place >= 0)]] = False
    temperature = left_out.best_temperature(rows[new] if new.any() else rows)
    scores = left_out.scores(temperature)
    own, novelty = (np.where(new, each[rows], np.nan) for each in (scores.own, scores.novelty))
    return Calibration(rows, place, temperature, own, novelty)


def _require_training_record(dataset: Dataset) -> None:
    recipe = dataset.recipe
    if recipe and recipe.head_sha256 and not has_training_record(Path(recipe.head)):
        raise DogsimError(
            f"Received a dataset with features of the head {recipe.head}, which is missing or "
            "does not record the images that it has learned from. Those cannot be used for "
            "calibration. Expected a head of dogsim deep-ranking at this path: restore it, or use "
            "the dataset before dogsim project."
        )


def _content_hash(dataset: Dataset, trained_on: NDArray[np.bool_]) -> str:
    """Hash everything that a calibration depends on."""
    content = CALIBRATION_VERSION, features_hash(dataset), len(dataset.breeds)
    digest = sha256(repr(content).encode())
    digest.update(np.ascontiguousarray(dataset.labels, np.int32).tobytes())
    digest.update(np.packbits(trained_on).tobytes())
    digest.update(bytes([len(dataset) > 0 and dataset.image_file(0).is_file()]))
    return digest.hexdigest()[:32]
