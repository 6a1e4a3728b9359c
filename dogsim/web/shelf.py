"""What is kept in memory for a while, and never more of it than there is room for."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shelf(Generic[T]):
    """Keeps things under a name; those that were not asked for longest make room for new ones.

    Parameters
    ----------
    room : int
        How much is kept, by what `size` says of each thing.
    size : callable
        One each by default, so that `room` is a number of things.
    seconds : float
        After so long a thing is forgotten.

    >>> shelf = Shelf(room=2)
    >>> for name in "abac": shelf.put(name, name.upper()) if shelf.get(name) is None else None
    >>> shelf.get("a"), shelf.get("b"), shelf.get("c")
    ('A', None, 'C')
    """

    def __init__(
        self, room: int, size: Callable[[T], int] = lambda _: 1, seconds: float = float("inf")
    ) -> None:
        self._room, self._size, self._seconds = room, size, seconds
        self._things: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()
        self._lock = threading.Lock()
        self.taken = 0

    def get(self, name: Hashable) -> T | None:
        """Take a look at a thing; None if it is not there, or not any more."""
        with self._lock:
            self._forget()
            found = self._things.pop(name, None)
            if found is None:
                return None
            self._things[name] = found
            return found[1]

    def put(self, name: Hashable, thing: T) -> None:
        """Keep a thing, unless it alone is larger than the shelf."""
        with self._lock:
            self._remove(name)
            self._things[name] = (time.monotonic(), thing)
            self.taken += self._size(thing)
            while self.taken > self._room:
                self._remove(next(iter(self._things)))
            self._forget()

    def _forget(self) -> None:
        if self._seconds < float("inf"):
            born = time.monotonic() - self._seconds
            for name in [name for name, (since, _) in self._things.items() if since < born]:
                self._remove(name)

    def _remove(self, name: Hashable) -> None:
        if name in self._things:
            self.taken -= self._size(self._things.pop(name)[1])
