"""Networks computed by OpenVINO: import, conversion from Keras, quantization, and execution."""

import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import cache, cached_property
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.tensorflow import CPU_BATCH, Prepare, trace
from dogsim.plumbing.optional import check_installed, require

PRECISION_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}  # of the float layers
# Errors of its functions. A UnicodeDecodeError comes from a message that quotes a file.
OPENVINO_ERRORS = (RuntimeError, MemoryError, UnicodeDecodeError)
TEST_VARIABLES = ("CI", "NNCF_CI")  # environment variables that switch telemetry off
_ENVIRONMENT = Lock()  # all threads share one environment
NEEDS_NNCF = ("nncf", "int8", "Quantization to int8")


@cache
def import_openvino() -> Any:
    """Return the module `openvino`, with its telemetry disabled.

    OpenVINO reports its import and its conversions from a process that it forks. The fork hangs if
    the program computes in another thread at that moment. Without the package `openvino_telemetry`
    it uses a stub.
    """
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Disable the telemetry of OpenVINO's converter and NNCF, as these do in tests."""
    with _ENVIRONMENT:
        before = {name: os.environ.get(name) for name in TEST_VARIABLES}
        os.environ |= dict.fromkeys(TEST_VARIABLES, "true")
        try:
            yield
        finally:
            for name, value in before.items():
                del os.environ[name]
                if value is not None:
                    os.environ[name] = value


def convert(model: Any, prepare: Prepare | None, shape: tuple[int, ...]) -> Any:
    """Convert a Keras model for OpenVINO.

    Parameters
    ----------
    model : keras.Model
        Maps (B, ...) float32 to (B, D) float32, or to several outputs.
    prepare : callable or None
        As for `TensorFlowNetwork`; the converted model then takes uint8. None keeps float32.
    shape : tuple of int
        Shape of the input without the batch.

    Returns
    -------
    openvino.Model
        For batches of any length.
    """
    traced = trace(model, prepare)
    openvino = import_openvino()
    from openvino.frontend.tensorflow import utils
    from tensorflow import __version__

    # OpenVINO's own function calls exec() for this, which fails from Python 3.13 on (PEP 667).
    utils.get_environment_setup = lambda _: {"tensorflow": __version__}
    with without_telemetry():
        # Shared weights would change or disappear with the Keras model, which is not kept.
        converted = openvino.convert_model(traced, share_weights=False)
    # Functions with their own gradient, such as swish, add intermediate results to the outputs.
    outputs = converted.get_results()[: len(model.outputs)]
    converted = openvino.Model(outputs, converted.get_parameters())
    converted.reshape([-1, *shape])
    return converted


def check_quantizer() -> None:
    """Raise `DogsimError` if NNCF is not installed."""
    check_installed(*NEEDS_NNCF)


def quantize(model: Any, images: Sequence[NDArray[np.uint8]]) -> Any:
    """Return a network whose weights and activations have eight bits: post-training quantization.

    The ranges of the activations are measured on images (Nagel et al. 2021, arXiv:2106.08295) by
    NNCF, Intel's library for OpenVINO. The quantized network runs without it.

    Parameters
    ----------
    model : openvino.Model
        From `convert`.
    images : sequence of (H, W, 3) uint8
        Images to measure the ranges on: about 300, of the kind that the network is used for.

    Returns
    -------
    openvino.Model
        With the same inputs and outputs as `model`.

    Raises
    ------
    DogsimError
        If NNCF is not installed.
    """
    # NNCF prints its progress on stdout, where only results belong, and reports its use.
    with without_telemetry(), redirect_stdout(io.StringIO()):
        nncf = require(*NEEDS_NNCF)
        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            model,
            nncf.Dataset(images, lambda image: image[None]),
            preset=nncf.QuantizationPreset.MIXED,  # symmetric weights, asymmetric activations
            subset_size=len(images),
        )


class OpenVinoNetwork:
    """A compiled network that computes many images in parallel batches, and few one by one.

    Two fixed shapes are faster than one dynamic shape. Each is compiled at its first use, which
    takes tenths of a second. Threads may share an instance.

    Parameters
    ----------
    model : openvino.Model
        From `convert`: maps (B, ...) to (B, D) float32, or to several outputs.
    precision : str
        From `choose_engine`.
    """

    def __init__(self, model: Any, precision: str) -> None:
        self._model, self._precision = model, precision
        batch, *self._shape = model.input(0).partial_shape
        # Some graphs have a fixed batch of 1.
        self._batch = CPU_BATCH if batch.is_dynamic else batch.get_length()
        self._lock = Lock()  # the requests below have one buffer for their results

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Compute features (B, D) of images (B, H, W, 3)."""
        dimension = self._model.output(0).partial_shape[1].get_length()
        features = np.empty((len(images), dimension), np.float32)
        # A single batch would leave the other cores idle.
        batches = len(images) // self._batch if len(images) >= 2 * self._batch else 0
        first_single = batches * self._batch
        with self._lock:
            for i in range(0, first_single, self._batch):
                rows = slice(i, i + self._batch)
                self._batch_queue.start_async({0: images[rows]}, features[rows])
            if batches:
                self._batch_queue.wait_all()
            for i in range(first_single, len(images)):
                features[i] = self._single_request.infer({0: images[i : i + 1]})[0]
        return features

    def outputs(self, images: NDArray[Any]) -> list[NDArray[np.float32]]:
        """Compute all outputs of images (B, H, W, 3), one by one."""
        with self._lock:
            results = [self._single_request.infer({0: image[None]}).values() for image in images]
        return [np.concatenate(parts) for parts in zip(*results, strict=True)]

    @cached_property
    def _batch_queue(self) -> Any:
        queue = import_openvino().AsyncInferQueue(self._compiled(self._batch, "THROUGHPUT"))
        queue.set_callback(lambda request, rows: np.copyto(rows, request.get_output_tensor(0).data))
        return queue

    @cached_property
    def _single_request(self) -> Any:
        return self._compiled(1, "LATENCY").create_infer_request()

    def _compiled(self, batch: int, performance: str) -> Any:
        self._model.reshape([batch, *self._shape])
        hints = {
            "INFERENCE_PRECISION_HINT": PRECISION_HINTS[self._precision],
            "PERFORMANCE_HINT": performance,
        }
        if (threads := os.environ.get("OMP_NUM_THREADS", "")).isdecimal():  # as other libraries do
            hints["INFERENCE_NUM_THREADS"] = threads
        return import_openvino().Core().compile_model(self._model, "CPU", hints)
