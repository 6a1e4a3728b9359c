"""A classification layer: a softmax trained on the stored features of a dataset."""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError, as_path, counted, not_found
from dogsim.image_files.labels import breed_key
from dogsim.learning.training import (
    HELD_OUT_FRACTION,
    as_counts,
    check_dropout,
    check_learning_rate,
    check_seed,
    hold_out,
    trainable,
)
from dogsim.networks.trained_models import checked_embed, embed, read_entry, save_model
from dogsim.networks.weights import load_keras_file
from dogsim.plumbing.arrays import as_numbers, unit_vectors
from dogsim.recipe import Recipe
from dogsim.retrieval.identity import learned
from dogsim.retrieval.scores import calibration_error

METADATA_ENTRY = "dogsim.json"  # in the file, a zip archive, beside the entries of Keras
TEMPERATURE_GRID = np.geomspace(0.1, 10, 200)
LEARNING_RATE_PER_FEATURE = 0.6  # divided by the number of features
MIN_PROBABILITY_SHOWN = 0.001
CLASSIFIER_BATCH_SIZE = 64
FIXED_EPOCHS = 20  # of the softmax before fine-tuning


@dataclass(frozen=True, eq=False)
class Classifier:
    """A trained classification layer: ``classifier(features)`` returns breed probabilities.

    Attributes
    ----------
    model : keras.Model
        Maps features (B, D) to probabilities (B, C).
    breeds : tuple of C str
    recipe_fingerprint : str
        Fingerprint of the recipe of the training features, empty if they had none.
    epochs : int
        Number of training epochs; 0 if the classifier was loaded from a file.
    """

    model: Any
    breeds: tuple[str, ...]
    recipe_fingerprint: str = ""
    epochs: int = 0

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute breed probabilities (N, C), with row sums of 1, from features (N, D).

        Raises `DogsimError` if the classifier was trained on features of another length.
        """
        remedy = "train one on this dataset, dogsim train-classifier"
        return checked_embed(self.model, features, "classifier", remedy)

    def names(self, probabilities: NDArray[np.float32]) -> list[str]:
        """Return the most probable breed of each image from probabilities (N, C)."""
        table = as_numbers("probabilities", probabilities, ndim=2)
        if table.shape[1] != len(self.breeds):
            raise DogsimError(f"Received {table.shape}. Expected (N, {len(self.breeds)}).")
        return [self.breeds[label] for label in table.argmax(axis=1)]

    def as_json(self, features: NDArray[np.float32]) -> dict[str, Any]:
        """Return the prediction for the features (D,) of one image as a JSON object.

        Contains the breed, its probability, and all breeds with a probability of
        `MIN_PROBABILITY_SHOWN` or more, most probable first.
        """
        row = self(as_numbers("features", features, ndim=1)[None])[0]  # (C,)
        order = [int(i) for i in np.argsort(-row, kind="stable") if row[i] >= MIN_PROBABILITY_SHOWN]
        probabilities = {self.breeds[i]: round(float(row[i]), 4) for i in order}
        breed = self.breeds[order[0]]
        return {"breed": breed, "probability": probabilities[breed], "probabilities": probabilities}

    def evaluate(self, testset: Dataset) -> tuple[float, float]:
        """Compute the accuracy and the expected calibration error on labelled images.

        Both are 0 to 1; images of breeds that the classifier does not know are left out. Raises
        `DogsimError` if it was trained on other features, or knows no breed of the images.
        """
        testset = as_dataset(testset)
        self.require_same_features(testset.recipe)
        label_of = {breed_key(breed): label for label, breed in enumerate(self.breeds)}
        label_of_breed = [label_of.get(breed_key(breed), -1) for breed in testset.breeds]
        labels = np.array([*label_of_breed, -1])[testset.labels]  # -1, unknown, is the last
        known = labels >= 0
        if not known.any():
            raise DogsimError(
                f"Received images of {', '.join(testset.breeds[:3])} ... None of these breeds is "
                f"among the classifier's: {', '.join(self.breeds[:3])} ..."
            )
        probabilities = self(testset.features[known])
        correct = probabilities.argmax(axis=1) == labels[known]
        return float(correct.mean()), calibration_error(probabilities, labels[known])

    def require_same_features(self, recipe: Recipe | None) -> None:
        """Raise `DogsimError` if it was trained on features with another recipe."""
        if recipe and self.recipe_fingerprint not in ("", recipe.fingerprint):
            raise DogsimError(
                "The classifier was trained on features of another network, layer or resize mode "
                f"than {recipe.backbone}, {recipe.layer}, {recipe.resize}. "
                "Train one on this dataset: dogsim train-classifier."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier to a ``.keras`` file atomically; `load_classifier` reads it."""
        metadata = {"breeds": self.breeds, "made_for": self.recipe_fingerprint}
        save_model(self.model, path, {METADATA_ENTRY: json.dumps(metadata)})


def is_classifier(path: Path) -> bool:
    """Return whether a file was written by `dogsim train-classifier`."""
    return read_entry(path, METADATA_ENTRY) is not None


def load_classifier(path: str | os.PathLike[str]) -> Classifier:
    """Load a classifier file without running any code that it may contain.

    Raises `DogsimError` if there is no such file or `dogsim train-classifier` did not write it.

    >>> load_classifier("gone.keras")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: There is no classifier file gone.keras. Make one: dogsim \
train-classifier.
    """
    path = as_path("the classifier", path)
    if not path.is_file():
        message = f"There is no classifier file {path}. Make one: dogsim train-classifier."
        raise not_found(path, message)
    try:
        metadata = json.loads(read_entry(path, METADATA_ENTRY) or b"")
        breeds, fingerprint = tuple(map(str, metadata["breeds"])), str(metadata["made_for"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DogsimError(
            f"{path} is not a classifier. Expected a file of dogsim train-classifier."
        ) from error
    model = load_keras_file(path)
    if model.output_shape != (None, len(breeds)):
        raise DogsimError(
            f"The model in {path} has output {model.output_shape}. Expected (None, {len(breeds)}), "
            "a probability for each of its breeds: train it again, dogsim train-classifier."
        )
    return Classifier(model, breeds, fingerprint)


def train_classifier(
    dataset: DatasetOrFile,
    dropout: float = 0.5,
    learning_rate: float | None = None,
    max_epochs: int = 100,
    patience: int = 5,
    seed: int = 0,
) -> Classifier:
    """Train a softmax on the stored features of a dataset, like the last layer of a network.

    A tenth of each breed is held out for early stopping and for the calibration of the
    probabilities by temperature scaling: Guo et al. 2017, "On calibration of modern neural
    networks" (arXiv:1706.04599).

    Parameters
    ----------
    dataset : Dataset or path
        At least two breeds with 4 images or more. Breeds with fewer images, and images of unknown
        breed, are left out, and so are images that the network or head of the features was trained
        on: probabilities calibrated on them would be too high for new images.
    dropout : float
        Fraction of the features that each step drops.
    learning_rate : float, optional
        Of Adam, by default 0.6 / d, since a step changes all d weights of a breed at once.
    max_epochs, patience : int
        Stop after `max_epochs` epochs, or after `patience` epochs without improvement.
    seed : int

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
    check_learning_rate(1 if learning_rate is None else learning_rate)
    rate = float(learning_rate or LEARNING_RATE_PER_FEATURE / max(dataset.features.shape[1], 1))
    max_epochs, patience = as_counts(max_epochs=max_epochs, patience=patience)
    seed = check_seed(seed)
    check_dropout(dropout)
    rest, held = hold_out(_training_images(dataset), HELD_OUT_FRACTION, seed, least=1)
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    model = _softmax(rest.features, len(rest.breeds), dropout)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    stop = keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
    done = model.fit(
        rest.features,
        rest.labels,
        batch_size=CLASSIFIER_BATCH_SIZE,
        epochs=max_epochs,
        validation_data=(held.features, held.labels),
        callbacks=[stop],
        verbose=0,
    )
    _scale_temperature(model, held)
    fingerprint = dataset.recipe.fingerprint if dataset.recipe else ""
    best = 1 + int(np.argmin(done.history["val_loss"]))
    return Classifier(model, rest.breeds, fingerprint, best)


def _training_images(dataset: Dataset) -> Dataset:
    """Return the images of large enough breeds that no network or head was trained on.

    Their labels are 0, 1, ... for the breeds that remain.
    """
    known = learned(dataset)
    try:
        images = trainable(dataset.take(np.flatnonzero(~known)) if known.any() else dataset)
    except DogsimError as error:
        if not known.any():
            raise
        raise DogsimError(
            f"The network or head of these features was trained on {known.sum()} of "
            f"{counted(len(dataset), 'image')}, and the others are too few to train on. Train on "
            "the dataset before dogsim project, or on images that it was not trained on."
        ) from error
    found, labels = np.unique(images.labels, return_inverse=True)
    breeds = tuple(map(images.breed_of_label, found))
    return replace(images, labels=labels.astype(np.int32), breeds=breeds)


def softmax_on_features(dataset: Dataset, seed: int) -> Any:
    """Train a softmax on stored features for a fixed number of epochs, to fine-tune it.

    Returns a model from features (B, D) to the probabilities of the labels that occur, in ascending
    order, (B, C).
    """
    keras, (breeds, labels) = import_keras(), np.unique(dataset.labels, return_inverse=True)
    keras.utils.set_random_seed(seed)
    model = _softmax(dataset.features, len(breeds), 0.5)
    rate = LEARNING_RATE_PER_FEATURE / dataset.features.shape[1]
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy")
    model.fit(dataset.features, labels, CLASSIFIER_BATCH_SIZE, epochs=FIXED_EPOCHS, verbose=0)
    return model


def _softmax(features: NDArray[np.float32], breeds: int, dropout: float) -> Any:
    keras = import_keras()
    layers = keras.layers
    units = unit_vectors(features)
    mean = units.mean(axis=0)
    variance = np.full_like(mean, ((units - mean) ** 2).mean())  # the same for all features
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


def _scale_temperature(model: Any, held: Dataset) -> None:
    """Divide the logits by the temperature that maximises the likelihood of held-out images."""
    keras, last = import_keras(), model.get_layer("logits")
    logits = embed(keras.Model(model.inputs[0], last.output), held.features).astype(np.float64)
    if not np.isfinite(logits).all():
        raise DogsimError("The training diverged. Expected a smaller learning rate.")
    own = logits[np.arange(len(held)), held.labels]

    def loss(temperature: float) -> float:
        return float(np.mean(np.logaddexp.reduce(logits / temperature, axis=1) - own / temperature))

    temperature = min(TEMPERATURE_GRID, key=loss)
    last.set_weights([weights / temperature for weights in last.get_weights()])
