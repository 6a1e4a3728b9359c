"""Answers and explanations as JSON, and the answer in words."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from dogsim.classify import Answer
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.retrieval.decomposition import Explanation
from dogsim.trust.conformal import PredictionSet
from dogsim.vote import count_votes

NAMED = 5  # breeds, at most, in the answer in words
MOST_PAIRS = 256  # places of a picture, of which all pairs are told


def told_answer(answer: Answer, dataset: Dataset, confidence: float) -> dict[str, Any]:
    """Tell an answer, with what it promises where it promises something."""
    labels = dataset.labels[answer.indices]
    votes = count_votes(labels[None])[0].tolist()
    neighbours = zip(answer.indices.tolist(), answer.distances.tolist(), votes, strict=True)
    told = {
        "words": words(answer.breed, answer.trust),
        "promise": promise(answer.trust, confidence),
        "breed": answer.breed,
        "votes": answer.votes,
        "runner_up": answer.runner_up,
        "runner_up_votes": answer.runner_up_votes,
        "neighbours": [
            {**told_row(row, dataset), "distance": distance, "votes": each}
            for row, distance, each in neighbours
        ],
    }
    if answer.trust is None:
        return told | {"breeds": None, "unknown": None}
    trust = vars(answer.trust)
    return told | {name: trust[name] for name in ("breeds", "unknown", "credibility", "novelty_p")}


def told_row(row: int, dataset: Dataset) -> dict[str, Any]:
    """Tell what is known of a picture of the dataset."""
    label = int(dataset.labels[row])
    return {"row": row, "breed": dataset.breed(row), "label": label, "path": dataset.paths[row]}


def words(breed: str, trust: PredictionSet | None) -> str:
    """Say in words what a picture is.

    >>> sure = PredictionSet(("beagle", "harrier"), np.array([0.9, 0.3]), 0.9, 0.5, unknown=False)
    >>> words("beagle", sure)
    'beagle or harrier'
    """
    if trust is None:
        return breed
    if trust.unknown:
        return "none of the known breeds"
    *others, last = [*trust.breeds[:NAMED], *more_than(trust.breeds)]
    return f"{', '.join(others)} or {last}" if others else last


def more_than(breeds: Sequence[str]) -> list[str]:
    """Say how many breeds there are beyond those that are named."""
    return [f"one of {len(breeds) - NAMED} more"] if len(breeds) > NAMED else []


def promise(trust: PredictionSet | None, confidence: float) -> str:
    """Say in words how often such an answer is right, "" where nothing is promised.

    >>> promise(PredictionSet(("pug",), np.array([0.9]), 0.9, 0.5, unknown=False), 0.9)
    'right 9 times in 10'
    """
    if trust is None:
        return ""
    if trust.unknown:
        return f"only {trust.novelty_p:.1%} of the known pictures fit as badly"
    part = Fraction(confidence).limit_denominator(1000)
    return f"right {part.numerator} times in {part.denominator}"


def told_why(why: Explanation, captions: Sequence[str]) -> dict[str, Any]:
    """Tell an explanation: maps (h, w) of both pictures, and all pairs of places (h w, h w)."""
    height, width = why.query_parts.shape
    few = height * width <= MOST_PAIRS
    pairs = why.pairs.reshape(height * width, -1)
    return {
        "metric": why.metric,
        "distance": why.distance,
        "sum": why.sum,
        "captions": list(captions),
        "shape": [height, width],
        "query": {"likeness": _short(why.query_likeness), "parts": _short(why.query_parts)},
        "other": {"likeness": _short(why.other_likeness), "parts": _short(why.other_parts)},
        "best_pairs": why.best_pairs().tolist(),
        "pairs": _short(pairs) if few else None,
    }


def told_error(error: BaseException | None) -> str:
    """Tell an error of ours in its own words, and of another no more than its name."""
    return str(error) if isinstance(error, DogsimError) else type(error).__name__


def _short(numbers: "np.ndarray[Any, Any]") -> list[list[float]]:
    """Round to what can be seen, four digits of the largest."""
    most = float(np.abs(numbers).max(initial=0)) or 1.0
    digits = 4 - int(np.floor(np.log10(most)))
    return [[round(each, digits) for each in row] for row in numbers.tolist()]
