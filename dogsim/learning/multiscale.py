"""The multi-scale network of the deep ranking paper: a deep path and two shallow ones."""

from typing import Any

from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError

EMBEDDING = "embedding"  # the layer whose output is the features: unit vectors
MIN_INPUT_SIZE = 64  # pixels


def multiscale(deep: Any = None, width: int | None = None) -> Any:
    """Add two shallow paths, on images four and eight times smaller, to a deep network.

    Wang et al. 2014, "Learning fine-grained image similarity with deep ranking" (arXiv:1404.4661),
    figure 3. The deep path represents what an image shows, but loses positions and colours, which
    the shallow paths represent. Both are scaled to length 1 and mapped linearly to unit vectors.

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
    keras = import_keras()
    layers = keras.layers
    deep = _deep_path() if deep is None else deep
    shape, features = deep.input_shape[1:], deep.output_shape[1:]
    images = len(shape) == 3 and bool(shape[0]) and min(shape[:2]) >= MIN_INPUT_SIZE
    if not images or len(features) != 1:
        raise DogsimError(
            f"Received a network from {deep.input_shape} to {deep.output_shape}. Expected one from "
            f"pixels (None, S, S, 3), S at least {MIN_INPUT_SIZE}, to features (None, D)."
        )
    width = features[0] if width is None else width
    if width < 1:
        raise DogsimError(f"Received width={width}. Expected 1 or more.")
    image = keras.Input(shape, name="pixels")
    paths = [_path(image, 4, 7, 4, "half_deep"), _path(image, 8, 3, 2, "flat")]
    shallow = layers.UnitNormalization(name="shallow")(layers.Concatenate()(paths))
    both = layers.Concatenate()([layers.UnitNormalization()(deep(image)), shallow])
    linear = layers.Dense(width, use_bias=False, name="linear")(both)
    return keras.Model(image, layers.UnitNormalization(name=EMBEDDING)(linear), name="multiscale")


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


def _deep_path() -> Any:
    network = alexnet(225)
    return import_keras().Model(network.input, network.get_layer("fc7").output, name="deep")


def _path(image: Any, reduction: int, pool: int, stride: int, name: str) -> Any:
    layers = import_keras().layers
    x = layers.AveragePooling2D(reduction, padding="same", name=f"{name}_pixels")(image)
    x = layers.Conv2D(96, 8, 4, padding="same", activation="relu", name=name)(x)
    x = layers.MaxPooling2D(pool, stride, padding="same", name=f"{name}_pool")(x)
    return layers.Flatten(name=f"{name}_flat")(x)
