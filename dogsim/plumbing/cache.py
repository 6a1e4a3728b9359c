"""The user's cache folder: what dogsim keeps there to be quick the next time, and nothing else."""

import io
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.files import make_folder, replacing

LOCK = ".lock"
MOST = 20  # files of arrays of a kind that are kept: those that were read or written last


@dataclass(frozen=True)
class Kept:
    """Something in the cache folder: its name there, what it is, and how many bytes it takes."""

    name: str
    what: str
    bytes: int


KINDS = {
    "network-": "a network, ready to run",
    "sample-": "features of the sample",
    "trust-": "how far a dataset's answers can be trusted",
    "near-": "which pictures of a dataset are near each other",
}
LEFT_OVER = "left by a run that was stopped"  # its name begins with a dot, as a lock's does


def cache_folder() -> Path:
    """Path of the user's cache folder for dogsim, which need not exist."""
    return user_cache_path("dogsim")


def cached() -> list[Kept]:
    """List what is kept, the largest first.

    Files of other names are not dogsim's and are not told.
    """
    found = [Kept(path.name, what, _size(path)) for path, what in _ours() if path.suffix != LOCK]
    return sorted(found, key=lambda kept: (-kept.bytes, kept.name))


def clear_cache() -> list[Kept]:
    """Remove what is kept, and tell what is left because another process is making it just now.

    Raises `DogsimError` if a file cannot be removed.
    """
    locked = [path for path, _ in _ours() if path.suffix == LOCK and not _remove_lock(path)]
    busy = tuple(lock.name.removeprefix(".").removesuffix(LOCK) for lock in locked)
    for path, _ in _ours():
        if not (busy and path.name.lstrip(".").startswith(busy)):
            _remove(path)
    return cached()


def kept_arrays(name: str, expected: Iterable[str]) -> dict[str, Any] | None:
    """Read what `keep_arrays` has left under a name; None where it is not there, or damaged."""
    file = cache_folder() / f"{name}.npz"
    try:
        with np.load(io.BytesIO(file.read_bytes())) as stored:
            arrays = {each: stored[each] for each in expected}
        file.touch()
    except Exception:  # in whatever way
        return None
    return arrays


def keep_arrays(name: str, **arrays: Any) -> None:
    """Keep arrays under a name, and `MOST` of its kind; one that cannot be kept costs time only."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    folder, kind = cache_folder(), name.partition("-")[0]
    try:
        make_folder(folder)
        with replacing(folder / f"{name}.npz") as temporary:
            temporary.write_bytes(content.getvalue())
        kept = sorted(folder.glob(f"{kind}-*.npz"), key=lambda each: each.stat().st_mtime)
        for old in kept[:-MOST]:
            old.unlink()
    except (DogsimError, OSError):
        pass


def _ours() -> Iterator[tuple[Path, str]]:
    folder = cache_folder()
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        for start, what in KINDS.items():
            if path.name.startswith(f".{start}"):
                yield path, LEFT_OVER
            if path.name.startswith(start):
                yield path, what


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() and not path.is_symlink() else [path]
    return sum(each.lstat().st_size for each in files if not each.is_dir())


def _remove_lock(path: Path) -> bool:
    """Remove a lock that nobody holds; whoever waits for it sees that it has gone and makes one."""
    try:
        with FileLock(path, timeout=0):
            path.unlink(missing_ok=True)
    except Timeout:
        return False
    except OSError as error:
        raise DogsimError(f"Cannot remove {path}: {reason(error)}.") from error
    return True


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise DogsimError(f"Cannot remove {path}: {reason(error)}.") from error
