"""The progress of a long computation, for the page, which shows it as the terminal does."""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T", bound=Sized)


@dataclass(frozen=True)
class StepProgress:
    """How far one step of a computation is.

    Attributes
    ----------
    what : str
        The items of the step, such as "images".
    fraction : float
        Of the items that are done, 0 to 1.
    seconds_left : float, optional
        Until the end of the step, at its speed so far; None before the first items are done.
    """

    what: str
    fraction: float
    seconds_left: float | None


_watcher: ContextVar[Callable[[StepProgress], None] | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Callable[[StepProgress], None]) -> Iterator[None]:
    """Call a function with the progress of every step that this thread takes within the block.

    >>> from dogsim.plumbing.terminal import track
    >>> fractions = []
    >>> with watched(lambda progress: fractions.append(progress.fraction)):
    ...     batches = list(track([[1, 2], [3], [4]], total=4, what="images"))
    >>> fractions
    [0.0, 0.5, 0.75, 1.0]
    """
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def reported(batches: Iterable[T], total: int, what: str, done: int = 0) -> Iterator[T]:
    """Yield batches and report their progress to `watched`; `done` items were finished before."""
    watcher = _watcher.get()
    if watcher is None or not total:
        return (yield from batches)
    start, new = time.monotonic(), 0
    watcher(StepProgress(what, done / total, None))
    for batch in batches:
        yield batch
        new += len(batch)
        left = total - done - new
        seconds = (time.monotonic() - start) * left / new if new else None
        watcher(StepProgress(what, (done + new) / total, seconds))
