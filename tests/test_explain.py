"""The parts of a distance add up to it; distances that are no such sum are refused."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import LITE
from numpy.typing import NDArray
from PIL import Image

from dogsim import (
    BACKBONES,
    Dataset,
    DogsimError,
    Extractor,
    dist_calc,
    explain,
    extract_features,
    load_extractor,
    sample_queries,
    save_model,
)
from dogsim.explain import explain_neighbours, origin_of
from dogsim.image_files.square import RESIZES

MARKS: dict[str, list[pytest.MarkDecorator]] = {
    **{LITE: [], "resnet18": [pytest.mark.extra]},
    **{name: [pytest.mark.release] for name in ("inceptionresnetv2", "nasnetmobile")},  # a minute
}
# One network of each family; deeper ones have the same blocks. Without MobileNet v1: with random
# weights, the length of its features is below the epsilon of Keras.
KINDS = (
    *(LITE, "resnet18"),
    *("resnet34", "resnet50", "resnet50v2", "vgg16", "inceptionv3", "densenet121"),
    *("inceptionresnetv2", "xception", "nasnetmobile", "mobilenetv2"),
    *("mobilenetv3small", "efficientnetb0", "efficientnetv2b0"),
)
ALL = [pytest.param(name, marks=MARKS.get(name, [pytest.mark.slow])) for name in KINDS]
METRICS = ("sqeuclidean", "cosine", "euclidean", "correlation")


def tall_and_wide() -> list[Image.Image]:
    """Return two drawings of shapes for which squash and crop differ."""
    tall, wide = (Image.open(path).convert("RGB") for path in sample_queries()[:2])
    return [
        tall.crop((0, 0, tall.width // 2, tall.height)),
        wide.crop((0, 0, wide.width, wide.height // 2)),
    ]


def head_of(folder: Path, length: int, *bent: Any) -> Path:
    """Save a head with random numbers, like those of deep ranking, or with additional layers."""
    import keras

    rng = np.random.default_rng(length)
    layers = [
        keras.Input((length,)),
        keras.layers.UnitNormalization(),
        keras.layers.Normalization(
            mean=rng.normal(0, 0.01, length), variance=np.full(length, 1e-3)
        ),
        keras.layers.Dropout(0.15),
        keras.layers.Dense(24, use_bias=False, name="embedding"),
        *bent,
        keras.layers.UnitNormalization(),
    ]
    save_model(keras.Sequential(layers), folder / f"head-{length}-{len(bent)}.keras")
    return folder / f"head-{length}-{len(bent)}.keras"


def through(extractor: Extractor, head: Path) -> Extractor:
    """Return the network followed by a head."""
    from dogsim.networks.trained_models import load_head

    loaded = load_head(head)
    recipe = replace(extractor.recipe, head=str(head), head_sha256=loaded.sha256)
    return Extractor(recipe, lambda images: loaded(extractor.network(images)))


@pytest.mark.parametrize("name", ALL)
def test_the_parts_add_up_to_the_distance(
    name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """The distance that `dist_calc` computes from the features."""
    if name in ("resnet18", "resnet34"):
        pytest.importorskip("keras_hub", reason="Keras Hub: pip install 'dogsim[hub]'")
    weights = "imagenet"
    if name != LITE:
        weights = str(tmp_path / "w.weights.h5")
        BACKBONES[name].build(top=False).save_weights(weights)
    squash = load_extractor(name, weights, precision="float32")
    crop, pad = (
        Extractor(replace(squash.recipe, resize=resize), squash.network) for resize in RESIZES[1:]
    )
    head = head_of(tmp_path, extract_features(tall_and_wide(), squash).shape[1])
    for extractor in (squash, crop, pad, through(squash, head), through(crop, head)):
        images = tall_and_wide()
        f, g = extract_features(images, extractor)
        for metric in METRICS:
            why = explain(images[0], images[1], extractor, metric)
            (distance,) = dist_calc([g], [f], metric)[0]
            whole = distance**2 if metric == "euclidean" else distance
            # rounding in float32 depends on the length of the features, not on their distance
            lengths = 1 if metric in ("cosine", "correlation") else float(f @ f + g @ g)
            assert why.sum == pytest.approx(whole, rel=1e-5, abs=1e-6 * lengths)
            record_property(
                f"{name} {extractor.recipe.resize} {metric}", float(why.sum / whole - 1)
            )
            assert why.query_parts.sum() == pytest.approx(why.other_parts.sum(), rel=1e-6)
            assert why.sum == pytest.approx(
                why.distance**2 if metric == "euclidean" else why.distance,
                rel=1e-5,
                abs=1e-6 * lengths,
            )
        assert explain(images[0], images[1], extractor, "cosine").pairs.sum() == pytest.approx(
            1 - dist_calc([g], [f], "cosine")[0, 0], rel=1e-5
        )


def test_by_hand(colours: str) -> None:
    """A red and green image and a red one, and a network whose places are the pixels."""
    extractor = load_extractor(weights=colours, precision="float32")
    images = np.zeros((2, 32, 32, 3), np.uint8)
    images[0, :, :16, 0] = images[0, :, 16:, 1] = images[1, ..., 0] = 200
    why = explain(images[0], images[1], extractor, "sqeuclidean")
    # The network's input is BGR minus ImageNet's means: f - g = (0, 100, -100).
    assert [why.distance, why.sum] == pytest.approx([20_000, 20_000], rel=1e-5)
    red, green = why.query_parts[0, 0], why.query_parts[0, -1]
    assert red * 1024 == pytest.approx(-10_000, rel=1e-4)  # (0, -50, 50).(0, 100, -100)
    assert green * 1024 == pytest.approx(30_000, rel=1e-4)
    assert why.other_parts * 1024 == pytest.approx(np.full((32, 32), 10_000), rel=1e-4)
    _row, column, *_ = why.best_pairs(1)[0]
    assert column < 16
    assert why.query_likeness.sum() == pytest.approx(why.other_likeness.sum())
    with pytest.raises(DogsimError, match="There is no image gone.jpg"):
        explain("gone.jpg", images[0], extractor)


def test_an_image_and_itself(lite: Extractor) -> None:
    (image,) = tall_and_wide()[:1]
    why = explain(image, image, lite)
    assert why.distance == why.sum == 0
    places = why.query_parts.size
    best = why.best_pairs(places)
    assert best.shape == (places, 4)
    assert len({(row, column) for row, column, *_ in best.tolist()}) == places  # each place once


def test_the_parts_add_up_for_views(lite: Extractor, tmp_path: Path) -> None:
    flip = load_extractor(LITE, precision="float32", views="flip")
    for extractor in (flip, through(flip, head_of(tmp_path, 1280))):
        images = tall_and_wide()
        f, g = extract_features(images, extractor)
        for metric in METRICS:
            why = explain(images[0], images[1], extractor, metric)
            (distance,) = dist_calc([g], [f], metric)[0]
            whole = distance**2 if metric == "euclidean" else distance
            assert why.sum == pytest.approx(whole, rel=1e-4), metric
    (image, _), mirror = (
        tall_and_wide(),
        tall_and_wide()[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    )
    there, back = (explain(each, images[1], flip) for each in (image, mirror))
    assert there.distance == pytest.approx(back.distance, rel=1e-5)
    assert there.query_parts == pytest.approx(back.query_parts[:, ::-1], abs=1e-4)
    crops = replace(flip, recipe=replace(flip.recipe, views="flip,crops"))
    with pytest.raises(DogsimError, match=r"of views flip,crops.* Expected views none"):
        explain(image, mirror, crops)


def noise(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return coloured noise with a random cell size."""
    cells = 224 // int(rng.choice([4, 8, 16, 32, 112]))
    pixels = rng.integers(0, 256, (cells, cells, 3), np.uint8)
    return np.array(Image.fromarray(pixels).resize((224, 224), Image.Resampling.BICUBIC))


def planted(seed: int, side: int = 112) -> tuple[list[NDArray[np.uint8]], list[tuple[int, int]]]:
    """Return two noise images with the same patch, a quarter of each, and its corners."""
    rng = np.random.default_rng(seed)
    drawings = sample_queries()
    patch = Image.open(drawings[int(rng.integers(len(drawings)))]).convert("RGB")
    images, corners = [], []
    for _ in range(2):
        image = noise(rng)
        top, left = (int(x) for x in rng.integers(0, 224 - side + 1, 2))
        image[top : top + side, left : left + side] = np.asarray(patch.resize((side, side)))
        images.append(image)
        corners.append((top, left))
    return images, corners


def is_largest_in_patch(
    parts: NDArray[np.float64], corner: tuple[int, int], side: int = 112
) -> bool:
    """Return whether the centre of the place with the largest part is in the patch."""
    row, column = divmod(int(parts.argmax()), parts.shape[1])
    middle = (np.array([row, column]) + 0.5) * 224 / np.array(parts.shape)  # pixels
    return bool(((middle >= corner) & (middle < np.array(corner) + side)).all())


@pytest.mark.parametrize("trials", [15, pytest.param(100, marks=pytest.mark.slow)])
def test_a_common_patch_is_found(
    trials: int, lite: Extractor, record_property: Callable[[str, object], None]
) -> None:
    found = 0
    for seed in range(trials):
        images, corners = planted(seed)
        why = explain(images[0], images[1], lite)
        maps = why.query_likeness, why.other_likeness
        found += all(map(is_largest_in_patch, maps, corners))
    record_property("found", int(found))
    assert found >= 0.95 * trials


def test_the_origin_of_neighbours_is_the_mean(stored: Path, breeds_dir: Path) -> None:
    dataset = Dataset.open(stored)
    image = breeds_dir / "striped" / "1.png"
    (neighbours,) = explain_neighbours([image], dataset, 4, "cosine")
    units = dataset.features / np.linalg.norm(dataset.features, axis=1, keepdims=True)
    assert origin_of(dataset, "cosine") == pytest.approx(units.mean(axis=0), abs=1e-6)
    (query,) = [
        unit for unit, path in zip(units, dataset.paths, strict=True) if "striped/1" in path
    ]
    for row, why in neighbours:
        expected = (query - units.mean(axis=0)) @ (units[row] - units.mean(axis=0))
        assert why.pairs.sum() == pytest.approx(expected, abs=1e-3)  # features are rounded
    distances = [why.distance for _, why in neighbours]
    assert distances == sorted(distances)


def test_errors_for_distances_that_cannot_be_explained(
    colours: str, stored: Path, tmp_path: Path
) -> None:
    import keras

    image = np.zeros((32, 32, 3), np.uint8)
    extractor = load_extractor(weights=colours)
    with pytest.raises(
        DogsimError, match=r"'cityblock' are not a sum .*: euclidean, sqeuclidean, c"
    ):
        explain(image, image, extractor, "cityblock")

    pooled = keras.layers.GlobalMaxPooling2D(name="avg_pool")
    keras.Sequential([keras.Input((32, 32, 3)), pooled]).save(tmp_path / "max.keras")
    largest = load_extractor(weights=str(tmp_path / "max.keras"))
    with pytest.raises(DogsimError, match=r"output of GlobalMaxPooling2D, .*avg_pool of every"):
        explain(image, image, largest)

    bent = through(extractor, head_of(tmp_path, 3, keras.layers.ReLU()))
    with pytest.raises(DogsimError, match=r"has ReLU re_lu.*, so .* as dogsim project --layer"):
        explain(image, image, bent)

    dataset = Dataset.open(stored)
    with pytest.raises(DogsimError, match="does not say how .* any two images"):
        explain_neighbours([image], replace(dataset, recipe=None))
    with pytest.raises(DogsimError, match=r"There is no image .*--root FOLDER"):
        explain_neighbours([image], replace(dataset, root=str(tmp_path)), 1)
    strange = replace(dataset, features=-np.asarray(dataset.features))
    with pytest.raises(DogsimError, match="is not the one that the dataset was made with"):
        explain_neighbours([image], strange, 1)
