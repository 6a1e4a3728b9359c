"""Signals that stop the program: SIGTERM as Ctrl-C, and deferral during critical sections."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """Raised by SIGTERM, which a shutdown, a batch system and `kill` send."""


@contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """Make SIGTERM raise `Terminated` in the block, so that it is handled like Ctrl-C.

    Has no effect outside the main thread, or if the program has installed its own handler.
    """
    if not _in_main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated

    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def defer_signals() -> Iterator[Callable[[], None]]:
    """Defer Ctrl-C and SIGTERM to the end of the block, or until it calls the yielded function."""
    if not _in_main_thread():
        yield lambda: None
        return
    deferred = _DeferredSignals()
    try:
        yield deferred.deliver
    finally:
        deferred.restore()


class _DeferredSignals:
    """The signals received since its creation, and the handlers that it replaced."""

    def __init__(self) -> None:
        self._received: list[int] = []
        handlers: dict[int, Any] = {number: signal.getsignal(number) for number in STOP_SIGNALS}
        # None stands for a handler that C code installed and Python cannot restore.
        self._handlers = {number: each for number, each in handlers.items() if each is not None}
        for number in self._handlers:
            signal.signal(number, self._record)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)

    def deliver(self) -> None:
        """Raise the signals received so far, each with its own handler."""
        while self._received:
            number = self._received.pop()
            signal.signal(number, self._handlers[number])
            try:
                signal.raise_signal(number)
            finally:
                signal.signal(number, self._record)

    def restore(self) -> None:
        """Restore the handlers and raise the first signal that is still deferred."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        for number in self._received[:1]:
            signal.raise_signal(number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
