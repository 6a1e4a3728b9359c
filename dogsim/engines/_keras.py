"""Import Keras without TensorFlow's chatter."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

from dogsim.errors import DogsimError


@cache
def import_keras() -> Any:
    """Return the module `keras`, running on TensorFlow, with no log line on the terminal.

    Raises `DogsimError` if Keras was already loaded with another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # others want some of its memory
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    if find_spec("tf_keras") is None:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)  # asks TensorFlow for a Keras that is not there
    with _stderr_held_back():
        import keras
    if keras.backend.backend() != "tensorflow":
        raise DogsimError(
            f"Keras runs on {keras.backend.backend()!r}. dogsim needs the backend 'tensorflow': "
            "set KERAS_BACKEND=tensorflow before Keras is imported."
        )
    return keras


@contextmanager
def _stderr_held_back() -> Iterator[None]:
    # TensorFlow's C++ code writes to file descriptor 2 before its log level is read, so only
    # the descriptor itself can be silenced. What an import that fails wrote is shown after all.
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(original, held.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
