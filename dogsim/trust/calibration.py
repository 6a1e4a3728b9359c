"""What the pictures of a dataset say of each other: how often such a vote is right.

Each picture is left out once and its nearest vote softly, exp(-d^2 / T) on unit vectors. The share
of its own breed tells how well the vote knows such pictures; that of a new one is compared with
all of these. T is the one under which the shares are the likeliest probabilities.

Copies and shots of one burst would vouch for each other, and no new picture has such a friend. So
of each group that `duplicates` finds only the first calibrates and votes.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.networks.trained_on import has_memory
from dogsim.plumbing.cache import cache_folder
from dogsim.plumbing.files import make_folder, replacing
from dogsim.sameness import learned
from dogsim.trust.duplicates import SOUGHT, Duplicates, Found, find_duplicates, own_neighbours
from dogsim.trust.novelty import novelty_scores

K = 50  # neighbours that vote
TEMPERATURES = 2.0 ** -np.arange(0, 7, 0.5)  # of the median squared distance to the last of them
UNIFORM = 0.01  # what of a probability is spread evenly: a breed without a vote is not impossible
BLOCK = 4096  # pictures at a time
KEPT = 20  # datasets whose calibration is kept
VERSION = 2  # of what is kept

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibration:
    """What is known of a dataset once each of its pictures has been left out.

    Attributes
    ----------
    rows : (m,) int
        The rows that vote: of a known breed, and the first of their group.
    place : (n,) int
        For each row of the dataset where in `rows` its group is, -1 for one of no known breed.
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


@dataclass(frozen=True, eq=False)
class LeftOut:
    """The voters for each picture of a dataset when it, and what is the same, is left out.

    Attributes
    ----------
    rows, place
        As in `Calibration`.
    squares : (n, k) float64
        Squared distances on unit vectors, nearest first.
    labels : (n, k) int32
    """

    rows: NDArray[np.intp]
    place: NDArray[np.intp]
    squares: Floats
    labels: NDArray[np.int32]

    def shares(self, dataset: Dataset, temperature: float) -> Iterator[tuple[slice, Floats]]:
        """Yield, block after block, which rows, and each breed's share of their vote."""
        for start in range(0, len(self.squares), BLOCK):
            some = slice(start, start + BLOCK)
            voted = self.squares[some], self.labels[some]
            yield some, soft_votes(*voted, temperature, len(dataset.breeds))


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
    _require_memory(dataset)
    seen = learned(dataset)
    file = cache_folder() / f"trust-{_content(dataset, seen)}.npz"
    try:
        with np.load(io.BytesIO(file.read_bytes())) as stored:
            kept = {field.name: stored[field.name] for field in fields(Calibration)}
        file.touch()  # the ones asked last are kept
        return Calibration(**{**kept, "temperature": float(kept["temperature"])})
    except Exception:  # not there yet, or damaged in whatever way
        pass
    found = own_neighbours(dataset)
    left_out = leave_out(dataset, find_duplicates(dataset, near=False, found=found), found)
    calibration = calibrate(dataset, left_out, seen)
    _keep(file, calibration)
    return calibration


def leave_out(dataset: Dataset, groups: Sequence[Duplicates], found: Found) -> LeftOut:
    """Leave out each picture once, and with it what is the same.

    Parameters
    ----------
    dataset : Dataset
    groups : sequence of Duplicates
        Of each only the first votes.
    found : Found
        `own_neighbours` of the dataset.

    Raises
    ------
    DogsimError
        If less than two pictures vote.
    """
    rows, place = _that_vote(dataset, groups)
    if len(rows) < 2:
        raise DogsimError(
            f"Received a dataset in which {len(rows)} pictures of known breeds count. Expected at "
            "least 9 for a confidence of 0.9: give it more pictures, or photos in breed folders."
        )
    own = np.arange(len(dataset))
    return LeftOut(rows, place, *neighbourhood(dataset, rows, place, dataset.features, own, found))


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


def neighbourhood(
    dataset: Dataset,
    rows: NDArray[np.intp],
    place: NDArray[np.intp],
    features: NDArray[np.float32],
    own: NDArray[np.intp] | None = None,
    found: Found | None = None,
) -> tuple[Floats, NDArray[np.int32]]:
    """Find the neighbours that vote.

    Parameters
    ----------
    dataset : Dataset
    rows, place
        As in `Calibration`.
    features : (n, d) float32
        Of the pictures that are asked about.
    own : (n,) int, optional
        For each of them its own row in the dataset, whose group has no vote; -1 where it has none.
    found : Found, optional
        The nearest of the dataset, where they have been sought already; more than vote, for some
        may not.

    Returns
    -------
    squares : (n, k) float64
        Squared distances on unit vectors, nearest first.
    labels : (n, k) int32
    """
    group = np.full(len(features), -1) if own is None else np.where(own >= 0, place[own], -1)
    k = min(K, len(rows) - int((group >= 0).any()))
    if found is None:
        found = nearest(dataset, features, min(SOUGHT, len(dataset)), "cosine")
    distances, indices = found
    votes = np.isin(np.arange(len(dataset)), rows)[indices] & (place[indices] != group[:, None])
    order = np.argsort(~votes, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, order, axis=1)
    labels = dataset.labels[np.take_along_axis(indices, order, axis=1)]
    if len(few := np.flatnonzero(votes.sum(axis=1) < k)):  # too many of the nearest have no vote
        gallery = dataset.take(rows)
        more = min(k + 1, len(rows))
        apart, places = nearest(gallery, features[few], more, "cosine")
        order = np.argsort(places == group[few, None], axis=1, kind="stable")[:, :k]
        distances[few] = np.take_along_axis(apart, order, axis=1)
        labels[few] = gallery.labels[np.take_along_axis(places, order, axis=1)]
    return np.maximum(2 * distances, 0), labels  # |a - b|^2 = 2 - 2 cos


def soft_votes(
    squares: Floats, labels: NDArray[np.int32], temperature: float, breeds: int
) -> Floats:
    """Let neighbours vote with the weight exp(-d^2 / T), and give each breed its share.

    Parameters
    ----------
    squares : (n, k) float64
        Squared distances, nearest first.
    labels : (n, k) int32
    temperature : float
    breeds : int
        How many there are.

    Returns
    -------
    (n, breeds) float64
        Every row sums to 1.

    >>> soft_votes(np.array([[0.0, 0.0, np.inf]]), np.int32([[1, 0, 0]]), 1.0, 2)
    array([[0.5, 0.5]])
    """
    weights = np.exp((squares[:, :1] - squares) / temperature)
    places = np.arange(len(labels))[:, None] * breeds + labels
    counts = np.bincount(places.ravel(), weights.ravel(), minlength=len(labels) * breeds)
    return np.asarray(counts.reshape(-1, breeds) / weights.sum(axis=1, keepdims=True))


def _that_vote(
    dataset: Dataset, groups: Sequence[Duplicates]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The rows of `Calibration` and the place of each row."""
    first = np.arange(len(dataset))
    for group in groups:
        first[list(group.rows)] = min(group.rows)
    labelled = np.flatnonzero(dataset.labels >= 0)
    # A group may begin with a picture of no known breed; then the first that has one stands for it.
    _, begins, number = np.unique(first[labelled], return_index=True, return_inverse=True)
    rows = labelled[begins]
    place = np.full(len(dataset), -1, np.intp)
    place[labelled] = np.argsort(np.argsort(rows))[number]
    return np.sort(rows), place


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
    digest = sha256(repr((VERSION, dataset.features.shape, len(dataset.breeds))).encode())
    for start in range(0, len(dataset), BLOCK):
        digest.update(np.ascontiguousarray(dataset.features[start : start + BLOCK]).tobytes())
    digest.update(np.ascontiguousarray(dataset.labels, np.int32).tobytes())
    digest.update(np.packbits(seen).tobytes())
    digest.update(bytes([len(dataset) > 0 and dataset.picture(0).is_file()]))
    return digest.hexdigest()[:32]


def _keep(file: Path, calibration: Calibration) -> None:
    """Keep a calibration, and no more than `KEPT` of them; without it the next one takes longer."""
    content = io.BytesIO()
    np.savez(content, **asdict(calibration))
    try:
        make_folder(file.parent)
        with replacing(file) as temporary:
            temporary.write_bytes(content.getvalue())
        kept = sorted(file.parent.glob("trust-*.npz"), key=lambda each: each.stat().st_mtime)
        for old in kept[:-KEPT]:
            old.unlink()
    except (DogsimError, OSError):
        pass
