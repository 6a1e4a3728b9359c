"""A real Ray cluster of several nodes on this machine, and commands that join it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RUN = Path(__file__).with_name("cluster_run.py")
MAX_COMMAND_SECONDS = 180  # on a busy machine
HEALTH = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 3,
}
SETTINGS = {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": "t" * 64,
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # the default slows tests on a busy machine
}


class Nodes:
    """Three nodes of one CPU each; all except the first can be killed and replaced."""

    def __init__(self) -> None:
        os.environ |= SETTINGS
        from ray.cluster_utils import Cluster

        self._cluster: Any = Cluster()
        self._add(_system_config=HEALTH, include_dashboard=False)
        self.others = [self._add(), self._add()]
        self.address: str = self._cluster.address

    def _add(self, **options: Any) -> Any:
        return self._cluster.add_node(num_cpus=1, object_store_memory=100 << 20, **options)

    def kill_one(self) -> None:
        """Kill a node without a shutdown, like a power failure."""
        self._cluster.remove_node(self.others.pop(), allow_graceful=False)

    def mend(self) -> None:
        """Replace the killed nodes."""
        while len(self.others) < 2:
            self.others.append(self._add())

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Occupy all CPUs with another program."""
        code = (
            "import ray, time\n"
            f"ray.init({self.address!r}, log_to_driver=False)\n"
            "@ray.remote(num_cpus=1)\n"
            "class Other:\n"
            "    def here(self): pass\n"
            "others = [Other.remote() for _ in range(3)]\n"
            "ray.get([other.here.remote() for other in others])\n"
            "print('all', flush=True)\n"
            "time.sleep(600)\n"
        )
        other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        assert other.stdout
        assert any(line == "all\n" for line in other.stdout)
        try:
            yield
        finally:
            other.kill()
            other.communicate()

    def close(self) -> None:
        self._cluster.shutdown()


class Command:
    """``dogsim ARGUMENTS --json`` in a new process, with shards of 16 images."""

    def __init__(self, *arguments: object) -> None:
        command = [sys.executable, RUN, *arguments, "--json"]
        self.process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def stop(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.stop(signal.SIGKILL)
        self.process.communicate(timeout=MAX_COMMAND_SECONDS)

    def ended(self) -> tuple[int, str, str]:
        """Wait for its end; return exit status, stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=MAX_COMMAND_SECONDS)
        return self.process.returncode, stdout, stderr

    def answer(self) -> dict[str, Any]:
        code, stdout, stderr = self.ended()
        assert code == 0, stderr
        answer: dict[str, Any] = json.loads(stdout)
        return answer


def wait_until(what: Callable[[], bool], seconds: float = MAX_COMMAND_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "timeout"
        time.sleep(0.02)


def processes_with(variable: str) -> list[str]:
    """Return the command lines of processes with this text in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if variable.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:  # it has ended or belongs to another user
            continue
    return found
