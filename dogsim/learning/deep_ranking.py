"""Deep ranking: learn which features to weigh, so that a breed's pictures come first.

After Wang et al. 2014, "Learning fine-grained image similarity with deep ranking"
(arXiv:1404.4661), with out-of-class negatives: for a query, a positive of its breed and a negative
of another, the positive shall be nearer by a gap. The three networks of the paper share their
weights, so here one network embeds all pictures of a batch, and each of them is query, positive
and negative in turn.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import unit_vectors
from dogsim.errors import DogsimError, unknown
from dogsim.learning.discriminant import discriminant
from dogsim.learning.hold_out import hold_out
from dogsim.learning.training import (
    HELD_OUT,
    ROUND,
    Ranking,
    check_numbers,
    gradient_step,
    train_until_best,
    trainable,
)
from dogsim.learning.triplets import near_loss, ranking_loss, sample_triplets
from dogsim.networks._keras import import_keras
from dogsim.networks.heads import embed, head_name
from dogsim.networks.trained_on import picture_keys, remember
from dogsim.plumbing.terminal import track

NEGATIVES = ("near", "drawn")
STARTS = ("discriminant", "random")
BREEDS, PICTURES = 128, 8  # of a batch, at most: 8 pictures of each of 128 breeds
TRIPLETS = 1024  # of a batch, where they are drawn beforehand
K = 20


@dataclass(frozen=True)
class _Plan:
    """How to train; the fields are parameters of `dogsim.train_ranking`."""

    negatives: str
    gap: float
    width: int | None
    start: str
    dropout: float
    learning_rate: float
    seed: int


def train_ranking(
    dataset: DatasetOrFile,
    negatives: str = "near",
    gap: float = 0.2,
    width: int | None = None,
    dropout: float = 0.15,
    learning_rate: float = 1e-3,
    max_steps: int = 500,
    patience: int = 4,
    seed: int = 0,
    start: str = "discriminant",
) -> Ranking:
    """Train an embedding of a dataset's stored features with the triplet ranking loss.

    The embedding is linear, from unit vectors to unit vectors, and starts from linear
    discriminant analysis, which is often hard to better, or from random numbers. A tenth of each
    breed is held out and says when to stop; then the training is done over with all pictures, for
    as many steps as were best: none, where nothing ranks better than the start.

    Parameters
    ----------
    dataset : Dataset or path
        Two breeds or more with at least 4 pictures each; breeds with fewer, and pictures of
        unknown breed, are left out.
    negatives : {"near", "drawn"}
        ``"near"``: all triplets of batches of up to 128 breeds x 8 pictures, near negatives
        counting most. ``"drawn"``: triplets drawn beforehand, every negative with the same chance,
        as in the paper.
    gap : float
        Of the loss. The paper says 1; but unit vectors are 0 to 2 apart, of different breeds
        about 1.4, and with a gap of 0.2 triplets that are right already teach nothing more.
    width : int, optional
        How long embeddings are, by default and at most one less than breeds.
    dropout : float
        Part of the features hidden in each step.
    learning_rate : float
        Of Adam.
    max_steps, patience : int
        Stop after so many steps, or when so many rounds of 25 have brought nothing better.
    seed : int
        The same seed gives the same head on the same machine.
    start : {"discriminant", "random"}
        ``"random"``, as networks start, shows what the ranking loss teaches by itself.

    Returns
    -------
    Ranking

    Raises
    ------
    DogsimError
        If `negatives` is unknown, a number is out of range or the dataset is too small.
    """
    dataset = as_dataset(dataset)
    if negatives not in NEGATIVES:
        raise unknown("negatives", negatives, NEGATIVES)
    if start not in STARTS:
        raise unknown("start", start, STARTS)
    check_numbers(gap=gap, learning_rate=learning_rate, max_steps=max_steps, patience=patience)
    check_numbers(width=1 if width is None else width)
    if not 0 <= dropout < 1:
        raise DogsimError(f"Received dropout={dropout}. Expected 0 or more, less than 1.")
    known = trainable(dataset)
    part, asked = hold_out(known, HELD_OUT, seed, least=1)
    plan = _Plan(negatives, gap, width, start, dropout, learning_rate, seed)
    k = min(K, len(part) // 2)  # with k all, every ranking would find the same
    raw = accuracy(part, k, asked).precision_at_k
    trial = _start(part, plan)

    def score() -> float:
        gallery, queries = (replace(x, features=embed(trial, x.features)) for x in (part, asked))
        return accuracy(gallery, k, queries).precision_at_k

    losses: list[float] = []
    rounds = track(_training(trial, part, plan, max_steps, losses), max_steps, "steps, stops early")
    history, best = train_until_best(trial, rounds, score, patience)
    head, steps = _start(known, plan), min(best * ROUND, max_steps)
    if steps:
        again = _training(head, known, plan, steps, [])
        deque(track(again, steps, "steps on all pictures"), maxlen=0)
    remember(head, picture_keys(known.features, known.stamps))
    return Ranking(head, raw, history, best, steps, k, tuple(losses))


def _start(dataset: Dataset, plan: _Plan) -> Any:
    """Build the head, whose weights are discriminant analysis' directions or random ones."""
    layers = import_keras().layers
    units = unit_vectors(dataset.features)
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
    if plan.start == "random":
        drawn = np.random.default_rng(plan.seed).normal(size=directions.shape)
        directions = drawn.astype(np.float32)
    length = np.linalg.norm((units - mean) @ directions, axis=1).mean() / np.sqrt(spread)
    head.get_layer("embedding").set_weights([directions / length])
    return head


def _training(
    head: Any, dataset: Dataset, plan: _Plan, steps: int, losses: list[float]
) -> Iterator[range]:
    """Train a head for so many steps; after each round its mean loss is added to `losses`."""
    if plan.negatives == "near":
        pictures = _pictures_of_a_batch(dataset.labels)
        batches = _balanced(dataset.labels, pictures, plan.seed)

        def loss_of(features: Any) -> Any:
            return near_loss(head(features, training=True), pictures, plan.gap)
    else:
        ops = import_keras().ops
        batches = _drawn(dataset.labels, steps, plan.seed)

        def loss_of(features: Any) -> Any:
            query, positive, negative = ops.split(head(features, training=True), 3)
            return ops.mean(ranking_loss(query, positive, negative, plan.gap))

    step = gradient_step(head, loss_of, plan.learning_rate)
    for start in range(0, steps, ROUND):
        taken = range(min(ROUND, steps - start))
        losses.append(float(np.mean([step(dataset.features[next(batches)]) for _ in taken])))
        yield taken


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
