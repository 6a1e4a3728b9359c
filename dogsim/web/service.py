"""What the page asks of a dataset: who is near a picture, and why.

All that takes long is done by a few workers, and what they keep in memory is bounded. A picture
that is asked about is never written anywhere, and forgotten after an hour.
"""

import secrets
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.classify import Answer, answers_to
from dogsim.dataset import Dataset
from dogsim.dist_calc import check_k, check_metric
from dogsim.errors import DogsimError
from dogsim.explain import explain_row, origin_of
from dogsim.networks.extractor import Extractor
from dogsim.networks.extractor_for import extractor_for
from dogsim.retrieval.decomposition import Explanation, check_explained
from dogsim.trust.calibration import Calibration, calibration_for
from dogsim.web.pictures import Pictures, Seen, check_row
from dogsim.web.shelf import Shelf
from dogsim.web.worker import Worker

KEPT, SECONDS = 100, 3600  # pictures that may be asked about again, and for how long
EXPLAINED = 200  # explanations that are kept
MOST_K = 100
TOGETHER = 32  # pictures through the network, and queries through a search, at once

Features: TypeAlias = "NDArray[np.float32]"


@dataclass(frozen=True, eq=False)
class Query:
    """A picture with its features (d,): a row of the dataset, or one that somebody has brought.

    The latter has a name, which nobody can guess, and what was `seen` of it.
    """

    features: Features
    row: int | None = None
    name: str = ""
    seen: Seen | None = None


@dataclass(frozen=True)
class _Search:
    query: Query
    k: int
    metric: str
    calibration: Calibration | None

    @property
    def kind(self) -> tuple[int, str, bool, bool]:
        """What searches that are done together have in common."""
        return self.k, self.metric, self.query.row is None, self.calibration is None


@dataclass(frozen=True)
class _Why:
    query: Query
    other: int
    metric: str


class Desk:
    """A dataset that answers; its network and its calibration are prepared meanwhile.

    Parameters
    ----------
    dataset : Dataset
    weights, head : str, optional
        Where the dataset's weight file and head lie now, see `dogsim.extractor_for`.
    confidence : float
        What the answers promise.

    Attributes
    ----------
    network : Future
        Done once the network is there, with an exception if it cannot be had.
    calibration : Future of Calibration
        Done once an answer can promise something, with an exception if none can.
    """

    def __init__(
        self,
        dataset: Dataset,
        weights: str | None = None,
        head: str | None = None,
        confidence: float = 0.9,
    ) -> None:
        if len(dataset) < 2:
            raise DogsimError(f"Received a dataset of {len(dataset)} pictures. Expected 2 or more.")
        self.dataset, self.confidence = dataset, confidence
        self.version = secrets.token_hex(8)  # the next start may be of another dataset
        self.pictures = Pictures(dataset)
        self._weights, self._head = weights, head
        self._queries: Shelf[Query] = Shelf(KEPT, seconds=SECONDS)
        self._explained: Shelf[Explanation] = Shelf(EXPLAINED)
        self._origins: Shelf[NDArray[np.float64]] = Shelf(8)
        self._extractions: Worker[Seen | None, Features] = Worker(
            self._extracted, 128, TOGETHER, alike=lambda seen: seen is None
        )
        self._searches: Worker[_Search, Answer] = Worker(
            self._searched, 256, TOGETHER, alike=lambda search: search.kind
        )
        self._reasons: Worker[_Why, Explanation] = Worker(self._told_why, 16)
        self.network = self._extractions.ask(None)
        preparing: Worker[float, Calibration] = Worker(self._calibrated)
        self.calibration = preparing.ask(confidence)

    @property
    def most_k(self) -> int:
        """The largest k that may be asked for."""
        return min(MOST_K, len(self.dataset) - 1)

    def query(self, row: int | None, name: str) -> Query | None:
        """Find a query by its row, or by its name; None if it has been forgotten."""
        if row is None:
            return self._queries.get(name)
        check_row(row, len(self.dataset))
        return Query(np.asarray(self.dataset.features[row]), row)

    def extract(self, seen: Seen) -> "Future[Features]":
        """Send a picture through the network, once that is there."""
        return self._extractions.ask(seen)

    def keep(self, features: Features, seen: Seen) -> Query:
        """Keep a picture, so that it may be asked about again by its name."""
        query = Query(features, name=secrets.token_urlsafe(12), seen=seen)
        self._queries.put(query.name, query)
        return query

    def answer(self, query: Query, k: int, metric: str) -> "Future[Answer]":
        """Find the k nearest of a query, and let them vote; a row of the dataset not on itself."""
        check_k(k, self.most_k)
        check_metric(metric)
        calibration = self.calibration.result() if state(self.calibration) == READY else None
        return self._searches.ask(_Search(query, k, metric, calibration))

    def explain(self, query: Query, other: int, metric: str) -> "Future[Explanation]":
        """Explain to a query one of the dataset's pictures, once the network is there."""
        check_explained(metric)
        check_row(other, len(self.dataset))
        return self._reasons.ask(_Why(query, other, metric))

    def _calibrated(self, confidences: list[float]) -> list[Calibration]:
        return [calibration_for(self.dataset, confidence) for confidence in confidences]

    @cached_property
    def _extractor(self) -> Extractor:
        return extractor_for(self.dataset.recipe, self._weights, self._head)

    def _extracted(self, asked: Sequence[Seen | None]) -> Sequence[Features]:
        pixels = [each.pixels for each in asked if each]
        if not pixels:
            self._extractor.load()
        return list(self._extractor(np.stack(pixels))) if pixels else [np.empty(0, np.float32)]

    def _searched(self, asked: Sequence[_Search]) -> list[Answer]:
        first, features = asked[0], np.stack([each.query.features for each in asked])
        found = answers_to(
            features,
            self.dataset,
            first.k,
            first.metric,
            self.confidence if first.calibration else None,
            [each.query.row for each in asked],
            calibration=first.calibration,
        )
        return list(found)

    def _told_why(self, asked: Sequence[_Why]) -> list[Explanation]:
        return [self._reason(each.query, each.other, each.metric) for each in asked]

    def _reason(self, query: Query, other: int, metric: str) -> Explanation:
        name = query.row, query.name, other, metric
        kept = self._explained.get(name)
        if kept is None:
            self.network.result()
            origin = self._origins.get(metric)
            if origin is None:
                origin = origin_of(self.dataset, metric)
                self._origins.put(metric, origin)
            image = query.seen.pixels if query.seen else self.dataset.source(query.row or 0)
            kept = explain_row(image, self.dataset, other, self._extractor, metric, origin)
            self._explained.put(name, kept)
        return kept


READY, PREPARING, FAILED = "ready", "preparing", "failed"


def state(future: "Future[Any]") -> str:
    """Tell whether something is there, is being prepared, or cannot be had."""
    if not future.done():
        return PREPARING
    return FAILED if future.exception() else READY
