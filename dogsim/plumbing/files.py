"""Files that appear whole or not at all, and never in the place of what somebody else needs."""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from dogsim.errors import DogsimError, reason


def bytes_sha256(content: bytes) -> str:
    """SHA-256 of bytes, as 64 hexadecimal digits."""
    return sha256(content).hexdigest()


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


def check_output(path: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Raise `DogsimError` if `path` is no place for a new file; leaves nothing behind.

    Called before hours of work go into what could not be written at the end. `inputs` are the files
    that the work reads, which it must not replace.
    """
    target = written_through(path)
    if target.is_dir():
        raise DogsimError(f"Received the folder {path} as output. Expected the name of a file.")
    if not target.parent.is_dir():
        raise DogsimError(f"There is no folder {target.parent} for {target.name}. Make it first.")
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise DogsimError(f"{path} is not a regular file. Name another output.")
    if any(_same_file(target, each) for each in inputs if each):
        raise DogsimError(f"{path} is read by this command as well. Name another output.")
    probe = _temporary(target)
    try:
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(0, "it is write-protected")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DogsimError(f"Cannot write {path}: {reason(error)}.") from error


def check_replaceable(
    path: Path,
    ours: Callable[[Path], bool],
    force: bool,
    remedy: str = "Name another output, or give --force to replace it.",
) -> None:
    """Raise `DogsimError` if `path` is a file that the running command did not make.

    Parameters
    ----------
    path : Path
        The output, which need not exist.
    ours : callable
        Tells whether a file is such a command's output; may raise `DogsimError` or `OSError` for
        "no".
    force : bool
        Let any file be replaced.
    remedy : str
        What the user can do.
    """
    if force or not path.exists():
        return
    try:
        known = ours(path)
    except (DogsimError, OSError):
        known = False
    if not known:
        raise DogsimError(f"{path} exists and was not made by this command. {remedy}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` which takes its place when the block ends well.

    A reader never sees half a file, and an error leaves the old file as it was. Through a symbolic
    link the file behind it is replaced, which keeps its permissions.
    """
    check_output(path)
    target = written_through(path)
    temporary = _temporary(target)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut could leave the new name and no content
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise DogsimError(f"Cannot write {path}: {reason(error)}.") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def writing(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a new file, see `check_output` and `locked`."""
    check_output(path)
    with locked(path, wait):
        yield


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a dataset, which dies with its process: one writer at a time.

    Raises `DogsimError` if another holds it, or with `wait` waits for that one's end.
    """
    target = written_through(path)
    lock = FileLock(target.with_name(f".{target.name}.lock"), timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except Timeout:
        raise DogsimError(f"Another run is writing {path}. Wait for it, or stop it.") from None
    except OSError as error:
        raise DogsimError(f"Cannot write {path}: {reason(error)}.") from error
    try:
        yield
    finally:
        lock.release()


def remove_left_overs(path: Path) -> None:
    """Remove what `replacing` left when it was killed; for the only process that writes `path`."""
    stem, ending = _temporary_name(path)
    for temporary in path.parent.iterdir() if path.parent.is_dir() else ():
        if re.fullmatch(rf"{re.escape(stem)}\.\d+{re.escape(ending)}", temporary.name):
            temporary.unlink(missing_ok=True)


def written_through(path: Path) -> Path:
    """The file that is written for `path`: what a symbolic link leads to, else `path` itself."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _same_file(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _temporary(path: Path) -> Path:
    # Not the process's number: threads share it, and containers that share a folder count alike.
    stem, ending = _temporary_name(path)
    return path.with_name(f"{stem}.{secrets.randbelow(10**12)}{ending}")


def _temporary_name(path: Path) -> tuple[str, str]:
    name = os.fsencode(path.name)  # file systems count bytes, and 255 are the most
    return f".{path.name if len(name) <= 200 else sha256(name).hexdigest()}", ".tmp"
