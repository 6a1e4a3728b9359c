"""Ways to do the same, timed side by side: each warm, in a process of its own, and in turn.

What one way keeps loaded, its threads and its memory, so does not slow the next, and what else the
computer does meets them all alike.
"""

import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

Runs = Mapping[str, Callable[[], object]]


class Runner:
    """A process that has made some runs ready, and does and times them when it is told to.

    Parameters
    ----------
    make : callable
        A function on top of a module in this folder, which returns the runs by name. It is called
        in the process, so that nothing of it is here.
    arguments
        Of `make`; what JSON can carry.
    """

    def __init__(self, make: Callable[..., Runs], **arguments: Any) -> None:
        file = Path(sys.modules[make.__module__].__file__ or "")
        asked = [str(file), make.__name__, json.dumps(arguments)]
        self._process = subprocess.Popen(
            [sys.executable, __file__, *asked],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.names: list[str] = json.loads(self._answer())

    def seconds(self, name: str) -> float:
        """Do a run."""
        assert self._process.stdin
        print(name, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout
        if not (line := self._process.stdout.readline()):
            raise SystemExit(f"A way ended before its time, with status {self._process.wait()}.")
        return line


def race(runners: Mapping[str, Runner], repeats: int) -> dict[tuple[str, str], list[float]]:
    """Time every run of every runner, once to warm up, then in turn; seconds by their names."""
    runs = [(way, name) for way, runner in runners.items() for name in runner.names]
    times: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    for turn in range(repeats + 1):
        for way, name in runs:
            taken = runners[way].seconds(name)
            if turn:
                times[way, name].append(taken)
    for runner in runners.values():
        runner.close()
    return times


def rates(seconds: list[float], count: int) -> dict[str, float]:
    """Tell things a second: the median, the slowest and the fastest."""
    return _spread(seconds, "per_second", lambda taken: round(count / taken, 1))


def milliseconds(seconds: list[float]) -> dict[str, float]:
    """Tell the median, the slowest and the fastest in milliseconds."""
    return _spread(seconds, "milliseconds", lambda taken: round(1000 * taken, 2))


def _spread(seconds: list[float], unit: str, told: Callable[[float], float]) -> dict[str, float]:
    of = {unit: statistics.median(seconds), "slowest": max(seconds), "fastest": min(seconds)}
    return {name: told(taken) for name, taken in of.items()}


def serve(file: str, make: str, arguments: str) -> None:
    """Be the process behind a `Runner`."""
    sys.path.insert(0, str(Path(file).parent))
    with told_apart() as answer:
        runs: Runs = getattr(import_module(Path(file).stem), make)(**json.loads(arguments))
        answer(json.dumps(list(runs)))
        for line in sys.stdin:
            start = time.perf_counter()
            runs[line.rstrip("\n")]()
            answer(str(time.perf_counter() - start))


@contextlib.contextmanager
def told_apart() -> Iterator[Callable[[str], None]]:
    """Keep stdout for answers, whatever the ways print."""
    stdout = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        yield lambda line: print(line, file=stdout, flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
