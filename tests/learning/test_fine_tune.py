"""Training of the network on images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dogsim import (
    Dataset,
    DogsimError,
    accuracy,
    create_dataset,
    fine_tune,
    load_image,
    save_model,
)
from dogsim.learning.augmentation import load_batches
from dogsim.networks.trained_models import has_training_record
from dogsim.retrieval.identity import learned

# a machine that is busy with something else must not fail a test
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """A dataset of horizontal and vertical stripes, made with a small untrained network."""
    import keras
    from PIL import Image

    root = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    for name in ("across", "along"):
        (root / name).mkdir()
        for number in range(40):
            pixels = rng.integers(0, 120, (32, 32, 3), np.uint8)
            pixels[rng.integers(4) :: 4] += 30
            pixels += rng.integers(0, 100, 3, np.uint8)  # a tint without information
            pixels = pixels if name == "across" else pixels.swapaxes(0, 1)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 64, name="scale"),
            layers.Conv2D(4, 3, activation="relu", name="low"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(8, 3, activation="relu", name="high"),
            layers.GlobalAveragePooling2D(name="avg_pool"),
        ]
    )
    network.save(root / "network.keras")
    file = root / "stripes.h5"
    return create_dataset(root, file, weights=str(root / "network.keras")), root


def test_fine_tuning_trains_the_given_layers(stripes: tuple[Dataset, Path]) -> None:
    data, root = stripes
    tuned = fine_tune(data, "norm", learning_rate=0.01, batch_size=8, max_steps=100)
    import keras

    before = keras.models.load_model(root / "network.keras")
    for name, learns in (("low", False), ("norm", False), ("high", True)):
        old, new = before.get_layer(name).get_weights(), tuned.model.get_layer(name).get_weights()
        same = all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))
        assert same is not learns, name
    save_model(tuned.model, root / "tuned.keras")
    after = create_dataset(root, root / "tuned.h5", weights=str(root / "tuned.keras"))
    k = 5
    gained = accuracy(after, k, metric="cosine").precision_at_k
    assert gained > accuracy(data, k, metric="cosine").precision_at_k + 0.3
    assert tuned.history[tuned.best] > tuned.history[0]


def test_fine_tuning_a_softmax_by_unfreezing(stripes: tuple[Dataset, Path]) -> None:
    data, root = stripes
    import keras

    options = {"learning_rate": 0.01, "batch_size": 24, "max_steps": 75, "loss": "softmax"}
    tuned = fine_tune(data, "high", **options)  # type: ignore[arg-type]
    before = keras.models.load_model(root / "network.keras")
    for name, learns in (("low", False), ("norm", False), ("high", True)):
        old, new = before.get_layer(name).get_weights(), tuned.model.get_layer(name).get_weights()
        same = all(np.array_equal(a, b) for a, b in zip(old, new, strict=True))
        assert same is not learns, name
    assert tuned.k == 1  # the history is the accuracy of the softmax
    assert tuned.history[tuned.best] > max(tuned.history[0], 0.85)
    assert tuned.losses[-1] < tuned.losses[0] < np.log(2) + 0.1
    assert tuned.model.output_shape == (None, 8)  # the features, not the probabilities
    rotated = fine_tune(data, "high", rotation=20, **(options | {"max_steps": 25}))  # type: ignore[arg-type]
    assert rotated.losses != tuned.losses[:1]


def test_fine_tuning_on_pairs(stripes: tuple[Dataset, Path]) -> None:
    tuned = fine_tune(
        *(stripes[0], "high"), learning_rate=0.01, batch_size=8, max_steps=75, loss="contrastive"
    )
    assert tuned.losses[-1] < tuned.losses[0]


@pytest.mark.filterwarnings("error:The structure of:UserWarning")
def test_a_network_that_did_not_improve_has_learned_from_no_image(
    stripes: tuple[Dataset, Path], tmp_path: Path
) -> None:
    data, root = stripes
    tuned = fine_tune(data, "high", learning_rate=1e-30, batch_size=2, max_steps=1, patience=1)
    assert tuned.steps == 0
    save_model(tuned.model, tmp_path / "same.keras")
    assert has_training_record(tmp_path / "same.keras")
    after = create_dataset(root, tmp_path / "d.h5", weights=str(tmp_path / "same.keras"))
    assert not learned(after).any()


def test_losses_and_augmentation_are_reproducible(stripes: tuple[Dataset, Path]) -> None:
    data, _ = stripes
    options = {"learning_rate": 0.01, "batch_size": 4, "max_steps": 30, "augmented": True}
    one, four = (fine_tune(data, "high", workers=n, **options) for n in (1, 4))  # type: ignore[arg-type]
    assert one.losses == four.losses  # augmentation does not depend on the number of threads
    assert len(one.losses) == 2  # of 25 steps and of 5
    plain = fine_tune(data, "high", **(options | {"augmented": False}))  # type: ignore[arg-type]
    assert plain.losses != one.losses


def test_the_multiscale_network_learns(tmp_path: Path) -> None:
    """Images with a bright upper or lower half, which mean colours do not distinguish."""
    import keras
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in ("above", "below"):
        (tmp_path / "light" / name).mkdir(parents=True)
        for number in range(30):
            pixels = rng.integers(0, 60, (64, 64, 3), np.uint8)
            pixels[rng.integers(8) : 32] += np.uint8(rng.integers(30, 120))
            pixels = pixels if name == "above" else pixels[::-1]
            Image.fromarray(pixels).save(tmp_path / "light" / name / f"{number}.png")
    image = keras.Input((64, 64, 3))
    average = keras.layers.GlobalAveragePooling2D(name="avg_pool")(image)
    keras.Model(image, average).save(tmp_path / "colours.keras")
    light, file = tmp_path / "light", str(tmp_path / "colours.keras")
    data = create_dataset(light, tmp_path / "d.h5", weights=file)
    tuned = fine_tune(data, None, network="multiscale", batch_size=8, max_steps=50)
    assert tuned.losses[-1] < tuned.losses[0]
    save_model(tuned.model, tmp_path / "multiscale.keras")
    file = str(tmp_path / "multiscale.keras")
    after = create_dataset(light, tmp_path / "after.h5", weights=file, layer="embedding")
    before = accuracy(data, 5, metric="cosine").precision_at_k
    assert accuracy(after, 5).precision_at_k > before + 0.2
    np.testing.assert_allclose(np.linalg.norm(after.features, axis=1), 1, rtol=1e-3)


def test_invalid_fine_tuning(stripes: tuple[Dataset, Path], tmp_path: Path) -> None:
    data, _ = stripes
    assert data.recipe
    for dataset, layer, message in [
        (data, "nrom", "Unknown layer 'nrom'; did you mean 'norm'"),
        (data, "avg_pool", "No layer from avg_pool on has weights"),
        (replace(data, recipe=None), "norm", "does not say how its features were made"),
        (
            replace(data, recipe=replace(data.recipe, head="h.keras", head_sha256="ab")),
            "norm",
            "features of the head h.keras",
        ),
        (
            replace(data, recipe=replace(data.recipe, weights_sha256="ab")),
            "norm",
            "The dataset needs weights_sha256=ab",
        ),
        (replace(data, root=str(tmp_path)), "norm", "There is no image"),
    ]:
        with pytest.raises(DogsimError, match=message):
            fine_tune(dataset, layer)
    with pytest.raises(DogsimError, match="Unknown network 'multi'"):
        fine_tune(data, "norm", network="multi")  # type: ignore[arg-type]
    with pytest.raises(DogsimError, match="Unknown loss 'hinge'"):
        fine_tune(data, "norm", loss="hinge")  # type: ignore[arg-type]
    with pytest.raises(DogsimError, match="rotation=90. Expected 0 to 45 degrees"):
        fine_tune(data, "norm", rotation=90)
    with pytest.raises(DogsimError, match="loss='softmax' with network='multiscale'"):
        fine_tune(data, "norm", network="multiscale", loss="softmax")
    with pytest.raises(DogsimError, match="S at least 64"):
        fine_tune(data, None, network="multiscale")
    with pytest.raises(DogsimError, match="workers=0"):
        fine_tune(data, "norm", workers=0)


@settings(PATIENT, max_examples=10)
@given(st.lists(st.integers(1, 3), max_size=6))
def test_batches_keep_their_order(sizes: list[int]) -> None:
    colours = iter(range(100))
    arrays = [[np.full((4, 4, 3), next(colours), np.uint8) for _ in range(n)] for n in sizes]
    loaded = list(load_batches(arrays, 4, "squash"))
    assert len(loaded) == len(arrays)
    for images, batch in zip(loaded, arrays, strict=True):
        assert np.array_equal(images, np.stack([load_image(x, 4) for x in batch]))
