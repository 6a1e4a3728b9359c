"""The user's cache folder, with results that later runs use again."""

import io
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.files import make_folder, remove_lock, replacing

LOCK_SUFFIX = ".lock"
MAX_ARRAY_FILES = 20  # of each kind; the least recently used are removed


@dataclass(frozen=True)
class CacheEntry:
    """An entry of the cache folder with its description and its size in bytes."""

    name: str
    what: str
    bytes: int


KINDS_BY_PREFIX = {
    "network-": "a converted network",
    "sample-": "features of the sample",
    "trust-": "calibration of a dataset",
    "near-": "nearest neighbours within a dataset",
    "thumbnails-": "thumbnails of images",
    "pairs-": "verdicts on pairs of images",
    "quality-": "quality of images",
}
LEFT_OVER = "left by a run that was stopped"  # the name begins with a dot, like that of a lock


def cache_folder() -> Path:
    """Return the path of dogsim's cache folder, which need not exist.

    Raises `DogsimError` for a user without a home folder, as in some containers.
    """
    try:
        return user_cache_path("dogsim").expanduser()
    except RuntimeError as error:
        raise DogsimError(
            "This user has no home folder, where the cache would be. Set HOME, or on Linux "
            "XDG_CACHE_HOME, to a folder."
        ) from error


def cached() -> list[CacheEntry]:
    """List the entries of the cache, the largest first.

    Files with other names do not belong to dogsim and are left out.
    """
    entries = [
        CacheEntry(path.name, what, _size(path))
        for path, what in _own_files()
        if path.suffix != LOCK_SUFFIX
    ]
    return sorted(entries, key=lambda entry: (-entry.bytes, entry.name))


def clear_cache() -> list[CacheEntry]:
    """Remove all entries and return those that another process is writing at this moment.

    Raises `DogsimError` if a file cannot be removed.
    """
    locked = [
        path for path, _ in _own_files() if path.suffix == LOCK_SUFFIX and not remove_lock(path)
    ]
    busy = tuple(lock.name.removeprefix(".").removesuffix(LOCK_SUFFIX) for lock in locked)
    for path, _ in _own_files():
        if not (busy and path.name.lstrip(".").startswith(busy)):
            _remove(path)
    return cached()


def read_cached_arrays(name: str, expected: Iterable[str]) -> dict[str, Any] | None:
    """Read the arrays that `cache_arrays` stored; None if they are missing or damaged."""
    try:
        file = cache_folder() / f"{name}.npz"
        with np.load(io.BytesIO(file.read_bytes())) as stored:
            arrays = {each: stored[each] for each in expected}
        file.touch()
    except Exception:  # a damaged file can raise almost anything
        return None
    return arrays


def cache_arrays(name: str, **arrays: Any) -> None:
    """Store arrays under a name, and remove the oldest of more than `MAX_ARRAY_FILES` of its kind.

    A failure is ignored: the arrays are computed again the next time.
    """
    content = io.BytesIO()
    np.savez(content, **arrays)
    kind = name.partition("-")[0]
    try:
        folder = cache_folder()
        make_folder(folder)
        with replacing(folder / f"{name}.npz") as temporary:
            temporary.write_bytes(content.getvalue())
        files = sorted(folder.glob(f"{kind}-*.npz"), key=lambda each: each.stat().st_mtime)
        for old in files[:-MAX_ARRAY_FILES]:
            old.unlink()
    except (DogsimError, OSError):
        pass


def _own_files() -> Iterator[tuple[Path, str]]:
    folder = cache_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        for prefix, what in KINDS_BY_PREFIX.items():
            if path.name.startswith(f".{prefix}"):
                yield path, LEFT_OVER
            if path.name.startswith(prefix):
                yield path, what


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(each.lstat().st_size for each in files if not each.is_dir())


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise DogsimError(f"Cannot remove {path}: {reason(error)}.") from error
