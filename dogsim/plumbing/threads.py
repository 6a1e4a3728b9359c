"""Threads: prefetching in order, a shared budget, and calls with a timeout."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

MAX_DECODING_THREADS = 8  # more are slower, see docs/gpu.md
DOWNLOAD_TIMEOUT_SECONDS = 8.0  # until a server answers, see `with_timeout`
CPU_QUOTA_FILE = Path("/sys/fs/cgroup/cpu.max")  # of a container: quota and period, microseconds


def usable_cpus() -> int:
    """Return the number of processors that this process may use, which a container can limit.

    >>> 1 <= usable_cpus() <= os.cpu_count()
    True
    """
    allowed = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    with suppress(OSError, ValueError):
        quota, period = map(int, CPU_QUOTA_FILE.read_text(encoding="ascii").split())
        return max(1, min(len(allowed), quota // period))
    return len(allowed)


def decoding_threads() -> int:
    """Return the number of threads that decode images: `usable_cpus`, at most eight."""
    return min(usable_cpus(), MAX_DECODING_THREADS)


def compute_threads() -> int:
    """Return the number of threads for computations: `usable_cpus`, at most $OMP_NUM_THREADS.

    Libraries for linear algebra take the variable as well, such as in a worker of a cluster.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(usable_cpus(), int(limit))) if limit.isdecimal() else usable_cpus()


def prefetch(
    function: Callable[[T], R], items: Iterable[T], ahead: int, threads: int
) -> Iterator[R]:
    """Map a function over items in order, at most `ahead` of them in advance.

    >>> list(prefetch(str.upper, "abc", ahead=2, threads=2))
    ['A', 'B', 'C']
    """
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(function, item))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # also when the consumer stops early
            pool.shutdown(wait=False, cancel_futures=True)


def for_each(function: Callable[[int], object], n: int, threads: int) -> None:
    """Call a function with each number from 0 to n - 1, in threads if there are several.

    >>> squares = [0, 0, 0]
    >>> for_each(lambda i: squares.__setitem__(i, i * i), 3, threads=2)
    >>> squares
    [0, 1, 4]
    """
    if threads == 1:
        for i in range(n):
            function(i)
        return

    def call(part: range) -> None:
        for i in part:
            function(i)

    size = max(1, n // (8 * threads))
    parts = [range(start, min(start + size, n)) for start in range(0, n, size)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, parts))


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items; the last one may be shorter.

    >>> list(batched("abc", 2))
    [['a', 'b'], ['c']]
    """
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


class Budget:
    """A budget that threads share: a thread waits if the rest is too small.

    >>> budget = Budget(3)
    >>> with budget.reserve(2), budget.reserve(1):
    ...     budget.left
    0
    """

    def __init__(self, size: int) -> None:
        self.size = self.left = size
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Iterator[None]:
        """Reserve an amount for the block; an amount over the budget reserves all of it."""
        amount = min(amount, self.size)
        with self._changed:
            self._changed.wait_for(lambda: self.left >= amount)
            self.left -= amount
        try:
            yield
        finally:
            with self._changed:
                self.left += amount
                self._changed.notify_all()


def with_timeout(function: Callable[[], R], seconds: float) -> R:
    """Call a function in a thread and return its result; `TimeoutError` after `seconds`.

    The timeout of a socket applies to each address of a host, and not to the name lookup, so an
    unreachable network could take minutes. Here the thread is abandoned instead.

    >>> with_timeout(lambda: 2 + 2, 1)
    4
    """
    results: list[R] = []
    failures: list[Exception] = [TimeoutError(f"no answer in {seconds:.0f} seconds")]

    def run() -> None:
        try:
            results.append(function())
        except Exception as error:
            failures[0] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        raise failures[0]
    return results[0]
