"""Post-training quantization: networks whose weights and activations have eight bits.

The ranges of the activations are measured on images (Nagel et al. 2021, arXiv:2106.08295) by NNCF,
Intel's library for OpenVINO: ``pip install "dogsim[int8]"``. The quantized network runs without it.
"""

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.openvino import without_telemetry
from dogsim.plumbing.optional import check_installed, require

NEEDS_NNCF = ("nncf", "int8", "Quantization to int8")


def check_quantizer() -> None:
    """Raise `DogsimError` if NNCF is not installed."""
    check_installed(*NEEDS_NNCF)


def quantize(model: Any, images: Sequence[NDArray[np.uint8]]) -> Any:
    """Return a network that computes in eight bits.

    Parameters
    ----------
    model : openvino.Model
        From `dogsim.engines.openvino.convert`.
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
