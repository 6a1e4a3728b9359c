"""The table of networks: features equal those of plain Keras code, and entries equal Keras'."""

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest

from dogsim.networks.backbones import BACKBONES, Backbone
from dogsim.networks.extractor import Extractor, load_extractor
from dogsim.networks.weights import IMAGENET_MEAN, IMAGENET_STD

IMAGES = np.random.default_rng(2).integers(0, 256, (1, 299, 299, 3), np.uint8)
KERAS = {name: spec for name, spec in BACKBONES.items() if type(spec) is Backbone}
SIZES = {  # number of features, for one of each family; test_extractor covers resnet50
    **{"mobilenet": 1024, "mobilenetv2": 1280, "mobilenetv3small": 576, "resnet50v2": 2048},
    **{"vgg16": 512, "inceptionv3": 2048, "inceptionresnetv2": 1536, "xception": 2048},
    **{"densenet121": 1024, "nasnetmobile": 1056, "efficientnetb0": 1280},
    **{"efficientnetv2b0": 1280, "convnexttiny": 768},
}
QUICK = ("mobilenet",)
# The input of their classifier is no layer called avg_pool.
WITH_TOP = ("vgg16", "mobilenet", "mobilenetv3small", "nasnetmobile", "convnexttiny")


def plain_keras(name: str, model: Any, image: Any) -> Any:
    """Compute a Keras model for an image that is normalised as Keras documents."""
    prepare = importlib.import_module(KERAS[name].module).preprocess_input
    return model(prepare(image.astype(np.float32)), training=False).numpy()


def check_same(extractor: Extractor, image: Any, plain: Any) -> None:
    np.testing.assert_allclose(extractor(image), plain, rtol=1e-3, atol=1e-4 * abs(plain).max())


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SIZES],
)
def test_features_equal_keras(name: str, tmp_path: Path) -> None:
    """The same random weights, from a file with or without the classifier."""
    import keras

    spec, build = KERAS[name], getattr(keras.applications, KERAS[name].builder)
    side = spec.image_size
    plain = build(include_top=False, weights=None, pooling="avg", input_shape=(side, side, 3))
    saved, file = plain, tmp_path / "w.weights.h5"
    if name in WITH_TOP:
        saved, file = build(weights=None), tmp_path / "top.h5"
        plain.set_weights(saved.get_weights()[: len(plain.weights)])
    saved.save_weights(file) if file.name == "w.weights.h5" else saved.save(file)
    image = IMAGES[:, :side, :side]
    features = plain_keras(name, plain, image)
    assert features.shape == (1, SIZES[name])
    check_same(load_extractor(name, str(file), precision="float32"), image, features)


@pytest.mark.slow
def test_a_file_gives_the_features_of_keras_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even for EfficientNet, to which Keras adds a layer when it downloads the weights."""
    import keras

    file = tmp_path / "efficientnetb0_notop.h5"
    published = keras.applications.EfficientNetB0(include_top=False, weights=None)
    (norm,) = (x for x in published.layers if isinstance(x, keras.layers.Normalization))
    norm.set_weights([IMAGENET_MEAN, IMAGENET_STD, np.array(0)])
    published.save(file)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *_, **__: str(file))
    downloaded = keras.applications.EfficientNetB0(include_top=False, pooling="avg")
    image = IMAGES[:, :224, :224]
    features = plain_keras("efficientnetb0", downloaded, image)
    check_same(load_extractor("efficientnetb0", str(file), precision="float32"), image, features)
    assert not np.allclose(features, published(image.astype(np.float32)).numpy().mean(axis=(1, 2)))


@pytest.mark.parametrize("name", KERAS)
def test_the_table_agrees_with_keras(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run Keras' code with dummy layers to find its image size and the file that it downloads."""
    import keras

    spec, dummy = KERAS[name], MagicMock()
    found: dict[str, Any] = {}
    dummy.image_data_format.return_value = "channels_last"
    module = sys.modules[getattr(keras.applications, spec.builder).__module__]
    for each in {module, sys.modules["keras.src.applications.resnet"]}:
        for what, value in list(vars(each).items()):
            layers = inspect.ismodule(value) and value.__name__.endswith((".layers", ".backend"))
            if layers or inspect.isclass(value) or what == "_depth":
                monkeypatch.setattr(each, what, dummy)

    def get_file(name: str, *_: Any, cache_subdir: str, **__: Any) -> None:
        found.update(file=name, folder=cache_subdir)
        raise InterruptedError

    def input_shape(shape: tuple[int, ...], default_size: int, **_: Any) -> tuple[int, ...]:
        found.update(input_shape=shape, size=default_size)
        return shape

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", get_file)
    utilities = "keras.src.applications.imagenet_utils."
    monkeypatch.setattr(f"{utilities}obtain_input_shape", input_shape)
    monkeypatch.setattr(f"{utilities}correct_pad", MagicMock())
    for top in (True, False):
        with pytest.raises(InterruptedError):
            spec.build(top, "imagenet")
        size, where = spec.image_size, {"file": spec.weight_file_name(top), "folder": "models"}
        assert found.items() >= where.items()
        assert found.items() <= (where | {"input_shape": (size, size, 3), "size": size}).items()
