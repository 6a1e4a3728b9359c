"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from glob import escape
from hashlib import sha256
from pathlib import Path

from dogsim.errors import DogsimError, reason


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing; `DogsimError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DogsimError(f"Cannot make the folder {folder}: {reason(error)}.") from error


def check_output(path: Path) -> None:
    """Raise `DogsimError` if `path` is no place for a new file; leaves nothing behind.

    Called before hours of work go into what could not be written at the end.
    """
    if path.is_dir():
        raise DogsimError(f"Received the folder {path} as output. Expected the name of a file.")
    if not path.parent.is_dir():
        raise DogsimError(f"There is no folder {path.parent} for {path.name}. Make it first.")
    probe = _temporary(path)
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DogsimError(f"Cannot write {path}: {reason(error)}.") from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` which takes its place when the block ends well.

    A reader never sees half a file, and an error leaves the old file as it was.
    """
    check_output(path)
    temporary = _temporary(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut could leave the new name and no content
        temporary.replace(path)
    except OSError as error:
        raise DogsimError(f"Cannot write {path}: {reason(error)}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def remove_left_overs(path: Path) -> None:
    """Remove what `replacing` left when it was killed; for the only process that writes `path`."""
    for temporary in path.parent.glob(f".{escape(path.name[:200])}.*.tmp"):
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
