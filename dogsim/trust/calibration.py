"""What the pictures of a dataset say of each other: how often such a vote is right.

Each picture is left out once and its nearest vote softly, exp(-d^2 / T) on unit vectors. The share
of its own breed tells how well the vote knows such pictures; that of a new one is compared with
all of these. T is the one under which the shares are the likeliest probabilities.

Copies and shots of one burst would vouch for each other, and no new picture has such a friend. So
of each group that `duplicates` finds only the first calibrates and votes.
"""

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.networks.training_record import has_memory
from dogsim.plumbing.cache import keep_arrays, kept_arrays
from dogsim.retrieval.identity import features_hash, learned
from dogsim.retrieval.query_expansion import require_plain
from dogsim.trust.duplicates import find_duplicates, own_neighbours
from dogsim.trust.leave_one_out import LeftOut, leave_out
from dogsim.trust.novelty import novelty_scores

TEMPERATURES = 2.0 ** -np.arange(0, 7, 0.5)  # of the median squared distance to the last of them
UNIFORM = 0.01  # what of a probability is spread evenly: a breed without a vote is not impossible
VERSION = 3  # of what is kept

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is known of a dataset once each of its pictures has been left out.

    Attributes
    ----------
    rows : (m,) int
    place : (n,) int
        Who votes, as in `LeftOut`.
    temperature : float
        T of the vote.
    own : (m,) float64
        The share of each one's own breed when it is left out; NaN where the network or the head
        has learned from the picture.
    novelty : (m,) float64
        Its score, see `novelty_scores`, and NaN in the same places.
    """

    rows: NDArray[np.intp]
    place: NDArray[np.intp]
    temperature: float
    own: Floats
    novelty: Floats

    @property
    def counting(self) -> int:
        """How many pictures tell what a new one is compared with."""
        return int((~np.isnan(self.own)).sum())


@lru_cache(maxsize=1)
def calibration_of(dataset: Dataset) -> Calibration:
    """Calibrate a dataset, or read what an earlier question has left in the cache folder.

    It is kept under the hash of features and labels; what cannot be read is computed again.

    Raises
    ------
    DogsimError
        If it has less than two pictures that vote, or its head does not tell from which pictures
        it has learned.
    """
    require_plain(dataset)
    _require_memory(dataset)
    seen = learned(dataset)
    name = f"trust-{_content(dataset, seen)}"
    if kept := kept_arrays(name, [field.name for field in fields(Calibration)]):
        return replace(Calibration(**kept), temperature=float(kept["temperature"]))
    found = own_neighbours(dataset)
    left_out = leave_out(dataset, find_duplicates(dataset, near=False, found=found), found)
    calibration = calibrate(dataset, left_out, seen)
    keep_arrays(name, **vars(calibration))
    return calibration


def calibrate(
    dataset: Dataset, left_out: LeftOut, seen: NDArray[np.bool_] | None = None
) -> Calibration:
    """Find the temperature of the vote, and what it says of each picture that is left out.

    `seen` (n,) tells which pictures the network or the head has learned from: it knows these too
    well, so they vote, but tell nothing of new ones.
    """
    rows, place = left_out.rows, left_out.place
    new = np.ones(len(rows), bool)
    if seen is not None:
        new[place[seen & (place >= 0)]] = False  # all of a group, if it has seen one of them
    asked = rows[new] if new.any() else rows
    squares, labels = left_out.squares[asked], left_out.labels[asked]
    temperature = _likeliest(squares, labels, dataset.labels[asked], len(dataset.breeds))
    own, novelty = np.full((2, len(dataset)), np.nan)
    for some, shares in left_out.shares(dataset, temperature):
        right = dataset.labels[some, None]
        own[some] = np.take_along_axis(shares, np.maximum(right, 0), axis=1)[:, 0]
        novelty[some] = novelty_scores(left_out.squares[some], shares)
    own, novelty = (np.where(new, scores[rows], np.nan) for scores in (own, novelty))
    return Calibration(rows, place, temperature, own, novelty)


def _likeliest(
    squares: Floats, labels: NDArray[np.int32], truth: NDArray[np.int32], breeds: int
) -> float:
    """The temperature under which the true breeds are likeliest."""
    scale = float(np.median(squares[:, -1])) or 1.0
    right = labels == truth[:, None]

    def likelihood(temperature: float) -> float:
        weights = np.exp((squares[:, :1] - squares) / temperature)
        share = (weights * right).sum(axis=1) / weights.sum(axis=1)
        return float(np.log((1 - UNIFORM) * share + UNIFORM / breeds).mean())

    return float(max((scale * TEMPERATURES).tolist(), key=likelihood))


def _require_memory(dataset: Dataset) -> None:
    recipe = dataset.recipe
    if recipe and recipe.head_sha256 and not has_memory(Path(recipe.head)):
        raise DogsimError(
            f"Received a dataset that went through the head {recipe.head}, which is gone or does "
            "not tell from which pictures it has learned. Those it knows too well to tell how "
            "often it is right. Expected a head of dogsim deep-ranking where it was, or the "
            "dataset before dogsim project."
        )


def _content(dataset: Dataset, seen: NDArray[np.bool_]) -> str:
    """Hash what a calibration depends on."""
    digest = sha256(repr((VERSION, features_hash(dataset), len(dataset.breeds))).encode())
    digest.update(np.ascontiguousarray(dataset.labels, np.int32).tobytes())
    digest.update(np.packbits(seen).tobytes())
    digest.update(bytes([len(dataset) > 0 and dataset.image_file(0).is_file()]))
    return digest.hexdigest()[:32]
