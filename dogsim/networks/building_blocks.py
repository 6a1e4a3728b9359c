"""The blocks that deep networks are built of, for teaching: ResNet's and Inception's.

Tensors in, tensors out, by the Keras functional API. `resnet50` is the very network of
`keras.applications`: the same layers under the same names.
"""

from typing import Any

from dogsim.networks._keras import import_keras

EPSILON = 1.001e-5  # of the batch normalisations that ImageNet's weights were trained with


def identity_block(x: Any, filters: tuple[int, int, int], name: str) -> Any:
    """Add three convolutions to what came in, which passes by on a shortcut unchanged.

    He et al. 2016, "Deep residual learning for image recognition" (arXiv:1512.03385), figure 5.

    Parameters
    ----------
    x : (B, h, w, filters[2]) tensor
    filters : three int
        Of the convolutions 1 x 1, 3 x 3 and 1 x 1.
    name : str
        Prefix of the layers' names.

    Returns
    -------
    (B, h, w, filters[2]) tensor

    >>> x = import_keras().Input((8, 8, 16))
    >>> identity_block(x, (4, 4, 16), "block").shape
    (None, 8, 8, 16)
    """
    return _residual(x, x, filters, 1, name)


def convolution_block(x: Any, filters: tuple[int, int, int], name: str, stride: int = 2) -> Any:
    """Add three convolutions to a shortcut that has one of its own, to change size and depth.

    He et al. 2016 (arXiv:1512.03385), section 3.3, option B.

    Parameters
    ----------
    x : (B, h, w, c) tensor
    filters, name
        As for `identity_block`.
    stride : int
        Of the first convolution and the shortcut's.

    Returns
    -------
    (B, h / stride, w / stride, filters[2]) tensor

    >>> x = import_keras().Input((8, 8, 16))
    >>> convolution_block(x, (4, 4, 32), "block").shape
    (None, 4, 4, 32)
    """
    shortcut = _convolution(x, filters[2], 1, f"{name}_0", stride)
    return _residual(x, shortcut, filters, stride, name)


def resnet50(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Any:
    """Build the 50-layer residual network of He et al. 2016 (arXiv:1512.03385), table 1.

    Parameters
    ----------
    input_shape : (h, w, 3)
    classes : int
        How many the softmax tells apart.

    Returns
    -------
    keras.Model
        With random weights; its layers are named as `keras.applications.ResNet50`'s, so weights
        can be copied by name. MATLAB: ``resnet50``.

    >>> resnet50((32, 32, 3), classes=5).output_shape
    (None, 5)
    """
    keras = import_keras()
    layers = keras.layers
    image = keras.Input(input_shape, name="input_layer")
    x = layers.ZeroPadding2D(3, name="conv1_pad")(image)
    x = layers.Activation("relu", name="conv1_relu")(_convolution(x, 64, 7, "conv1", 2))
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


def inception_module(
    x: Any,
    one: int,
    three: tuple[int, int],
    five: tuple[int, int],
    pool: int,
    name: str,
) -> Any:
    """Look at every scale at once: 1 x 1, 3 x 3, 5 x 5 and pooling, side by side.

    Szegedy et al. 2015, "Going deeper with convolutions" (arXiv:1409.4842), figure 2b; table 1
    gives the numbers, whose columns are the parameters in this order.

    Parameters
    ----------
    x : (B, h, w, c) tensor
    one : int
        Filters of the 1 x 1 convolution.
    three, five : (int, int)
        Filters of the 1 x 1 that reduces the depth, and of the 3 x 3 or 5 x 5 after it.
    pool : int
        Filters of the 1 x 1 after the pooling.
    name : str
        Prefix of the layers' names.

    Returns
    -------
    (B, h, w, one + three[1] + five[1] + pool) tensor

    >>> x = import_keras().Input((28, 28, 192))
    >>> inception_module(x, 64, (96, 128), (16, 32), 32, "inception_3a").shape
    (None, 28, 28, 256)
    """
    layers = import_keras().layers

    def convolution(y: Any, filters: int, size: int, branch: str) -> Any:
        layer = layers.Conv2D(
            filters, size, padding="same", activation="relu", name=f"{name}_{branch}"
        )
        return layer(y)

    branches = [
        convolution(x, one, 1, "1x1"),
        convolution(convolution(x, three[0], 1, "3x3_reduce"), three[1], 3, "3x3"),
        convolution(convolution(x, five[0], 1, "5x5_reduce"), five[1], 5, "5x5"),
        convolution(
            layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x), pool, 1, "pool_proj"
        ),
    ]
    return layers.Concatenate(name=f"{name}_output")(branches)


def _residual(x: Any, shortcut: Any, filters: tuple[int, int, int], stride: int, name: str) -> Any:
    layers = import_keras().layers
    y = layers.Activation("relu", name=f"{name}_1_relu")(
        _convolution(x, filters[0], 1, f"{name}_1", stride)
    )
    y = layers.Activation("relu", name=f"{name}_2_relu")(
        _convolution(y, filters[1], 3, f"{name}_2", padding="same")
    )
    y = _convolution(y, filters[2], 1, f"{name}_3")
    y = layers.Add(name=f"{name}_add")([shortcut, y])
    return layers.Activation("relu", name=f"{name}_out")(y)


def _convolution(
    x: Any, filters: int, size: int, name: str, stride: int = 1, padding: str = "valid"
) -> Any:
    layers = import_keras().layers
    x = layers.Conv2D(filters, size, strides=stride, padding=padding, name=f"{name}_conv")(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
