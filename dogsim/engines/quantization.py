"""A network in eight bits: what it takes, and what its layers give, in steps of 1/255 of a range.

Weights tell their ranges themselves. Those of the layers' results are measured on pictures
(post-training quantization: Nagel et al. 2021, arXiv:2106.08295), which NNCF does, Intel's own
library for OpenVINO: ``pip install 'dogsim[int8]'``. What it has made runs without it.
"""

import io
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.engines.choose import unreported
from dogsim.errors import DogsimError


def check_quantizer() -> None:
    """Raise `DogsimError` if NNCF is not installed."""
    if find_spec("nncf") is None:
        raise DogsimError(
            "A network in int8 is made by NNCF, which is not installed. "
            "Run: pip install 'dogsim[int8]'"
        )


def quantized(network: Any, pictures: Sequence[NDArray[np.uint8]]) -> Any:
    """Make a network that computes in eight bits.

    Parameters
    ----------
    network : openvino.Model
        As `engines.convert` gives it.
    pictures : sequence of (H, W, 3) uint8
        To measure ranges on; some 300 of the kind that it will see.

    Returns
    -------
    openvino.Model
        Takes and gives what `network` does.

    Raises
    ------
    DogsimError
        If NNCF is not installed.
    """
    check_quantizer()
    # It tells of its progress on stdout, which belongs to results, and its makers of its use.
    with unreported(), redirect_stdout(io.StringIO()):
        import nncf

        nncf.set_log_level(logging.ERROR)
        return nncf.quantize(
            network,
            nncf.Dataset(pictures, lambda picture: picture[None]),
            preset=nncf.QuantizationPreset.MIXED,  # weights around 0, results in their own range
            subset_size=len(pictures),
        )
