"""How good the answers of a dataset are, and what is wrong with it: computed once, when asked."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from dogsim.accuracy import measure
from dogsim.dataset import Dataset
from dogsim.retrieval.by_breed import confusions, per_breed
from dogsim.retrieval.evaluation import Neighbours, Search
from dogsim.trust.audit import Audit, audit
from dogsim.web.payloads import told_row
from dogsim.web.worker import Worker

if TYPE_CHECKING:
    from matplotlib.figure import Figure

K = 20  # neighbours that vote
PAIRS, ROWS = 40, 24  # confused breeds that are told, and pictures of each pair
FINDINGS = 200  # of a kind
FIGURES = ("curves", "confusions", "distances")


@dataclass(frozen=True, eq=False)
class Judged:
    """Numbers for the page, and figures as PNG files by their names, `FIGURES`."""

    told: dict[str, Any]
    figures: dict[str, bytes]


class Findings:
    """Judges and audits a dataset in a thread of its own, each once; the results stay."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._judge: Worker[None, Judged] = Worker(lambda asked: [_judged(dataset) for _ in asked])
        self._audit: Worker[None, dict[str, Any]] = Worker(
            lambda asked: [told_audit(audit(dataset), dataset) for _ in asked]
        )
        self._judged: Future[Judged] | None = None
        self._audited: Future[dict[str, Any]] | None = None

    def judged(self) -> "Future[Judged]":
        """Judge the dataset, see `dogsim.accuracy`, by leave-one-out and Euclidean distance."""
        self._judged = self._judged or self._judge.ask(None)
        return self._judged

    def audited(self) -> "Future[dict[str, Any]]":
        """Audit the dataset, see `dogsim.audit`."""
        self._audited = self._audited or self._audit.ask(None)
        return self._audited


def _judged(dataset: Dataset) -> Judged:
    # Here, since matplotlib takes a second to load, and the page is to be there at once.
    from dogsim.figures.evaluation import (
        MOST_K,
        confusion_matrix,
        curves_over_k,
        distance_histogram,
    )
    from dogsim.figures.tree import tree_order

    search = Search(dataset)
    found = search.neighbours(min(MOST_K, search.most))
    k = min(K, search.most)
    ks = [each for each in (1, 5, K) if each <= search.most]
    told = {
        "k": k,
        "results": [asdict(measure(found, each)) for each in ks],
        "per_breed": [asdict(each) for each in per_breed(found, k)],
        "confusions": _confused(found, k, dataset),
    }
    figures = {
        "curves": curves_over_k(found),
        "confusions": confusion_matrix(found, k, tree_order(dataset)),
        "distances": distance_histogram(dataset),
    }
    return Judged(told, {name: _png(figure) for name, figure in figures.items()})


def _confused(found: Neighbours, k: int, dataset: Dataset) -> list[dict[str, Any]]:
    """Tell the pairs of breeds most often confused, with the pictures that were."""
    answers = found.answers(k)
    names = np.array([*found.breeds, "unknown"])  # the last for label -1
    told = []
    for pair in confusions(found, k)[:PAIRS]:
        wrong = (names[found.truth] == pair.breed) & (names[answers] == pair.taken_for)
        rows = found.rows[wrong][:ROWS].tolist()
        told.append({**asdict(pair), "pictures": [told_row(row, dataset) for row in rows]})
    return told


def _png(figure: "Figure") -> bytes:
    content = BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()


def told_audit(found: Audit, dataset: Dataset) -> dict[str, Any]:
    """Tell what an audit found, with the pictures of each finding."""
    row_of = {path: row for row, path in enumerate(dataset.paths)}

    def finding(paths: Sequence[str], says: str) -> dict[str, Any]:
        return {"says": says, "pictures": [told_row(row_of[path], dataset) for path in paths]}

    groups = zip(found.duplicates, found.kinds, strict=True)
    labels = ((x, f"labelled {x.breed}, looks like {x.suggested}") for x in found.labels)
    kinds = {
        "duplicates": [finding(paths, kind) for paths, kind in groups],
        "labels": [finding([x.path], f"{says} (chance {x.chance:.0%})") for x, says in labels],
        "novel": [finding([x.path], f"fits nowhere (p = {x.p:.3f})") for x in found.novel],
        "poor": [finding([x.path], x.problem) for x in found.poor],
    }
    return {
        name: {"number": len(each), "findings": each[:FINDINGS]} for name, each in kinds.items()
    }
