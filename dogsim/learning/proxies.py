"""Proxies: one learned vector per breed, which attracts the images of that breed.

A normalised softmax: the cosines of unit vectors to all proxies are the logits of a classification
(Zhai and Wu 2019, "Classification is a strong baseline for deep metric learning",
arXiv:1811.12649; proxies after Movshovitz-Attias et al. 2017, arXiv:1703.07464). Every step uses
all breeds, whereas a triplet uses two.

The probabilities of the training breeds rank images of these breeds best. Images of other breeds
are ranked better by the embedding concatenated with the original features, which also represent
differences that no training breed needs. Therefore the head contains both, one after the other,
and `dogsim.project` ends it at the layer that suits the dataset.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from dogsim.engines._keras import import_keras
from dogsim.learning.training import gradient_step, train_in_rounds
from dogsim.networks.heads import GENERAL_LAYER
from dogsim.plumbing.terminal import track
from dogsim.plumbing.vectors import unit_vectors

COSINE_SCALE = 16.0  # inverse temperature of the softmax over cosines
PROXY_BATCH_SIZE = 512
MAX_FEATURE_DIRECTIONS = 256  # principal directions of the features beside the embedding
FEATURES_WEIGHT = 1.25  # of these directions, relative to the embedding


def train_proxies(
    head: Any,
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    learning_rate: float,
    steps: int,
    seed: int,
) -> tuple[NDArray[np.float32], list[float]]:
    """Train a head with the normalised softmax; the learning rate decays to 0 along a cosine.

    Parameters
    ----------
    head : keras.Sequential
        Maps features (B, D) to unit vectors (B, E); is trained in place.
    features : (n, D) float32
    labels : (n,) int
        Breed of each image, C different ones.
    learning_rate : float
        Initial learning rate of Adam.
    steps : int
    seed : int

    Returns
    -------
    proxies : (E, C) float32
        Unit vectors, one for each breed in ascending order of its label.
    losses : list of float
        Mean loss of each round of 25 steps.
    """
    keras = import_keras()
    breeds, rows = np.unique(labels, return_inverse=True)
    keras.utils.set_random_seed(seed)
    unit = keras.constraints.UnitNorm(axis=0)
    proxies = keras.layers.Dense(len(breeds), use_bias=False, kernel_constraint=unit)
    network = keras.Sequential([*head.layers, proxies, keras.layers.Rescaling(COSINE_SCALE)])
    network.build((None, features.shape[1]))
    proxies.set_weights([_mean_directions(head(features, training=False).numpy(), rows)])
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss_of(batch: Any) -> Any:
        return cross_entropy(batch[:, -1], network(batch[:, :-1], training=True))

    schedule = keras.optimizers.schedules.CosineDecay(float(learning_rate), max(steps, 1))
    step = gradient_step(network, loss_of, schedule)
    batches = (  # (B, D + 1): the labels are the last column
        np.column_stack([features[i], rows[i]]).astype(np.float32)
        for i in _shuffled_batches(len(rows), seed)
    )
    losses: list[float] = []
    deque(track(train_in_rounds(step, batches, steps, losses), steps, "steps"), maxlen=0)
    return proxies.get_weights()[0], losses


def _mean_directions(embedded: NDArray[np.float32], rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return the mean of each breed, scaled to unit length, as columns (E, C)."""
    means = np.stack([embedded[rows == row].mean(axis=0) for row in range(rows.max() + 1)])
    return np.asarray(unit_vectors(means, np.float32).T)


def _shuffled_batches(n: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield batches of rows (b,) without end; every epoch contains each of n rows once."""
    rng, rows = np.random.default_rng(seed), np.empty(0, np.intp)
    size = min(PROXY_BATCH_SIZE, n)
    while True:
        while len(rows) < size:
            rows = np.concatenate([rows, rng.permutation(n)])
        yield rows[:size]
        rows = rows[size:]


def with_proxies(head: Any, proxies: NDArray[np.float32], features: NDArray[np.float32]) -> Any:
    """Build a head that ends in breed probabilities and contains the general embedding.

    Parameters
    ----------
    head : keras.Sequential
        Trained by `train_proxies`.
    proxies : (E, C) float32
    features : (n, D) float32
        Of the training images.

    Returns
    -------
    keras.Sequential
        Maps features (B, D) to breed probabilities, scaled to unit length, (B, C). Up to its layer
        `GENERAL_LAYER` it is a linear map between unit vectors.
    """
    keras, (embedding,) = import_keras(), head.get_layer("embedding").get_weights()
    layers, width = keras.layers, embedding.shape[1]
    before = keras.Sequential(head.layers[: head.layers.index(head.get_layer("embedding"))])
    kernel, bias = _general_weights(before, embedding, features)
    general = layers.Dense(len(bias), name="embedding")
    learned = layers.Dense(width, use_bias=False, name="learned")  # selects the learned directions
    logits = layers.Dense(proxies.shape[1], use_bias=False, name="proxies")
    made = keras.Sequential(
        [
            keras.Input((len(kernel),)),
            *before.layers,
            general,
            layers.UnitNormalization(name=GENERAL_LAYER),
            learned,
            layers.UnitNormalization(),
            logits,
            layers.Softmax(),
            layers.UnitNormalization(),
        ],
        name=head.name,
    )
    general.set_weights([kernel, bias])
    learned.set_weights([np.eye(len(bias), width)])
    logits.set_weights([COSINE_SCALE * proxies])
    return made


def _general_weights(
    before: Any, embedding: NDArray[np.float32], features: NDArray[np.float32]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """Compute the kernel (D, E + d) and bias of the embedding with d feature directions beside it.

    Both parts are scaled by the mean length of their outputs, so that the weight is relative.
    """
    x, width = before(features, training=False).numpy(), embedding.shape[1]
    selected = max(0, x.shape[1] - MAX_FEATURE_DIRECTIONS), x.shape[1] - 1
    _, axes = eigh(x.T @ x, subset_by_index=selected)  # (D, d), with the largest second moments
    learned_length, length = (np.linalg.norm(y, axis=1).mean() for y in (x @ embedding, x))
    directions = FEATURES_WEIGHT / length * axes.astype(np.float32)
    kernel = np.hstack([embedding / learned_length, directions])
    # The embedding uses centred features; the feature directions use the original ones.
    mean = -before(np.zeros((1, x.shape[1]), np.float32), training=False).numpy()[0]
    return kernel, np.concatenate([np.zeros(width), mean @ directions])
