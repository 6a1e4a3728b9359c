"""Network architectures: ResNet-50, GoogLeNet, AlexNet and the multi-scale network.

They are for the lessons, and have random weights. `fine_tune` trains the multi-scale network, too.
"""

from typing import Any

from dogsim.engines.tensorflow import import_keras, keras_errors
from dogsim.errors import DogsimError, as_integer, shown
from dogsim.learning.building_blocks import (
    convolution_block,
    identity_block,
    inception_module,
    normalised_convolution,
)

EMBEDDING = "embedding"  # the layer whose output is the features: unit vectors
MIN_INPUT_SIZE = 64  # pixels
MIN_ALEXNET_SIZE, MAX_ALEXNET_SIZE = 67, 512  # pixels: fewer leave nothing to pool
MAX_INPUT_SIDE, MAX_CLASSES, MAX_WIDTH = 4096, 100_000, 65_536
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


@keras_errors("resnet50")
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
    _check_input(input_shape, classes)
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


@keras_errors("googlenet")
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
    _check_input(input_shape, classes)
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


@keras_errors("alexnet")
def alexnet(size: int = 227, classes: int = 1000) -> Any:
    """Build AlexNet, the network of Krizhevsky et al. 2012 (doi:10.1145/3065386).

    Its second, fourth and fifth convolutions have two groups, which the paper computed on one GPU
    each. Local response normalisation, which has no weights, is left out.

    Parameters
    ----------
    size : int
        Side of the images. The paper names 224, but its numbers are those of 227.
    classes : int
        Number of classes of the softmax.

    Returns
    -------
    keras.Model
        With random weights. MATLAB: ``alexnet``.

    >>> f"{alexnet().count_params() / 1e6:.0f} M"  # "60 million parameters"
    '61 M'
    """
    size = as_integer("size", size, MIN_ALEXNET_SIZE, MAX_ALEXNET_SIZE, "pixels")
    classes = as_integer("classes", classes, 1, MAX_CLASSES)
    keras = import_keras()
    layers = keras.layers
    image = keras.Input((size, size, 3), name="input_layer")
    x = layers.Conv2D(96, 11, 4, activation="relu", name="conv1")(image)
    x = layers.MaxPooling2D(3, 2, name="pool1")(x)
    x = layers.Conv2D(256, 5, padding="same", groups=2, activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(3, 2, name="pool2")(x)
    for number, filters, groups in [(3, 384, 1), (4, 384, 2), (5, 256, 2)]:
        options = {"padding": "same", "groups": groups, "activation": "relu"}
        x = layers.Conv2D(filters, 3, name=f"conv{number}", **options)(x)
    x = layers.Flatten(name="flatten")(layers.MaxPooling2D(3, 2, name="pool5")(x))
    for name in ("fc6", "fc7"):
        x = layers.Dense(4096, activation="relu", name=name)(x)
        x = layers.Dropout(0.5, name=f"{name}_dropout")(x)
    x = layers.Dense(classes, activation="softmax", name="predictions")(x)
    return keras.Model(image, x, name="alexnet")


@keras_errors("the network")
def multiscale(deep: Any = None, width: int | None = None) -> Any:
    """Add two shallow paths, on images four and eight times smaller, to a deep network.

    Wang et al. 2014, "Learning fine-grained image similarity with deep ranking" (arXiv:1404.4661),
    figure 3. The deep path represents the content of an image, but loses positions and colours,
    which the shallow paths represent. Both are scaled to length 1 and mapped linearly to unit
    vectors.

    Parameters
    ----------
    deep : keras.Model, optional
        Maps pixels (B, S, S, 3), S at least 64, to features (B, D). By default that of the paper:
        the layers of `alexnet` for 225 x 225 pixels, up to its second layer of 4096.
    width : int, optional
        Length of the embedding, by default D.

    Returns
    -------
    keras.Model
        Maps pixels, prepared for `deep`, to unit vectors (B, width) of the layer ``embedding``.
        The new layers have random weights.

    Raises
    ------
    DogsimError
        If `deep` has other inputs or outputs, or `width` is less than 1.

    >>> model = multiscale()
    >>> [model.get_layer(name).output.shape[1:] for name in ("half_deep", "shallow", "embedding")]
    [(15, 15, 96), (3072,), (4096,)]
    """
    width = None if width is None else as_integer("width", width, 1, MAX_WIDTH)
    keras = import_keras()
    layers = keras.layers
    if deep is None:
        network = alexnet(225)
        deep = keras.Model(network.input, network.get_layer("fc7").output, name="deep")
    if not isinstance(deep, keras.Model):
        raise DogsimError(f"Received {shown(deep)} as the network. Expected a model of Keras.")
    shape, features = deep.input_shape[1:], deep.output_shape[1:]
    images = len(shape) == 3 and bool(shape[0]) and min(shape[:2]) >= MIN_INPUT_SIZE
    if not images or len(features) != 1:
        raise DogsimError(
            f"Received a network from {deep.input_shape} to {deep.output_shape}. Expected one from "
            f"pixels (None, S, S, 3), S at least {MIN_INPUT_SIZE}, to features (None, D)."
        )
    width = features[0] if width is None else width
    image = keras.Input(shape, name="pixels")
    paths = [_path(image, 4, 7, 4, "half_deep"), _path(image, 8, 3, 2, "flat")]
    shallow = layers.UnitNormalization(name="shallow")(layers.Concatenate()(paths))
    both = layers.Concatenate()([layers.UnitNormalization()(deep(image)), shallow])
    linear = layers.Dense(width, use_bias=False, name="linear")(both)
    return keras.Model(image, layers.UnitNormalization(name=EMBEDDING)(linear), name="multiscale")


def _path(image: Any, reduction: int, pool: int, stride: int, name: str) -> Any:
    layers = import_keras().layers
    x = layers.AveragePooling2D(reduction, padding="same", name=f"{name}_pixels")(image)
    x = layers.Conv2D(96, 8, 4, padding="same", activation="relu", name=name)(x)
    x = layers.MaxPooling2D(pool, stride, padding="same", name=f"{name}_pool")(x)
    return layers.Flatten(name=f"{name}_flat")(x)


def _check_input(input_shape: tuple[int, int, int], classes: int) -> None:
    """Raise `DogsimError` unless a network can have that input and that number of classes."""
    if not isinstance(input_shape, tuple | list) or len(input_shape) != 3:
        raise DogsimError(f"Received input_shape={shown(input_shape)}. Expected (h, w, 3).")
    for side in input_shape:
        as_integer("input_shape", side, 1, MAX_INPUT_SIDE)
    as_integer("classes", classes, 1, MAX_CLASSES)
