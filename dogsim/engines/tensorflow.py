"""Networks computed by TensorFlow.

A model is frozen: its variables become constants, so that TensorFlow's optimiser can fold batch
normalisation and the like.
"""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.engines._keras import import_keras

CPU_BATCH = 8  # images at once: larger batches exceed the CPU's caches and are slower
GPU_BATCH = 32  # twice as fast on a GPU as 8
# Signs of a GPU: files of the drivers of NVIDIA (the second in Windows' subsystem for Linux) and
# AMD, and the folder of plugins such as Apple's.
GPU_DRIVERS = ("/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1", "/dev/kfd")
GPU_PLUGINS = "tensorflow-plugins"

Compute: TypeAlias = Callable[[NDArray[Any]], NDArray[np.float32]]
Prepare: TypeAlias = Callable[[Any], Any]


def run_tensorflow(model: Any, prepare: Prepare, precision: str) -> Compute:
    """Freeze a Keras model and return a function that runs it on batches of any length.

    Parameters
    ----------
    model : keras.Model
        Maps (B, H, W, 3) float32 to (B, D) float32.
    prepare : callable
        Maps a tensor (B, H, W, 3) float32 of RGB, 0 to 255, to the input of the model.
    precision : str
        From `choose_engine`.

    Returns
    -------
    callable
        Maps (B, H, W, 3) uint8 to (B, D) float32.
    """
    traced = trace(model, prepare)
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(traced)
    graph, config = tf.Graph(), tf.compat.v1.ConfigProto()
    gpu = precision != "bfloat16" and bool(tf.config.list_physical_devices("GPU"))
    if precision == "bfloat16":  # for this session only: tf.config would change all of TensorFlow
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1
        config.device_count["GPU"] = 0  # a GPU would compute in float32
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
    session = tf.compat.v1.Session(graph=graph, config=config)
    run = session.make_callable(frozen.outputs[0].name, [frozen.inputs[0].name])
    return _in_batches(run, GPU_BATCH, pad=True) if gpu else _in_batches(run, CPU_BATCH)


def _in_batches(run: Compute, size: int, pad: bool = False) -> Compute:
    """Split the images into batches of `size`; with `pad` the last one is filled up with zeros.

    A GPU spends half a second on each new batch length. A single image is not padded.
    """

    def compute(images: NDArray[Any]) -> NDArray[np.float32]:
        batches = [images[i : i + size] for i in range(0, len(images), size)]
        if pad and len(images) > 1 and (missing := size - len(batches[-1])):
            batches[-1] = np.pad(batches[-1], [(0, missing), (0, 0), (0, 0), (0, 0)])
        return np.concatenate([run(batch) for batch in batches])[: len(images)]

    return compute


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
