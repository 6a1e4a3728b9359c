"""Atomic writes, locks and checks of output files."""

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from filelock import FileLock, Timeout

from dogsim.errors import DogsimError, not_found, reason
from dogsim.plumbing.signals import defer_signals

TEMPORARY_NAME = re.compile(r"(\..+)\.\d+\.tmp", re.DOTALL)  # of `temporary_path`


def bytes_sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes as 64 hexadecimal digits."""
    return sha256(content).hexdigest()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def is_unchanged(file: Path, size: int, mtime_ns: int, digest: str) -> bool:
    """Return whether a file still has this content; raise `OSError` if it cannot be read.

    `digest` is its SHA-256. It is read only if it has the same size and another modification time.
    """
    status = file.stat()
    if (status.st_size, status.st_mtime_ns) == (size, mtime_ns):
        return True
    return status.st_size == size and file_sha256(file) == digest


def expand_home(path: str | os.PathLike[str]) -> Path:
    """Replace a leading ``~`` or ``~NAME`` by that user's home folder, if there is such a folder.

    >>> expand_home("~no_such_user/1.jpg").as_posix()
    '~no_such_user/1.jpg'
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def make_folder(folder: Path) -> None:
    """Create a folder and its missing parents; raise `DogsimError` if that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DogsimError(f"Cannot create the folder {folder}: {reason(error)}.") from error


def check_output(path: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Raise `DogsimError` if `path` cannot be written; creates no file.

    Called before a long computation whose result could not be written at the end. `inputs` are
    the files that the computation reads, which it must not replace.
    """
    target = follow_link(path)
    if target.is_dir():
        raise DogsimError(f"Received the folder {path} as output. Expected the name of a file.")
    if not target.parent.is_dir():
        message = f"There is no folder {target.parent} for {target.name}. Create it first."
        raise not_found(target, message)
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise DogsimError(f"{path} is not a regular file. Name another output.")
    if target.exists() and any(each and each.exists() and target.samefile(each) for each in inputs):
        raise DogsimError(f"{path} is also read by this command. Name another output.")
    probe = temporary_path(target)
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
    """Raise `DogsimError` if `path` is a file that the running command did not create.

    Parameters
    ----------
    path : Path
        The output, which need not exist.
    ours : callable
        Returns whether a file is an output of such a command; false if it raises `DogsimError`
        or `OSError`.
    force : bool
        Allow any file to be replaced.
    remedy : str
        The end of the message: what the user can do.
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
    """Yield a temporary path beside `path`; it replaces `path` when the block succeeds.

    A reader never sees an incomplete file, and an error leaves the old file unchanged. If `path`
    is a symbolic link, its target is replaced; permissions are preserved.
    """
    check_output(path)
    target = follow_link(path)
    temporary = temporary_path(target)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())  # else a power failure could leave an empty file
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise DogsimError(f"Cannot write {path}: {reason(error)}.") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new folder beside `path`; it replaces the folder `path` when the block succeeds.

    An error leaves the old folder unchanged and nothing of the new one. The parent folder must
    exist. Raises `DogsimError` if a file cannot be written, or if another process writes `path`.
    """
    target = follow_link(path).absolute()
    new, old = temporary_path(target), temporary_path(target)
    with locked(target):
        remove_temporary_files(target)
        try:
            new.mkdir()
            yield new
            with defer_signals():
                if target.is_dir():
                    target.replace(old)
                new.replace(target)
        except OSError as error:
            raise DogsimError(f"Cannot write {path}: {reason(error)}.") from error
        finally:
            if old.is_dir() and not target.exists():
                old.replace(target)
            for folder in (new, old):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a file, so that one process at a time writes it; it ends with the process.

    The lock is a file beside it, which is removed at the end; that of a killed process stays.
    Raises `DogsimError` if another process holds the lock, or waits for it if `wait` is true.
    """
    target = follow_link(path)
    lock_file = target.with_name(f".{target.name}.lock")
    lock = FileLock(lock_file, timeout=-1 if wait else 0)
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
        with suppress(DogsimError):
            remove_lock(lock_file)


def remove_lock(file: Path) -> bool:
    """Remove a lock file, and return whether that succeeded: not if a process holds it.

    It is removed by its holder, so that no two processes hold a lock of one name: filelock does not
    take a file without a name, which another process has opened before.
    """
    if not file.exists():
        return True
    try:
        with FileLock(file, timeout=0):
            if os.name != "nt":  # there filelock removes it
                file.unlink(missing_ok=True)
    except Timeout:
        return False
    except OSError as error:
        raise DogsimError(f"Cannot remove {file}: {reason(error)}.") from error
    return True


def remove_temporary_files(*paths: Path) -> None:
    """Remove temporary files and folders of killed processes; the caller is the only writer."""
    names: dict[Path, set[str]] = {}
    for path in paths:
        names.setdefault(path.parent, set()).add(_temporary_stem(path))
    for folder, stems in names.items():
        for file in folder.iterdir() if folder.is_dir() else ():
            found = TEMPORARY_NAME.fullmatch(file.name)
            if found and found[1] in stems and file.is_dir() and not file.is_symlink():
                shutil.rmtree(file, ignore_errors=True)
            elif found and found[1] in stems:
                file.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to disk, where the system can do that."""
    with suppress(OSError):  # Windows cannot open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def follow_link(path: Path) -> Path:
    """Return the target of a symbolic link, or `path` itself if it is not a link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def temporary_path(path: Path) -> Path:
    """Return a random hidden name beside `path`, see `remove_temporary_files`."""
    # Not the process ID: threads share it, and containers that share a folder repeat it.
    return path.with_name(f"{_temporary_stem(path)}.{secrets.randbelow(10**12)}.tmp")


def _temporary_stem(path: Path) -> str:
    name = os.fsencode(path.name)  # file systems limit names to 255 bytes
    return f".{path.name if len(name) <= 200 else sha256(name).hexdigest()}"
