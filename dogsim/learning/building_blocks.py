"""Building blocks of deep networks, for the lessons: residual blocks and the inception module.

Functions from tensors to tensors, in the Keras functional API. They also accept the arguments that
courses use: ``identity_block(x, filter)``, ``convolution_block(x, s, filter)`` and
``inception_module(layer_in, f1, f2_in, f2_out, f3_in, f3_out, f4_out)``.
"""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from dogsim.engines.tensorflow import import_keras, keras_errors
from dogsim.errors import DogsimError, as_integer, shown

MAX_FILTERS, MAX_STRIDE = 65_536, 64
BATCH_NORM_EPSILON = 1.001e-5  # the value that the ImageNet weights were trained with


@keras_errors("the block")
def identity_block(
    x: Any,
    filters: Sequence[int] | None = None,
    name: str | None = None,
    *,
    filter: Sequence[int] | None = None,  # noqa: A002 (the name in courses)
) -> Any:
    """Add the output of three convolutions to the input, which a shortcut leaves unchanged.

    He et al. 2016, "Deep residual learning for image recognition" (arXiv:1512.03385), figure 5.

    Parameters
    ----------
    x : (B, h, w, filters[2]) tensor
    filters : three int
        Of the convolutions 1 x 1, 3 x 3 and 1 x 1.
    name : str, optional
        Prefix of the layers' names, by default an unused one.
    filter : three int, optional
        Another name of `filters`.

    Returns
    -------
    (B, h, w, filters[2]) tensor

    Raises
    ------
    DogsimError
        If there are not three filters, both names are given, or `x` does not have filters[2]
        channels.

    >>> x = import_keras().Input((8, 8, 16))
    >>> identity_block(x, [4, 4, 16]).shape
    (None, 8, 8, 16)
    """
    given = _one_of(filters=filters, filter=filter)
    filters = _as_filters(given, 3, "1 x 1, 3 x 3, 1 x 1")
    _check_feature_map(x)
    if x.shape[-1] != filters[2]:
        raise DogsimError(
            f"Received x with {x.shape[-1]} channels and filters {tuple(filters)}. Expected the "
            "last filter to equal the channels: convolution_block changes the depth."
        )
    return _residual(x, x, filters, 1, name or _unused("identity_block"))


@keras_errors("the block")
def convolution_block(
    x: Any,
    filters: Sequence[int] | int | None = None,
    name: str | Sequence[int] | None = None,
    stride: int | None = None,
    *,
    s: int | None = None,
    filter: Sequence[int] | None = None,  # noqa: A002 (the name in courses)
) -> Any:
    """Add the output of three convolutions to that of one, which changes size and depth.

    He et al. 2016 (arXiv:1512.03385), section 3.3, option B.

    Parameters
    ----------
    x : (B, h, w, c) tensor
    filters, name
        As for `identity_block`. If the second argument is a whole number, it is the stride and the
        third argument is the filters: ``convolution_block(x, 2, [4, 4, 32])``.
    stride : int
        Of the first convolution and of the shortcut, by default 2.
    s, filter
        Other names of `stride` and `filters`.

    Returns
    -------
    (B, h / stride, w / stride, filters[2]) tensor

    Raises
    ------
    DogsimError
        If there are not three filters, or an argument is given by both of its names.

    >>> x = import_keras().Input((8, 8, 16))
    >>> convolution_block(x, [4, 4, 32]).shape
    (None, 4, 4, 32)
    >>> convolution_block(x, s=2, filter=[4, 4, 32]).shape
    (None, 4, 4, 32)
    """
    second_as_stride = None
    if isinstance(filters, Integral):
        second_as_stride, filters = filters, None
        if not isinstance(name, str):
            filters, name = name, None
    given = _one_of(filters=filters, filter=filter)
    sizes = _as_filters(given, 3, "1 x 1, 3 x 3, 1 x 1")
    _check_feature_map(x)
    given = _one_of(stride=stride, s=s, **{"the second argument": second_as_stride}, default=2)
    stride = as_integer("stride", given, 1, MAX_STRIDE)
    prefix = str(name or _unused("convolution_block"))
    shortcut = normalised_convolution(x, sizes[2], 1, f"{prefix}_0", stride)
    return _residual(x, shortcut, sizes, stride, prefix)


@keras_errors("the module")
def inception_module(
    x: Any = None,
    *filters: Any,
    name: str | None = None,
    layer_in: Any = None,
    f1: int | None = None,
    f2_in: int | None = None,
    f2_out: int | None = None,
    f3_in: int | None = None,
    f3_out: int | None = None,
    f4_out: int | None = None,
) -> Any:
    """Concatenate convolutions of 1 x 1, 3 x 3 and 5 x 5 and a pooling branch.

    Szegedy et al. 2015, "Going deeper with convolutions" (arXiv:1409.4842), figure 2b.

    Parameters
    ----------
    x : (B, h, w, c) tensor
    *filters : six int
        The columns of the paper's table 1: the 1 x 1 branch; the 1 x 1 reduction before the 3 x 3,
        and the 3 x 3; the 1 x 1 reduction before the 5 x 5, and the 5 x 5; the 1 x 1 projection
        after the pooling. Reduction and convolution may be written as a pair.
    name : str, optional
        Prefix of the layers' names, by default an unused one; also accepted as the last filter.
    layer_in, f1, f2_in, f2_out, f3_in, f3_out, f4_out
        Other names of `x` and of the six filters, in this order.

    Returns
    -------
    (B, h, w, one + three + five + pool) tensor

    Raises
    ------
    DogsimError
        If there are not six filters, or an argument is given twice.

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
    pairs = (each if isinstance(each, tuple | list) else (each,) for each in numbers)
    named = {"f1": f1, "f2_in": f2_in, "f2_out": f2_out}
    named |= {"f3_in": f3_in, "f3_out": f3_out, "f4_out": f4_out}
    six = "1 x 1, 3 x 3 reduce, 3 x 3, 5 x 5 reduce, 5 x 5, pool projection"
    flat = _as_filters(_with_named([n for pair in pairs for n in pair], named), 6, six)
    x = _one_of(x=x, layer_in=layer_in)
    _check_feature_map(x)
    return _branches(x, flat, name or _unused("inception"))


def normalised_convolution(
    x: Any, filters: int, size: int, name: str, stride: int = 1, padding: str = "valid"
) -> Any:
    """Apply a convolution and batch normalisation."""
    layers = import_keras().layers
    x = layers.Conv2D(filters, size, strides=stride, padding=padding, name=f"{name}_conv")(x)
    return layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=f"{name}_bn")(x)


def _unused(kind: str) -> str:
    """Return an unused layer name prefix, numbered as Keras numbers its layers."""
    return f"{kind}_{import_keras().backend.get_uid(kind)}"


def _one_of(default: Any = None, **named: Any) -> Any:
    """Return the argument that was given; raise `DogsimError` if it was given by two names."""
    given = [name for name, value in named.items() if value is not None]
    if len(given) > 1:
        raise DogsimError(
            f"Received both {' and '.join(given)}. Expected one of them: they mean the same."
        )
    return named[given[0]] if given else default


def _with_named(numbers: list[Any], named: dict[str, Any]) -> list[Any]:
    """Append the filters given by name to those given by position."""
    twice = [name for name in list(named)[: len(numbers)] if named[name] is not None]
    if twice:
        raise DogsimError(
            f"Received {', '.join(twice)} by position and by name. Expected each filter once."
        )
    return numbers + [value for value in named.values() if value is not None]


def _as_filters(filters: Any, count: int, meaning: str) -> list[int]:
    """Return the numbers of filters; raise `DogsimError` unless there are `count` of them."""
    if not isinstance(filters, tuple | list) or len(filters) != count:
        received = tuple(filters) if isinstance(filters, tuple | list) else shown(filters)
        raise DogsimError(f"Received filters {received}. Expected {count} numbers: {meaning}.")
    return [as_integer("filters", each, 1, MAX_FILTERS) for each in filters]


def _check_feature_map(x: Any) -> None:
    keras = import_keras()
    is_tensor = isinstance(x, keras.KerasTensor) or keras.ops.is_tensor(x)
    if not is_tensor or len(x.shape) != 4 or not x.shape[-1]:
        shape = f"a tensor {tuple(x.shape)}" if is_tensor else shown(x)
        raise DogsimError(f"Received {shape} as x. Expected a tensor (B, h, w, c).")


def _branches(x: Any, filters: Sequence[int], name: str) -> Any:
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
    y = normalised_convolution(x, filters[0], 1, f"{name}_1", stride)
    y = layers.Activation("relu", name=f"{name}_1_relu")(y)
    y = normalised_convolution(y, filters[1], 3, f"{name}_2", padding="same")
    y = layers.Activation("relu", name=f"{name}_2_relu")(y)
    y = normalised_convolution(y, filters[2], 1, f"{name}_3")
    y = layers.Add(name=f"{name}_add")([shortcut, y])
    return layers.Activation("relu", name=f"{name}_out")(y)
