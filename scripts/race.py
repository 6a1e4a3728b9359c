"""Benchmark several implementations of a task, each in its own process, warm and in turn.

So the loaded modules, threads and memory of one implementation do not slow down another, and other
load on the computer affects all of them equally. A process is stopped while others have their turn.
"""

import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

MAX_SHORT_SECONDS, SHORT_RUNS = 0.02, 9

Runs = Mapping[str, Callable[[], object]]


class Runner:
    """A process that prepares named runs and executes and times them on request.

    Parameters
    ----------
    make : callable
        A top-level function of a module in this folder, which returns the runs by name. It is
        called in the process only.
    threads : int, optional
        Of the libraries. With one thread the processor time is measured, which depends less on
        other load.
    arguments
        Of `make`; JSON values.
    """

    def __init__(
        self, make: Callable[..., Runs], threads: int | None = None, **arguments: Any
    ) -> None:
        file = Path(sys.modules[make.__module__].__file__ or "")
        clock = "process_time" if threads == 1 else "perf_counter"
        command = [str(file), make.__name__, clock, json.dumps(arguments)]
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS") if threads else ()
        self._process = subprocess.Popen(
            [sys.executable, __file__, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict.fromkeys(names, str(threads)),
        )
        self.names: list[str] = json.loads(self._answer())
        self._signal("SIGSTOP")

    def seconds(self, name: str) -> float:
        """Execute a run and return its duration, that of a short run as the median of several."""
        assert self._process.stdin
        self._signal("SIGCONT")
        print(name, file=self._process.stdin, flush=True)
        seconds = float(self._answer())
        self._signal("SIGSTOP")
        return seconds

    def close(self) -> None:
        """End the process."""
        self._signal("SIGCONT")
        self._process.communicate()

    def _signal(self, name: str) -> None:
        """Stop the process, or let it continue: idle threads of some libraries keep a core busy."""
        if hasattr(signal, name):  # not on Windows
            self._process.send_signal(getattr(signal, name))

    def _answer(self) -> str:
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            raise SystemExit(
                f"A benchmark process ended early, with status {self._process.wait()}."
            )
        return line


def race(runners: Mapping[str, Runner], repeats: int) -> dict[tuple[str, str], list[float]]:
    """Time every run of every runner, after one warm-up, in turn; return seconds by names.

    The runs of one name follow each other, so that other load affects all of them.
    """
    runs = [(way, name) for way, runner in runners.items() for name in runner.names]
    times: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    for turn in range(repeats + 1):
        for way, name in sorted(runs, key=lambda run: run[1]):
            taken = runners[way].seconds(name)
            if turn:
                times[way, name].append(taken)
    for runner in runners.values():
        runner.close()
    return times


def rates(seconds: list[float], count: int) -> dict[str, float]:
    """Return the items per second: median, slowest and fastest."""
    return _spread(seconds, "per_second", lambda taken: round(count / taken, 1))


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """Return the milliseconds: median, slowest and fastest."""
    return _spread(seconds, "milliseconds", lambda taken: round(1000 * taken, 2))


def _spread(seconds: list[float], unit: str, convert: Callable[[float], float]) -> dict[str, float]:
    values = {unit: statistics.median(seconds), "slowest": max(seconds), "fastest": min(seconds)}
    return {name: convert(taken) for name, taken in values.items()}


def serve(file: str, make: str, clock: str, arguments: str) -> None:
    """Run the process of a `Runner`."""
    sys.path.insert(0, str(Path(file).parent))
    with separate_stdout() as answer:
        runs: Runs = getattr(import_module(Path(file).stem), make)(**json.loads(arguments))
        answer(json.dumps(list(runs)))
        for line in sys.stdin:
            answer(str(_seconds(runs[line.rstrip("\n")], getattr(time, clock))))


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the duration of a run; of a short one, the median of several."""
    taken: list[float] = []
    while not taken or (taken[0] < MAX_SHORT_SECONDS and len(taken) < SHORT_RUNS):
        start = clock()
        run()
        taken.append(clock() - start)
    return statistics.median(taken)


@contextlib.contextmanager
def separate_stdout() -> Iterator[Callable[[str], None]]:
    """Reserve stdout for answers: redirect what the runs print to stderr."""
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield lambda line: print(line, file=stdout, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
