"""JSON payloads of the HTTP API, and the answer as text."""

from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from dogsim.dist_calc import METRICS
from dogsim.errors import DogsimError
from dogsim.image_files.square import input_region
from dogsim.retrieval.decomposition import ANGULAR_METRICS, SQUARED_METRICS, captions
from dogsim.retrieval.pair_distances import fraction_farther
from dogsim.vote import count_votes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dogsim.dataset import Dataset
    from dogsim.retrieval.decomposition import Explanation
    from dogsim.trust.answer import Answer
    from dogsim.trust.conformal import PredictionSet

MAX_BREEDS_IN_TEXT = 5
MAX_PAIRED_PLACES = 256  # of an image; of more, the table of all pairs is omitted
SIGNIFICANT_DIGITS = 4
FIGURE_NAMES = ("curves", "confusions", "distances")  # of the evaluation report


def dataset_payload(dataset: "Dataset") -> dict[str, Any]:
    """Return the size of a dataset, its breeds with the first image of each, and the metrics."""
    _, first, counts = np.unique(dataset.labels, return_index=True, return_counts=True)  # (c,)
    breeds = [
        {**row_payload(int(row), dataset), "images": int(count)}
        for row, count in zip(first, counts, strict=True)
    ]
    return {
        "images": len(dataset),
        "breeds": breeds,
        "backbone": dataset.recipe.backbone if dataset.recipe else None,
        "metrics": METRICS,
        "explained": SQUARED_METRICS + ANGULAR_METRICS,
    }


def answer_payload(answer: "Answer", dataset: "Dataset", confidence: float) -> dict[str, Any]:
    """Return an answer, with its prediction set if it has one."""
    payload = {
        "words": answer_text(answer.breed, answer.trust),
        "promise": confidence_text(answer.trust, confidence),
        "flags": list(answer.flags),
        "flag_text": answer.flag_text,
        "breed": answer.breed,
        "votes": answer.votes,
        "runner_up": answer.runner_up,
        "runner_up_votes": answer.runner_up_votes,
        "neighbours": _neighbours_payload(answer, dataset),
    }
    if answer.trust is None:
        return payload | {"breeds": None, "unknown": None}
    trust = vars(answer.trust)
    return payload | {
        name: trust[name] for name in ("breeds", "unknown", "credibility", "novelty_p")
    }


def _neighbours_payload(answer: "Answer", dataset: "Dataset") -> list[dict[str, Any]]:
    rows, distances = answer.indices.tolist(), answer.distances.tolist()
    votes = count_votes(dataset.labels[answer.indices][None])[0].tolist()
    farther = fraction_farther(dataset, answer.distances, answer.metric)  # (k,)
    closer_than = [None] * len(rows) if farther is None else farther.round(4).tolist()
    return [
        {
            **row_payload(row, dataset),
            "distance": distance,
            "votes": count,
            "closer_than": fraction,
        }
        for row, distance, count, fraction in zip(rows, distances, votes, closer_than, strict=True)
    ]


def row_payload(row: int, dataset: "Dataset") -> dict[str, Any]:
    """Return the row, breed, label and path of an image of the dataset."""
    label = int(dataset.labels[row])
    return {"row": row, "breed": dataset.breed(row), "label": label, "path": dataset.paths[row]}


def answer_text(breed: str, trust: "PredictionSet | None") -> str:
    """Return the prediction set as text; without one, the breed that won the vote.

    >>> from dogsim.trust.conformal import PredictionSet
    >>> sure = PredictionSet(("beagle", "harrier"), np.array([0.9, 0.3]), 0.9, 0.5, unknown=False)
    >>> answer_text("beagle", sure)
    'beagle or harrier'
    """
    if trust is None:
        return breed
    if trust.unknown:
        return "none of the known breeds"
    breeds = list(trust.breeds[:MAX_BREEDS_IN_TEXT])
    if len(trust.breeds) > MAX_BREEDS_IN_TEXT:
        breeds.append(f"one of {len(trust.breeds) - MAX_BREEDS_IN_TEXT} more")
    *others, last = breeds
    return f"{', '.join(others)} or {last}" if others else last


def confidence_text(trust: "PredictionSet | None", confidence: float) -> str:
    """Return as text how often such an answer is right; "" without a prediction set.

    >>> from dogsim.trust.conformal import PredictionSet
    >>> confidence_text(PredictionSet(("pug",), np.array([0.9]), 0.9, 0.5, unknown=False), 0.9)
    'if it is one of these breeds, right 9 times in 10'
    """
    if trust is None:
        return ""
    if trust.unknown:
        return f"only {trust.novelty_p:.1%} of the known images fit as badly"
    fraction = Fraction(confidence).limit_denominator(1000)
    times = f"right {fraction.numerator} times in {fraction.denominator}"
    return f"if it is one of these breeds, {times}"


def explanation_payload(
    explanation: "Explanation", query_jpeg: bytes, other_jpeg: bytes
) -> dict[str, Any]:
    """Return an explanation: maps (h, w) of both images, and all pairs of places (h w, h w)."""
    height, width = explanation.query_parts.shape
    places = height * width
    pairs = explanation.pairs.reshape(places, -1)  # (h w, h w)
    recipe = explanation.recipe
    return {
        "metric": explanation.metric,
        "distance": explanation.distance,
        "sum": explanation.sum,
        "captions": list(captions(explanation)),
        "shape": [height, width],
        "query": {
            "likeness": _rounded(explanation.query_likeness),
            "parts": _rounded(explanation.query_parts),
            "box": network_region(query_jpeg, recipe.image_size, recipe.resize),
        },
        "other": {
            "likeness": _rounded(explanation.other_likeness),
            "parts": _rounded(explanation.other_parts),
            "box": network_region(other_jpeg, recipe.image_size, recipe.resize),
        },
        "best_pairs": explanation.strong_pairs().tolist(),
        "pairs": _rounded(pairs) if places <= MAX_PAIRED_PLACES else None,
    }


def network_region(jpeg: bytes, size: int, resize: str) -> tuple[float, float, float, float]:
    """Return the region that the network receives: left, top, right, bottom.

    0 and 1 are the edges of the image; of a padded one the region is larger.
    """
    with Image.open(BytesIO(jpeg)) as image:
        width, height = image.size
    left, top, right, bottom = input_region(width, height, size, resize)
    return left / width, top / height, right / width, bottom / height


def error_message(error: BaseException | None) -> str:
    """Return the message of a `DogsimError`, and only the class name of any other error."""
    return str(error) if isinstance(error, DogsimError) else type(error).__name__


def _rounded(numbers: "NDArray[np.floating]") -> list[list[float]]:
    """Round an array (h, w) to four significant digits of its largest number."""
    largest = float(np.abs(numbers).max(initial=0)) or 1.0
    digits = SIGNIFICANT_DIGITS - int(np.floor(np.log10(largest)))
    return [[round(number, digits) for number in row] for row in numbers.tolist()]
