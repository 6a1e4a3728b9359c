"""A page to ask from, on one's own machine."""

import os
import secrets
import socket
import sys
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dogsim.cli.common import (
    HELD,
    Cluster,
    DatasetFile,
    Head,
    Json,
    Root,
    Weights,
    open_dataset,
    print_result,
)
from dogsim.errors import DogsimError
from dogsim.plumbing.signals import Terminated, sigterm_as_interrupt

if TYPE_CHECKING:
    from dogsim.dataset import Dataset

PORT = 8042
LEAST_TOKEN = 8  # letters
STOPPED = {KeyboardInterrupt: 130, Terminated: 143}  # exit status


def serve(
    dataset: DatasetFile = None,
    weights: Weights = None,
    head: Head = None,
    root: Root = None,
    host: Annotated[
        str, typer.Option(help="The address to listen on; other machines reach 0.0.0.0.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes any that is free.")] = PORT,
    token: Annotated[
        str | None, typer.Option(help="What one has to know to get in, at least 8 letters.")
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="A further name that browsers may call this machine by."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="How often the answer in words is to be right.")
    ] = 0.9,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Open a page to drop photos on, see the nearest and see why; only this machine reaches it.

    Ctrl-C ends it. What is dropped stays in memory, and is forgotten after an hour.

    Example: `dogsim serve --dataset dogs.h5`, then open http://127.0.0.1:8042 in a browser
    """
    _check_extra()
    from dogsim.plumbing.terminal import note
    from dogsim.trust.calibration import check_confidence
    from dogsim.web.server import app_of, listening, run
    from dogsim.web.service import Desk

    check_confidence(confidence)
    _check_token(host, token)
    with listening(host, port) as taken:
        known = _opened(dataset, weights, cluster)
        known = replace(known, root=str(root)) if root else known
        app = app_of(Desk(known, weights, head, confidence), _names(host, name or []), token or "")
        address = _address(host, taken.getsockname()[1])
        if not _is_loopback(host):
            note("Whoever knows the token reaches this page, and nothing is encrypted on the way.")
        said = f"{address} shows {len(known)} pictures. Ctrl-C ends it."
        print_result({"address": address, "pictures": len(known)}, as_json, said)
        sys.stdout.flush()
        try:
            with sigterm_as_interrupt():
                run(app, taken)
        except KeyboardInterrupt as stop:  # nothing is to be saved, and TensorFlow goes slowly
            note("dogsim: Stopped.")
            sys.stderr.flush()
            HELD.close()
            os._exit(STOPPED[type(stop)])


def _opened(file: Path | None, weights: str | None, cluster: str | None) -> "Dataset":
    """Open a dataset; a cluster that searches it is there before anybody asks, or refused."""
    known = open_dataset(file, weights)
    if cluster is None:
        return known
    from dogsim.cluster.search import SHORT, spread
    from dogsim.dist_calc import nearest

    known = HELD.enter_context(spread(known, cluster, SHORT))
    nearest(known, known.features[:1], 1)
    return known


def _check_extra() -> None:
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise DogsimError(f'The page needs {package}. Run: pip install "dogsim[web]"')


def _check_token(host: str, token: str | None) -> None:
    """Raise `DogsimError` unless only those get in who may."""
    if token is not None and not (len(token) >= LEAST_TOKEN and token.isascii()):
        raise DogsimError(
            f"Received a token of {len(token)} letters. Expected {LEAST_TOKEN} or more, of ASCII."
        )
    if token is None and not _is_loopback(host):
        raise DogsimError(
            f"Received --host {host}: other machines could open the page, which has no password. "
            f"Give it one that they have to know: --token {secrets.token_urlsafe(12)}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _names(host: str, more: list[str]) -> list[str]:
    """By which names and numbers browsers may call this machine."""
    from dogsim.web.server import LOOPBACK

    names = [*LOOPBACK, host, f"[{host}]", *more]
    if not _is_loopback(host):
        names += [socket.gethostname(), socket.getfqdn(), f"{socket.gethostname()}.local"]
        names += _own_numbers()
    return [each for each in names if "*" not in each]


def _own_numbers() -> list[str]:
    """The addresses of this machine, as far as it knows them."""
    numbers = []
    for family, outside in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect((outside, 9))  # sends nothing; it only chooses an address of our own
            numbers.append(route.getsockname()[0])
    return [name for number in numbers for name in (number, f"[{number}]")]


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
