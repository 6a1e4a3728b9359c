"""The page and its routes, the HTTP API of a dataset (docs/page-and-api.md), for Starlette."""

import asyncio
import hashlib
import socket
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dogsim.dist_calc import METRICS
from dogsim.errors import DogsimError, reason
from dogsim.explain import ANGULAR, SQUARED
from dogsim.plumbing.terminal import note, valid_in
from dogsim.web.desk import FAILED, Desk, Query, state
from dogsim.web.findings import FIGURES, Findings
from dogsim.web.guard import OwnRequests, SafeAnswers, TokenOnly, refusal
from dogsim.web.pictures import seen_box
from dogsim.web.told import told_answer, told_row, told_why
from dogsim.web.worker import BusyError

PAGE = Path(__file__).parent / "page"
FILES = {"/": "index.html", "/page.css": "page.css", "/page.js": "page.js"}
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
MOST_BYTES = 30_000_000  # of a picture that is asked about
UPLOADS = 8  # that are received at a time
SECONDS = 30  # that one may take
MOST_ROWS = 200  # in one answer
LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")

T = TypeVar("T")


class Routes:
    """What each address answers; see docs/page-and-api.md."""

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
            told[f"{name}_problem"] = _told(future.exception()) if state(future) == FAILED else None
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


def app_of(desk: Desk, hosts: Sequence[str] = LOOPBACK, token: str = "") -> Starlette:
    """Make the application.

    Parameters
    ----------
    desk : Desk
    hosts : sequence of str
        By which names browsers may call it.
    token : str
        Who does not know it gets nothing; "" lets everybody in.
    """
    routes = Routes(desk)
    middleware = [
        Middleware(SafeAnswers),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        *([Middleware(TokenOnly, token=token)] if token else []),
        Middleware(OwnRequests),
    ]
    return Starlette(
        routes=[
            *(Route(path, routes.page) for path in FILES),
            Route("/favicon.ico", routes.icon),
            Route("/api/dataset", routes.about),
            Route("/api/status", routes.status),
            Route("/api/rows", routes.rows),
            Route("/api/pictures/{row:int}", routes.picture),
            Route("/api/queries", routes.ask, methods=["POST"]),
            Route("/api/queries/{name}/picture", routes.asked),
            Route("/api/answer", routes.answer),
            Route("/api/explanation", routes.explanation),
            Route("/api/judging", routes.judging),
            Route("/api/judging/{name}.png", routes.figure),
            Route("/api/audit", routes.audit),
        ],
        middleware=middleware,
        exception_handlers={
            DogsimError: _refused,
            HTTPException: _not_done,
            ClientDisconnect: _gone,
            Exception: _broken,
        },
    )


def listening(host: str, port: int) -> socket.socket:
    """Take a port; raises `DogsimError` if it is taken, or the host is none of this machine."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        taken = socket.socket(family, kind, protocol)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # a port that was given back a moment ago is free
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(socket.SOMAXCONN)
    except (OSError, OverflowError) as error:
        raise DogsimError(
            f"Cannot listen on {host}, port {port}: {reason(error)}. Choose another one with "
            "--port N; --port 0 takes any that is free."
        ) from error
    return taken


def run(app: Starlette, taken: socket.socket) -> None:
    """Answer until Ctrl-C or SIGTERM, which are raised again in the end."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",  # what uvicorn tells of an error names files; `_broken` does not
        access_log=False,
        timeout_graceful_shutdown=1,
        server_header=False,
        ws="none",
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[taken])


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
    return JSONResponse(valid_in(told), status)


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


def _told(error: BaseException | None) -> str:
    return str(error) if isinstance(error, DogsimError) else type(error).__name__


async def _refused(request: Request, error: Exception) -> Response:
    busy = isinstance(error, BusyError)
    return refusal(503 if busy else 400, _told(error), retry=busy)


async def _not_done(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail)


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


async def _broken(request: Request, error: Exception) -> Response:
    """Tell that something is broken, and where, but nothing of whose picture it was."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "somewhere"
    note(f"dogsim: {type(error).__name__} in {where}")
    return refusal(500, "Something is broken here; the terminal says where.")
