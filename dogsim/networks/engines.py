"""What runs a network: a Keras model becomes a fast function from pixels to features.

``tensorflow`` freezes the model: variables become constants, so that TensorFlow's optimiser can
fold batch normalisation and the like. ``openvino`` (pip install "dogsim[fast]") is the faster one
on a CPU. Either computes in bfloat16 where the processor does so natively: twice to five times as
fast, and the features keep a cosine of 0.999 and more with those of float32.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, unknown
from dogsim.networks._keras import import_keras

ENGINES = ("auto", "tensorflow", "openvino")
PRECISIONS = ("auto", "float32", "bfloat16")
CHUNK = 8  # pictures at once: more do not fit the caches of a CPU and are slower

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Prepare = Callable[[Any], Any]


def choose_engine(engine: str = "auto", precision: str = "auto") -> tuple[str, str]:
    """Decide what "auto" means on this machine.

    Parameters
    ----------
    engine : {"auto", "tensorflow", "openvino"}
        Automatically TensorFlow on a GPU, else OpenVINO where it is installed, else TensorFlow.
    precision : {"auto", "float32", "bfloat16"}
        Automatically bfloat16 on a CPU that has it; float32 where it would be emulated.

    Returns
    -------
    engine, precision : str

    Raises
    ------
    DogsimError
        If a name is unknown, or OpenVINO is asked for and not installed.
    """
    check_engine(engine, precision)
    installed = find_spec("openvino") is not None
    gpu = engine != "openvino" and _has_gpu()
    if engine == "auto":
        engine = "openvino" if installed and not gpu else "tensorflow"
    if precision == "auto":
        precision = "bfloat16" if not gpu and _cpu_has_bfloat16() else "float32"
    return engine, precision


def check_engine(engine: str, precision: str) -> None:
    """Raise `DogsimError` for an unknown name, or an engine that is not installed."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if engine == "openvino" and find_spec("openvino") is None:
        raise DogsimError('The engine openvino is not installed. Run: pip install "dogsim[fast]"')


def has_engine(engine: str, precision: str) -> bool:
    """Whether this machine can compute as another one has."""
    if engine == "openvino" and find_spec("openvino") is None:
        return False
    return precision != "bfloat16" or _cpu_has_bfloat16()


def compile_model(model: Any, prepare: Prepare, engine: str, precision: str) -> Network:
    """Compile a Keras model once, for batches of any length.

    Parameters
    ----------
    model : keras.Model
        Maps (B, H, W, 3) float32 to (B, D) float32.
    prepare : callable
        Maps a tensor (B, H, W, 3) float32 of RGB, 0 to 255, to what the model takes.
    engine, precision : str
        As `choose_engine` gives them.

    Returns
    -------
    callable
        Maps (B, H, W, 3) uint8 to (B, D) float32.
    """
    import_keras()
    import tensorflow as tf

    @tf.function(autograph=False, input_signature=[tf.TensorSpec(model.input_shape, tf.uint8)])  # type: ignore[untyped-decorator]
    def features(pixels: Any) -> Any:
        return model(prepare(tf.cast(pixels, tf.float32)), training=False)

    traced = features.get_concrete_function()
    if engine == "openvino":
        return _openvino(traced, model, precision)
    return _tensorflow(traced, precision)


def _tensorflow(traced: Any, precision: str) -> Network:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(traced)
    graph, config = tf.Graph(), tf.compat.v1.ConfigProto()
    if precision == "bfloat16":  # of this session only; tf.config would change it for everyone
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
    session = tf.compat.v1.Session(graph=graph, config=config)
    run = session.make_callable(frozen.outputs[0].name, [frozen.inputs[0].name])

    def network(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        chunks = [run(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
        return np.concatenate(chunks)

    return network


def _openvino(traced: Any, model: Any, precision: str) -> Network:
    queue = _openvino_queue(traced, model.input_shape, precision)

    def keep(request: Any, rows: NDArray[np.float32]) -> None:
        rows[:] = request.get_output_tensor(0).data[: len(rows)]

    queue.set_callback(keep)

    def network(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        features = np.empty((len(images), model.output_shape[1]), np.float32)
        for i in range(0, len(images), CHUNK):
            chunk = images[i : i + CHUNK]
            missing = CHUNK - len(chunk)  # the last chunk is filled up: one shape is faster
            padded = np.pad(chunk, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else chunk
            queue.start_async({0: padded}, features[i : i + CHUNK])
        queue.wait_all()
        return features

    return network


def _openvino_queue(traced: Any, input_shape: Sequence[int | None], precision: str) -> Any:
    import openvino

    converted = openvino.convert_model(traced)
    converted.reshape([CHUNK, *(length or -1 for length in input_shape[1:])])
    hints = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": {"float32": "f32", "bfloat16": "bf16"}[precision],
    }
    return openvino.AsyncInferQueue(openvino.Core().compile_model(converted, "CPU", hints))


def _has_gpu() -> bool:
    import_keras()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def _cpu_has_bfloat16() -> bool:
    # NumPy looks at the processor when it is imported and keeps what it found here.
    core = "core" if np.__version__.startswith("1.") else "_core"
    found = import_module(f"numpy.{core}._multiarray_umath").__cpu_features__
    return bool(found.get("AVX512BF16"))
