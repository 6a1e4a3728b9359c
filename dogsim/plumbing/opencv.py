"""OpenCV in one thread, and an error that says how to repair a broken installation."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any

from dogsim.errors import DogsimError, reason

_lock = threading.Lock()
_threads_before: list[int] = []  # one entry for each block of `opencv` that runs


@contextmanager
def opencv() -> Iterator[Any]:
    """Yield the module ``cv2``, limited to one thread until the last such block has ended.

    The number of threads is a setting of the whole process. One thread makes results independent
    of the machine, and the callers compare several images at a time.

    Raises `DogsimError` if OpenCV cannot be imported or is incomplete.

    >>> with opencv() as cv2:
    ...     cv2.getNumThreads()
    1
    """
    cv2 = _module()
    with _lock:
        _threads_before.append(_threads_before[0] if _threads_before else cv2.getNumThreads())
        cv2.setNumThreads(1)
    try:
        yield cv2
    finally:
        with _lock:
            before = _threads_before.pop()
            if not _threads_before:
                cv2.setNumThreads(before)


@cache
def _module() -> Any:
    """Import ``cv2``, of which two packages may have overwritten or removed each other's files.

    opencv-python and opencv-python-headless install the same folder. Either one is sufficient, and
    the one that was installed last is imported. If one of them is uninstalled, the folder is empty.
    """
    try:
        cv2 = import_module("cv2")
        problem = "" if hasattr(cv2, "SIFT_create") else "its folder cv2 is incomplete"
    except Exception as error:  # opencv-python without the graphics libraries of the system
        problem = reason(error)
    if problem:
        raise DogsimError(
            f"The comparison of images needs OpenCV, which cannot be used: {problem}. "
            "Run: pip install --force-reinstall opencv-python-headless"
        )
    return cv2
