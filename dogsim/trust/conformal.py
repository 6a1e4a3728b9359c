"""Sets of breeds with a promise: the true one is among them as often as was asked for.

Conformal prediction (Vovk, Gammerman and Shafer, "Algorithmic learning in a random world", 2005).
The p-value of a breed is the part of the known pictures whose own breed has no larger share of
their neighbours' vote; the breeds with p > 1 - confidence are the set. Where a new picture comes
from the same source as the known ones, its true breed is left out in no more than 1 - confidence
of all cases, on average over the breeds. (Strictly this holds when the new picture stands among
the neighbours of the known ones as well, see Cherubin, Chatzikokolakis and Jaggi, "Exact
optimization of conformal predictors", 2021; on thousands of pictures that changes nothing.)
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.trust.calibration import Calibration, calibration_of
from dogsim.trust.leave_one_out import BLOCK, K, neighbourhood, soft_votes
from dogsim.trust.novelty import UNKNOWN_AT, novelty_scores

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Trust:
    """How far the breeds of one picture can be trusted.

    Attributes
    ----------
    breeds : tuple of str
        The set, the likeliest breed first; never empty.
    p_values : (c,) float64
        Of all breeds of the dataset, in its order.
    credibility : float
        The largest of them: small where the picture is odd for whatever breed.
    novelty_p : float
        The part of the known pictures that fit as badly as this one.
    unknown : bool
        Whether it is of none of the known breeds: novelty_p is at most 0.05.
    """

    breeds: tuple[str, ...]
    p_values: Floats
    credibility: float
    novelty_p: float
    unknown: bool


def trust(
    dataset: Dataset,
    features: NDArray[np.float32],
    confidence: float,
    rows: NDArray[np.intp] | None = None,
    calibration: Calibration | None = None,
) -> list[Trust]:
    """Find for each picture the set of breeds that holds its own with the given confidence.

    Parameters
    ----------
    dataset : Dataset
        The known pictures. What they say of each other is computed at the first question and kept.
    features : (n, d) float32
        Of the pictures that are asked about.
    confidence : float
        More than 0, less than 1: 0.9 promises to be right in nine of ten cases.
    rows : (n,) int, optional
        For each picture its row in the dataset, which is left out then; -1 where it has none.
    calibration : Calibration, optional
        That of the dataset, from `calibration_for`, where a caller who asks often has kept it.

    Returns
    -------
    list of Trust

    Raises
    ------
    DogsimError
        If the confidence is out of range, the dataset has too few pictures for it (9 for 0.9, 19
        for 0.95) from which its network or head has not learned, its head does not tell from which
        it has, or so many have no vote for their own breed that every set would hold all breeds.
    """
    calibration = calibration or calibration_for(dataset, confidence)
    answers = []
    for p_values, novelty in _asked(dataset, calibration, features, rows):
        for p, new in zip(p_values, novelty.tolist(), strict=True):
            order = np.argsort(-p, kind="stable")[: max(1, int((p > 1 - confidence).sum()))]
            breeds = tuple(dataset.breeds[label] for label in order)
            answers.append(Trust(breeds, p, float(p.max()), new, new <= UNKNOWN_AT))
    return answers


def p_values(known: Floats, scores: Floats, left_out: Floats | None = None) -> Floats:
    """The part of the known scores that are no larger, the asked one counted among them.

    Parameters
    ----------
    known : (m,) float64
        Those that are NaN do not count.
    scores : (n, c) or (n,) float64
    left_out : (n,) float64, optional
        For each row a score that is among the known ones and does not count; NaN where all do.

    Returns
    -------
    (n, c) or (n,) float64
        From 1 / (m + 1) to 1.

    >>> p_values(np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.2, 1.0]))
    array([0.25, 0.75, 1.  ])
    """
    known = np.sort(known[~np.isnan(known)])
    counts = np.searchsorted(known, scores, side="right")
    total = np.full(len(scores), len(known))
    if left_out is not None:
        own = left_out.reshape(-1, *[1] * (scores.ndim - 1))
        counts = counts - (own <= scores)
        total -= ~np.isnan(left_out)
    return np.asarray((counts + 1) / (total.reshape(-1, *[1] * (scores.ndim - 1)) + 1))


def calibration_for(dataset: Dataset, confidence: float) -> Calibration:
    """Calibrate a dataset, and raise `DogsimError` unless it can promise so much."""
    check_confidence(confidence)
    calibration = calibration_of(dataset)
    needed = int(np.ceil(1 / (1 - confidence) - 1 - 1e-9))
    if calibration.counting < needed:
        seen = len(calibration.rows) - calibration.counting
        why = "ask for less confidence, or add pictures"
        if seen:
            why += f"; {seen} do not count because the network or the head has learned from them: "
            why += "dogsim deep-ranking --hold-back 0.2 leaves some out"
        raise DogsimError(
            f"Received confidence={confidence:g} and a dataset in which {calibration.counting} "
            f"pictures count. Expected at least {needed} of known breeds, no copies, for that "
            f"promise: {why}."
        )
    lost = float((calibration.own == 0).sum() + 1) / (calibration.counting + 1)
    # This is the p-value of a breed without a vote. Where all pictures vote, few make it large.
    if lost > 1 - confidence and len(calibration.rows) > K:
        raise DogsimError(
            f"Received confidence={confidence:g} and a dataset in which {lost:.1%} of the pictures "
            "have none of their own breed among those that vote. A set would hold every breed. "
            f"Expected a confidence of less than {1 - lost:.3f}."
        )
    return calibration


def check_confidence(confidence: float) -> None:
    """Raise `DogsimError` unless a confidence is more than 0 and less than 1."""
    if not 0 < confidence < 1:
        raise DogsimError(
            f"Received confidence={confidence}. Expected more than 0 and less than 1, as 0.9."
        )


def _asked(
    dataset: Dataset,
    calibration: Calibration,
    features: NDArray[np.float32],
    rows: NDArray[np.intp] | None,
) -> Iterator[tuple[Floats, Floats]]:
    """Yield the p-values of all breeds and of novelty, block after block."""
    places = np.full(len(features), -1)
    if rows is not None:
        places = np.where(rows >= 0, calibration.place[rows], -1)
    for start in range(0, len(features), BLOCK):
        some = slice(start, start + BLOCK)
        squares, labels = neighbourhood(
            dataset,
            calibration.rows,
            calibration.place,
            features[some],
            None if rows is None else rows[some],
        )
        shares = soft_votes(squares, labels, calibration.temperature, len(dataset.breeds))
        own, new = (
            np.where(places[some] >= 0, scores[places[some]], np.nan)
            for scores in (calibration.own, calibration.novelty)
        )
        novelty = -novelty_scores(squares, shares)
        yield p_values(calibration.own, shares, own), p_values(-calibration.novelty, novelty, -new)
