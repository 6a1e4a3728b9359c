"""A queue with worker threads that process similar items in batches."""

import threading
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from dogsim.errors import DogsimError

Item = TypeVar("Item")
Result = TypeVar("Result")
State: TypeAlias = Literal["preparing", "ready", "failed"]


class BusyError(DogsimError):
    """Raised when the queue is full; the same request may be sent again after a second."""


class BatchWorker(Generic[Item, Result]):
    """A bounded queue, and daemon threads that process its items.

    A full queue rejects new items, so memory stays bounded. A network needs little more time for a
    batch of small items than for one of them, so up to `max_batch` similar items are processed
    together.

    Parameters
    ----------
    process : callable
        Maps a list of items to their results, in order.
    max_queued, max_batch, threads : int
    batch_key : callable
        Maps an item to a key; only items with equal keys are processed in one batch.
    """

    def __init__(
        self,
        process: Callable[[list[Item]], Sequence[Result]],
        max_queued: int = 64,
        max_batch: int = 1,
        threads: int = 1,
        batch_key: Callable[[Item], Hashable] = lambda item: None,
    ) -> None:
        self._process, self._batch_key = process, batch_key
        self._max_queued, self._max_batch = max_queued, max_batch
        self._queue: deque[tuple[Item, Future[Result]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        for _ in range(threads):
            threading.Thread(target=self._run, daemon=True).start()

    def submit(self, item: Item) -> "Future[Result]":
        """Queue an item and return the future of its result; raise `BusyError` if it is full."""
        future: Future[Result] = Future()
        with self._changed:
            if len(self._queue) >= self._max_queued:
                raise BusyError(
                    "The queue of requests is full. Send the request again in a second."
                )
            self._queue.append((item, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """End the threads when the queue is empty."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _run(self) -> None:
        while jobs := self._next_batch():
            batch = [job for job in jobs if job[1].set_running_or_notify_cancel()]
            if not batch:
                continue
            try:
                results = self._process([item for item, _ in batch])
                for (_, future), result in zip(batch, results, strict=True):
                    future.set_result(result)
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)

    def _next_batch(self) -> list[tuple[Item, "Future[Result]"]]:
        """Wait for an item and remove it from the queue, with the items of the same key.

        Returns an empty list when the worker is closed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            if not self._queue:
                return []
            key = self._batch_key(self._queue[0][0])
            batch: list[tuple[Item, Future[Result]]] = []
            rest: deque[tuple[Item, Future[Result]]] = deque()
            for job in self._queue:
                fits = len(batch) < self._max_batch and self._batch_key(job[0]) == key
                (batch if fits else rest).append(job)
            self._queue = rest
        return batch


def run_in_thread(function: Callable[[], Result]) -> "Future[Result]":
    """Call a function in a daemon thread and return the future of its result."""
    worker: BatchWorker[None, Result] = BatchWorker(lambda _: [function()])
    future = worker.submit(None)
    worker.close()
    return future


def state_of(future: "Future[Any]") -> State:
    """Return whether a result is being prepared, is ready, or could not be computed."""
    if not future.done():
        return "preparing"
    return "failed" if future.exception() else "ready"
