"""The evaluation of a dataset as shown on the page: numbers, tables and figures."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.scores import Neighbours, confusions, per_breed
from dogsim.vote import small_breeds_warning
from dogsim.web.payloads import row_payload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dogsim.dataset import Dataset
    from dogsim.retrieval.scores import Accuracy

REPORTED_KS = (1, 5, 20)  # numbers of neighbours; the last one for tables and figures
HISTOGRAM_BINS = 80
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
    from dogsim.figures import evaluation as figures
    from dogsim.figures.canvas import png_of
    from dogsim.figures.distances import tree_order

    evaluation = Evaluation(dataset, n_test=_n_drawn(dataset))
    found = evaluation.neighbours(min(figures.MAX_CURVE_K, evaluation.max_k))
    votes = found.first(min(REPORTED_KS[-1], evaluation.max_k))
    each_k, order = figures.measure_each_k(found), tree_order(dataset)
    payload = {
        "k": votes.k,
        "warning": small_breeds_warning(votes.k, dataset.breed_sizes),
        "drawn": evaluation.n_test is not None,
        "results": [asdict(each) for each in each_k if each.k in REPORTED_KS],
        "per_breed": [asdict(breed) for breed in per_breed(votes)],
        "confusions": _confusions_payload(votes, dataset),
        "curves": _curves_payload(each_k),
        "distances": _distances_payload(*figures.sampled_distances(dataset, "euclidean", 0)),
        "matrix": _matrix_payload(votes, order),
    }
    drawn = {
        "curves": figures.draw_curves(each_k),
        "confusions": figures.confusion_matrix(votes, order),
        "distances": figures.distance_histogram(dataset),
    }
    return EvaluationReport(payload, {name: png_of(figure) for name, figure in drawn.items()})


def _curves_payload(each_k: "Sequence[Accuracy]") -> dict[str, Any]:
    """Return the scores by k, each rounded, as the page draws them."""
    return {
        "k": [each.k for each in each_k],
        "precision": [round(each.precision_at_k, 4) for each in each_k],
        "recall": [round(each.recall_at_k, 4) for each in each_k],
        "vote_accuracy": [round(each.vote_accuracy, 4) for each in each_k],
        "vote_accuracy_ci95": [
            np.round(result.vote_accuracy_ci95, 4).tolist() for result in each_k
        ],
        "chance": each_k[0].chance,
    }


def _distances_payload(*samples: "NDArray[np.float64]") -> dict[str, list[float]]:
    """Return histograms of area 1 with common edges: own breed, other breeds, nearest image."""
    longest = max((float(sample.max(initial=0)) for sample in samples), default=0) or 1.0
    edges = np.linspace(0, longest, HISTOGRAM_BINS + 1)
    names = ("own", "other", "nearest")
    densities = {
        name: np.histogram(sample, edges, density=True)[0].round(6).tolist() if len(sample) else []
        for name, sample in zip(names, samples, strict=True)
    }
    return {"edges": edges.round(6).tolist(), **densities}


def _matrix_payload(found: Neighbours, order: "NDArray[np.integer]") -> dict[str, Any]:
    """Return the confusion matrix: breeds in an order, and cells (row, column, count)."""
    predictions = found.predictions  # (n,)
    labels = [label for label in order if label in found.truth or label in predictions]
    place = {label: i for i, label in enumerate(labels)}
    pairs = Counter(zip(found.truth.tolist(), predictions.tolist(), strict=True))
    cells = [
        [place[truth], place[answer], count]
        for (truth, answer), count in sorted(pairs.items())
        if truth in place and answer in place
    ]
    return {"breeds": [found.breeds[label] for label in labels], "cells": cells}


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
