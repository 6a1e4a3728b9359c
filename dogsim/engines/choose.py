"""What runs a network: a Keras model becomes a fast function from pixels to features.

``tensorflow`` freezes the model: variables become constants, so that TensorFlow's optimiser can
fold batch normalisation and the like. ``openvino`` is the faster one on a CPU, and a network that
it has converted can be kept (`compiled`). Either computes in bfloat16 where the processor does so
natively: twice to five times as fast, and the features keep a cosine of 0.999 and more with those
of float32. In int8 OpenVINO runs a network that has been made for it (`quantized`).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines._keras import import_keras
from dogsim.engines.openvino import import_openvino
from dogsim.errors import DogsimError, unknown

ENGINES = ("auto", "tensorflow", "openvino")
PRECISIONS = ("auto", "float32", "bfloat16", "int8")
CHUNK = 8  # pictures at once: more do not fit the caches of a CPU and are slower
GPU_CHUNK = 32  # twice as fast there as eight
FEW = 2000  # pictures that a CPU computes while TensorFlow gets ready on a GPU: it takes 15 s
# What shows that there may be a GPU: files of the drivers of NVIDIA (the second on Windows'
# subsystem for Linux) and AMD, and the folder where plugins such as Apple's lie.
GPU_DRIVERS = ("/dev/nvidiactl", "/usr/lib/wsl/lib/libcuda.so.1", "/dev/kfd")
GPU_PLUGINS = "tensorflow-plugins"
IN_TESTS = ("CI", "NNCF_CI")  # what says so to those who would report
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}  # OpenVINO's, for what is in float
_ENVIRONMENT = Lock()  # it is one for all threads

Network = Callable[[NDArray[Any]], NDArray[np.float32]]
Prepare = Callable[[Any], Any]


def choose_engine(
    engine: str = "auto", precision: str = "auto", few: bool = False
) -> tuple[str, str]:
    """Decide what "auto" means on this machine.

    Parameters
    ----------
    engine : {"auto", "tensorflow", "openvino"}
        Automatically TensorFlow on a GPU, else OpenVINO where it is installed, else TensorFlow.
    precision : {"auto", "float32", "bfloat16", "int8"}
        Automatically bfloat16 on a CPU that has it; float32 on a GPU, and where bfloat16 would be
        emulated. bfloat16 and int8 are computed by a CPU, int8 by OpenVINO alone.
    few : bool
        Whether it is for some pictures only: OpenVINO has computed them on a CPU before TensorFlow
        has started on a GPU.

    Returns
    -------
    engine, precision : str

    Raises
    ------
    DogsimError
        If a name is unknown, or OpenVINO is asked for and not installed, or cannot be meant.
    """
    check_engine(engine, precision)
    installed = find_spec("openvino") is not None
    on_cpu = engine == "openvino" or precision in ("bfloat16", "int8")
    sooner = few and engine == "auto" and installed
    gpu = not on_cpu and not sooner and bool(gpus())
    if engine == "auto":
        engine = "openvino" if installed and not gpu else "tensorflow"
    if precision == "auto":
        precision = "bfloat16" if not gpu and _cpu_has_bfloat16() else "float32"
    return engine, precision


def check_engine(engine: str, precision: str) -> None:
    """Raise `DogsimError` for an unknown name, or an engine that is not there or cannot do it."""
    if engine not in ENGINES:
        raise unknown("engine", engine, ENGINES)
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    if (engine, precision) == ("tensorflow", "int8"):
        raise DogsimError(
            "Received the precision int8 for the engine tensorflow. Expected openvino, which alone "
            "computes in it; leave --engine out."
        )
    if (engine == "openvino" or precision == "int8") and find_spec("openvino") is None:
        raise DogsimError(
            "The engine openvino is not installed. Run: pip install openvino, where it has a "
            "package for this machine; else the engine is tensorflow."
        )


def has_engine(engine: str, precision: str) -> bool:
    """Whether this machine can compute as another one has."""
    if engine == "openvino" and find_spec("openvino") is None:
        return False
    return precision != "bfloat16" or _cpu_has_bfloat16()


def run_tensorflow(model: Any, prepare: Prepare, precision: str) -> Network:
    """Freeze a Keras model, for batches of any length.

    Parameters
    ----------
    model : keras.Model
        Maps (B, H, W, 3) float32 to (B, D) float32.
    prepare : callable
        Maps a tensor (B, H, W, 3) float32 of RGB, 0 to 255, to what the model takes.
    precision : str
        As `choose_engine` gives it.

    Returns
    -------
    callable
        Maps (B, H, W, 3) uint8 to (B, D) float32.
    """
    traced = _traced(model, prepare)
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    frozen = convert_variables_to_constants_v2(traced)
    graph, config = tf.Graph(), tf.compat.v1.ConfigProto()
    gpu = precision != "bfloat16" and bool(tf.config.list_physical_devices("GPU"))
    if precision == "bfloat16":  # of this session only; tf.config would change it for everyone
        config.graph_options.rewrite_options.auto_mixed_precision_onednn_bfloat16 = 1
        config.device_count["GPU"] = 0  # which would compute in float32 all the same
    with graph.as_default():
        tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), name="")
    session = tf.compat.v1.Session(graph=graph, config=config)
    run = session.make_callable(frozen.outputs[0].name, [frozen.inputs[0].name])

    return _in_chunks(run, GPU_CHUNK, whole=True) if gpu else _in_chunks(run, CHUNK)


def _in_chunks(run: Network, size: int, whole: bool = False) -> Network:
    """Send pictures through in chunks; where they have to be whole, the last one is filled up.

    A GPU takes half a second to try out how to compute each new length. One picture stays one.
    """

    def network(images: NDArray[Any]) -> NDArray[np.float32]:
        chunks = [images[i : i + size] for i in range(0, len(images), size)]
        if whole and len(images) > 1 and (missing := size - len(chunks[-1])):
            chunks[-1] = np.pad(chunks[-1], [(0, missing), (0, 0), (0, 0), (0, 0)])
        return np.concatenate([run(chunk) for chunk in chunks])[: len(images)]

    return network


def convert(model: Any, prepare: Prepare | None, shape: tuple[int, ...]) -> Any:
    """Convert a Keras model for OpenVINO.

    Parameters
    ----------
    model : keras.Model
        Maps (B, ...) float32 to (B, D) float32, or gives several outputs.
    prepare : callable or None
        As for `run_tensorflow`, of a network that is to take uint8. None leaves float32.
    shape : tuple of int
        What the model takes, without the batch.

    Returns
    -------
    openvino.Model
        For batches of any length.
    """
    traced = _traced(model, prepare)
    openvino = import_openvino()
    from openvino.frontend.tensorflow import utils
    from tensorflow import __version__

    # OpenVINO's own asks by exec() in a function, which fails from Python 3.13 on (PEP 667).
    utils.get_environment_setup = lambda _: {"tensorflow": __version__}
    with unreported():
        # Shared, they would change or be gone with the model, which nobody keeps from here on.
        converted = openvino.convert_model(traced, share_weights=False)
    # Functions with gradients of their own, such as swish, add what they have computed to these.
    own = converted.get_results()[: len(model.outputs)]
    converted = openvino.Model(own, converted.get_parameters())
    converted.reshape([-1, *shape])
    return converted


@contextmanager
def unreported() -> Iterator[None]:
    """Keep OpenVINO's converter, and NNCF, from reporting their use, as they do but in tests."""
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in IN_TESTS}
        os.environ |= dict.fromkeys(IN_TESTS, "true")
        try:
            yield
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value


def run_openvino(converted: Any, precision: str) -> Network:
    """Make what `convert` has given run: many pictures in chunks side by side, few one by one.

    Two shapes are faster than one that is left open, and each is compiled, in tenths of a second,
    when it is wanted first: one picture costs one, on all cores.

    Returns
    -------
    callable
        Maps (B, ...) to (B, D) float32; threads may share it.
    """
    openvino = import_openvino()

    batch, *shape = converted.input(0).partial_shape
    most = CHUNK if batch.is_dynamic else batch.get_length()  # 1 where a graph can do no more
    width = converted.output(0).partial_shape[1].get_length()
    hint = {"INFERENCE_PRECISION_HINT": HINTS[precision]}
    if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():  # as others keep to it
        hint["INFERENCE_NUM_THREADS"] = threads
    lock = Lock()  # threads share it, and it has one place for what it computes

    def compiled(batch: int, performance: str) -> Any:
        converted.reshape([batch, *shape])
        hints = {**hint, "PERFORMANCE_HINT": performance}
        return openvino.Core().compile_model(converted, "CPU", hints)

    @cache
    def many() -> Any:
        queue = openvino.AsyncInferQueue(compiled(most, "THROUGHPUT"))
        queue.set_callback(lambda request, rows: np.copyto(rows, request.get_output_tensor(0).data))
        return queue

    @cache
    def one() -> Any:
        return compiled(1, "LATENCY").create_infer_request()

    def network(images: NDArray[Any]) -> NDArray[np.float32]:
        features = np.empty((len(images), width), np.float32)
        # A single chunk would leave the other cores idle.
        chunks = len(images) // most if len(images) >= 2 * most else 0
        with lock:
            for i in range(0, chunks * most, most):
                many().start_async({0: images[i : i + most]}, features[i : i + most])
            if chunks:
                many().wait_all()
            for i in range(chunks * most, len(images)):
                features[i] = one().infer({0: images[i : i + 1]})[0]
        return features

    return network


def _traced(model: Any, prepare: Prepare | None) -> Any:
    """Make a graph of a Keras model; with `prepare` before it, which takes uint8."""
    import_keras()
    import tensorflow as tf

    taken = tf.TensorSpec(model.input_shape, tf.uint8 if prepare else tf.float32)

    @tf.function(autograph=False, input_signature=[taken])  # type: ignore[untyped-decorator]
    def features(values: Any) -> Any:
        prepared = prepare(tf.cast(values, tf.float32)) if prepare else values
        return model(prepared, training=False)

    return features.get_concrete_function()


def gpus() -> list[str]:
    """Name the GPUs that TensorFlow has; it is asked only where there are signs of one."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    driver = not hidden and any(map(os.path.exists, GPU_DRIVERS))
    if not (driver or find_spec(GPU_PLUGINS)):
        return []
    import_keras()
    import tensorflow as tf

    details = tf.config.experimental.get_device_details
    found = tf.config.list_physical_devices("GPU")
    return [details(each).get("device_name", each.name) for each in found]


def _cpu_has_bfloat16() -> bool:
    # NumPy looks at the processor when it is imported and keeps what it found here.
    core = "core" if np.__version__.startswith("1.") else "_core"
    found = import_module(f"numpy.{core}._multiarray_umath").__cpu_features__
    return bool(found.get("AVX512BF16"))
