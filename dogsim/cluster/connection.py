"""A connection to Ray: to a cluster that runs, or to one of our own on this machine.

Ray listens on all interfaces and runs what anybody sends it who has its token, if it asks for one
at all (CVE-2023-48022): a cluster belongs into a network that is trusted. Our own listens on the
loopback address only and has a token that nobody else knows.
"""

import os
import re
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.threads import usable_cpus

HERE, AUTO = "local", "auto"  # our own cluster; the one that runs on this machine
ADDRESS = re.compile(rf"{HERE}|{AUTO}|[\w.-]+:\d+")
OLDEST = (2, 52)  # without CVE-2025-62593
# Ray tells its makers how it is used, and prints on stdout what befalls nodes.
SILENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
STORE = 256 << 20  # bytes of Ray's object store: only queries and answers go through it
MOST = 300  # letters of what Ray tells
PATIENCE = 5  # seconds in which a machine answers


def check_cluster(address: str) -> None:
    """Raise `DogsimError` unless a cluster can be had: Ray, a system it runs on, an address.

    >>> check_cluster("ray://head:10001")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received the cluster 'ray://head:10001'. Expected HOST:PORT, as \
'ray start --head' tells it, on a machine of that cluster; auto, or nothing for this machine alone.
    """
    if sys.platform == "win32":
        raise DogsimError("--cluster is not supported on Windows, as Ray's clusters are not.")
    if not ADDRESS.fullmatch(address):
        raise DogsimError(
            f"Received the cluster {address!r}. Expected HOST:PORT, as 'ray start --head' tells "
            f"it, on a machine of that cluster; {AUTO}, or nothing for this machine alone."
        )
    try:
        found = version("ray")
    except PackageNotFoundError:
        raise DogsimError(
            "Ray, which runs clusters, is not installed. Run: pip install 'dogsim[cluster]'"
        ) from None
    if tuple(map(int, found.split(".")[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise DogsimError(
            f"Received Ray {found}. Expected {oldest} or newer. "
            "Run: pip install --upgrade 'dogsim[cluster]'"
        )


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Be connected to a cluster in the block; our own ends with it, and leaves no process.

    Raises `DogsimError` if nobody answers at the address, or refuses.
    """
    check_cluster(address)
    alone = address == HERE and not os.environ.get("RAY_ADDRESS")
    if alone:
        _keep_to_ourselves()
    elif address not in (HERE, AUTO):
        _require_answer(address)
    os.environ |= SILENT
    import ray

    try:
        with _own_handler_of_sigterm():
            _begin(address, alone)
        yield
    finally:
        ray.shutdown()


def _begin(address: str, alone: bool) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    own = {"num_cpus": usable_cpus(), "include_dashboard": False, "object_store_memory": STORE}
    given = None if address == HERE else address
    try:
        _ = ray.init("local", **quiet, **own) if alone else ray.init(given, **quiet)
    except Exception as error:  # it raises nearly anything
        raise DogsimError(
            f"Cannot join the cluster {given or HERE}: {reason(error)[:MOST]}."
        ) from error


def _keep_to_ourselves() -> None:
    """Make Ray, which reads these when it is imported, listen on the loopback address only.

    Its workers would give way to all other processes; here they are what the user waits for.
    """
    if "ray" in sys.modules:  # whoever imported it has decided that
        return
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ |= {"RAY_worker_niceness": "0"}
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _require_answer(address: str) -> None:
    """Raise `DogsimError` in seconds where Ray would wait for a minute."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), PATIENCE).close()
    except (OSError, OverflowError) as error:
        raise DogsimError(
            f"Nobody answers at {address}: {reason(error)}. Expected the address of a cluster "
            "that 'ray start --head' has begun."
        ) from error


@contextmanager
def _own_handler_of_sigterm() -> Iterator[None]:
    """Put our handler of SIGTERM back, in the place of which Ray puts its own."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)
