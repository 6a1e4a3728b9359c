"""The page and its API as an application for Starlette, and the port on which it answers."""

import socket
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.terminal import note
from dogsim.web.payloads import told_error
from dogsim.web.routes import FILES, Routes
from dogsim.web.security import OwnRequests, SafeAnswers, TokenOnly, refusal
from dogsim.web.service import Desk
from dogsim.web.worker import BusyError

LOOPBACK = ("127.0.0.1", "localhost", "::1", "[::1]")


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


async def _refused(request: Request, error: Exception) -> Response:
    busy = isinstance(error, BusyError)
    return refusal(503 if busy else 400, told_error(error), retry=busy)


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
