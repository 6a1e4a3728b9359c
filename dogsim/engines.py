"""What runs a network: a Keras model becomes a function from pixels to features."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim._keras import import_keras

Network = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
Prepare = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def compile_model(model: Any, prepare: Prepare) -> Network:
    """Compile a Keras model once, for batches of any length.

    Parameters
    ----------
    model : keras.Model
        Maps (B, H, W, 3) float32 to (B, D) float32.
    prepare : callable
        Maps (B, H, W, 3) uint8 to what the model takes.

    Returns
    -------
    callable
        Maps (B, H, W, 3) uint8 to (B, D) float32.
    """
    import_keras()
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec(model.input_shape, tf.float32)])  # type: ignore[untyped-decorator]
    def run(pixels: Any) -> Any:
        return model(pixels, training=False)

    def network(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        features: NDArray[np.float32] = run(prepare(images)).numpy()
        return features

    return network
