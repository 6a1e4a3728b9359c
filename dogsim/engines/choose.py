"""Choice of the engine that computes a network, and of the precision of its numbers.

``tensorflow`` runs a frozen Keras model. ``openvino`` is faster on a CPU and runs a converted
model, which is cached (`model_cache`). Both compute in bfloat16 if the CPU supports it natively:
two to five times faster, and the cosine with the features of float32 is at least 0.999. In int8
OpenVINO runs a model that has been quantized (`openvino.quantize`).
"""

from importlib import import_module
from importlib.util import find_spec
from typing import Literal, TypeAlias, get_args

import numpy as np

from dogsim.engines.tensorflow import gpus
from dogsim.errors import DogsimError, as_flag, check_known

Engine: TypeAlias = Literal["auto", "tensorflow", "openvino"]
Precision: TypeAlias = Literal["auto", "float32", "bfloat16", "int8"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
MIN_IMAGES_FOR_GPU = 2000  # a CPU computes them in the 15 s that TensorFlow needs to start


def choose_engine(
    engine: Engine = "auto", precision: Precision = "auto", few: bool = False
) -> tuple[Engine, Precision]:
    """Return the engine and the precision, with "auto" resolved for this machine.

    Parameters
    ----------
    engine : {"auto", "tensorflow", "openvino"}
        Automatically TensorFlow on a GPU, else OpenVINO if it is installed, else TensorFlow.
    precision : {"auto", "float32", "bfloat16", "int8"}
        Automatically bfloat16 on a CPU that supports it; float32 on a GPU and on a CPU that would
        emulate bfloat16. bfloat16 and int8 are computed on the CPU, int8 by OpenVINO only.
    few : bool
        Whether only a few images are computed: OpenVINO has finished them on the CPU before
        TensorFlow has started on a GPU.

    Returns
    -------
    engine : {"tensorflow", "openvino"}
    precision : {"float32", "bfloat16", "int8"}

    Raises
    ------
    DogsimError
        If a name is unknown, OpenVINO is needed and not installed, or the engine does not support
        the precision.
    """
    check_engine(engine, precision)
    few = as_flag("few", few)
    installed = find_spec("openvino") is not None
    cpu_only = engine == "openvino" or precision in ("bfloat16", "int8")
    cpu_is_sooner = few and engine == "auto" and installed
    gpu = not cpu_only and not cpu_is_sooner and bool(gpus())
    if engine == "auto":
        engine = "openvino" if installed and not gpu else "tensorflow"
    if precision == "auto":
        precision = "bfloat16" if not gpu and _cpu_has_bfloat16() else "float32"
    return engine, precision


def check_engine(engine: Engine, precision: Precision) -> None:
    """Raise `DogsimError` if a name is unknown or the engine is missing or lacks the precision."""
    check_known("engine", engine, ENGINES)
    check_known("precision", precision, PRECISIONS)
    if (engine, precision) == ("tensorflow", "int8"):
        raise DogsimError(
            "Received the precision int8 for the engine tensorflow. Expected openvino, the only "
            "engine that computes in int8: leave --engine out."
        )
    if (engine == "openvino" or precision == "int8") and find_spec("openvino") is None:
        raise DogsimError(
            "The engine openvino is not installed. Run: pip install openvino, if it has a package "
            "for this machine; otherwise use the engine tensorflow."
        )


def has_engine(engine: Engine, precision: Precision) -> bool:
    """Return whether this machine can compute with an engine in a precision."""
    if engine == "openvino" and find_spec("openvino") is None:
        return False
    return precision != "bfloat16" or _cpu_has_bfloat16()


def _cpu_has_bfloat16() -> bool:
    # NumPy detects the features of the CPU when it is imported.
    core = "core" if np.__version__.startswith("1.") else "_core"
    features = import_module(f"numpy.{core}._multiarray_umath").__cpu_features__
    return bool(features.get("AVX512BF16"))
