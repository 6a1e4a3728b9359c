"""Work in threads: what goes on while earlier results are used, and what must end in time."""

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

QUOTA = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds, and of how many


def usable_cpus() -> int:
    """How many processors this process may use: in a container fewer than the machine has.

    >>> 1 <= usable_cpus() <= os.cpu_count()
    True
    """
    mine = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    with suppress(OSError, ValueError):
        quota, period = map(int, QUOTA.read_text(encoding="ascii").split())
        return max(1, min(len(mine), quota // period))
    return len(mine)


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


def batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of `size` items, the last one of what is left.

    >>> list(batched("abc", 2))
    [['a', 'b'], ['c']]
    """
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


class Room:
    """So much of something for all threads together: who wants more than is left waits.

    >>> room = Room(3)
    >>> with room.taking(2), room.taking(1):
    ...     room.left
    0
    """

    def __init__(self, size: int) -> None:
        self.size = self.left = size
        self._changed = threading.Condition()

    @contextmanager
    def taking(self, amount: int) -> Iterator[None]:
        """Take so much for the block; all of it, where there never is enough."""
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


def in_time(ask: Callable[[], R], seconds: float) -> R:
    """Return what `ask` returns or raise what it raises; `TimeoutError` after so many seconds.

    A socket's own timeout counts for each address of a host and not for looking up its name, so a
    dead network could take minutes. A thread that may be left behind bounds it all.

    >>> in_time(lambda: 2 + 2, 1)
    4
    """
    answers: list[R] = []
    failures: list[Exception] = [TimeoutError(f"no answer in {seconds:.0f} seconds")]

    def run() -> None:
        try:
            answers.append(ask())
        except Exception as error:
            failures[0] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not answers:
        raise failures[0]
    return answers[0]
