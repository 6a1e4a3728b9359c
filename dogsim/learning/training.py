"""Training: selection and split of the images, optimiser steps and early stopping."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError, as_integer, as_number, counted

HELD_OUT_FRACTION = 0.1  # of the images of each breed, and at least one
MIN_IMAGES_PER_BREED = 4  # one to hold out, and two or more positives among the rest
STEPS_PER_ROUND = 25  # between two evaluations of the held-out images
MAX_LEARNING_RATE = 1e3
MAX_COUNT, MAX_SEED = 2**31 - 1, 2**32 - 1
MIN_GAIN = 0.001  # in precision: a smaller gain is noise, and selecting by noise overfits


@dataclass(frozen=True, eq=False)
class Ranking:
    """A trained model and the history of its training.

    Attributes
    ----------
    model : keras.Model
        A head, which maps features (B, D) to unit vectors (B, E), or a network, which maps pixels
        to features. `dogsim.save_model` writes it to a file.
    raw : float
        Precision@k of the held-out images with the original features.
    history : tuple of float
        Precision@k of the held-out images at the start of training and after each round.
    best : int
        Index into `history` of the round that was selected.
    steps : int
        Number of training steps up to that round.
    k : int
        Number of neighbours behind the precisions.
    losses : tuple of float
        Mean loss of the batches of each round.
    """

    model: Any
    raw: float
    history: tuple[float, ...]
    best: int
    steps: int
    k: int
    losses: tuple[float, ...] = ()


def check_positive(**numbers: float) -> None:
    """Raise `DogsimError` unless all numbers are positive."""
    for name, number in numbers.items():
        if not as_number(name, number) > 0:
            raise DogsimError(f"Received {name}={number}. Expected more than 0.")


def check_learning_rate(learning_rate: float) -> None:
    """Raise `DogsimError` unless a learning rate is positive and at most `MAX_LEARNING_RATE`."""
    check_positive(learning_rate=learning_rate)
    if learning_rate > MAX_LEARNING_RATE:  # the step would overflow
        raise DogsimError(
            f"Received learning_rate={learning_rate}. Expected at most {MAX_LEARNING_RATE:g}."
        )


def as_counts(**numbers: int) -> list[int]:
    """Return numbers as `int`; raise `DogsimError` unless all are whole and 1 or more."""
    return [as_integer(name, number, 1, MAX_COUNT) for name, number in numbers.items()]


def check_seed(seed: int) -> int:
    """Return a seed as an `int`; raise `DogsimError` unless it is one of Keras."""
    return as_integer("seed", seed, 0, MAX_SEED)


def check_dropout(dropout: float) -> None:
    """Raise `DogsimError` unless the dropout rate is at least 0 and less than 1."""
    if not 0 <= as_number("dropout", dropout) < 1:
        raise DogsimError(f"Received dropout={dropout}. Expected 0 or more, less than 1.")


def trainable(dataset: Dataset) -> Dataset:
    """Return the images of all breeds that have `MIN_IMAGES_PER_BREED` images or more."""
    counts = np.bincount(dataset.labels + 1, minlength=len(dataset.breeds) + 1)
    counts[0] = 0  # unknown breed
    large = counts >= MIN_IMAGES_PER_BREED
    if large.sum() < 2:
        raise DogsimError(
            f"Received a dataset with {counted(large.sum(), 'breed')} of {MIN_IMAGES_PER_BREED} "
            "images or more. Expected 2 such breeds or more."
        )
    return dataset.take(np.flatnonzero(large[dataset.labels + 1]))


def hold_out(
    dataset: DatasetOrFile, part: float, seed: int = 0, least: int = 0
) -> tuple[Dataset, Dataset]:
    """Draw a fraction of the images of each breed; images of unknown breed stay in the rest.

    If the dataset has scenes, whole scenes are drawn, so that no scene is in both parts. Then the
    fraction is approximate, and a breed whose images show one scene stays in the rest.

    Parameters
    ----------
    dataset : Dataset or path
    part : float
        Fraction to hold out, more than 0 and less than 1; rounded down for each breed.
    seed : int
    least : int
        Minimum number of images to hold out of each breed.

    Returns
    -------
    rest, held : Dataset

    Raises
    ------
    DogsimError
        If `part` is out of range.

    >>> eight = Dataset(np.eye(8), np.arange(8) // 4, tuple("abcdefgh"), ("pug", "whippet"))
    >>> rest, held = hold_out(eight, 0.25)
    >>> len(rest), held.labels
    (6, array([0, 1]))
    """
    dataset = as_dataset(dataset)
    expected = "more than 0 and less than 1"
    if not 0 < as_number("part", part, expected) < 1:
        raise DogsimError(f"Received part={part}. Expected {expected}.")
    seed, least = as_integer("seed", seed, 0), as_integer("least", least, 0)
    rng = np.random.default_rng(seed)
    held = np.zeros(len(dataset), bool)
    for label in np.unique(dataset.labels[dataset.labels >= 0]):
        rows = np.flatnonzero(dataset.labels == label)
        number = min(len(rows), max(least, int(part * len(rows))))
        if dataset.scenes is None:
            held[rng.choice(rows, number, replace=False)] = True
        else:
            held |= np.isin(dataset.scenes, _drawn_scenes(dataset.scenes[rows], number, rng))
    return dataset.take(np.flatnonzero(~held)), dataset.take(np.flatnonzero(held))


def _drawn_scenes(
    scenes: NDArray[np.int32], number: int, rng: np.random.Generator
) -> NDArray[np.int32]:
    """Draw scenes that have about `number` of the images (n,), but not all scenes."""
    order = rng.permutation(np.unique(scenes))[:-1]  # (s - 1,)
    counts = np.cumsum([(scenes == scene).sum() for scene in order])
    n_drawn = int(np.searchsorted(counts, number, "right"))  # scenes with `number` images or less
    return np.asarray(order[: max(n_drawn, min(number, 1))])


def gradient_step(
    model: Any, loss_of: Callable[..., Any], learning_rate: Any
) -> Callable[[Any], float]:
    """Return a function that trains a model on one batch by one step of Adam and returns the loss.

    `loss_of` maps a batch (a tensor, or the tensors of a tuple) to the loss of the model (a scalar
    tensor). `learning_rate` is a number or a Keras schedule.
    """
    import tensorflow as tf

    rate = float(learning_rate) if isinstance(learning_rate, Real) else learning_rate
    optimizer = import_keras().optimizers.Adam(rate)
    optimizer.build(model.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]
    def step(*batch: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(*batch)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    def train(batch: Any) -> float:
        parts = batch if isinstance(batch, tuple) else (batch,)
        return float(step(*map(tf.constant, parts)))

    return train


def train_in_rounds(
    step: Callable[[Any], float], batches: Iterator[Any], steps: int, losses: list[float]
) -> Iterator[range]:
    """Train for a number of steps and yield the steps of each round after it.

    The mean loss of each round is appended to `losses`.
    """
    for start in range(0, steps, STEPS_PER_ROUND):
        in_round = range(min(STEPS_PER_ROUND, steps - start))
        losses.append(float(np.mean([step(next(batches)) for _ in in_round])))
        if not isfinite(losses[-1]):
            raise DogsimError("The training diverged. Expected a smaller learning rate.")
        yield in_round


def train_until_best(
    model: Any, rounds: Iterable[Any], score: Callable[[], float], patience: int
) -> tuple[tuple[float, ...], int]:
    """Train until the score stops improving, then restore the weights of the best round.

    Parameters
    ----------
    model : keras.Model
        Has the weights of its best round afterwards.
    rounds : iterable
        Runs one round of training before each item.
    score : callable
        Returns the current quality of the model; a better one is larger by `MIN_GAIN` or more.
    patience : int
        Number of rounds without improvement after which training stops.

    Returns
    -------
    history : tuple of float
        Score before training and after each round.
    best : int
        Index into `history` of the round whose weights were restored.
    """
    history, best, best_weights = [score()], 0, model.get_weights()
    for _ in rounds:
        history.append(score())
        if history[-1] > history[best] + MIN_GAIN:
            best, best_weights = len(history) - 1, model.get_weights()
        elif len(history) - 1 - best >= patience:
            break
    model.set_weights(best_weights)
    return tuple(history), best
