"""A cache of values that are computed from the content of files, such as thumbnails."""

import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing, suppress
from typing import TypeVar

from dogsim.errors import DogsimError
from dogsim.plumbing.cache import cache_folder
from dogsim.plumbing.files import make_folder
from dogsim.plumbing.terminal import track
from dogsim.plumbing.threads import batched, prefetch, usable_cpus

BUSY_SECONDS = 10  # another process may be writing
BATCH_VALUES = 64  # computed before they are stored
USED_SECONDS = 86_400  # the time of the last use is stored once a day
TABLE = "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, value BLOB, used INTEGER)"
SELECT, KEYS_AT_ONCE = "SELECT key, value, used FROM entries", 500
BYTES_USED = (
    "SELECT (page_count - freelist_count) * page_size "
    "FROM pragma_page_count, pragma_freelist_count, pragma_page_size"
)
REMOVE_OLDEST_QUARTER = (
    "DELETE FROM entries WHERE key IN (SELECT key FROM entries ORDER BY used, key "
    "LIMIT (SELECT (COUNT(*) + 3) / 4 FROM entries))"
)

T = TypeVar("T")


class ContentCache:
    """Values by key in one SQLite file of the cache folder; the least recently used are removed.

    A key contains the hash of the file that its value was computed from, so that no value is ever
    out of date. Threads and processes can use one file at the same time. If the file cannot be
    read or written, nothing is found and nothing is stored: the values are computed again.

    Parameters
    ----------
    name : str
        Name of the file, without its suffix: a prefix of `KINDS_BY_PREFIX` and a version.
    max_bytes : int
        Size from which a quarter of the entries is removed.
    """

    def __init__(self, name: str, max_bytes: int) -> None:
        self._name, self._max_bytes = f"{name}.sqlite", max_bytes

    def read(self, keys: Iterable[str]) -> dict[str, bytes]:
        """Return the values of those keys that are stored."""
        found: dict[str, bytes] = {}

        def select(file: sqlite3.Connection) -> None:
            used_before, now = [], int(time.time())
            for some in batched(keys, KEYS_AT_ONCE):
                marks = ", ".join("?" * len(some))
                for key, value, used in file.execute(f"{SELECT} WHERE key IN ({marks})", some):
                    found[key] = value
                    if used < now - USED_SECONDS:
                        used_before.append((now, key))
            file.executemany("UPDATE entries SET used = ? WHERE key = ?", used_before)

        self._with_file(select)
        return found

    def write(self, values: Mapping[str, bytes]) -> None:
        """Store values by key."""

        def insert(file: sqlite3.Connection) -> None:
            rows = [(key, value, int(time.time())) for key, value in values.items()]
            file.executemany("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", rows)
            while file.execute(BYTES_USED).fetchone()[0] > self._max_bytes:
                if not file.execute(REMOVE_OLDEST_QUARTER).rowcount:
                    break

        self._with_file(insert)

    def compute_once(
        self,
        rows: Sequence[int],
        key_of: Callable[[int], str],
        compute: Callable[[int], bytes],
        what: str,
    ) -> dict[int, bytes]:
        """Return a value for each row, without those whose key or value raises `DogsimError`.

        Values that are not stored are computed in threads and stored; a progress bar counts them
        as `what`.
        """
        threads = usable_cpus()
        found_keys = prefetch(_unless_error(key_of), rows, BATCH_VALUES, threads)
        keys = {row: key for row, key in zip(rows, found_keys, strict=True) if key is not None}
        stored = self.read(keys.values())
        values = {row: stored[key] for row, key in keys.items() if key in stored}
        missing = [row for row in keys if row not in values]
        computed = prefetch(_unless_error(compute), missing, BATCH_VALUES, threads)
        pairs = zip(missing, computed, strict=True)
        for batch in track(batched(pairs, BATCH_VALUES), len(missing), what):
            new = {row: value for row, value in batch if value is not None}
            self.write({keys[row]: value for row, value in new.items()})
            values |= new
        return values

    def _with_file(self, operation: Callable[[sqlite3.Connection], None]) -> None:
        """Call a function with the opened file; do nothing if the file cannot be used."""
        with suppress(DogsimError, OSError, sqlite3.OperationalError):  # such as a locked file
            path = cache_folder() / self._name
            make_folder(path.parent)
            try:
                with closing(sqlite3.connect(path, BUSY_SECONDS)) as file:
                    # A power failure may damage the file, which is then removed: it is a cache.
                    file.execute("PRAGMA synchronous = OFF")
                    with file:  # commits at the end
                        file.execute(TABLE)
                        operation(file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # not a database
                path.unlink()


def _unless_error(function: Callable[[int], T]) -> Callable[[int], T | None]:
    """Return a function that returns None where the given one raises `DogsimError`."""

    def result(row: int) -> T | None:
        try:
            return function(row)
        except DogsimError:
            return None

    return result
