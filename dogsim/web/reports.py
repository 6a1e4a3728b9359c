"""The evaluation of a dataset as shown on the page: numbers, tables and figures."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.scores import Neighbours, confusions, per_breed
from dogsim.web.payloads import row_payload

if TYPE_CHECKING:
    from dogsim.dataset import Dataset

REPORTED_KS = (1, 5, 20)  # numbers of neighbours; the last one for tables and figures
MAX_CONFUSED_PAIRS = 40
MAX_IMAGES_OF_PAIR = 24
MAX_EVALUATED_PAIRS, MIN_EVALUATED_QUERIES = 1_000_000_000, 1000  # searched in a minute


@dataclass(frozen=True, eq=False)
class EvaluationReport:
    """Numbers as a payload, and figures as PNG files by their names, `payloads.FIGURE_NAMES`."""

    payload: dict[str, Any]
    figures: dict[str, bytes]


def evaluation_report(dataset: "Dataset") -> EvaluationReport:
    """Evaluate a dataset by leave-one-out and Euclidean distance, see `dogsim.accuracy`.

    Of a large dataset only some images, drawn at random, are queries.
    """
    # Imported here, because matplotlib takes a second to load and the page must not wait for it.
    from dogsim.figures.canvas import png_of
    from dogsim.figures.evaluation import (
        MAX_CURVE_K,
        confusion_matrix,
        curves_over_k,
        distance_histogram,
    )
    from dogsim.figures.tree import tree_order

    evaluation = Evaluation(dataset, n_test=_n_drawn(dataset))
    found = evaluation.neighbours(min(MAX_CURVE_K, evaluation.max_k))
    votes = found.first(min(REPORTED_KS[-1], evaluation.max_k))
    payload = {
        "k": votes.k,
        "drawn": evaluation.n_test is not None,
        "results": [asdict(each) for each in evaluation.accuracies(_ks(evaluation.max_k))],
        "per_breed": [asdict(breed) for breed in per_breed(votes)],
        "confusions": _confusions_payload(votes, dataset),
    }
    figures = {
        "curves": curves_over_k(found),
        "confusions": confusion_matrix(votes, tree_order(dataset)),
        "distances": distance_histogram(dataset),
    }
    return EvaluationReport(payload, {name: png_of(figure) for name, figure in figures.items()})


def _ks(max_k: int) -> list[int]:
    return [k for k in REPORTED_KS if k <= max_k]


def _n_drawn(dataset: "Dataset") -> int | None:
    """Return the number of queries to draw at random, None for all images."""
    n_drawn = max(MIN_EVALUATED_QUERIES, MAX_EVALUATED_PAIRS // len(dataset))
    return n_drawn if n_drawn < np.count_nonzero(dataset.labels >= 0) else None


def _confusions_payload(found: Neighbours, dataset: "Dataset") -> list[dict[str, Any]]:
    """Return the pairs of breeds that are confused most often, each with the confused images."""
    predictions = found.predictions  # (n,)
    breeds = np.array([*found.breeds, "unknown"])  # the last one for label -1
    payload = []
    for pair in confusions(found)[:MAX_CONFUSED_PAIRS]:
        confused = (breeds[found.truth] == pair.breed) & (breeds[predictions] == pair.taken_for)
        rows = found.rows[confused][:MAX_IMAGES_OF_PAIR].tolist()
        payload.append({**asdict(pair), "images": [row_payload(row, dataset) for row in rows]})
    return payload
