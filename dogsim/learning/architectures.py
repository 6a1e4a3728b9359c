"""ResNet-50 and GoogLeNet, assembled from `building_blocks`; for the lessons.

`resnet50` has the same layers with the same names as `keras.applications.ResNet50`.
"""

from typing import Any

from dogsim.engines._keras import import_keras
from dogsim.learning.building_blocks import (
    convolution_block,
    identity_block,
    inception_module,
    normalised_convolution,
)

INCEPTION_FILTERS = {  # of the modules of GoogLeNet: the rows of table 1
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def resnet50(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Any:
    """Build the 50-layer residual network of He et al. 2016 (arXiv:1512.03385), table 1.

    Parameters
    ----------
    input_shape : (h, w, 3)
    classes : int
        Number of classes of the softmax.

    Returns
    -------
    keras.Model
        With random weights. Its layers have the names of `keras.applications.ResNet50`, so weights
        can be copied by name. MATLAB: ``resnet50``.

    >>> resnet50((32, 32, 3), classes=5).output_shape
    (None, 5)
    """
    keras = import_keras()
    layers = keras.layers
    image = keras.Input(input_shape, name="input_layer")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = normalised_convolution(x, 64, 7, "conv1", stride=2)
    x = layers.Activation("relu", name="conv1_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], start=2):
        filters = (width, width, 4 * width)
        x = convolution_block(x, filters, f"conv{stage}_block1", 1 if stage == 2 else 2)
        for block in range(2, blocks + 1):
            x = identity_block(x, filters, f"conv{stage}_block{block}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="resnet50")


def googlenet(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Any:
    """Build the 22-layer Inception network of Szegedy et al. 2015 (arXiv:1409.4842), table 1.

    Without the two auxiliary classifiers (on 4a and 4d, with loss weight 0.3), which only help the
    gradient during training, and without local response normalisation, which has no weights.

    Parameters
    ----------
    input_shape : (h, w, 3)
    classes : int
        Number of classes of the softmax.

    Returns
    -------
    keras.Model
        With random weights. MATLAB: ``googlenet``.

    >>> googlenet((64, 64, 3), classes=5).output_shape
    (None, 5)
    """
    keras = import_keras()
    layers = keras.layers

    def convolution(x: Any, filters: int, size: int, stride: int, name: str) -> Any:
        return layers.Conv2D(filters, size, stride, padding="same", activation="relu", name=name)(x)

    def halve(x: Any, name: str) -> Any:
        return layers.MaxPooling2D(3, 2, padding="same", name=name)(x)

    image = keras.Input(input_shape, name="input_layer")
    x = halve(convolution(image, 64, 7, 2, "conv1"), "pool1")
    x = convolution(x, 64, 1, 1, "conv2_reduce")
    x = halve(convolution(x, 192, 3, 1, "conv2"), "pool2")
    for module, filters in INCEPTION_FILTERS.items():
        if module in ("4a", "5a"):
            x = halve(x, f"pool{int(module[0]) - 1}")
        x = inception_module(x, *filters, name=f"inception_{module}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(0.4, name="dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="googlenet")
