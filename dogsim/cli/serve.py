"""The command that serves the page, or writes a static copy of it."""

import os
import secrets
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dogsim.cli import option
from dogsim.cli.common import (
    EXIT_STATUS,
    OPEN_RESOURCES,
    open_dataset,
    print_result,
    refuse_others,
)
from dogsim.errors import DogsimError, counted
from dogsim.plumbing.optional import check_installed
from dogsim.plumbing.signals import sigterm_as_interrupt

if TYPE_CHECKING:
    from dogsim.dataset import Dataset
    from dogsim.web.export import Export

DEFAULT_PORT = 8042
MIN_TOKEN_LENGTH = 8
EXPORT_OPTIONS = ("export", "dataset", "weights", "root", "confidence", "coverage", "as_json")
EXPECTED_WITH_EXPORT = (
    "--dataset, --weights, --root, --confidence, --coverage and --json: a static copy of the page "
    "has no server."
)


def serve(
    context: typer.Context,
    dataset: option.DatasetFile = None,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Write a static copy of the page to this folder instead: it opens without a "
            "server and can be shared.",
        ),
    ] = None,
    weights: option.Weights = None,
    head: option.Head = None,
    root: option.Root = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 also admits other machines.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free port.")] = DEFAULT_PORT,
    token: Annotated[
        str | None,
        typer.Option(help="Password that the page requires, at least 8 ASCII characters."),
    ] = None,
    name: Annotated[
        list[str] | None,
        typer.Option(help="Additional host name by which browsers may reach this machine."),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(help="Probability with which the answer on the page contains the true breed."),
    ] = 0.9,
    coverage: option.Coverage = "breed",
    cluster: option.Cluster = None,
    as_json: option.Json = False,
) -> None:
    """Serve a web page that finds the images nearest to a photo and explains why.

    Only this machine can open it by default. Ctrl-C stops it. Uploaded photos stay in memory and
    are deleted after an hour.

    Example: `dogsim serve --dataset dogs.h5`, then open http://127.0.0.1:8042 in a browser
    """
    from dogsim.trust.conformal import check_confidence, check_coverage

    check_confidence(confidence)
    check_coverage(coverage)
    if export is not None:
        refuse_others(context, "--export", EXPORT_OPTIONS, EXPECTED_WITH_EXPORT)
        exported = _export(export, dataset, weights, root, confidence, coverage)
        print_result(asdict(exported), as_json, str(exported))
        return
    for package in ("starlette", "uvicorn", "cachetools"):
        check_installed(package, "web", "The page")
    from dogsim.plumbing.terminal import note
    from dogsim.web.server import bind_socket, create_app, run
    from dogsim.web.service import Service

    _check_token(host, token)
    with bind_socket(host, port) as bound:

        def open_service() -> Service:
            gallery = _open_gallery(dataset, weights, cluster, root)
            return Service(gallery, weights, head, confidence, coverage)

        service = open_service()
        app = create_app(service, _allowed_hosts(host, name or []), token or "", open_service)
        address = _address(host, bound.getsockname()[1])
        if not _is_loopback(host):
            note("Everyone with the token can open this page. The connection is not encrypted.")
        text = f"{address} shows {counted(len(service.dataset), 'image')}. Ctrl-C stops it."
        print_result({"address": address, "images": len(service.dataset)}, as_json, text)
        sys.stdout.flush()
        _run_until_stopped(lambda: run(app, bound))


def _run_until_stopped(run: Callable[[], None]) -> None:
    """Run the server; end the process at Ctrl-C or SIGTERM."""
    from dogsim.plumbing.terminal import note

    try:
        with sigterm_as_interrupt():
            run()
    except KeyboardInterrupt as stop:  # nothing to save, and TensorFlow shuts down slowly
        note("dogsim: Stopped.")
        sys.stderr.flush()
        OPEN_RESOURCES.close()
        os._exit(EXIT_STATUS[type(stop)])


def _export(
    folder: Path,
    file: Path | None,
    weights: str | None,
    root: Path | None,
    confidence: float,
    coverage: str,
) -> "Export":
    """Write a static copy of the page to a folder."""
    from dogsim import __version__
    from dogsim.web.export import export_page

    gallery = open_dataset(file, weights, root=root)
    name = file.stem if file else "sample"
    with sigterm_as_interrupt():
        return export_page(gallery, folder, name, __version__, confidence, coverage)


def _open_gallery(
    file: Path | None, weights: str | None, cluster: str | None, root: Path | None
) -> "Dataset":
    """Open the dataset; start its cluster, if any, before the page is announced."""
    gallery = open_dataset(file, weights, root=root)
    if cluster is None:
        return gallery
    from dogsim.cluster.search import MAX_INTERACTIVE_PAIRS, search_on
    from dogsim.dist_calc import nearest

    gallery = OPEN_RESOURCES.enter_context(search_on(gallery, cluster, MAX_INTERACTIVE_PAIRS))
    nearest(gallery, gallery.features[:1], 1)  # raises if the cluster cannot search
    return gallery


def _check_token(host: str, token: str | None) -> None:
    """Raise `DogsimError` if the token is too short, or absent where other machines have access."""
    if token is not None and not (len(token) >= MIN_TOKEN_LENGTH and token.isascii()):
        raise DogsimError(
            f"Received a token of {counted(len(token), 'character')}. "
            f"Expected {MIN_TOKEN_LENGTH} or more ASCII characters."
        )
    if token is None and not _is_loopback(host):
        raise DogsimError(
            f"Received --host {host}: other machines could open the page, which has no password. "
            f"Protect it by a token: --token {secrets.token_urlsafe(12)}"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _allowed_hosts(host: str, additional: list[str]) -> list[str]:
    """Return the host names and addresses by which browsers may reach this machine."""
    from dogsim.web.server import LOOPBACK_HOSTS

    names = [*LOOPBACK_HOSTS, host, f"[{host}]", *additional]
    if not _is_loopback(host):
        names += [socket.gethostname(), socket.getfqdn(), f"{socket.gethostname()}.local"]
        names += _own_addresses()
    return [name for name in names if "*" not in name]


def _own_addresses() -> list[str]:
    """Return the IPv4 and IPv6 addresses of this machine, each also in brackets."""
    addresses = []
    for family, outside in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as route:
            route.connect((outside, 9))  # sends nothing; it only chooses a local address
            addresses.append(route.getsockname()[0])
    return [host for address in addresses for host in (address, f"[{address}]")]


def _address(host: str, port: int) -> str:
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{shown}]' if ':' in shown else shown}:{port}"
