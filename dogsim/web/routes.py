"""What each address of the HTTP API answers (docs/page-and-api.md)."""

import asyncio
import hashlib
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dogsim.dist_calc import METRICS
from dogsim.errors import DogsimError
from dogsim.plumbing.terminal import valid_unicode_in
from dogsim.retrieval.decomposition import ANGULAR, SQUARED
from dogsim.web.payloads import told_answer, told_error, told_row, told_why
from dogsim.web.pictures import seen_box
from dogsim.web.reports import FIGURES, Findings
from dogsim.web.service import FAILED, Desk, Query, state

PAGE = Path(__file__).parent / "page"
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
MOST_BYTES = 30_000_000  # of a picture that is asked about
UPLOADS = 8  # that are received at a time
SECONDS = 30  # that one may take
MOST_ROWS = 200  # in one answer

T = TypeVar("T")


class Routes:
    """A method for each address; `dogsim.web.server` says which."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self.dataset = desk, desk.dataset
        self.findings = Findings(desk.dataset)
        self.uploads = asyncio.Semaphore(UPLOADS)

    async def page(self, request: Request) -> Response:
        """One of the three files that the browser gets."""
        file = PAGE / FILES[request.url.path]
        content = file.read_bytes()
        return _cached(request, content, KINDS[file.suffix], hashlib.sha256(content).hexdigest())

    async def icon(self, request: Request) -> Response:
        """There is none; browsers ask for one all the same."""
        return Response(status_code=204)

    async def about(self, request: Request) -> Response:
        """What the dataset is, and what may be asked."""
        labels, recipe = self.dataset.labels, self.dataset.recipe
        _, first, counts = np.unique(labels, return_index=True, return_counts=True)
        breeds = [
            {**told_row(int(row), self.dataset), "pictures": int(count)}
            for row, count in zip(first, counts, strict=True)
        ]
        told = {
            "pictures": len(self.dataset),
            "breeds": breeds,
            "backbone": recipe.backbone if recipe else None,
            "metrics": METRICS,
            "explained": SQUARED + ANGULAR,
            "most_k": self.desk.most_k,
            "most_bytes": MOST_BYTES,
            "confidence": self.desk.confidence,
        }
        return _json(told)

    async def status(self, request: Request) -> Response:
        """Whether the network is there, and whether answers promise something."""
        told: dict[str, Any] = {}
        for name in ("network", "calibration"):
            future = getattr(self.desk, name)
            told[name] = state(future)
            failed = told[name] == FAILED
            told[f"{name}_problem"] = told_error(future.exception()) if failed else None
        return _json(told)

    async def rows(self, request: Request) -> Response:
        """Pictures of the dataset, all or of one breed."""
        start, count = _number(request, "start", 0), _number(request, "count", 60)
        rows = np.arange(len(self.dataset))
        if "label" in request.query_params:
            rows = rows[self.dataset.labels == _number(request, "label", -1)]
        some = rows[max(start, 0) :][: min(max(count, 0), MOST_ROWS)].tolist()
        told = {"number": len(rows), "rows": [told_row(row, self.dataset) for row in some]}
        return _json(told)

    async def picture(self, request: Request) -> Response:
        """A picture of the dataset, as a JPEG."""
        row, size = int(request.path_params["row"]), _number(request, "size", 320)
        tag = f"{self.desk.version}-{row}-{size}"
        if request.headers.get("if-none-match") == f'"{tag}"':
            return Response(status_code=304)
        making = self.desk.pictures.thumbnail(row, size)
        try:
            content = await _answer(making)
        except DogsimError as error:
            raise HTTPException(404, f"The picture of row {row} cannot be shown.") from error
        return _cached(request, content, "image/jpeg", tag)

    async def ask(self, request: Request) -> Response:
        """A picture that is brought: its content is the body. Answers with its name, or its row."""
        async with self.uploads:
            content = await _body(request)
            seen = await _answer(self.desk.pictures.look_at(content))
        if seen.row is not None:
            return _json({"row": seen.row, "query": None}, 201)
        query = self.desk.keep(await _answer(self.desk.extract(seen)), seen)
        return _json({"row": None, "query": query.name}, 201)

    async def asked(self, request: Request) -> Response:
        """A picture that was brought, as a JPEG."""
        query = self.desk.query(None, request.path_params["name"])
        if query is None or query.seen is None:
            raise _forgotten()
        return Response(query.seen.shown, media_type="image/jpeg")

    async def answer(self, request: Request) -> Response:
        """The k nearest of a picture, and what they say it is."""
        query, metric = self._query(request), _metric(request)
        k = _number(request, "k", min(20, self.desk.most_k))
        found = await _answer(self.desk.answer(query, k, metric))
        row = None if query.row is None else told_row(query.row, self.dataset)
        asked = {"row": row, "query": query.name or None, "k": k, "metric": metric}
        return _json(asked | told_answer(found, self.dataset, self.desk.confidence))

    async def explanation(self, request: Request) -> Response:
        """Which parts of a picture and of a neighbour bring the two together."""
        query, other = self._query(request), _number(request, "other", -1)
        why = await _answer(self.desk.explain(query, other, _metric(request)))
        shown = [query.seen.shown if query.seen else await self._shown(query.row)]
        shown.append(await self._shown(other))
        from dogsim.figures.heat_maps import captions

        told = told_why(why, captions(why))
        for name, each in zip(("query", "other"), shown, strict=True):
            told[name]["box"] = seen_box(each, why.recipe.image_size, why.recipe.resize)
        return _json(told)

    async def judging(self, request: Request) -> Response:
        """How good the answers are; 202 until that is known."""
        judged = self.findings.judged()
        return _json((await _answer(judged)).told) if judged.done() else _later()

    async def figure(self, request: Request) -> Response:
        """One of the figures of the judging, as a PNG file."""
        judged = self.findings.judged()
        name = request.path_params["name"]
        if name not in FIGURES:
            raise HTTPException(404, f"There is no figure {name}. There are {', '.join(FIGURES)}.")
        if not judged.done():
            return _later()
        return Response((await _answer(judged)).figures[name], media_type="image/png")

    async def audit(self, request: Request) -> Response:
        """What is wrong with the dataset; 202 until that is known."""
        audited = self.findings.audited()
        return _json(await _answer(audited)) if audited.done() else _later()

    def _query(self, request: Request) -> Query:
        named = request.query_params.get("query", "")
        if bool(named) == ("row" in request.query_params):
            raise DogsimError("Expected row=N, a picture of the dataset, or query=NAME, one's own.")
        query = self.desk.query(None if named else _number(request, "row", -1), named)
        if query is None:
            raise _forgotten()
        return query

    async def _shown(self, row: int | None) -> bytes:
        return await _answer(self.desk.pictures.thumbnail(row or 0, 640))


async def _answer(future: "Future[T]") -> T:
    return await asyncio.wrap_future(future)


async def _body(request: Request) -> bytes:
    """Receive a picture, as long as it is not too large."""
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > MOST_BYTES:
        raise _too_large()
    try:
        content = await asyncio.wait_for(_received(request), SECONDS)
    except asyncio.TimeoutError as error:
        raise HTTPException(408, f"The picture took longer than {SECONDS} s to come.") from error
    if not content:
        raise DogsimError("Received no picture. Expected the content of its file as the body.")
    return content


async def _received(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise _too_large()
    return bytes(content)


def _too_large() -> HTTPException:
    return HTTPException(413, f"The picture has more than {MOST_BYTES / 1e6:.0f} MB.")


def _forgotten() -> HTTPException:
    return HTTPException(404, "That picture has been forgotten. Bring it again.")


def _later() -> Response:
    return JSONResponse({"state": "working"}, 202, {"retry-after": "1"})


def _json(told: Any, status: int = 200) -> Response:
    return JSONResponse(valid_unicode_in(told), status)


def _cached(request: Request, content: bytes, kind: str, tag: str) -> Response:
    """Let the browser keep something, and ask whether it has changed."""
    headers = {"etag": f'"{tag}"', "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


def _number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not text.removeprefix("-").isdecimal() or len(text) > 9:
        raise DogsimError(f"Received {name}={text[:20]}. Expected a whole number.")
    return int(text)


def _metric(request: Request) -> str:
    return request.query_params.get("metric", METRICS[0])
