"""Training with the ranking loss: who can be learned from, one step, and when to stop."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dogsim.dataset import Dataset
from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError

HELD_OUT = 0.1  # of each breed's pictures, and at least one
LEAST = 4  # pictures of a breed: one to hold out, and more than one positive among the rest
ROUND = 25  # steps between two looks at the held-out pictures
GAIN = 0.001  # of precision that makes a round better: less is chance, and overfits


@dataclass(frozen=True, eq=False)
class Ranking:
    """What training has made.

    Attributes
    ----------
    model : keras.Model
        A head, features (B, D) to unit vectors (B, E), or a network, pixels to features;
        `dogsim.save_model` writes it to a file.
    raw : float
        Precision@k of the held-out pictures, asked of the others, by the features as given.
    history : tuple of float
        The same by what was learned: at the start of training and after each round.
    best : int
        The round that was taken, an index into `history`.
    steps : int
        Of training, up to that round.
    k : int
    losses : tuple of float
        Mean loss of each round, over its batches.
    """

    model: Any
    raw: float
    history: tuple[float, ...]
    best: int
    steps: int
    k: int
    losses: tuple[float, ...] = ()


def check_numbers(**numbers: float) -> None:
    """Raise `DogsimError` unless all numbers are positive."""
    for name, number in numbers.items():
        if not number > 0:
            raise DogsimError(f"Received {name}={number}. Expected more than 0.")


def trainable(dataset: Dataset) -> Dataset:
    """Take the pictures of breeds that have enough of them to learn from and to hold out."""
    counts = np.bincount(dataset.labels + 1, minlength=len(dataset.breeds) + 1)
    counts[0] = 0  # unknown breed
    if (counts >= LEAST).sum() < 2:
        raise DogsimError(
            f"Received a dataset in which {(counts >= LEAST).sum()} breeds have {LEAST} pictures "
            "or more. Expected 2 such breeds or more."
        )
    return dataset.take(np.flatnonzero(counts[dataset.labels + 1] >= LEAST))


def gradient_step(
    model: Any, loss_of: Callable[[Any], Any], learning_rate: Any
) -> Callable[[Any], float]:
    """Make the function by which a model learns from a batch, one step of Adam, and tells the loss.

    `loss_of` maps a batch, a tensor, to the loss of the model, a scalar tensor. `learning_rate` is
    a number, or a schedule of Keras.
    """
    import tensorflow as tf

    optimizer = import_keras().optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)

    @tf.function  # type: ignore[untyped-decorator]
    def step(batch: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(batch)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return loss

    return lambda batch: float(step(tf.constant(batch)))


def train_until_best(
    model: Any, rounds: Iterable[Any], score: Callable[[], float], patience: int
) -> tuple[tuple[float, ...], int]:
    """Train until so many rounds have brought nothing better, and go back to the best.

    Parameters
    ----------
    model : keras.Model
        Ends with the weights of its best round.
    rounds : iterable
        Each item is a round of training, done when it is asked for.
    score : callable
        How good the model is now; by `GAIN` better is better.
    patience : int

    Returns
    -------
    history : tuple of float
        The score before training and after each round.
    best : int
        The round that was gone back to, an index into `history`.
    """
    history, best, kept = [score()], 0, model.get_weights()
    for _ in rounds:
        history.append(score())
        if history[-1] > history[best] + GAIN:
            best, kept = len(history) - 1, model.get_weights()
        elif len(history) - 1 - best >= patience:
            break
    model.set_weights(kept)
    return tuple(history), best
