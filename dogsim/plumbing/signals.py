"""Being stopped: by Ctrl-C, or by SIGTERM as if by Ctrl-C, and when it does not suit."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

STOPS = (signal.SIGINT, signal.SIGTERM)


class Terminated(KeyboardInterrupt):
    """SIGTERM: what a shutdown, a batch system and `kill` send."""


@contextmanager
def stopped_in_order() -> Iterator[None]:
    """Let SIGTERM raise `Terminated` in the block, so that what Ctrl-C saves it saves as well.

    Does nothing in other threads than the main one, or where a program has a handler of its own.
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
def uninterrupted() -> Iterator[Callable[[], None]]:
    """Put Ctrl-C and SIGTERM off until the block has ended, or calls what this gives it."""
    if not _in_main_thread():
        yield lambda: None
        return
    received: list[int] = []
    handlers: dict[int, Any] = {number: signal.getsignal(number) for number in STOPS}
    before = {number: each for number, each in handlers.items() if each is not None}  # not C's

    def put_off(number: int, frame: FrameType | None) -> None:
        received.append(number)

    def let_through() -> None:
        while received:
            number = received.pop()
            signal.signal(number, before[number])
            try:
                signal.raise_signal(number)
            finally:
                signal.signal(number, put_off)

    for number in before:
        signal.signal(number, put_off)
    try:
        yield let_through
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in received[:1]:
            signal.raise_signal(number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
