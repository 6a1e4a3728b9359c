"""A classification layer of our own: a softmax that is trained on the stored features."""

import json
import os
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import unit_vectors
from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError
from dogsim.image_files.labels import breed_key
from dogsim.learning.hold_out import hold_out
from dogsim.learning.training import HELD_OUT, check_numbers, trainable
from dogsim.networks.heads import embed, save_model
from dogsim.networks.weights import load_keras_file
from dogsim.recipe import Recipe
from dogsim.retrieval.identity import learned
from dogsim.retrieval.scores import calibration_error

FACTS = "dogsim.json"  # what the file says beside Keras' own entries
TEMPERATURES = np.geomspace(0.1, 10, 200)
STEP = 0.6
LEAST_TOLD = 0.001


@dataclass(frozen=True, eq=False)
class Classifier:
    """Names breeds by what it has learned: ``classifier(features)`` gives probabilities.

    Attributes
    ----------
    model : keras.Model
        Maps features (B, D) to probabilities (B, C).
    breeds : tuple of C str
    made_for : str
        Fingerprint of the recipe of the features it learned from, empty where they had none.
    epochs : int
        Rounds of training behind it; 0 where a file was read.
    """

    model: Any
    breeds: tuple[str, ...]
    made_for: str = ""
    epochs: int = 0

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Tell how probable each breed is, features (N, D) to (N, C) that add up to 1.

        Raises `DogsimError` if it learned from features of another length.
        """
        expected = self.model.input_shape[1]
        if features.ndim != 2 or features.shape[1] != expected:
            raise DogsimError(
                f"Received features {features.shape}. The classifier takes (N, {expected}): "
                "train one on this dataset, dogsim train-classifier."
            )
        return embed(self.model, features)

    def names(self, probabilities: NDArray[np.float32]) -> list[str]:
        """Name the most probable breed of each picture, of probabilities (N, C)."""
        return [self.breeds[label] for label in probabilities.argmax(axis=1)]

    def told(self, features: NDArray[np.float32]) -> dict[str, Any]:
        """Tell for JSON what it says of one picture's features, (D,).

        Its breed, how probable that is, and the breeds of a thousandth or more, likeliest first.
        """
        row = self(features[None])[0]
        order = [int(i) for i in np.argsort(-row, kind="stable") if row[i] >= LEAST_TOLD]
        likely = {self.breeds[i]: round(float(row[i]), 4) for i in order}
        return {
            "breed": self.breeds[order[0]],
            "probability": likely[self.breeds[order[0]]],
            "probabilities": likely,
        }

    def judge(self, testset: Dataset) -> tuple[float, float]:
        """Tell how often it names the right breed, and its expected calibration error.

        Both from 0 to 1, over the pictures whose breed it knows. Raises `DogsimError` if it
        learned from other features, or knows the breed of no picture.
        """
        self.require_same_features(testset.recipe)
        own = {breed_key(breed): label for label, breed in enumerate(self.breeds)}
        of = np.array([*(own.get(breed_key(breed), -1) for breed in testset.breeds), -1])
        truth = of[testset.labels]
        if not (truth >= 0).any():
            raise DogsimError(
                f"Received pictures of {', '.join(testset.breeds[:3])} ... None of these breeds is "
                f"among the classifier's: {', '.join(self.breeds[:3])} ..."
            )
        probabilities = self(testset.features[truth >= 0])
        right = probabilities.argmax(axis=1) == truth[truth >= 0]
        return float(right.mean()), calibration_error(probabilities, truth[truth >= 0])

    def require_same_features(self, recipe: Recipe | None) -> None:
        """Raise `DogsimError` if it learned from features that were made in another way."""
        if recipe and self.made_for not in ("", recipe.fingerprint):
            raise DogsimError(
                "The classifier was trained on features of another network, layer or kind of "
                f"picture than {recipe.backbone}, {recipe.layer}, {recipe.resize}. "
                "Train one on this dataset: dogsim train-classifier."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it to a ``.keras`` file, whole or not at all; `load_classifier` reads it."""
        facts = {"breeds": self.breeds, "made_for": self.made_for}
        save_model(self.model, path, {FACTS: json.dumps(facts)})


def is_classifier(path: Path) -> bool:
    """Tell whether a file is one of `dogsim train-classifier`."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as file:
        return FACTS in file.namelist()


def load_classifier(path: str | os.PathLike[str]) -> Classifier:
    """Load a classifier file; code that a file may carry is not run.

    Raises `DogsimError` if there is no such file or it is none of `dogsim train-classifier`.

    >>> load_classifier("gone.keras")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no classifier file gone.keras. Make one: dogsim \
train-classifier.
    """
    path = Path(path)
    if not path.is_file():
        raise DogsimError(f"There is no classifier file {path}. Make one: dogsim train-classifier.")
    try:
        with zipfile.ZipFile(path) as file:
            facts = json.loads(file.read(FACTS))
        breeds, made_for = tuple(map(str, facts["breeds"])), str(facts["made_for"])
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise DogsimError(
            f"{path} is no classifier. Expected a file of dogsim train-classifier."
        ) from error
    model = load_keras_file(path)
    if model.output_shape != (None, len(breeds)):
        raise DogsimError(
            f"The model in {path} gives {model.output_shape}. Expected (None, {len(breeds)}), a "
            "probability for each of its breeds: make it again, dogsim train-classifier."
        )
    return Classifier(model, breeds, made_for)


def train_classifier(
    dataset: DatasetOrFile,
    dropout: float = 0.5,
    learning_rate: float | None = None,
    max_epochs: int = 100,
    patience: int = 5,
    seed: int = 0,
) -> Classifier:
    """Train a softmax on a dataset's stored features: the last layer that a network would have.

    A tenth of each breed is held out. It says when to stop, and by how much the probabilities are
    softened so that they tell how often they are right: Guo et al. 2017, "On calibration of modern
    neural networks" (arXiv:1706.04599), temperature scaling.

    Parameters
    ----------
    dataset : Dataset or path
        Two breeds or more with at least 4 pictures each; breeds with fewer, and pictures of
        unknown breed, are left out. So are those that the network or the head behind the features
        has learned from: it knows them too well to tell how sure one may be of a new one.
    dropout : float
        Part of the features hidden in each step.
    learning_rate : float, optional
        Of Adam, by default 0.6 / d: a step moves all d weights of a breed at once.
    max_epochs, patience : int
        Stop after so many rounds through the pictures, or when so many brought nothing better.
    seed : int

    Returns
    -------
    Classifier

    Raises
    ------
    DogsimError
        If a number is out of range or the dataset is too small.

    >>> angles = np.linspace(0, 1, 8) + np.repeat([0, 2], 4)
    >>> eight = Dataset(np.c_[np.cos(angles), np.sin(angles)], np.arange(8) // 4, tuple("abcdefgh"),
    ...                 ("pug", "whippet"))
    >>> classifier = train_classifier(eight, dropout=0, max_epochs=20)
    >>> classifier.names(classifier(np.array([[0.9, 0.1], [-0.9, 0.1]], np.float32)))
    ['pug', 'whippet']
    """
    dataset = as_dataset(dataset)
    rate = STEP / dataset.features.shape[1] if learning_rate is None else learning_rate
    check_numbers(learning_rate=rate, max_epochs=max_epochs, patience=patience)
    if not 0 <= dropout < 1:
        raise DogsimError(f"Received dropout={dropout}. Expected 0 or more, less than 1.")
    known = _to_learn_from(dataset)
    labels, names = _numbered(known)
    rest, held = hold_out(replace(known, labels=labels, breeds=names), HELD_OUT, seed, least=1)
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    model = _softmax(rest.features, len(names), dropout)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    done = model.fit(
        rest.features,
        rest.labels,
        batch_size=64,
        epochs=max_epochs,
        validation_data=(held.features, held.labels),
        callbacks=[stop],
        verbose=0,
    )
    _soften(model, held)
    best = 1 + int(np.argmin(done.history["val_loss"]))
    return Classifier(model, names, dataset.recipe.fingerprint if dataset.recipe else "", best)


def _to_learn_from(dataset: Dataset) -> Dataset:
    """Take the pictures of breeds that have enough, which no network or head has learned from."""
    known = learned(dataset)
    if not known.any():
        return trainable(dataset)
    try:
        return trainable(dataset.take(np.flatnonzero(~known)))
    except DogsimError as error:
        raise DogsimError(
            f"The network or the head behind these features has learned from {known.sum()} of the "
            f"{len(dataset)} pictures, and the others are too few to train on. Train on the "
            "dataset before dogsim project, or on pictures that were not learned from."
        ) from error


def _softmax(features: NDArray[np.float32], breeds: int, dropout: float) -> Any:
    keras = import_keras()
    layers = keras.layers
    units = unit_vectors(features)
    mean = units.mean(axis=0)
    variance = np.full_like(mean, ((units - mean) ** 2).mean())  # one scale for all
    return keras.Sequential(
        [
            keras.Input((features.shape[1],)),
            layers.UnitNormalization(),
            layers.Normalization(mean=mean, variance=variance),
            layers.Dropout(dropout),
            layers.Dense(breeds, name="logits"),
            layers.Softmax(),
        ],
        name="classifier",
    )


def _soften(model: Any, held: Dataset) -> None:
    """Divide the logits by the temperature at which held-out pictures are most probable."""
    keras, last = import_keras(), model.get_layer("logits")
    logits = embed(keras.Model(model.inputs[0], last.output), held.features).astype(np.float64)
    own = logits[np.arange(len(held)), held.labels]

    def surprise(temperature: float) -> float:
        return float(np.mean(np.logaddexp.reduce(logits / temperature, axis=1) - own / temperature))

    temperature = min(TEMPERATURES, key=surprise)
    last.set_weights([weights / temperature for weights in last.get_weights()])


def _numbered(dataset: Dataset) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Number the breeds that have pictures, without gaps."""
    found, labels = np.unique(dataset.labels, return_inverse=True)
    return labels.astype(np.int32), tuple(map(dataset.breed_of_label, found))
