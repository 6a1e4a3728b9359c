"""Move files without losing or overwriting one, whenever the process is killed.

A file gets its new name before it loses the old one. On one file system both are names of the same
file for a moment; on another one a complete copy is flushed to disk and compared first. Therefore
each file is complete under at least one of its names at any moment.
"""

import errno
import os
import shutil
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.files import file_sha256, sync_folder, temporary_path
from dogsim.plumbing.terminal import track

# Errors of file systems without hard links, or that allow none of this file.
NO_LINK_ERRNOS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
NO_FILE_ERRNOS = (errno.ENOENT, errno.ENOTDIR)
COPIED_BYTES = 1 << 20  # at a time

MoveState: TypeAlias = Literal["to do", "begun", "done", "taken", "missing"]


@dataclass(frozen=True)
class FileMove:
    """The move of a regular file to another folder.

    Attributes
    ----------
    source, target : Path
    """

    source: Path
    target: Path

    @property
    def state(self) -> MoveState:
        """What has been done.

        "begun" if the file has both names, as after a kill, or the new name is that of an empty
        file; "taken" if the new name is that of another file or a folder; "missing" if there is no
        regular file. Raises `OSError` if a folder cannot be searched.
        """
        source, target = _status(self.source), _status(self.target)
        if target and not stat.S_ISREG(target.st_mode):
            return "taken"
        if source is None or not stat.S_ISREG(source.st_mode):
            return "done" if target and not source else "missing"
        if target is None:
            return "to do"
        if os.path.samestat(source, target):  # one name can have two paths, through a mount
            return "begun" if source.st_nlink > 1 else "taken"
        if source.st_size != target.st_size:
            return "taken" if target.st_size else "begun"
        return "begun" if file_sha256(self.source) == file_sha256(self.target) else "taken"

    def run(self) -> None:
        """Move the file; raise `OSError` if that fails, after which only the old name remains.

        A move that was begun is finished. The caller checks `state` first, and holds a lock.
        """
        self.target.parent.mkdir(parents=True, exist_ok=True)
        if self.state == "begun":
            if self.target.stat().st_size == 0 < self.source.stat().st_size:
                self.target.unlink()  # it was to be replaced by `_replace_reserved`
            else:
                sync_folder(self.target.parent)
                return self.source.unlink()
        try:
            _rename(self.source, self.target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy()

    def _copy(self) -> None:
        """Move the file to another file system."""
        copy = temporary_path(self.target)
        try:
            before = _copy_file(self.source, copy)
            _rename(copy, self.target)
        finally:
            with suppress(OSError):
                copy.unlink(missing_ok=True)
        sync_folder(self.target.parent)
        if _version(self.source.stat()) != before:
            self.target.unlink()
            raise OSError(errno.EBUSY, "it changed while it was copied")
        _remove_old_name(self.source, self.target)
        sync_folder(self.source.parent)


def run_moves(moves: Sequence[FileMove], remedy: str) -> None:
    """Move files one after the other; `remedy` ends the message of an error or of Ctrl-C."""
    done = 0
    try:
        for [move] in track([[move] for move in moves], len(moves), "files"):
            move.run()
            done += 1
    except OSError as error:
        raise DogsimError(
            f"Cannot move {move.source} to {move.target}: {reason(error)}. {done} of {len(moves)} "
            f"files were moved. {remedy}"
        ) from error
    except KeyboardInterrupt as stop:
        message = f"Stopped. {done} of {len(moves)} files were moved. {remedy}"
        raise type(stop)(message) from None


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file or link, None if there is none."""
    try:
        return path.lstat()
    except OSError as error:
        if error.errno in NO_FILE_ERRNOS:
            return None
        raise


def _rename(file: Path, target: Path) -> None:
    """Rename a file within a file system to a name that does not exist."""
    try:
        os.link(file, target)
    except OSError as error:
        if error.errno not in NO_LINK_ERRNOS:
            raise
        _replace_reserved(file, target)
    else:
        _remove_old_name(file, target)


def _replace_reserved(file: Path, target: Path) -> None:
    """Rename a file as `_rename` does, without hard links: over a new empty file."""
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    if target.stat().st_size:
        raise FileExistsError(errno.EEXIST, "another program has written a file of this name")
    try:
        file.replace(target)
    except OSError:
        target.unlink()
        raise


def _remove_old_name(source: Path, target: Path) -> None:
    """Remove the old name of a file; if that fails, remove the new name."""
    try:
        source.unlink()
    except FileNotFoundError:
        raise  # then the new name is the only one
    except OSError:
        if source.is_file():
            target.unlink()
        raise


def _copy_file(source: Path, copy: Path) -> tuple[int, int, int]:
    """Copy a file with its times and compare the copy; return the version of the source."""
    digest = sha256()
    with source.open("rb") as reader, copy.open("xb") as writer:
        version = _version(os.fstat(reader.fileno()))
        while block := reader.read(COPIED_BYTES):
            digest.update(block)
            writer.write(block)
        writer.flush()
        with suppress(OSError):  # the file system may have no such times or permissions
            shutil.copystat(source, copy)
        os.fsync(writer.fileno())
    if file_sha256(copy) != digest.hexdigest():
        raise OSError(errno.EIO, "the copy differs from the file")
    return version


def _version(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_ino, status.st_size, status.st_mtime_ns
