"""Proxies: a stand-in for each breed, to which its pictures are drawn and others are not.

A normalised softmax: of unit vectors, the cosines to all proxies are made a choice of one (Zhai and
Wu 2019, "Classification is a strong baseline for deep metric learning", arXiv:1811.12649; proxies
are those of Movshovitz-Attias et al. 2017, arXiv:1703.07464). Every step sees all breeds, where a
triplet sees two.

What is learned serves in two ways. Pictures of the breeds that were learned are best ranked by the
probabilities of these breeds. Those of other breeds are not: they are ranked by the embedding, with
the features themselves beside it, for what no breed of the training has taught. So the head holds
both, one after the other, and `dogsim.project` ends it where a dataset needs it.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from dogsim.engines._keras import import_keras
from dogsim.learning.training import ROUND, gradient_step
from dogsim.networks.heads import GENERAL
from dogsim.plumbing.terminal import track

SCALE = 16.0  # of cosines: how sharp the choice of a breed is
BATCH = 512
BESIDE = 256  # directions of the features beside the learned ones, at most
WEIGHT = 1.25  # of these, for 1 of the learned ones


def draw_to_proxies(
    head: Any,
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    learning_rate: float,
    steps: int,
    seed: int,
) -> tuple[NDArray[np.float32], list[float]]:
    """Train a head by the normalised softmax, with a rate that falls to 0 along a cosine.

    Parameters
    ----------
    head : keras.Sequential
        Maps features (B, D) to unit vectors (B, E); learns.
    features : (n, D) float32
    labels : (n,) int
        Each picture's breed, C different ones.
    learning_rate : float
        Of Adam, at first.
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
    network = keras.Sequential([*head.layers, proxies, keras.layers.Rescaling(SCALE)])
    network.build((None, features.shape[1]))
    embedded = head(features, training=False).numpy()
    means = np.stack([embedded[rows == row].mean(axis=0) for row in range(len(breeds))])
    lengths = np.linalg.norm(means, axis=1)
    proxies.set_weights([means.T / np.where(lengths > 0, lengths, 1)])
    choose = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def loss_of(batch: Any) -> Any:
        return choose(batch[:, -1], network(batch[:, :-1], training=True))

    rate = keras.optimizers.schedules.CosineDecay(learning_rate, max(steps, 1))
    step, batches = gradient_step(network, loss_of, rate), _shuffled(len(rows), seed)
    losses: list[float] = []

    def rounds() -> Iterator[range]:
        for start in range(0, steps, ROUND):
            taken = range(min(ROUND, steps - start))
            some = (next(batches) for _ in taken)
            found = [step(np.column_stack([features[i], rows[i]]).astype("f4")) for i in some]
            losses.append(float(np.mean(found)))
            yield taken

    deque(track(rounds(), steps, "steps"), maxlen=0)
    return proxies.get_weights()[0], losses


def _shuffled(n: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield rows for ever, `BATCH` at a time, each of n once before any comes again."""
    rng, rows = np.random.default_rng(seed), np.empty(0, np.intp)
    size = min(BATCH, n)
    while True:
        while len(rows) < size:
            rows = np.concatenate([rows, rng.permutation(n)])
        yield rows[:size]
        rows = rows[size:]


def with_breeds(head: Any, proxies: NDArray[np.float32], features: NDArray[np.float32]) -> Any:
    """Put what was learned together: the general embedding first, then the breeds.

    Parameters
    ----------
    head : keras.Sequential
        As `draw_to_proxies` leaves it.
    proxies : (E, C) float32
    features : (n, D) float32
        Of the pictures that were learned from.

    Returns
    -------
    keras.Sequential
        Maps features (B, D) to probabilities of breeds, brought to length 1, (B, C). Up to its
        layer `GENERAL` it is a linear map between unit vectors.
    """
    keras, (embedding,) = import_keras(), head.get_layer("embedding").get_weights()
    layers = keras.layers
    before = keras.Sequential(head.layers[: head.layers.index(head.get_layer("embedding"))])
    x, width = before(features, training=False).numpy(), embedding.shape[1]
    axes = _main_axes(x)
    learned_long, long = (np.linalg.norm(each, axis=1).mean() for each in (x @ embedding, x))
    beside = WEIGHT / long * axes
    kernel = np.hstack([embedding / learned_long, beside])
    # The features less their mean are what learns; beside it they stand whole.
    mean = -before(np.zeros((1, x.shape[1]), np.float32), training=False).numpy()[0]
    bias = np.concatenate([np.zeros(width), mean @ beside])
    general = layers.Dense(kernel.shape[1], name="embedding")
    learned = layers.Dense(width, use_bias=False, name="learned")  # takes the first of them
    choice = layers.Dense(proxies.shape[1], use_bias=False, name="proxies")
    made = keras.Sequential(
        [
            import_keras().Input((x.shape[1],)),
            *before.layers,
            general,
            layers.UnitNormalization(name=GENERAL),
            learned,
            layers.UnitNormalization(),
            choice,
            layers.Softmax(),
            layers.UnitNormalization(),
        ],
        name=head.name,
    )
    general.set_weights([kernel, bias])
    learned.set_weights([np.eye(kernel.shape[1], width)])
    choice.set_weights([SCALE * proxies])
    return made


def _main_axes(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find the directions in which x (n, D) lies most, (D, min(D, `BESIDE`))."""
    d = x.shape[1]
    _, axes = eigh(x.T @ x, subset_by_index=(max(0, d - BESIDE), d - 1))
    return np.asarray(axes, np.float32)
