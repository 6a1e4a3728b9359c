"""Check that a machine is ready for the lessons."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from dogsim.errors import DogsimError, counted, reason
from dogsim.folders.listing import find_images
from dogsim.networks.backbones import DEFAULT_BACKBONE, find_backbone
from dogsim.networks.weights import OFFLINE_BACKBONE
from dogsim.plumbing.cache import cache_folder
from dogsim.sources.installed_files import (
    HARD_FOLDER,
    QUERY_FOLDER,
    SAMPLE_FOLDER,
    data_folder,
    lesson_script,
)
from dogsim.sources.lessons import LESSONS, TINY, execute, lesson_notebook
from dogsim.sources.notebooks import EXTRA

PACKAGES = ("jupytext", "nbclient", "ipykernel", "jupyterlab", "scikit-learn", "scikit-image")
DRAWINGS = {SAMPLE_FOLDER: 300, QUERY_FOLDER: 12, HARD_FOLDER: 250}
MIN_DISK_BYTES = 10**9
MIN_MEMORY_BYTES = 4 * 10**9


@dataclass(frozen=True)
class Check:
    """A thing that the lessons need.

    Attributes
    ----------
    what : str
        The thing.
    found : str
        What there is of it.
    remedy : str
        What to do if it is missing; "" if it is there.
    """

    what: str
    found: str
    remedy: str = ""


def check_machine() -> Iterator[Check]:
    """Check packages, weights, drawings, disk and memory, and execute lesson 1.

    Yields a `Check` of each; none raises.
    """
    yield Check("Python", f"{sys.version.split()[0]} in {sys.prefix}")
    packages = [_package(name) for name in PACKAGES]
    yield from packages
    yield _network()
    for name, count in DRAWINGS.items():
        yield _drawings(name, count)
    yield _scripts()
    yield _disk()
    yield _memory()
    if not any(each.remedy for each in packages):
        yield _execution()


def _package(name: str) -> Check:
    try:
        return Check(name, version(name))
    except PackageNotFoundError:
        return Check(name, "not installed", f'pip install "dogsim[{EXTRA}]"')


def _network() -> Check:
    if file := find_backbone(DEFAULT_BACKBONE).imagenet_file():
        return Check("network", f"{DEFAULT_BACKBONE}, {file}")
    try:
        file = find_backbone(OFFLINE_BACKBONE).imagenet_file()
    except DogsimError as error:
        return Check("network", str(error), "pip install --force-reinstall dogsim")
    return Check("network", f"{OFFLINE_BACKBONE}, {file} ({DEFAULT_BACKBONE} is not downloaded)")


def _drawings(name: str, count: int) -> Check:
    try:
        found = len(find_images(data_folder(name)))
    except DogsimError:
        found = 0
    remedy = "" if found == count else "pip install --force-reinstall --no-deps dogsim"
    return Check(name, f"{found} of {counted(count, 'drawing')}", remedy)


def _scripts() -> Check:
    missing = []
    for name in (TINY, *LESSONS):
        try:
            lesson_script(name)
        except DogsimError:
            missing.append(name)
    remedy = "pip install --force-reinstall --no-deps dogsim" if missing else ""
    return Check("lessons", f"missing: {', '.join(missing)}" if missing else "complete", remedy)


def _disk() -> Check:
    try:
        folder = cache_folder()
        while not folder.is_dir():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
    except (DogsimError, OSError) as error:
        return Check("disk", str(error), "Set HOME to a folder that can be written.")
    remedy = f"Free {_gigabytes(MIN_DISK_BYTES)}." if free < MIN_DISK_BYTES else ""
    return Check("disk", f"{_gigabytes(free)} free at {folder}", remedy)


def _memory() -> Check:
    if not hasattr(os, "sysconf"):  # Windows
        return Check("memory", "unknown on this system")
    size = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    remedy = f"Expected {_gigabytes(MIN_MEMORY_BYTES)}." if size < MIN_MEMORY_BYTES else ""
    return Check("memory", _gigabytes(size), remedy)


def _execution() -> Check:
    """Execute lesson 1 in a temporary folder."""
    start = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            execute(lesson_notebook(next(iter(LESSONS))), Path(folder))
    except Exception as error:
        return Check("notebook", reason(error), "jupyter kernelspec list")
    return Check("notebook", f"lesson 1 executed in {time.monotonic() - start:.0f} s")


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
