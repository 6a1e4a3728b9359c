"""Import of Keras without TensorFlow's log lines."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any

from dogsim.errors import DogsimError, reason


@cache
def import_keras() -> Any:
    """Return the module `keras` with the backend TensorFlow; the terminal shows no log lines.

    Raises `DogsimError` if Keras has been imported with another backend.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # leaves memory to other programs
    if "keras" not in sys.modules:
        os.environ["KERAS_BACKEND"] = "tensorflow"
    if find_spec("tf_keras") is None:
        os.environ.pop("TF_USE_LEGACY_KERAS", None)  # requests a Keras that is not installed
    with _stderr_suppressed():
        import keras
    if keras.backend.backend() != "tensorflow":
        raise DogsimError(
            f"Keras runs on {keras.backend.backend()!r}. dogsim needs the backend 'tensorflow': "
            "set KERAS_BACKEND=tensorflow before Keras is imported."
        )
    return keras


@contextmanager
def keras_errors(what: str) -> Iterator[None]:
    """Report what Keras raises for arguments that do not fit as one `DogsimError`.

    Also a decorator of functions; `what` is what the block or function builds.
    """
    try:
        yield
    except DogsimError:
        raise
    except Exception as error:  # Keras raises many types, TensorFlow its own ones
        first_line = (str(error).strip() or repr(error)).splitlines()[0]
        raise DogsimError(f"Cannot build {what}: {reason(Exception(first_line))}.") from error


@contextmanager
def _stderr_suppressed() -> Iterator[None]:
    # TensorFlow's C++ code writes to file descriptor 2 before it reads its log level, so only the
    # descriptor itself can be redirected. If the import fails, its output is printed.
    if sys.stderr is None:  # closed
        yield
        return
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as captured:
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(original, captured.read())
            raise
        finally:
            os.dup2(original, 2)
            os.close(original)
