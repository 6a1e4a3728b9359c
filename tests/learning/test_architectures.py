"""The multi-scale network compared with the paper's figure, AlexNet with its numbers."""

from typing import Any

import numpy as np
import pytest

from dogsim import DogsimError, alexnet, multiscale


@pytest.fixture(scope="module")
def paper() -> Any:
    return multiscale()


def test_the_published_shapes(paper: Any) -> None:
    shapes = {layer.name: layer.output.shape[1:] for layer in paper.layers}
    assert shapes["pixels"] == (225, 225, 3)
    assert shapes["half_deep_pixels"] == (57, 57, 3)  # 4 : 1
    assert shapes["half_deep"] == (15, 15, 96)  # 8 x 8, stride 4
    assert shapes["half_deep_pool"] == (4, 4, 96)  # 7 x 7, stride 4
    assert shapes["flat_pixels"] == (29, 29, 3)  # 8 : 1
    assert shapes["flat"] == (8, 8, 96)
    assert shapes["flat_pool"] == (4, 4, 96)  # 3 x 3, stride 2
    assert shapes["shallow"] == (3072,)
    assert shapes["deep"] == shapes["embedding"] == (4096,)


def test_embeddings_have_length_1_and_depend_on_all_three_paths() -> None:
    import keras

    image = keras.Input((64, 64, 3))
    deep = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
    model = multiscale(deep, width=8)
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(2, 64, 64, 3)).astype(np.float32)
    embeddings = np.asarray(model(pixels))  # at this size a shallow path has 96 maps of 1 x 1
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-5)
    pixels[1] = pixels[0, ::-1]  # the same mean colours at other positions
    original, flipped = np.asarray(model(pixels))
    assert not np.allclose(original, flipped, atol=1e-3)
    kernel = model.get_layer("linear").kernel
    assert tuple(kernel.shape) == (3 + 2 * 96, 8)


def test_invalid_deep_paths() -> None:
    import keras

    small = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])
    with pytest.raises(DogsimError, match="S at least 64"):
        multiscale(small)
    maps = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Conv2D(4, 3)])
    with pytest.raises(DogsimError, match=r"to features \(None, D\)"):
        multiscale(maps)
    with pytest.raises(DogsimError, match="width=0"):
        multiscale(keras.Sequential([maps, keras.layers.GlobalAveragePooling2D()]), width=0)


def test_alexnet_has_the_papers_numbers(paper: Any) -> None:
    model = alexnet()
    assert model.count_params() == 60_965_224  # of Caffe's
    assert model.get_layer("conv1").output.shape[1:] == (55, 55, 96)
    units = 290_400 + 186_624 + 64_896 + 64_896 + 43_264  # section 3.5: 253,440 for the first is
    assert (
        units
        == sum(  # an error, as the 55 x 55 x 96 of its figure shows
            int(np.prod(model.get_layer(f"conv{n}").output.shape[1:])) for n in range(1, 6)
        )
    )
