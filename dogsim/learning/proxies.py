"""Proxies: learned vectors, one or several per breed, which attract the images of their breed.

A normalised softmax: the cosines of unit vectors to all proxies are the logits of a classification
(Zhai and Wu 2019, "Classification is a strong baseline for deep metric learning",
arXiv:1811.12649; proxies after Movshovitz-Attias et al. 2017, arXiv:1703.07464). Every step uses
all breeds, whereas a triplet uses two. A breed of several appearances, such as colours of the coat,
can have several proxies (SoftTriple, Qian et al. 2019, arXiv:1909.05235): the probability of the
breed is the sum of the probabilities of its proxies.

The probabilities of the training breeds rank images of these breeds best. Images of other breeds
are ranked better by the embedding concatenated with the original features, which also represent
differences that no training breed needs. Therefore the head contains both, one after the other,
and `dogsim.project` ends it at the layer that suits the dataset.
"""

import warnings
from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.vq import kmeans2
from scipy.linalg import eigh

from dogsim.engines.tensorflow import import_keras
from dogsim.learning.training import gradient_step, train_in_rounds
from dogsim.networks.trained_models import GENERAL_LAYER
from dogsim.plumbing.arrays import unit_vectors
from dogsim.plumbing.terminal import track

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
    proxies_per_breed: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.intp], list[float]]:
    """Train a head with the normalised softmax; the learning rate decays to 0 along a cosine.

    With logits s (B, P) of P proxies the loss of an image of breed c is logsumexp(s) - logsumexp(s
    of the proxies of c). SoftTriple has the mean of s with weights softmax(s) as second term, which
    is logsumexp(s) without the entropy of these weights. With one proxy per breed both are s.

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
    proxies_per_breed : int
        At most; a breed with fewer images has one for each image.

    Returns
    -------
    proxies : (E, P) float32
        Unit vectors, in ascending order of the label of their breed.
    owners : (P,) int
        Breed of each proxy, 0 to C - 1 in ascending order of the label.
    losses : list of float
        Mean loss of each round of 25 steps.
    """
    keras = import_keras()
    rows = np.unique(labels, return_inverse=True)[1]
    keras.utils.set_random_seed(seed)
    initial, owners = _initial_proxies(
        head(features, training=False).numpy(), rows, proxies_per_breed, seed
    )
    unit = keras.constraints.UnitNorm(axis=0)
    proxies = keras.layers.Dense(len(owners), use_bias=False, kernel_constraint=unit)
    network = keras.Sequential([*head.layers, proxies, keras.layers.Rescaling(COSINE_SCALE)])
    network.build((None, features.shape[1]))
    proxies.set_weights([initial])

    def loss_of(batch: Any) -> Any:
        return proxy_loss(network(batch[:, :-1], training=True), batch[:, -1], owners)

    schedule = keras.optimizers.schedules.CosineDecay(float(learning_rate), max(steps, 1))
    step = gradient_step(network, loss_of, schedule)
    batches = (  # (B, D + 1): the labels are the last column
        np.column_stack([features[i], rows[i]]).astype(np.float32)
        for i in _shuffled_batches(len(rows), seed)
    )
    losses: list[float] = []
    deque(track(train_in_rounds(step, batches, steps, losses), steps, "steps"), maxlen=0)
    return proxies.get_weights()[0], owners, losses


def proxy_loss(logits: Any, rows: Any, owners: NDArray[np.intp]) -> Any:
    """Compute the mean cross-entropy of breeds whose probability is the sum over their proxies.

    Parameters
    ----------
    logits : (B, P) tensor
    rows : (B,) float32 tensor
        Breed of each image, one of `owners`.
    owners : (P,) int
        Breed of each proxy.
    """
    ops = import_keras().ops
    own = ops.equal(rows[:, None], owners.astype(np.float32))  # (B, P)
    own_logits = ops.where(own, logits, -np.inf)
    return ops.mean(ops.logsumexp(logits, axis=1) - ops.logsumexp(own_logits, axis=1))


def _initial_proxies(
    embedded: NDArray[np.float32], rows: NDArray[np.intp], proxies_per_breed: int, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Compute initial proxies (E, P) and their breeds (P,) from embedded images (n, E).

    They are the centres of k-means of a breed's images, half-way to their mean, as unit vectors.
    """
    rng, proxies, owners = np.random.default_rng(seed), list[NDArray[np.float32]](), list[int]()
    for row in range(rows.max() + 1):
        images = embedded[rows == row]
        k = min(proxies_per_breed, len(images))
        with warnings.catch_warnings():  # a cluster that becomes empty keeps its centre
            warnings.simplefilter("ignore", UserWarning)
            centres, _ = kmeans2(images, k, minit="points", seed=rng)  # (k, E)
        proxies.append((centres + images.mean(axis=0)) / 2)
        owners += [row] * k
    return np.asarray(unit_vectors(np.vstack(proxies), np.float32).T), np.array(owners, np.intp)


def _shuffled_batches(n: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield batches of rows (b,) without end; every epoch contains each of n rows once."""
    rng, rows = np.random.default_rng(seed), np.empty(0, np.intp)
    size = min(PROXY_BATCH_SIZE, n)
    while True:
        while len(rows) < size:
            rows = np.concatenate([rows, rng.permutation(n)])
        yield rows[:size]
        rows = rows[size:]


def with_proxies(
    head: Any,
    proxies: NDArray[np.float32],
    owners: NDArray[np.intp],
    features: NDArray[np.float32],
) -> Any:
    """Build a head that ends in breed probabilities and contains the general embedding.

    Parameters
    ----------
    head : keras.Sequential
        Trained by `train_proxies`.
    proxies : (E, P) float32
    owners : (P,) int
        Breed of each proxy, 0 to C - 1.
    features : (n, D) float32
        Of the training images.

    Returns
    -------
    keras.Sequential
        Maps features (B, D) to breed probabilities, scaled to unit length, (B, C). Up to its layer
        `GENERAL_LAYER` it is a linear map between unit vectors.
    """
    keras, (embedding,) = import_keras(), head.get_layer("embedding").get_weights()
    before = keras.Sequential(head.layers[: head.layers.index(head.get_layer("embedding"))])
    kernel, bias = _general_weights(before, embedding, features)
    breeds = _dense("breeds", np.eye(owners.max() + 1)[owners])  # (P, C)
    breeds.trainable = False
    normalization = keras.layers.UnitNormalization
    return keras.Sequential(
        [
            keras.Input((len(kernel),)),
            *before.layers,
            _dense("embedding", kernel, bias),
            normalization(name=GENERAL_LAYER),
            _dense("learned", np.eye(len(bias), embedding.shape[1])),  # its learned directions
            normalization(),
            _dense("proxies", COSINE_SCALE * proxies),
            keras.layers.Softmax(),
            breeds,  # sums the probabilities of the proxies of each breed
            normalization(),
        ],
        name=head.name,
    )


def _dense(
    name: str, kernel: NDArray[np.floating], bias: NDArray[np.floating] | None = None
) -> Any:
    """Build a dense layer with these weights, (D, E) and (E,)."""
    weights = [kernel] if bias is None else [kernel, bias]
    layer = import_keras().layers.Dense(kernel.shape[1], use_bias=bias is not None, name=name)
    layer.build((None, len(kernel)))
    layer.set_weights(weights)
    return layer


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
