import importlib.util
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
from commands import python
from PIL import Image

from dogsim import ImageDistance, create_dataset, extractor_for
from dogsim.engines import choose
from dogsim.engines.choose import ENGINES, choose_engine
from dogsim.engines.openvino import OpenVinoNetwork, convert
from dogsim.engines.tensorflow import CPU_BATCH, TensorFlowNetwork
from dogsim.errors import DogsimError
from dogsim.networks.extractor import load_extractor
from dogsim.recipe import Recipe

INSTALLED = [name for name in ENGINES[1:] if name == "tensorflow" or importlib.util.find_spec(name)]
IMAGES = np.random.default_rng(4).integers(0, 256, (19, 260, 260, 3), np.uint8)


@pytest.fixture(scope="module")
def plain() -> Any:
    """The features that Keras itself computes."""
    import keras

    from dogsim.networks.backbones import BACKBONES
    from dogsim.networks.efficientnet_lite import EfficientNetLite2

    model = EfficientNetLite2()
    features = keras.Model(model.input, model.get_layer("avg_pool").output)
    pixels = BACKBONES["efficientnet-lite2"].prepare(IMAGES.astype(np.float32))
    return features.predict(pixels, verbose=0)


@pytest.mark.parametrize("engine", INSTALLED)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_all_engines_compute_the_same(engine: Any, precision: Any, plain: Any) -> None:
    extractor = load_extractor("efficientnet-lite2", engine=engine, precision=precision)
    assert (extractor.recipe.engine, extractor.recipe.precision) == (engine, precision)
    features = extractor(IMAGES)  # 19 images: whole batches and a rest
    if precision == "float32":
        np.testing.assert_allclose(features, plain, rtol=1e-3, atol=1e-3)
    cosine = (features * plain).sum(axis=1)
    cosine /= np.linalg.norm(features, axis=1) * np.linalg.norm(plain, axis=1)
    assert cosine.min() > 0.99
    np.testing.assert_allclose(extractor(IMAGES[:1]), features[:1], rtol=1e-3, atol=1e-3)


def test_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "gpus", list)
    for installed, engine in ((True, "openvino"), (False, "tensorflow")):
        monkeypatch.setattr(choose, "find_spec", lambda _, found=installed: found or None)
        for native, precision in ((True, "bfloat16"), (False, "float32")):
            monkeypatch.setattr(choose, "_cpu_has_bfloat16", lambda found=native: found)
            assert choose_engine() == (engine, precision)
    monkeypatch.setattr(choose, "gpus", lambda: ["a GPU"])
    assert choose_engine() == choose_engine(few=True) == ("tensorflow", "float32")
    assert choose_engine("tensorflow", "bfloat16") == ("tensorflow", "bfloat16")
    monkeypatch.setattr(choose, "find_spec", lambda _: True)
    assert choose_engine() == ("tensorflow", "float32")
    # A GPU would not compute in these.
    assert choose_engine(precision="bfloat16") == ("openvino", "bfloat16")
    assert choose_engine(precision="int8") == ("openvino", "int8")


def test_few_images_do_not_wait_for_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose, "find_spec", lambda _: True)
    monkeypatch.setattr(choose, "gpus", lambda: pytest.fail("TensorFlow is imported"))
    monkeypatch.setattr(choose, "_cpu_has_bfloat16", lambda: False)
    assert choose_engine(few=True) == ("openvino", "float32")
    monkeypatch.setattr(choose, "gpus", lambda: ["a GPU"])
    assert choose_engine("tensorflow", few=True) == ("tensorflow", "float32")  # as requested


def test_only_a_large_folder_waits_for_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    received: list[bool] = []

    def refuse(engine: str, precision: str, few: bool) -> Any:
        received.append(few)
        raise DogsimError("Chosen.")

    monkeypatch.setattr("dogsim.networks.extractor.choose_engine", refuse)
    for name in "abc":
        Image.new("RGB", (9, 9)).save(tmp_path / f"{name}.png")
    recipe = Recipe("vgg16", "imagenet", "", "avg_pool", 224)
    for many in (4, 3):
        monkeypatch.setattr(
            importlib.import_module("dogsim.create_dataset"), "MIN_IMAGES_FOR_GPU", many
        )
        with pytest.raises(DogsimError, match="Chosen"):
            create_dataset(tmp_path, tmp_path / "d.h5", "vgg16")
    for few in (lambda: ImageDistance("vgg16"), lambda: extractor_for(recipe).load()):
        with pytest.raises(DogsimError, match="Chosen"):
            few()
    assert received == [True, False, True, True]


def test_a_gpu_computes_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    import keras
    import tensorflow as tf

    make_callable, batches = tf.compat.v1.Session.make_callable, []

    def counting(*arguments: Any) -> Any:
        run = make_callable(*arguments)

        def network(images: Any) -> Any:
            batches.append(len(images))
            return run(images)

        return network

    monkeypatch.setattr(tf.compat.v1.Session, "make_callable", counting)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["a GPU"])
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
    images = np.arange(64 * 8 * 8 * 3).reshape(64, 8, 8, 3).astype(np.uint8)
    means = images.mean(axis=(1, 2), dtype=np.float64)
    gpu = TensorFlowNetwork(model, lambda images: images, "float32")
    cpu = TensorFlowNetwork(model, lambda images: images, "bfloat16")  # not on a GPU
    for n, whole, small in ((1, [1], [1]), (2, [32], [2]), (33, [32, 32], [8] * 4 + [1])):
        for network, expected in ((gpu, whole), (cpu, small)):
            np.testing.assert_allclose(network(images[:n]), means[:n], rtol=1e-2)
            assert batches == expected
            batches.clear()


def test_unknown_names_and_missing_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DogsimError, match="Unknown engine 'tensorflo'; did you mean 'tensorflow'"):
        choose_engine("tensorflo")  # type: ignore[arg-type]
    with pytest.raises(DogsimError, match="Unknown precision 'bf16'"):
        choose_engine(precision="bf16")  # type: ignore[arg-type]
    with pytest.raises(DogsimError, match="precision int8 for the engine tensorflow"):
        choose_engine("tensorflow", "int8")
    monkeypatch.setattr(choose, "find_spec", lambda _: None)
    for options in (("openvino", "auto"), ("auto", "int8")):
        with pytest.raises(DogsimError, match="pip install openvino"):
            choose_engine(*options)


def test_one_image_is_not_padded(monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    import keras

    layers = [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()]
    converted = convert(keras.Sequential(layers), lambda images: images, (8, 8, 3))
    network, batches = OpenVinoNetwork(converted, "float32"), []
    compile_model = openvino.Core.compile_model

    def counting(core: Any, model: Any, *options: Any) -> Any:
        batches.append(model.input(0).partial_shape[0].get_length())
        return compile_model(core, model, *options)

    monkeypatch.setattr(openvino.Core, "compile_model", counting)
    images = np.arange(16 * 8 * 8 * 3, dtype=np.float32).reshape(16, 8, 8, 3).astype(np.uint8)
    means = images.mean(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(network(images[:1]), means[:1], rtol=1e-5)
    assert batches == [1]
    np.testing.assert_allclose(network(images), means, rtol=1e-5)
    assert batches == [1, CPU_BATCH]


def test_a_converted_network_has_only_its_own_outputs() -> None:
    """Not intermediate results of swish, whose gradient is a function of its own."""
    pytest.importorskip("openvino")
    import keras

    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3, activation="swish")]
    layers += [keras.layers.Conv2D(5, 3, activation="swish")]
    layers += [keras.layers.GlobalAveragePooling2D()]
    converted = convert(keras.Sequential(layers), lambda images: images, (8, 8, 3))
    assert [each.get_partial_shape()[1].get_length() for each in converted.outputs] == [5]


def test_a_converted_network_has_its_own_weights() -> None:
    """By default OpenVINO's converter shares the memory of the model."""
    pytest.importorskip("openvino")
    import keras

    layers = [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()]
    layers += [keras.layers.LayerNormalization(), keras.layers.Dense(5, bias_initializer="ones")]
    model = keras.Sequential(layers)
    converted = convert(model, lambda images: images, (8, 8, 3))
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    expected = model.predict(images.astype(np.float32), verbose=0)
    for variable in model.variables:
        variable.assign(variable + 1)
    computed = OpenVinoNetwork(converted, "float32")(images)
    np.testing.assert_allclose(computed, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow  # another process loads TensorFlow
def test_a_request_for_a_legacy_keras_that_is_missing_is_ignored() -> None:
    pytest.importorskip("openvino")
    code = """
        from dogsim.engines.tensorflow import import_keras
        from dogsim.engines.openvino import convert
        keras = import_keras()
        model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D()])
        print(convert(model, None, (8, 8, 3)).outputs[0].partial_shape)
    """
    made = python("-c", dedent(code), TF_USE_LEGACY_KERAS="1")
    assert made.stdout.strip() == "[?,3]", made.stderr
