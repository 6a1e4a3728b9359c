"""Routes of the page and of its HTTP API (docs/page-and-api.md)."""

import asyncio
import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dogsim.dist_calc import DEFAULT_K, METRICS
from dogsim.errors import DogsimError
from dogsim.plumbing.terminal import note, valid_unicode_in
from dogsim.storage.hdf5 import ReplacedError
from dogsim.web.page_files import INDEX, PAGE_FILES
from dogsim.web.payloads import (
    FIGURE_NAMES,
    answer_payload,
    dataset_payload,
    error_message,
    row_payload,
)
from dogsim.web.security import error_response
from dogsim.web.worker import BusyError, state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from dogsim.dataset import Dataset
    from dogsim.plumbing.progress import StepProgress
    from dogsim.web.service import Service
    from dogsim.web.uploads import ServedQuery, Upload

Result = TypeVar("Result")
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
MAX_BODY_BYTES = 30_000_000
MAX_BODY_SECONDS = 30
MAX_PARALLEL_DECODINGS = 8
MAX_PENDING_BYTES = 240_000_000  # of all bodies that are being received or decoded
MAX_ROWS_PER_RESPONSE = 200


class Routes:
    """A method for each route; `table` lists them."""

    def __init__(self, service: "Service", reopen: "Callable[[], Service] | None") -> None:
        self.service, self._reopen, self._reopening = service, reopen, asyncio.Lock()
        self.decodings = asyncio.Semaphore(MAX_PARALLEL_DECODINGS)
        self.pending_bytes = 0  # of bodies that are being received or decoded

    @property
    def dataset(self) -> "Dataset":
        """The dataset that is served."""
        return self.service.dataset

    async def replaced(self, request: Request, error: Exception) -> Response:
        """Open the dataset again if its file has changed, and ask for the request again."""
        async with self._reopening:
            old = self.service
            try:
                _ = old.dataset.features[:0]  # succeeds if another request has opened it
            except ReplacedError:
                if self._reopen is None:
                    return error_response(503, error_message(error), retry=True)
                try:
                    self.service = await asyncio.to_thread(self._reopen)
                except DogsimError as failed:  # such as a file that is being written
                    return error_response(503, error_message(failed), retry=True)
                old.close()
                note("The dataset was replaced and has been opened again.")
        return error_response(503, "The dataset was replaced. Load the page again.", retry=True)

    def table(self) -> list[Route]:
        """Return all routes."""
        return [
            *(Route(path, self.page) for path in ("/", *(f"/{name}" for name in PAGE_FILES))),
            Route("/favicon.ico", self.icon),
            Route("/api/dataset", self.about),
            Route("/api/status", self.status),
            Route("/api/rows", self.rows),
            Route("/api/pictures/{row:int}", self.image),
            Route("/api/pictures/{row:int}/original", self.original),
            Route("/api/queries", self.upload, methods=["POST"]),
            Route("/api/queries/{name}/picture", self.uploaded_image),
            Route("/api/answer", self.answer),
            Route("/api/explanation", self.explanation),
            Route("/api/judging", self.evaluation),
            Route("/api/judging/{name}.png", self.figure),
            Route("/api/audit", self.audit),
        ]

    async def page(self, request: Request) -> Response:
        """Return one of the files of the page."""
        file = PAGE_FILES[request.url.path.removeprefix("/") or INDEX]
        content, media_type = file.read_bytes(), MEDIA_TYPES[file.suffix]
        return _cacheable(request, content, media_type, hashlib.sha256(content).hexdigest())

    async def icon(self, request: Request) -> Response:
        """Return an empty response: there is no icon, but browsers request one."""
        return Response(status_code=204)

    async def about(self, request: Request) -> Response:
        """Return the dataset's breeds and the limits of the API."""
        limits = {
            "most_k": self.service.max_k,
            "most_bytes": MAX_BODY_BYTES,
            "confidence": self.service.confidence,
            "coverage": self.service.coverage,
        }
        return _json(dataset_payload(self.dataset) | limits)

    async def status(self, request: Request) -> Response:
        """Return the states of the network and of the calibration."""
        payload: dict[str, str | None] = {}
        for name in ("network", "calibration"):
            future = getattr(self.service, name)
            payload[name] = state_of(future)
            failed = payload[name] == "failed"
            payload[f"{name}_problem"] = error_message(future.exception()) if failed else None
        return _json(payload)

    async def rows(self, request: Request) -> Response:
        """Return rows of the dataset, of one breed or of all."""
        start, count = _integer(request, "start", 0), _integer(request, "count", 60)
        rows = np.arange(len(self.dataset))
        if "label" in request.query_params:
            rows = rows[self.dataset.labels == _integer(request, "label", -1)]
        page = rows[max(start, 0) :][: min(max(count, 0), MAX_ROWS_PER_RESPONSE)].tolist()
        payload = {"number": len(rows), "rows": [row_payload(row, self.dataset) for row in page]}
        return _json(payload)

    async def image(self, request: Request) -> Response:
        """Return an image of the dataset as a JPEG."""
        row, size = int(request.path_params["row"]), _integer(request, "size", 320)
        etag = f"{self.service.version}-{row}-{size}"
        if request.headers.get("if-none-match") == f'"{etag}"':
            return Response(status_code=304)
        content = await _readable(self.service.thumbnail(row, size), row)
        return _cacheable(request, content, "image/jpeg", etag)

    async def original(self, request: Request) -> Response:
        """Return the file of an image of the dataset."""
        row = int(request.path_params["row"])
        content, media_type = await _readable(self.service.original(row), row)
        return Response(content, media_type=media_type)

    async def upload(self, request: Request) -> Response:
        """Add an uploaded image; return its name, or its row if the dataset has the same file."""
        upload = await self._decoded(request)
        if isinstance(upload, int):
            return _json({"row": upload, "query": None}, 201)
        features = await asyncio.wrap_future(self.service.extract(upload))
        return _json({"row": None, "query": self.service.uploads.add(features, upload).name}, 201)

    async def uploaded_image(self, request: Request) -> Response:
        """Return an uploaded image as a JPEG."""
        query = self.service.query(None, request.path_params["name"])
        if query is None or query.upload is None:
            raise _expired()
        return Response(query.upload.preview, media_type="image/jpeg")

    async def answer(self, request: Request) -> Response:
        """Return the k nearest neighbours of a query and their vote."""
        query, metric = self._query(request), _metric(request)
        k = _integer(request, "k", min(DEFAULT_K, self.service.max_k))
        answer = await asyncio.wrap_future(self.service.answer(query, k, metric))
        row = None if query.row is None else row_payload(query.row, self.dataset)
        payload = {"row": row, "query": query.name or None, "k": k, "metric": metric}
        payload["difference"] = self.service.difference(query, answer)
        return _json(payload | answer_payload(answer, self.dataset, self.service.confidence))

    async def explanation(self, request: Request) -> Response:
        """Return the contribution of each place of a query and of a neighbour to their distance."""
        query, other = self._query(request), _integer(request, "other", -1)
        explaining = self.service.explain(query, other, _metric(request))
        return Response(await asyncio.wrap_future(explaining), media_type="application/json")

    async def evaluation(self, request: Request) -> Response:
        """Return the scores of the dataset; 202 with the progress until they are computed."""
        future, progress = self.service.evaluation, self.service.evaluation_progress
        return _json(future.result().payload) if future.done() else _not_ready(progress)

    async def figure(self, request: Request) -> Response:
        """Return a figure of the evaluation as a PNG file; 202 until it is drawn."""
        name, future = request.path_params["name"], self.service.evaluation
        if name not in FIGURE_NAMES:
            names = ", ".join(FIGURE_NAMES)
            raise HTTPException(404, f"There is no figure {name}. Expected one of {names}.")
        if not future.done():
            return _not_ready(self.service.evaluation_progress)
        return Response(future.result().figures[name], media_type="image/png")

    async def audit(self, request: Request) -> Response:
        """Return the findings of the audit; 202 with the progress until they are computed."""
        future, progress = self.service.audit, self.service.audit_progress
        return _json(future.result()) if future.done() else _not_ready(progress)

    def _query(self, request: Request) -> "ServedQuery":
        name = request.query_params.get("query", "")
        if bool(name) == ("row" in request.query_params):
            raise DogsimError("Expected row=N, a row of the dataset, or query=NAME, an upload.")
        query = self.service.query(None if name else _integer(request, "row", -1), name)
        if query is None:
            raise _expired()
        return query

    async def _decoded(self, request: Request) -> "Upload | int":
        """Receive an image file and decode it, see `Service.decode`.

        A body counts with what it has sent until it is decoded, so one that never ends delays no
        other. Raises an error if the body is too large, too slow or empty.
        """
        length = request.headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            raise _too_large()
        content = bytearray()
        try:
            await asyncio.wait_for(self._receive(request, content), MAX_BODY_SECONDS)
            async with self.decodings:
                return await asyncio.wrap_future(self.service.decode(bytes(content)))
        except asyncio.TimeoutError as error:
            raise HTTPException(408, f"The upload took more than {MAX_BODY_SECONDS} s.") from error
        finally:
            self.pending_bytes -= len(content)

    async def _receive(self, request: Request, content: bytearray) -> None:
        async for chunk in request.stream():
            content += chunk
            self.pending_bytes += len(chunk)
            if len(content) > MAX_BODY_BYTES:
                raise _too_large()
            if self.pending_bytes > MAX_PENDING_BYTES:
                raise BusyError("Too many uploads at once. Send the image again in a second.")
        if not content:
            raise DogsimError("Received no image. Expected the content of its file as the body.")


async def _readable(image: "Future[Result]", row: int) -> "Result":
    """Wait for an image of the dataset; a 404 has no path, which the message of an error may."""
    try:
        return await asyncio.wrap_future(image)
    except DogsimError as error:
        raise HTTPException(404, f"The image of row {row} cannot be read.") from error


def _too_large() -> HTTPException:
    return HTTPException(413, f"The image has more than {MAX_BODY_BYTES / 1e6:.0f} MB.")


def _expired() -> HTTPException:
    return HTTPException(404, "The upload has expired. Upload the image again.")


def _not_ready(progress: "StepProgress | None") -> Response:
    payload = {"state": "working", "progress": asdict(progress) if progress else None}
    return JSONResponse(payload, 202, {"retry-after": "1"})


def _json(payload: Any, status: int = 200) -> Response:
    return JSONResponse(valid_unicode_in(payload), status)


def _cacheable(request: Request, content: bytes, media_type: str, etag: str) -> Response:
    """Return content that the browser may cache, or 304 if its copy is still valid."""
    headers = {"etag": f'"{etag}"', "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _integer(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise DogsimError(f"Received {name}={text[:20]}. Expected a whole number.")
    return int(text)


def _metric(request: Request) -> str:
    return request.query_params.get("metric", METRICS[0])
