"""A thread that answers questions one after the other, or several alike at once."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from dogsim.errors import DogsimError

Q = TypeVar("Q")
A = TypeVar("A")


class BusyError(DogsimError):
    """Too many questions wait already; the same one may be asked again in a moment."""


class Worker(Generic[Q, A]):
    """Answers questions in threads of its own, which end with the program.

    No more questions wait than `waiting`: whoever comes then is told so at once, and memory stays
    bounded. Many small questions at once, such as pictures for a network, cost little more than one
    of them, so up to `batch` that are alike are answered together.

    Parameters
    ----------
    answer : callable
        Maps a list of questions to as many answers.
    waiting, batch, threads : int
    alike : callable
        Maps a question to what those that are answered together have in common.
    """

    def __init__(
        self,
        answer: Callable[[list[Q]], Sequence[A]],
        waiting: int = 64,
        batch: int = 1,
        threads: int = 1,
        alike: Callable[[Q], Hashable] = lambda question: None,
    ) -> None:
        self._answer, self._alike, self._most, self._batch = answer, alike, waiting, batch
        self._waiting: deque[tuple[Q, Future[A]]] = deque()
        self._changed = threading.Condition()
        for _ in range(threads):
            threading.Thread(target=self._run, daemon=True).start()

    def ask(self, question: Q) -> "Future[A]":
        """Put a question; its answer comes later. Raises `BusyError` if too many wait."""
        future: Future[A] = Future()
        with self._changed:
            if len(self._waiting) >= self._most:
                raise BusyError("Too many questions at once. Ask again in a moment.")
            self._waiting.append((question, future))
            self._changed.notify()
        return future

    def _run(self) -> None:
        while True:
            taken = [each for each in self._take() if each[1].set_running_or_notify_cancel()]
            if not taken:
                continue
            try:
                answers = self._answer([question for question, _ in taken])
                for (_, future), answer in zip(taken, answers, strict=True):
                    future.set_result(answer)
            except Exception as error:
                for _, future in taken:
                    if not future.done():
                        future.set_exception(error)

    def _take(self) -> list[tuple[Q, "Future[A]"]]:
        """Wait for a question, and take those that are alike along with it."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting)
            kind = self._alike(self._waiting[0][0])
            taken: list[tuple[Q, Future[A]]] = []
            left: deque[tuple[Q, Future[A]]] = deque()
            for each in self._waiting:
                fits = len(taken) < self._batch and self._alike(each[0]) == kind
                (taken if fits else left).append(each)
            self._waiting = left
        return taken
