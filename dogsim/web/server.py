"""The page and its API as a Starlette application, and the server that runs it."""

import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.terminal import note
from dogsim.storage.hdf5 import ReplacedError
from dogsim.web.payloads import error_message
from dogsim.web.routes import Routes
from dogsim.web.security import (
    CsrfMiddleware,
    SecurityHeadersMiddleware,
    TokenMiddleware,
    error_response,
)
from dogsim.web.worker import BusyError

if TYPE_CHECKING:
    from dogsim.web.service import Service

LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1", "[::1]")


def create_app(
    service: "Service",
    hosts: Sequence[str] = LOOPBACK_HOSTS,
    token: str = "",
    reopen: "Callable[[], Service] | None" = None,
) -> Starlette:
    """Create the application.

    Parameters
    ----------
    service : Service
    hosts : sequence of str
        The host names that requests may use.
    token : str
        The token that every request needs; "" if none is required.
    reopen : callable, optional
        Opens the dataset again if its file was replaced.
    """
    routes = Routes(service, reopen)
    handlers: Any = {
        ReplacedError: routes.replaced,
        DogsimError: _dogsim_error,
        HTTPException: _http_error,
        ClientDisconnect: _disconnected,
        Exception: _internal_error,
    }
    middleware = [
        Middleware(SecurityHeadersMiddleware),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        *([Middleware(TokenMiddleware, token=token)] if token else []),
        Middleware(CsrfMiddleware),
    ]
    return Starlette(routes=routes.table(), middleware=middleware, exception_handlers=handlers)


def bind_socket(host: str, port: int) -> socket.socket:
    """Return a listening socket; raise `DogsimError` if the address cannot be used."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # allow a port that another process has just released
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(socket.SOMAXCONN)
    except (OSError, OverflowError) as error:
        raise DogsimError(
            f"Cannot listen on {host}, port {port}: {reason(error)}. Choose another one with "
            "--port N; --port 0 uses any free port."
        ) from error
    return bound


def run(app: Starlette, bound: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM, which uvicorn raises again at the end."""
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="critical",  # uvicorn's error log names files; `_internal_error` does not
        access_log=False,
        timeout_graceful_shutdown=1,
        server_header=False,
        ws="none",
        lifespan="off",
    )
    uvicorn.Server(config).run(sockets=[bound])


async def _dogsim_error(request: Request, error: Exception) -> Response:
    busy = isinstance(error, BusyError)
    return error_response(503 if busy else 400, error_message(error), retry=busy)


async def _http_error(request: Request, error: HTTPException) -> Response:
    return error_response(error.status_code, error.detail)


async def _disconnected(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # the client is gone


async def _internal_error(request: Request, error: Exception) -> Response:
    """Log the place of an unexpected error, but not its message, which may name an image."""
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    where = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}" if frame else "unknown place"
    note(f"dogsim: {type(error).__name__} in {where}")
    return error_response(500, "Internal error; the terminal shows where.")
