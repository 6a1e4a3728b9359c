"""Heads: their files, their part of the recipe, and the commands."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from commands import dogsim_json, refusal
from PIL import Image

from dogsim import (
    Dataset,
    DogsimError,
    classify,
    create_dataset,
    extractor_for,
    feature_extract,
    load_image,
    project,
    save_model,
    train_ranking,
)


def linear_head(d: int, seed: int = 0) -> Any:
    import keras

    keras.utils.set_random_seed(seed)
    layers = keras.layers
    return keras.Sequential([keras.Input((d,)), layers.Dense(3), layers.UnitNormalization()])


@pytest.fixture(scope="module")
def drawn(breeds_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """Create a dataset with a real network, and a head; return the dataset and the folder."""
    folder = tmp_path_factory.mktemp("heads")
    data = create_dataset(breeds_dir, folder / "plain.h5", "efficientnet-lite2")
    save_model(linear_head(1280), folder / "head.keras")
    return data, folder


def test_queries_use_the_head(drawn: tuple[Dataset, Path]) -> None:
    data, folder = drawn
    made = project(data, folder / "head.keras")
    made.save(folder / "made.h5")
    again = Dataset.open(folder / "made.h5")
    assert again.recipe == made.recipe
    assert again.features.shape == (6, 3)
    np.testing.assert_allclose(np.linalg.norm(again.features, axis=1), 1, rtol=1e-5)
    query = feature_extract(again.image_file(2), extractor_for(again.recipe))
    np.testing.assert_allclose(query, again.features[2], atol=1e-5)
    assert [a.indices[0] for a in classify(again.image_file(4), again, 1, keep_self=True)] == [4]
    image = load_image(again.image_file(4))  # pixels: the network and the head compute it
    assert classify(image, again, 1)[0].indices == [4]


def test_a_missing_or_changed_head(drawn: tuple[Dataset, Path], tmp_path: Path) -> None:
    data, _ = drawn
    head = tmp_path / "head.keras"
    save_model(linear_head(1280), head)
    made = project(data, head)
    save_model(linear_head(1280, seed=1), head)
    with pytest.raises(DogsimError, match=r"head_sha256=.* The dataset needs head_sha256="):
        extractor_for(made.recipe)
    head.unlink()
    with pytest.raises(DogsimError, match=r"no head file .*Put it back there"):
        extractor_for(made.recipe)
    assert data.recipe
    assert made.recipe
    with pytest.raises(DogsimError, match="head_sha256=none"):
        made.recipe.require(data.recipe, "the query")


def test_invalid_head_files(drawn: tuple[Dataset, Path], tmp_path: Path) -> None:
    import keras

    data, folder = drawn
    (tmp_path / "text.keras").write_text("no model")
    images = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])
    images.save(tmp_path / "images.keras")
    evil = keras.Sequential([keras.Input((1280,)), keras.layers.Lambda(lambda x: x[:, :3])])
    evil.save(tmp_path / "evil.keras")
    save_model(linear_head(7), tmp_path / "narrow.keras")
    for name, message in [
        ("text", "Cannot load"),
        ("evil", "Cannot load"),
        ("images", r"maps \(None, 8, 8, 3\) to \(None, 192\). Expected a head"),
        ("narrow", r"Received features \(6, 1280\). The head takes \(N, 7\)"),
        ("none", "There is no head file"),
    ]:
        with pytest.raises(DogsimError, match=message):
            project(data, tmp_path / f"{name}.keras")
    with pytest.raises(DogsimError, match=r"features of the head"):
        project(project(data, folder / "head.keras"), folder / "head.keras")
    with pytest.raises(DogsimError, match=r"ends in \.keras"):
        save_model(linear_head(7), tmp_path / "head.h5")
    assert project(replace(data, recipe=None), folder / "head.keras").recipe is None


def test_a_head_for_other_features_of_the_same_length(
    drawn: tuple[Dataset, Path], tmp_path: Path
) -> None:
    data, _ = drawn
    assert data.recipe
    twice = replace(
        data,
        features=np.concatenate([data.features, data.features + 0.1]),
        labels=np.concatenate([data.labels, data.labels]),
        paths=data.paths * 2,
        stamps=None,
    )
    save_model(train_ranking(twice, max_steps=1).model, tmp_path / "head.keras")
    assert project(data, tmp_path / "head.keras").features.shape == (6, 2)
    other = replace(data, recipe=replace(data.recipe, layer="block1"))
    with pytest.raises(DogsimError, match=r"was trained on features of another network.*block1"):
        project(other, tmp_path / "head.keras")
    moved = replace(data, recipe=replace(data.recipe, weights="elsewhere.h5", engine="other"))
    assert project(moved, tmp_path / "head.keras").features.shape == (6, 2)


def test_files_without_head_attributes_keep_their_recipe(
    drawn: tuple[Dataset, Path], tmp_path: Path
) -> None:
    data, _ = drawn
    data.save(tmp_path / "old.h5")
    with h5py.File(tmp_path / "old.h5", "r+") as file:
        del file.attrs["head"], file.attrs["head_sha256"]
    assert Dataset.open(tmp_path / "old.h5").recipe == data.recipe


def test_a_head_with_another_hash_is_not_opened(
    drawn: tuple[Dataset, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, folder = drawn
    made = project(data, folder / "head.keras")
    assert made.recipe
    monkeypatch.setattr(
        "dogsim.networks.trained_models.load_keras_file", lambda _: pytest.fail("opened")
    )
    monkeypatch.setattr(
        "dogsim.networks.keras_network.load_keras_file", lambda _: pytest.fail("opened")
    )
    (tmp_path / "strange.keras").write_bytes(b"code")
    strange = str(tmp_path / "strange.keras")
    with pytest.raises(DogsimError, match="head_sha256"):
        extractor_for(replace(made.recipe, head=strange))
    with pytest.raises(DogsimError, match="weights_sha256"):
        extractor_for(replace(made.recipe, weights=strange, weights_sha256="ab"))


def test_a_head_in_an_older_format_of_keras_is_refused(
    drawn: tuple[Dataset, Path], tmp_path: Path
) -> None:
    data, _ = drawn
    linear_head(1280).save(tmp_path / "head.h5")  # safe mode does not protect this format
    with pytest.raises(DogsimError, match=r"ends in \.keras"):
        project(data, tmp_path / "head.h5")


def test_a_moved_head_is_passed_by_option(drawn: tuple[Dataset, Path], tmp_path: Path) -> None:
    data, _ = drawn
    head = tmp_path / "head.keras"
    save_model(linear_head(1280), head)
    project(data, head).save(tmp_path / "made.h5")
    moved = head.rename(tmp_path / "moved.keras")
    Image.new("RGB", (9, 9)).save(tmp_path / "new.png")
    ask = ("classify", tmp_path / "new.png", "-k", 1, "--dataset", tmp_path / "made.h5")
    assert "There is no head file" in refusal(*ask)
    assert dogsim_json(*ask, "--head", moved)["results"]
    data.save(tmp_path / "plain.h5")
    plain = ("classify", data.image_file(0), "-k", 1, "--dataset", tmp_path / "plain.h5")
    assert "This dataset was made without a head" in refusal(*plain, "--head", moved)
