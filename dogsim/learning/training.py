"""The steps of deep ranking: a head at its start, batches of pictures, gradients."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.learning.discriminant import discriminant
from dogsim.learning.triplets import near_loss, ranking_loss, sample_triplets
from dogsim.networks._keras import import_keras
from dogsim.networks.heads import head_name

NEGATIVES = ("near", "drawn")
BREEDS, PICTURES = 128, 8  # of a batch, at most: 8 pictures of each of 128 breeds
TRIPLETS = 1024  # of a batch, where they are drawn beforehand
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
    history : tuple of float
        Precision@k of the held-out pictures, asked of the others, before training and after each
        round.
    best : int
        The round that was taken, an index into `history`.
    steps : int
        Of training, up to that round.
    k : int
    """

    model: Any
    history: tuple[float, ...]
    best: int
    steps: int
    k: int


@dataclass(frozen=True)
class Plan:
    """How to train; the fields are parameters of `dogsim.train_ranking`."""

    negatives: str
    gap: float
    width: int | None
    dropout: float
    learning_rate: float
    seed: int


def start(dataset: Dataset, plan: Plan) -> Any:
    """Build the head, with the directions of linear discriminant analysis for its weights."""
    layers = import_keras().layers
    lengths = np.linalg.norm(dataset.features, axis=1, keepdims=True)
    units = dataset.features / np.maximum(lengths, 1e-12)
    mean, directions = discriminant(units, dataset.labels, plan.width)
    spread = float(((units - mean) ** 2).sum(axis=1).mean())
    head = import_keras().Sequential(
        [
            import_keras().Input((units.shape[1],)),
            layers.UnitNormalization(),
            layers.Normalization(mean=mean, variance=np.full_like(mean, spread)),
            layers.Dropout(plan.dropout, seed=plan.seed),
            layers.Dense(directions.shape[1], use_bias=False, name="embedding"),
            layers.UnitNormalization(),
        ],
        name=head_name(dataset.recipe),
    )
    length = np.linalg.norm((units - mean) @ directions, axis=1).mean() / np.sqrt(spread)
    head.get_layer("embedding").set_weights([directions / length])
    return head


def training(head: Any, dataset: Dataset, plan: Plan, rounds: int) -> Iterator[range]:
    """Train a head, and yield after each round."""
    import tensorflow as tf

    optimizer = import_keras().optimizers.Adam(plan.learning_rate)
    optimizer.build(head.trainable_variables)
    if plan.negatives == "near":
        pictures = _pictures_of_a_batch(dataset.labels)
        batches = _balanced(dataset.labels, pictures, plan.seed)

        def loss_of(embeddings: Any) -> Any:
            return near_loss(embeddings, pictures, plan.gap)
    else:
        batches = _drawn(dataset.labels, rounds * ROUND, plan.seed)

        def loss_of(embeddings: Any) -> Any:
            query, positive, negative = tf.split(embeddings, 3)
            return tf.reduce_mean(ranking_loss(query, positive, negative, plan.gap))

    @tf.function  # type: ignore[untyped-decorator]
    def step(features: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(head(features, training=True))
        gradients = tape.gradient(loss, head.trainable_variables)
        optimizer.apply_gradients(zip(gradients, head.trainable_variables, strict=True))

    for _ in range(rounds):
        for _ in range(ROUND):
            step(tf.constant(dataset.features[next(batches)]))
        yield range(ROUND)


def _pictures_of_a_batch(labels: NDArray[np.int32]) -> int:
    counts = np.unique(labels, return_counts=True)[1]
    return int(min(PICTURES, counts.min()))


def _balanced(labels: NDArray[np.int32], pictures: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield rows for ever: of many breeds, and as many pictures of each, breed after breed."""
    rng = np.random.default_rng(seed)
    rows_of = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    while True:
        breeds = rng.choice(len(rows_of), min(BREEDS, len(rows_of)), replace=False)
        yield np.concatenate([rng.choice(rows_of[b], pictures, replace=False) for b in breeds])


def _drawn(labels: NDArray[np.int32], steps: int, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield rows: the queries of a batch of triplets, then the positives, then the negatives."""
    triplets = sample_triplets(labels, steps * TRIPLETS, seed)
    for batch in np.split(triplets, steps):
        yield batch.T.ravel()
