"""Keras and TensorFlow: import without log lines, and networks computed by them.

A model is frozen: its variables become constants, so that TensorFlow's optimiser can fold batch
normalisation and the like.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, reason

CPU_BATCH = 8  # images at once: larger batches exceed the CPU's caches and are slower
GPU_BATCH = 32  # twice as fast on a GPU as 8
# Signs of a GPU: files of the drivers of NVIDIA (the second in Windows' subsystem for Linux) and
# AMD, and the folder of plugins such as Apple's.
GPU_DRIVERS = ("/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1", "/dev/kfd")
GPU_PLUGINS = "tensorflow-plugins"

Compute: TypeAlias = Callable[[NDArray[Any]], NDArray[np.float32]]
Prepare: TypeAlias = Callable[[Any], Any]


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


class TensorFlowNetwork:
    """A frozen Keras model that computes batches of any length.

    Parameters
    ----------
    model : keras.Model
        Maps (B, H, W, 3) float32 to features (B, D) float32, or to several outputs.
    prepare : callable
        Maps a tensor (B, H, W, 3) float32 of RGB, 0 to 255, to the input of the model.
    precision : str
        From `choose_engine`.
    """

    def __init__(self, model: Any, prepare: Prepare, precision: str) -> None:
        traced = trace(model, prepare)
        import tensorflow as tf
        from tensorflow.python.framework import convert_to_constants

        frozen = convert_to_constants.convert_variables_to_constants_v2(traced)
        graph, config = tf.Graph(), tf.compat.v1.ConfigProto()
        self._gpu = precision != "bfloat16" and bool(tf.config.list_physical_devices("GPU"))
        if precision == "bfloat16":  # for this session only: tf.config would change the process
            config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1
            config.device_count["GPU"] = 0  # a GPU would compute in float32
        with graph.as_default():
            tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
        session = tf.compat.v1.Session(graph=graph, config=config)
        outputs = [output.name for output in frozen.outputs]
        self._run = session.make_callable(outputs, [frozen.inputs[0].name])

    def __call__(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Compute features (B, D) of images (B, H, W, 3)."""
        return self.outputs(images)[0]

    def outputs(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Compute all outputs of images (B, H, W, 3)."""
        size = GPU_BATCH if self._gpu else CPU_BATCH
        batches = [images[i : i + size] for i in range(0, len(images), size)]
        # A GPU spends half a second on each new batch length.
        if self._gpu and len(images) > 1 and (missing := size - len(batches[-1])):
            batches[-1] = np.pad(batches[-1], [(0, missing), (0, 0), (0, 0), (0, 0)])
        results = zip(*map(self._run, batches), strict=True)
        return [np.concatenate(parts)[: len(images)] for parts in results]


def trace(model: Any, prepare: Prepare | None) -> Any:
    """Return the graph of a Keras model; with `prepare`, that is applied first to uint8 images."""
    import_keras()
    import tensorflow as tf

    signature = tf.TensorSpec(model.input_shape, tf.uint8 if prepare else tf.float32)

    @tf.function(autograph=False, input_signature=[signature])  # type: ignore[untyped-decorator]
    def features(values: Any) -> Any:
        prepared = prepare(tf.cast(values, tf.float32)) if prepare else values
        return model(prepared, training=False)

    return features.get_concrete_function()


def gpus() -> list[str]:
    """List the names of TensorFlow's GPUs; imports TensorFlow only if there are signs of one."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    driver = not hidden and any(map(os.path.exists, GPU_DRIVERS))
    if not (driver or find_spec(GPU_PLUGINS)):
        return []
    import_keras()
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    devices = tf.config.list_physical_devices("GPU")
    return [details(device).get("device_name", device.name) for device in devices]
