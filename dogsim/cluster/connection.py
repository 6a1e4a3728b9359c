"""Connect to a Ray cluster, or start a local one on this machine.

Ray listens on all interfaces and executes the code of every client that has its token, or of any
client if it has no token (CVE-2023-48022): run a cluster in a trusted network only. The local
cluster listens on the loopback address only and has a random token.
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

LOCAL, AUTO = "local", "auto"  # a new cluster on this machine; the one that runs on it
CLUSTER_ADDRESS = re.compile(rf"{LOCAL}|{AUTO}|[\w.-]+:\d+")
MIN_RAY_VERSION = (2, 52)  # without CVE-2025-62593
# By default Ray reports its usage to its developers, and prints events of nodes on stdout.
QUIET_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
OBJECT_STORE_BYTES = 256 << 20  # Ray's object store contains only queries and results
MAX_REASON_LENGTH = 300  # of an error of Ray
CONNECT_TIMEOUT_SECONDS = 5


def check_cluster(address: str) -> None:
    """Raise `DogsimError` unless Ray is installed and supported, and the address is valid.

    >>> check_cluster("ray://head:10001")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received the cluster 'ray://head:10001'. Expected HOST:PORT, as \
'ray start --head' prints it, on a machine of that cluster; auto, or nothing for this machine only.
    """
    if sys.platform == "win32":
        raise DogsimError("--cluster is not supported on Windows, where Ray cannot run clusters.")
    if not CLUSTER_ADDRESS.fullmatch(address):
        raise DogsimError(
            f"Received the cluster {address!r}. Expected HOST:PORT, as 'ray start --head' prints "
            f"it, on a machine of that cluster; {AUTO}, or nothing for this machine only."
        )
    try:
        found = version("ray")
    except PackageNotFoundError:
        raise DogsimError(
            'A cluster needs ray, which is not installed. Run: pip install "dogsim[cluster]"'
        ) from None
    if tuple(map(int, found.split(".")[:2])) < MIN_RAY_VERSION:
        oldest = ".".join(map(str, MIN_RAY_VERSION))
        raise DogsimError(
            f"Received Ray {found}. Expected {oldest} or newer. "
            'Run: pip install --upgrade "dogsim[cluster]"'
        )


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connect to a cluster inside the block; a local cluster is stopped with all its processes.

    Raises `DogsimError` if the cluster does not answer or rejects the connection.
    """
    check_cluster(address)
    local = address == LOCAL and not os.environ.get("RAY_ADDRESS")
    if local:
        _isolate_local_cluster()
    elif address not in (LOCAL, AUTO):
        _check_connection(address)
    os.environ |= QUIET_ENVIRONMENT
    import ray

    try:
        sigterm_handler = signal.getsignal(signal.SIGTERM)
        _connect(address, local)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, sigterm_handler)  # Ray has replaced it
        yield
    finally:
        ray.shutdown()


def _connect(address: str, local: bool) -> None:
    import ray

    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    limits = {
        "num_cpus": usable_cpus(),
        "include_dashboard": False,
        "object_store_memory": OBJECT_STORE_BYTES,
    }
    given = None if address == LOCAL else address
    try:
        _ = ray.init("local", **quiet, **limits) if local else ray.init(given, **quiet)
    except Exception as error:  # Ray raises many types
        why = reason(error)[:MAX_REASON_LENGTH]
        raise DogsimError(f"Cannot connect to the cluster {given or LOCAL}: {why}.") from error


def _isolate_local_cluster() -> None:
    """Make Ray, which reads these variables when it is imported, listen on loopback only.

    By default its workers have a low priority; here the user waits for them.
    """
    if "ray" in sys.modules:  # the importing program has configured Ray
        return
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ["RAY_AUTH_MODE"] = "token"
    os.environ |= {"RAY_worker_niceness": "0"}
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _check_connection(address: str) -> None:
    """Raise `DogsimError` within seconds if the address does not answer; Ray waits a minute."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise DogsimError(
            f"No cluster answers at {address}: {reason(error)}. Expected the address of a cluster "
            "that was started with 'ray start --head'."
        ) from error
