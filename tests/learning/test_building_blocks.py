"""The blocks compared with the papers, and the network with that of Keras."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogsim import DogsimError
from dogsim.learning.architectures import INCEPTION_FILTERS, googlenet, resnet50
from dogsim.learning.building_blocks import convolution_block, identity_block, inception_module


@pytest.mark.slow
def test_resnet50_equals_that_of_keras(random_resnet: tuple[Any, Path]) -> None:
    theirs, _ = random_resnet
    ours = resnet50()
    assert {x.name for x in ours.layers[1:]} == {x.name for x in theirs.layers[1:]}
    for layer in theirs.layers[1:]:
        ours.get_layer(layer.name).set_weights(layer.get_weights())
    pixels = np.random.default_rng(0).normal(0, 50, (2, 224, 224, 3)).astype(np.float32)
    want, got = theirs(pixels, training=False), ours(pixels, training=False)
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert np.ptp(np.asarray(want)[0] - np.asarray(want)[1]) > 0  # the output depends on the input
    assert ours.count_params() == 25_636_712


def test_an_identity_block_without_weights_is_the_identity() -> None:
    import keras

    x = keras.Input((6, 6, 8))
    model = keras.Model(x, identity_block(x, (2, 2, 8), "block"))
    for layer in model.layers:
        if layer.name.endswith("_3_conv"):
            layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    pixels = np.random.default_rng(0).random((1, 6, 6, 8)).astype(np.float32)
    np.testing.assert_allclose(model(pixels), pixels, rtol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_block_changes_size_and_depth(stride: int) -> None:
    import keras

    x = keras.Input((8, 8, 4))
    model = keras.Model(x, convolution_block(x, (2, 3, 12), "block", stride))
    assert model.output_shape == (None, 8 // stride, 8 // stride, 12)
    # 1x1, 3x3, 1x1 and the shortcut's 1x1, with biases, and four numbers per normalised channel
    convolutions = (4 * 2 + 2) + (9 * 2 * 3 + 3) + (3 * 12 + 12) + (4 * 12 + 12)
    assert model.count_params() == convolutions + 4 * (2 + 3 + 12 + 12)


def test_inception_3a_has_the_parameters_of_the_paper() -> None:
    import keras

    x = keras.Input((28, 28, 192))
    module = inception_module(x, 64, (96, 128), (16, 32), 32, "inception_3a")
    model = keras.Model(x, module)
    assert model.output_shape == (None, 28, 28, 256)
    weights = sum(w.size for w in model.get_weights() if w.ndim == 4)
    assert weights // 1024 == 159  # "159K" of table 1
    pixels = np.random.default_rng(0).normal(size=(1, 28, 28, 192)).astype(np.float32)
    np.testing.assert_allclose(
        np.asarray(model(pixels))[..., :64],
        keras.Model(x, model.get_layer("inception_3a_1x1").output)(pixels),
        rtol=1e-5,
        atol=1e-6,
    )


def test_flat_filters_and_pairs_give_the_same_module() -> None:
    import keras

    x = keras.Input((14, 14, 480))
    flat = keras.Model(x, inception_module(x, *INCEPTION_FILTERS["4a"]))
    pairs = keras.Model(x, inception_module(x, 192, (96, 208), (16, 48), 64, "inception_4a"))
    assert [w.shape for w in flat.get_weights()] == [w.shape for w in pairs.get_weights()]
    assert pairs.get_layer("inception_4a_5x5").filters == 48


def test_blocks_have_unique_names_by_default() -> None:
    import keras

    x = keras.Input((8, 8, 16))
    y = identity_block(identity_block(x, [4, 4, 16]), [4, 4, 16])
    model = keras.Model(x, inception_module(convolution_block(y, [4, 4, 32]), 8, 8, 8, 8, 8, 8))
    assert len({layer.name for layer in model.layers}) == len(model.layers)


def test_invalid_filters() -> None:
    import keras

    x = keras.Input((8, 8, 16))
    with pytest.raises(DogsimError, match="16 channels .* convolution_block changes the depth"):
        identity_block(x, [64, 64, 256])
    with pytest.raises(DogsimError, match="Expected 3 numbers"):
        convolution_block(x, [4, 4])
    with pytest.raises(DogsimError, match=r"Received filters \(64, 96, 128\). Expected 6"):
        inception_module(x, 64, 96, 128)


def test_googlenet_has_the_parameters_of_the_paper() -> None:
    model = googlenet()
    assert model.count_params() == 6_998_552  # as in Caffe, without auxiliary classifiers
    kernels: dict[str, int] = {
        layer.name: sum(w.size for w in layer.get_weights() if w.ndim > 1) for layer in model.layers
    }

    def thousands(part: str) -> int:
        return round(sum(n for name, n in kernels.items() if name.startswith(part)) / 1024)

    # table 1, where its rounding can be followed
    for part, paper in {"conv2": 112, "inception_3b": 380, "inception_4b": 437}.items():
        assert thousands(part) == pytest.approx(paper, abs=1.5)
    assert thousands("predictions") == 1000
    sizes = [
        model.get_layer(f"inception_{name}_output").output.shape[1:] for name in INCEPTION_FILTERS
    ]
    assert sizes[0] == (28, 28, 256)
    assert sizes[2] == (14, 14, 512)
    assert sizes[-1] == (7, 7, 1024)
    # the longest path from image to classes: two convolutions per module, and the first three
    assert 3 + 2 * len(INCEPTION_FILTERS) + 1 == 22


def test_the_calls_of_courses_build_the_same_layers() -> None:
    import keras

    x = keras.Input((8, 8, 16))
    three, six = [4, 4, 16], (2, 3, 4, 5, 6, 7)

    def layers(y: Any) -> list[tuple[str, Any, tuple[int, ...]]]:
        model = keras.Model(x, y)
        return [
            (type(layer).__name__, getattr(layer, "strides", None), weights.shape)
            for layer in model.layers
            for weights in layer.get_weights() or [np.empty(layer.output.shape[1:])]
        ]

    for ours, *course in [
        (identity_block(x, three), identity_block(x, filter=three)),
        (
            convolution_block(x, three, "a", 3),
            convolution_block(x, 3, three),
            convolution_block(x, s=3, filter=three),
            convolution_block(x, 3, filter=three, name="b"),
            convolution_block(x, np.int64(3), three),
        ),
        (convolution_block(x, three), convolution_block(x, 2, three)),
        (
            inception_module(x, *six),
            inception_module(layer_in=x, f1=2, f2_in=3, f2_out=4, f3_in=5, f3_out=6, f4_out=7),
            inception_module(x, 2, 3, 4, f3_in=5, f3_out=6, f4_out=7),
        ),
    ]:
        for other in course:
            assert layers(other) == layers(ours)


def test_an_argument_given_by_two_names() -> None:
    import keras

    x = keras.Input((8, 8, 16))
    three = [4, 4, 16]
    for call, message in [
        (lambda: identity_block(x, three, filter=three), "both filters and filter"),
        (lambda: convolution_block(x, 2, three, filter=three), "both filters and filter"),
        (lambda: convolution_block(x, three, stride=2, s=2), "both stride and s"),
        (lambda: convolution_block(x, 2, three, s=2), "both s and the second argument"),
        (lambda: convolution_block(x, 2), "Received filters None. Expected 3 numbers"),
        (lambda: identity_block(x), "Received filters None. Expected 3 numbers"),
        (lambda: inception_module(x, 1, 1, 1, 1, 1, 1, f1=1), "Received f1 by position and"),
        (lambda: inception_module(x, f1=1), r"Received filters \(1,\). Expected 6"),
        (lambda: inception_module(x, 1, 1, 1, 1, 1, 1, layer_in=x), "both x and layer_in"),
    ]:
        with pytest.raises(DogsimError, match=message):
            call()  # type: ignore[no-untyped-call]
