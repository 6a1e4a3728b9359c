"""A dataset, its network and its caches behind the HTTP API.

Worker threads do all slow work, and every cache is bounded. An uploaded image is never written to
a file, and it is deleted after an hour.
"""

import json
import secrets
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from cachetools import LRUCache, cachedmethod

from dogsim.classify import answers_to
from dogsim.dataset import Dataset
from dogsim.dist_calc import check_k, check_metric
from dogsim.errors import DogsimError, counted
from dogsim.explain import explain_row, origin_of
from dogsim.figures.thumbnails import THUMBNAIL_SIZES, jpeg, original, thumbnail
from dogsim.image_files.square import min_decoded_side
from dogsim.images import load_image, opened
from dogsim.networks.extractor import Extractor
from dogsim.networks.extractor_for import extractor_for, require_recipe
from dogsim.plumbing.progress import StepProgress, watched
from dogsim.retrieval.decomposition import check_explained
from dogsim.retrieval.own_neighbours import own_nearest
from dogsim.retrieval.pair_distances import pair_distances
from dogsim.retrieval.query import Query
from dogsim.trust.answer import Answer
from dogsim.trust.audit import audit
from dogsim.trust.calibration import Calibration, calibration_for
from dogsim.trust.conformal import DEFAULT_COVERAGE
from dogsim.trust.coverage import novelty_test
from dogsim.trust.payload import findings_payload
from dogsim.web.payloads import explanation_payload
from dogsim.web.reports import EvaluationReport, evaluation_report
from dogsim.web.uploads import Features, ServedQuery, Upload, UploadCache
from dogsim.web.worker import BatchWorker, run_in_thread, state_of

MAX_THUMBNAIL_BYTES = 64_000_000  # of all cached thumbnails
MAX_EXPLANATION_BYTES = 64_000_000  # of all cached explanations
MAX_UPLOAD_PIXELS = 50_000_000  # 2.5 times as many in a JPEG; decoded, they take 200 MB
MAX_SERVED_K = 100
MAX_REQUESTS_PER_BATCH = 32  # images through the network, and queries through a search


@dataclass(frozen=True)
class _AnswerRequest:
    query: ServedQuery
    k: int
    metric: str
    calibration: Calibration | None

    @property
    def batch_key(self) -> tuple[int, str, bool, bool]:
        return self.k, self.metric, self.query.row is None, self.calibration is None


class Service:
    """A dataset that answers queries; its network and its calibration load in the background.

    Parameters
    ----------
    dataset : Dataset
    weights, head : str, optional
        The present paths of the dataset's weight file and head, see `dogsim.extractor_for`.
    confidence : float
        The confidence of the prediction sets.
    coverage : {"breed", "average"}
        As for `dogsim.classify`.

    Attributes
    ----------
    network : Future
        Done when the network is loaded; failed if it cannot be loaded.
    calibration : Future of Calibration
        Done when answers can have prediction sets; failed if they cannot.
    evaluation_progress, audit_progress : StepProgress, optional
        Of the step that the evaluation or the audit takes now.
    """

    def __init__(
        self,
        dataset: Dataset,
        weights: str | None = None,
        head: str | None = None,
        confidence: float = 0.9,
        coverage: str = DEFAULT_COVERAGE,
    ) -> None:
        if len(dataset) < 2:
            raise DogsimError(
                f"Received a dataset of {counted(len(dataset), 'image')}. Expected 2 or more."
            )
        self.dataset, self.confidence, self.coverage = dataset, confidence, coverage
        self.max_k = min(MAX_SERVED_K, len(dataset) - 1)
        self.version = secrets.token_hex(8)  # of ETags: the next start may serve another dataset
        self.evaluation_progress: StepProgress | None = None
        self.audit_progress: StepProgress | None = None
        self._weights, self._head = weights, head
        self._lock = threading.Lock()  # of all caches
        self.uploads = UploadCache()
        self._thumbnails: LRUCache[object, bytes] = LRUCache(MAX_THUMBNAIL_BYTES, getsizeof=len)
        self._explanations: LRUCache[object, bytes] = LRUCache(MAX_EXPLANATION_BYTES, getsizeof=len)
        self._start_workers()
        self.network = self._extractions.submit(None)
        self.calibration = run_in_thread(lambda: calibration_for(dataset, confidence))

    def _start_workers(self) -> None:
        batch = MAX_REQUESTS_PER_BATCH
        self._thumbnail_worker: BatchWorker[tuple[int, int], bytes] = BatchWorker(
            lambda requests: [self._thumbnail(*request) for request in requests], 1024, threads=2
        )
        self._originals: BatchWorker[int, tuple[bytes, str]] = BatchWorker(
            lambda rows: [original(self.dataset, row) for row in rows]
        )
        self._decoding: BatchWorker[bytes, Upload | int] = BatchWorker(
            lambda contents: [self._decode(content) for content in contents], threads=2
        )
        self._extractions: BatchWorker[Upload | None, Features] = BatchWorker(
            self._extract, 128, batch, batch_key=lambda upload: upload is None
        )
        self._searches: BatchWorker[_AnswerRequest, Answer] = BatchWorker(
            self._answer, 256, batch, batch_key=lambda request: request.batch_key
        )
        self._explaining: BatchWorker[tuple[ServedQuery, int, str], bytes] = BatchWorker(
            lambda requests: [self._explanation(*request) for request in requests], 16
        )

    @cached_property
    def evaluation(self) -> "Future[EvaluationReport]":
        """The evaluation of the dataset, computed at the first request."""

        def compute() -> "EvaluationReport":
            with watched(lambda progress: setattr(self, "evaluation_progress", progress)):
                return evaluation_report(self.dataset)

        return run_in_thread(compute)

    @cached_property
    def audit(self) -> "Future[dict[str, Any]]":
        """The payload of the audit of the dataset, computed at the first request."""

        def compute() -> dict[str, Any]:
            with watched(lambda progress: setattr(self, "audit_progress", progress)):
                return findings_payload(audit(self.dataset), self.dataset)

        return run_in_thread(compute)

    def thumbnail(self, row: int, size: int) -> "Future[bytes]":
        """Return a JPEG of an image; its longer side has at most `size` pixels."""
        self._check_row(row)
        if size not in THUMBNAIL_SIZES:
            sizes = ", ".join(map(str, THUMBNAIL_SIZES))
            raise DogsimError(f"Received size={size}. Expected {sizes}.")
        return self._thumbnail_worker.submit((row, size))

    def original(self, row: int) -> "Future[tuple[bytes, str]]":
        """Return the file of an image and its media type; as a JPEG if browsers cannot show it."""
        self._check_row(row)
        return self._originals.submit(row)

    def decode(self, content: bytes) -> "Future[Upload | int]":
        """Decode the content of an image file, or return its row if the dataset has the same file.

        Its errors are those of `dogsim.load_image`, and more than `MAX_UPLOAD_PIXELS`.
        """
        require_recipe(self.dataset.recipe)
        return self._decoding.submit(content)

    def extract(self, upload: Upload) -> "Future[Features]":
        """Extract the features (d,) of an upload when the network is loaded."""
        return self._extractions.submit(upload)

    def query(self, row: int | None, name: str) -> ServedQuery | None:
        """Find a query by its row, or by its name; None if the name is not in the cache."""
        if row is None:
            return self.uploads.get(name)
        self._check_row(row)
        return ServedQuery(np.asarray(self.dataset.features[row]), row)

    def answer(self, query: ServedQuery, k: int, metric: str) -> "Future[Answer]":
        """Find the k nearest neighbours of a query, except itself, and their vote."""
        check_k(k, self.max_k)
        check_metric(metric)
        ready = state_of(self.calibration) == "ready"
        calibration = self.calibration.result() if ready else None
        return self._searches.submit(_AnswerRequest(query, k, metric, calibration))

    def difference(self, query: ServedQuery, answer: Answer) -> str:
        """Return one line if the uploads so far differ from the dataset, else ""."""
        if query.upload is None or answer.trust is None:
            return ""
        novelty_p = self.uploads.add_novelty(query.name, answer.trust.novelty_p)
        test = novelty_test(novelty_p, self.calibration.result().n_calibrating)
        return test.text if test else ""

    def explain(self, query: ServedQuery, other: int, metric: str) -> "Future[bytes]":
        """Explain the distance of a query to row `other`, as JSON, when the network is loaded."""
        check_explained(metric)
        self._check_row(other)
        return self._explaining.submit((query, other, metric))

    def close(self) -> None:
        """End the worker threads when they have answered the requests in their queues."""
        for worker in (self._thumbnail_worker, self._originals, self._decoding, self._extractions):
            worker.close()
        self._searches.close()
        self._explaining.close()

    def _check_row(self, row: int) -> None:
        if not 0 <= row < len(self.dataset):
            last = len(self.dataset) - 1
            raise DogsimError(f"Received row {row}. Expected 0 to {last}, a row of the dataset.")

    @cachedmethod(lambda self: self._thumbnails, lock=lambda self: self._lock)
    def _thumbnail(self, row: int, size: int) -> bytes:
        return thumbnail(self.dataset, row, size)

    def _decode(self, content: bytes) -> Upload | int:
        recipe = require_recipe(self.dataset.recipe)
        query = Query.resolve(content, self.dataset)
        if query.row is not None:
            return query.row
        size, resize = recipe.image_size, recipe.resize
        # Decoded once: the pixels are those that `load_image` returns for the content.
        with opened(
            content, min_decoded_side(size, resize), pixel_limit=MAX_UPLOAD_PIXELS
        ) as image:
            pixels = load_image(image, size, resize)
            return Upload(pixels, jpeg(image, THUMBNAIL_SIZES[-1]), image.size)

    @cached_property
    def _extractor(self) -> Extractor:
        return extractor_for(self.dataset.recipe, self._weights, self._head)

    def _extract(self, uploads: Sequence[Upload | None]) -> Sequence[Features]:
        """Return the features of uploads; None only loads the network."""
        pixels = [upload.pixels for upload in uploads if upload]
        if not pixels:
            self._extractor.load()
            return [np.empty(0, np.float32)]
        return list(self._extractor(np.stack(pixels)))

    def _answer(self, requests: Sequence[_AnswerRequest]) -> list[Answer]:
        first = requests[0]  # the others have the same k and metric
        answers = answers_to(
            np.stack([request.query.features for request in requests]),  # (n, d)
            self.dataset,
            first.k,
            first.metric,
            self.confidence if first.calibration else None,
            [request.query.row for request in requests],
            calibration=first.calibration,
            coverage=self.coverage,
        )
        for cached in (own_nearest, pair_distances):  # here: the event loop must not wait for them
            cached(self.dataset, first.metric)
        uploads = [request.query.upload for request in requests]
        return [
            replace(answer, size=upload.size if upload else None)
            for answer, upload in zip(answers, uploads, strict=True)
        ]

    @cachedmethod(lambda self: self._explanations, lock=lambda self: self._lock)
    def _explanation(self, query: ServedQuery, other: int, metric: str) -> bytes:
        """Return an explanation as JSON, whose table of pairs may be far larger in memory."""
        self.network.result()  # waits, and raises if the network cannot be loaded
        image = query.upload.pixels if query.upload else self.dataset.source(query.row or 0)
        origin = origin_of(self.dataset, metric)
        explained = explain_row(image, self.dataset, other, self._extractor, metric, origin)
        side = THUMBNAIL_SIZES[-1]
        query_jpeg = query.upload.preview if query.upload else self._thumbnail(query.row or 0, side)
        payload = explanation_payload(explained, query_jpeg, self._thumbnail(other, side))
        return json.dumps(payload, allow_nan=False).encode()
