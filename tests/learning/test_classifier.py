"""A softmax on stored features: accuracy, calibration, and its file."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import breeds_in_noise

from dogsim import (
    Classifier,
    Dataset,
    DogsimError,
    accuracy,
    hold_out,
    load_classifier,
    train_classifier,
)

EPOCHS = 12


@pytest.fixture(scope="module")
def halves() -> tuple[Dataset, Dataset]:
    return hold_out(breeds_in_noise(6, 80), 0.5)


@pytest.fixture(scope="module")
def trained(halves: tuple[Dataset, Dataset]) -> Classifier:
    return train_classifier(halves[0], max_epochs=EPOCHS)


def test_it_is_better_than_the_vote(halves: tuple[Dataset, Dataset], trained: Classifier) -> None:
    accurate, error = trained.evaluate(halves[1])
    assert accurate > accuracy(halves[0], 10, halves[1]).vote_accuracy + 0.05
    assert error < 0.15
    probabilities = trained(halves[1].features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    named = np.array(trained.names(probabilities)) == [
        halves[1].breed(row) for row in range(len(halves[1]))
    ]
    assert named.mean() == accurate


def test_the_same_seed_gives_the_same_classifier(
    halves: tuple[Dataset, Dataset], trained: Classifier
) -> None:
    again = train_classifier(halves[0], max_epochs=EPOCHS)
    assert np.array_equal(again(halves[1].features), trained(halves[1].features))


def test_save_and_load(
    halves: tuple[Dataset, Dataset], trained: Classifier, tmp_path: Path
) -> None:
    trained.save(tmp_path / "c.keras")
    loaded = load_classifier(tmp_path / "c.keras")
    assert loaded.breeds == trained.breeds
    assert loaded.evaluate(halves[1]) == pytest.approx(trained.evaluate(halves[1]), abs=1e-6)
    assert [file.name for file in tmp_path.iterdir()] == ["c.keras"]


def test_breeds_are_matched_by_name(halves: tuple[Dataset, Dataset], trained: Classifier) -> None:
    test = halves[1]
    reordered = replace(test, labels=5 - test.labels, breeds=test.breeds[::-1])
    assert trained.evaluate(reordered) == trained.evaluate(test)
    with pytest.raises(DogsimError, match="None of these breeds"):
        trained.evaluate(replace(test, breeds=tuple(f"cat {i}" for i in range(6))))


def test_images_without_breed_and_breeds_without_images() -> None:
    data = breeds_in_noise(4, 60)
    labels = np.where(data.labels == 1, -1, data.labels)
    trained = train_classifier(replace(data, labels=labels), max_epochs=EPOCHS)
    assert trained.breeds == (data.breeds[0], *data.breeds[2:])
    assert trained.evaluate(data)[0] > 0.8  # for the three breeds that it knows


def test_training_images_of_a_head_are_left_out(
    halves: tuple[Dataset, Dataset], trained: Classifier
) -> None:
    train, test = halves
    both = Dataset(
        np.concatenate([train.features, np.flip(test.features, axis=1)]),
        np.concatenate([train.labels, test.labels]),
        (*train.paths, *(f"known/{path}" for path in test.paths)),
        train.breeds,
        learned=np.arange(len(train) + len(test)) >= len(train),
    )
    again = train_classifier(both, max_epochs=EPOCHS)
    assert np.array_equal(again(test.features), trained(test.features))
    with pytest.raises(DogsimError, match=r"trained on 480 of 480 images.*before dogsim"):
        train_classifier(replace(both, learned=np.ones(len(both), bool)))


def test_invalid_files(tmp_path: Path, colours: str) -> None:
    (tmp_path / "x.keras").write_text("no model")
    with zipfile.ZipFile(tmp_path / "y.keras", "w") as file:
        file.writestr("dogsim.json", "[]")
    for path in (tmp_path / "x.keras", tmp_path / "y.keras", colours):
        with pytest.raises(DogsimError, match="is not a classifier"):
            load_classifier(path)


def test_invalid_training(four: Dataset, trained: Classifier) -> None:
    with pytest.raises(DogsimError, match="0 breeds of 4 images"):
        train_classifier(four)
    with pytest.raises(DogsimError, match="dropout=1"):
        train_classifier(four, dropout=1)
    with pytest.raises(DogsimError, match="max_epochs=0"):
        train_classifier(four, max_epochs=0)
    with pytest.raises(DogsimError, match=r"takes \(N, 32\)"):
        trained(four.features)


@pytest.mark.real_data
def test_it_is_better_than_the_vote_on_photos(real_data: Path) -> None:
    stored = np.load(real_data / "features" / "stanford_dogs_resnet50_12000.npz")
    labels = stored["labels"].astype(np.int32)
    rows = np.flatnonzero(labels < 30)
    names = tuple(map(str, stored["paths"][rows]))
    data = Dataset(
        stored["features"][rows].astype(np.float32), labels[rows], names, tuple(stored["breeds"])
    )
    train, test = hold_out(data, 0.2)
    accurate, error = train_classifier(train).evaluate(test)
    assert accurate > accuracy(train, 20, test).vote_accuracy
    assert error < 0.05
