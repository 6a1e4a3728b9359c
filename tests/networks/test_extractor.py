"""Extractors from all kinds of weight files, and the extractor of a dataset."""

import pickle
import shutil
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import LITE

from dogsim.engines.choose import choose_engine
from dogsim.errors import DogsimError
from dogsim.image_distance import ImageDistance
from dogsim.networks.extractor import Extractor, NetworkOptions, load_extractor
from dogsim.networks.extractor_for import extractor_for
from dogsim.plumbing.files import file_sha256
from dogsim.recipe import Recipe

IMAGES = np.random.default_rng(2).integers(0, 256, (3, 224, 224, 3), np.uint8)
LITE_IMAGES = np.random.default_rng(2).integers(0, 256, (3, 260, 260, 3), np.uint8)


@pytest.fixture(scope="module")
def plain_features(random_resnet: tuple[Any, Path]) -> Any:
    """The features that plain Keras code computes of the images."""
    import keras

    model, _ = random_resnet
    pixels = keras.applications.resnet50.preprocess_input(IMAGES.astype(np.float32))
    return keras.Model(model.input, model.get_layer("avg_pool").output)(pixels, training=False)


KINDS = ("notop.h5", "top.keras", "top.weights.h5", "notop.weights.h5", "top.h5")


@pytest.mark.slow
@pytest.mark.parametrize("file", KINDS)
def test_every_kind_of_weight_file(resnet_files: Path, plain_features: Any, file: str) -> None:
    weights = resnet_files / file
    extractor = load_extractor("resnet50", str(weights), precision="float32")
    np.testing.assert_allclose(extractor(IMAGES), plain_features, rtol=1e-4, atol=1e-4)
    assert extractor.recipe == Recipe(
        backbone="resnet50",
        weights=str(weights),
        weights_sha256=file_sha256(weights),
        layer="avg_pool",
        image_size=224,
        engine=choose_engine()[0],
    )


def test_images_are_not_modified(lite: Extractor) -> None:
    before = LITE_IMAGES.copy()
    lite(LITE_IMAGES)
    assert np.array_equal(LITE_IMAGES, before)


def test_a_weight_file_is_given_as_text_or_as_a_path(colours: str) -> None:
    """Everywhere, and the recipe stores the same text."""
    of = load_extractor(weights=colours).recipe
    assert load_extractor(weights=Path(colours)).recipe == of
    assert ImageDistance(weights=Path(colours)).extractor.recipe == of
    assert extractor_for(of, weights=Path(colours)).recipe.weights == of.weights


@pytest.mark.slow
def test_other_layers(colours: str) -> None:
    classes = load_extractor(LITE, layer="predictions")
    np.testing.assert_allclose(classes(LITE_IMAGES).sum(axis=1), 1, rtol=1e-2)
    early = load_extractor(LITE, layer="block14_add")
    assert early(LITE_IMAGES).shape == (3, 120)  # a map of 17 x 17, averaged
    with pytest.raises(DogsimError, match="Unknown layer 'avgpool'; did you mean 'avg_pool'"):
        load_extractor(weights=colours, layer="avgpool")


@pytest.mark.slow
def test_other_layers_of_a_weight_file(resnet_files: Path) -> None:
    logits = load_extractor("resnet50", str(resnet_files / "top.weights.h5"), layer="predictions")
    np.testing.assert_allclose(logits(IMAGES).sum(axis=1), 1, rtol=1e-2)
    early = load_extractor("resnet50", str(resnet_files / "notop.h5"), layer="conv4_block6_out")
    assert early(IMAGES).shape == (3, 1024)
    with pytest.raises(DogsimError, match="Unknown layer 'avgpool'; did you mean 'avg_pool'"):
        load_extractor("resnet50", str(resnet_files / "top.keras"), layer="avgpool")


@pytest.mark.slow
def test_a_file_that_does_not_fit(resnet_files: Path, tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "text.keras").write_text("no model")
    for backbone, file, layer, message in [
        ("resnet101", "notop.weights.h5", None, "do not fit resnet101: "),
        ("resnet101", "top.h5", None, "do not fit resnet101 with its classifier: "),
        ("vgg16", "notop.h5", None, "do not fit vgg16: "),
        ("resnet50", "notop.weights.h5", "predictions", "resnet50 with its classifier: "),
        ("resnet50", "notop.h5", "predictions", "resnet50 with its classifier: "),
        ("resnet50", f"{tmp_path}/text.h5", None, "is not a weight file"),
        ("resnet50", f"{tmp_path}/text.keras", None, "Keras model: it is not a zip archive"),
        ("resnet50", f"{tmp_path}/none.keras", None, "There is no weight file"),
        ("resnet5", "notop.h5", None, "did you mean 'resnet50'"),
    ]:
        with pytest.raises(DogsimError, match=message) as caught:
            load_extractor(backbone, str(resnet_files / file), layer)
        assert "\n" not in str(caught.value)


def test_a_model_that_is_no_image_network(tmp_path: Path) -> None:
    import keras

    grey = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Flatten(name="avg_pool")])
    grey.save(tmp_path / "grey.keras")
    with pytest.raises(DogsimError, match=r"takes \(None, 32, 32, 1\)"):
        load_extractor("resnet50", str(tmp_path / "grey.keras"))
    evil = keras.Sequential([keras.Input((8,)), keras.layers.Lambda(lambda x: x + 1)])
    evil.save(tmp_path / "evil.keras")
    with pytest.raises(DogsimError, match="Cannot load"):
        load_extractor("resnet50", str(tmp_path / "evil.keras"))


def test_a_model_defines_its_input_size(tmp_path: Path) -> None:
    import keras

    small = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D(name="avg_pool")]
    )
    small.save(tmp_path / "small.keras")
    extractor = load_extractor("vgg16", str(tmp_path / "small.keras"), precision="float32")
    assert extractor.recipe.image_size == 32
    white = np.full((1, 32, 32, 3), 255, np.uint8)
    # the preprocessing of vgg16: BGR minus the mean of ImageNet
    np.testing.assert_allclose(extractor(white)[0], [151.061, 138.221, 131.32], rtol=1e-4)


def test_views_are_averaged(colours: str) -> None:
    one = load_extractor("resnet50", colours, precision="float32")
    two = load_extractor("resnet50", colours, precision="float32", views="flip")
    assert (one.recipe.views, two.recipe.views) == ("none", "flip")
    assert one.recipe.fingerprint != two.recipe.fingerprint
    image = np.random.default_rng(3).integers(0, 256, (1, 32, 32, 3), np.uint8)
    length = np.linalg.norm(one(image))
    assert two(image) == pytest.approx(one(image) / length, abs=1e-6)  # a mean of colours
    assert extractor_for(two.recipe).recipe.views == "flip"
    with pytest.raises(DogsimError, match=r"with views=none. The dataset needs views=flip"):
        two.recipe.require(one.recipe, "an extractor")
    with pytest.raises(DogsimError, match="Unknown views 'flop'"):
        load_extractor("resnet50", colours, views="flop")  # type: ignore[arg-type]


def test_images_of_another_shape_or_dtype_raise(lite: Extractor) -> None:
    wrong: list[Any] = [IMAGES, LITE_IMAGES.astype(np.float32), LITE_IMAGES[0]]
    for images in wrong:
        with pytest.raises(DogsimError, match=r"Expected \(B, 260, 260, 3\) of uint8"):
            lite(images)


def test_extractor_for_a_recipe(colours: str, tmp_path: Path) -> None:
    import keras

    file, moved, other = (tmp_path / f"{name}.keras" for name in ("here", "moved", "other"))
    shutil.copy(colours, file)
    recipe = load_extractor("resnet50", str(file)).recipe
    assert recipe.engine == choose_engine()[0]
    assert extractor_for(recipe).recipe == recipe
    file.rename(moved)
    with pytest.raises(DogsimError, match=r"no weight file .*--weights FILE"):
        extractor_for(recipe)
    assert extractor_for(recipe, str(moved)).recipe.weights_sha256 == recipe.weights_sha256
    pooled = keras.layers.GlobalMaxPooling2D(name="avg_pool")
    keras.Sequential([keras.Input((32, 32, 3)), pooled]).save(other)
    with pytest.raises(DogsimError, match=r"weights_sha256=.* The dataset needs"):
        extractor_for(recipe, str(other))
    with pytest.raises(DogsimError, match="does not say how its features were made"):
        extractor_for(None)


def test_the_recipe_is_known_before_the_network_is_loaded(colours: str) -> None:
    """The decisive fields are; what is known only after loading is as in the given recipe."""
    for options in (
        NetworkOptions(backbone=LITE, resize="crop", layer="block13_add"),
        NetworkOptions(backbone="vgg16", weights=colours, engine="tensorflow", precision="float32"),
    ):
        like = replace(options.load().recipe, head="h.keras", head_sha256="ab")
        assert options.known_recipe(like) == options.load().recipe
    assert (
        NetworkOptions(backbone="vgg16").known_recipe(like) is None
    )  # its weights have to be downloaded first
    for wrong, message in (
        (NetworkOptions(backbone="vgg61"), "Unknown backbone"),
        (NetworkOptions(resize="fit"), "Unknown resize"),  # type: ignore[arg-type]
        (NetworkOptions(weights="gone.h5"), "There is no weight file gone.h5"),
    ):
        with pytest.raises(DogsimError, match=message):
            wrong.known_recipe(like)


def test_the_error_for_a_wrong_layer_lists_the_nearest(lite: Extractor) -> None:
    with pytest.raises(DogsimError) as caught:
        load_extractor(LITE, layer="block1_ad")
    assert str(caught.value).partition("nearest: ")[2].count(",") == 4  # five names


def test_a_pickled_extractor_loads_its_network_again(
    colours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = load_extractor("resnet50", colours, precision="float32")
    images = np.random.default_rng(4).integers(0, 256, (2, 32, 32, 3), np.uint8)
    loaded, load = [], NetworkOptions.load

    def counted(options: NetworkOptions) -> Extractor:
        loaded.append(options)
        return load(options)

    monkeypatch.setattr(NetworkOptions, "load", counted)
    for extractor in (ours, extractor_for(ours.recipe)):
        copied = pickle.loads(pickle.dumps(extractor))
        assert copied.recipe == extractor.recipe
        assert np.array_equal(copied(images), ours(images))
        copied(images)
    assert len(loaded) == 2


def test_another_process_computes_with_an_extractor(colours: str) -> None:
    """As multiprocessing and joblib send it; the process starts anew and loads the network."""
    extractor = load_extractor("resnet50", colours, precision="float32")
    images = np.random.default_rng(5).integers(0, 256, (2, 32, 32, 3), np.uint8)
    with get_context("spawn").Pool(1) as pool:
        assert np.array_equal(pool.apply(extractor, [images]), extractor(images))


def test_the_extractor_of_a_dataset_loads_its_network_at_the_first_call(
    colours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = load_extractor("resnet50", colours, views="flip").recipe
    monkeypatch.setattr(NetworkOptions, "load", lambda _: pytest.fail("loaded"))
    assert extractor_for(recipe).recipe == recipe
