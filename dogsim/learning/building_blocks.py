"""The blocks that deep networks are built of, for teaching, and the networks built of them.

Tensors in, tensors out, by the Keras functional API. `resnet50` is the very network of
`keras.applications`: the same layers under the same names.
"""

from collections.abc import Sequence
from typing import Any

from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError

EPSILON = 1.001e-5  # of the batch normalisations that ImageNet's weights were trained with
INCEPTIONS = {  # the rows of GoogLeNet's table: filters of a module's convolutions
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


def identity_block(x: Any, filters: Sequence[int], name: str | None = None) -> Any:
    """Add three convolutions to what came in, which passes by on a shortcut unchanged.

    He et al. 2016, "Deep residual learning for image recognition" (arXiv:1512.03385), figure 5.

    Parameters
    ----------
    x : (B, h, w, filters[2]) tensor
    filters : three int
        Of the convolutions 1 x 1, 3 x 3 and 1 x 1.
    name : str, optional
        Prefix of the layers' names, by default one that is free.

    Returns
    -------
    (B, h, w, filters[2]) tensor

    Raises
    ------
    DogsimError
        If there are not three filters, or `x` is not as deep as the last says.

    >>> x = import_keras().Input((8, 8, 16))
    >>> identity_block(x, [4, 4, 16]).shape
    (None, 8, 8, 16)
    """
    _check_filters(filters)
    if x.shape[-1] != filters[2]:
        raise DogsimError(
            f"Received x with {x.shape[-1]} channels and filters {tuple(filters)}. Expected the "
            "last of them to be as many: convolution_block changes the depth."
        )
    return _residual(x, x, filters, 1, name or _free("identity_block"))


def convolution_block(
    x: Any, filters: Sequence[int], name: str | None = None, stride: int = 2
) -> Any:
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

    Raises
    ------
    DogsimError
        If there are not three filters.

    >>> x = import_keras().Input((8, 8, 16))
    >>> convolution_block(x, [4, 4, 32]).shape
    (None, 4, 4, 32)
    """
    _check_filters(filters)
    name = name or _free("convolution_block")
    shortcut = _convolution(x, filters[2], 1, f"{name}_0", stride)
    return _residual(x, shortcut, filters, stride, name)


def inception_module(x: Any, *filters: Any, name: str | None = None) -> Any:
    """Look at every scale at once: 1 x 1, 3 x 3, 5 x 5 and pooling, side by side.

    Szegedy et al. 2015, "Going deeper with convolutions" (arXiv:1409.4842), figure 2b.

    Parameters
    ----------
    x : (B, h, w, c) tensor
    *filters : six int
        The columns of the paper's table 1: of the 1 x 1; of the 1 x 1 that reduces the depth for
        the 3 x 3, and of the 3 x 3; likewise for the 5 x 5; of the 1 x 1 after the pooling. The
        two that belong together may be written as a pair.
    name : str, optional
        Prefix of the layers' names, by default one that is free; it may come last as well.

    Returns
    -------
    (B, h, w, one + three + five + pool) tensor

    Raises
    ------
    DogsimError
        If there are not six filters.

    >>> x = import_keras().Input((28, 28, 192))
    >>> inception_module(x, 64, 96, 128, 16, 32, 32).shape
    (None, 28, 28, 256)
    >>> inception_module(x, 64, (96, 128), (16, 32), 32, "inception_3a").shape
    (None, 28, 28, 256)
    """
    if filters and isinstance(filters[-1], str):
        *numbers, name = filters
    else:
        numbers = list(filters)
    flat = [n for each in numbers for n in (each if isinstance(each, Sequence) else (each,))]
    if len(flat) != 6:
        raise DogsimError(
            f"Received filters {tuple(numbers)}. Expected six numbers: 1 x 1, 3 x 3 reduce, 3 x 3, "
            "5 x 5 reduce, 5 x 5, pool projection."
        )
    return _side_by_side(x, flat, name or _free("inception"))


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


def googlenet(input_shape: tuple[int, int, int] = (224, 224, 3), classes: int = 1000) -> Any:
    """Build the 22-layer Inception network of Szegedy et al. 2015 (arXiv:1409.4842), table 1.

    As it is used after training: the two auxiliary classifiers (on 4a and 4d, their losses counted
    0.3) only help the gradient while it learns, and are thrown away. Local response normalisation,
    which has no weights and which later networks have given up, is left out.

    Parameters
    ----------
    input_shape : (h, w, 3)
    classes : int
        How many the softmax tells apart.

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
    for module, filters in INCEPTIONS.items():
        if module in ("4a", "5a"):
            x = halve(x, f"pool{int(module[0]) - 1}")
        x = inception_module(x, *filters, name=f"inception_{module}")
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = layers.Dropout(0.4, name="dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="googlenet")


def _free(kind: str) -> str:
    """Make a prefix that no layer has yet, as Keras numbers its own."""
    return f"{kind}_{import_keras().backend.get_uid(kind)}"


def _check_filters(filters: Sequence[int]) -> None:
    if len(filters) != 3:
        raise DogsimError(
            f"Received filters {tuple(filters)}. Expected three numbers: 1 x 1, 3 x 3, 1 x 1."
        )


def _side_by_side(x: Any, filters: Sequence[int], name: str) -> Any:
    layers = import_keras().layers
    one, reduce3, three, reduce5, five, projection = filters

    def convolution(y: Any, filters: int, size: int, branch: str) -> Any:
        return layers.Conv2D(
            filters, size, padding="same", activation="relu", name=f"{name}_{branch}"
        )(y)

    pooled = layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    branches = [
        convolution(x, one, 1, "1x1"),
        convolution(convolution(x, reduce3, 1, "3x3_reduce"), three, 3, "3x3"),
        convolution(convolution(x, reduce5, 1, "5x5_reduce"), five, 5, "5x5"),
        convolution(pooled, projection, 1, "pool_proj"),
    ]
    return layers.Concatenate(name=f"{name}_output")(branches)


def _residual(x: Any, shortcut: Any, filters: Sequence[int], stride: int, name: str) -> Any:
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
