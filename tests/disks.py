"""File systems for tests: a small one, a read-only one, and another one."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a file system at a folder; skip the test where that is not possible."""
    folder.mkdir(exist_ok=True)
    command = ["mount", *options, str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True).returncode == 0
    except OSError:
        done = False
    if not done:
        pytest.skip(f"this machine cannot run {' '.join(command)}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Mount a file system of a number of bytes."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={size}", "tmpfs") as disk:
        yield disk


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """Make a folder read-only, also for the administrator, who may write to every other one."""
    with mounted(folder, "--bind", str(folder)):
        command = ["mount", "-o", "remount,ro,bind", str(folder)]
        subprocess.run(command, check=True, capture_output=True)
        yield folder


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Return the content, the modification time and the mode of each file in a folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        file.relative_to(folder).as_posix(): (
            file.read_bytes(),
            file.stat().st_mtime_ns,
            file.stat().st_mode,
        )
        for file in files
    }


def names(folder: Path) -> list[str]:
    """Return the names in a folder."""
    return sorted(path.name for path in folder.iterdir())
