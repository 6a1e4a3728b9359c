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
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import unit_vectors
from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError, unknown
from dogsim.learning.discriminant import discriminant
from dogsim.learning.hold_out import hold_out
from dogsim.learning.proxies import draw_to_proxies, with_breeds
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
from dogsim.networks.heads import embed, head_name
from dogsim.networks.training_record import picture_keys, remember
from dogsim.plumbing.terminal import track

NEGATIVES = ("proxies", "near", "drawn")
STARTS = ("discriminant", "random")
BREEDS, PICTURES = 128, 8  # of a batch, at most: 8 pictures of each of 128 breeds
TRIPLETS = 1024  # of a batch, where they are drawn beforehand
K = 20
# Dropout, rate of learning and steps: what proxies do best with, and triplets.
DEFAULTS = {"proxies": (0.7, 3e-3, 760), "near": (0.15, 1e-3, 500), "drawn": (0.15, 1e-3, 500)}


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
    negatives: str = "proxies",
    gap: float = 0.2,
    width: int | None = None,
    dropout: float | None = None,
    learning_rate: float | None = None,
    max_steps: int | None = None,
    patience: int = 4,
    seed: int = 0,
    start: str = "discriminant",
) -> Ranking:
    """Train an embedding of a dataset's stored features, so that a breed's pictures come first.

    By the triplet ranking loss, or by proxies, which rank better; see `dogsim.learning.proxies`.
    What triplets learn is linear, from unit vectors to unit vectors. Both start from linear
    discriminant analysis, which is often hard to better, or from random numbers. A tenth of each
    breed is held out and says when to stop; then the training is done over with all pictures, for
    as many steps as were best: none, where nothing ranks better than the start. With proxies it is
    all steps or none.

    Parameters
    ----------
    dataset : Dataset or path
        Two breeds or more with at least 4 pictures each; breeds with fewer, and pictures of
        unknown breed, are left out.
    negatives : {"proxies", "near", "drawn"}
        ``"proxies"``: no pictures, but a stand-in for each other breed, all of them at once.
        ``"near"``: all triplets of batches of up to 128 breeds x 8 pictures, near negatives
        counting most. ``"drawn"``: triplets drawn beforehand, every negative with the same chance,
        as in the paper.
    gap : float
        Of the loss. The paper says 1; but unit vectors are 0 to 2 apart, of different breeds
        about 1.4, and with a gap of 0.2 triplets that are right already teach nothing more.
    width : int, optional
        How long embeddings are, by default and at most one less than breeds.
    dropout : float
        Part of the features hidden in each step, by default 0.7 with proxies, else 0.15.
    learning_rate : float
        Of Adam, by default 0.003 with proxies, else 0.001.
    max_steps, patience : int
        Stop after so many steps (by default 760 with proxies, else 500), or when so many rounds of
        25 have brought nothing better. With proxies the rate falls to 0 by the last step.
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
    usual = DEFAULTS[negatives]
    dropout = usual[0] if dropout is None else dropout
    rate = usual[1] if learning_rate is None else learning_rate
    steps = usual[2] if max_steps is None else max_steps
    check_numbers(gap=gap, learning_rate=rate, max_steps=steps, patience=patience)
    check_numbers(width=1 if width is None else width)
    if not 0 <= dropout < 1:
        raise DogsimError(f"Received dropout={dropout}. Expected 0 or more, less than 1.")
    known = trainable(dataset)
    part, asked = hold_out(known, HELD_OUT, seed, least=1)
    plan = _Plan(negatives, gap, width, start, dropout, rate, seed)
    k = min(K, len(part) // 2)  # with k all, every ranking would find the same
    raw = accuracy(part, k, asked).precision_at_k
    if negatives == "proxies":
        head, history, losses = _by_proxies(known, part, asked, plan, steps, k)
        best = int(history[1] > history[0])
        steps *= best
        breeds = {known.breed_of_label(label) for label in np.unique(known.labels)}
    else:
        trial, losses, breeds = _start(part, plan), [], set[str]()
        rounds = track(_training(trial, part, plan, steps, losses), steps, "steps, stops early")
        score = partial(_score, trial, part, asked, k)
        history, best = train_until_best(trial, rounds, score, patience)
        head, steps = _start(known, plan), min(best * ROUND, steps)
        if steps:
            again = _training(head, known, plan, steps, [])
            deque(track(again, steps, "steps on all pictures"), maxlen=0)
    remember(head, picture_keys(known.features, known.stamps), breeds)
    return Ranking(head, raw, history, best, steps, k, tuple(losses))


def _score(head: Any, part: Dataset, asked: Dataset, k: int) -> float:
    """Precision@k of held-out pictures, asked of the others."""
    gallery, queries = (replace(x, features=embed(head, x.features)) for x in (part, asked))
    return accuracy(gallery, k, queries).precision_at_k


def _by_proxies(
    known: Dataset, part: Dataset, asked: Dataset, plan: _Plan, steps: int, k: int
) -> tuple[Any, tuple[float, ...], list[float]]:
    """Train on a part, see whether that betters the start, and train on all pictures if it does."""

    def taught(dataset: Dataset, start: Any, steps: int) -> tuple[Any, list[float]]:
        labels, how = dataset.labels, (plan.learning_rate, steps, plan.seed)
        proxies, losses = draw_to_proxies(start, dataset.features, labels, *how)
        return with_breeds(start, proxies, dataset.features), losses

    start = _start(part, plan)
    before = _score(start, part, asked, k)
    trial, losses = taught(part, start, steps)
    after = _score(trial, part, asked, k)
    head, _ = taught(known, _start(known, plan), steps if after > before else 0)
    return head, (before, after), losses


def _start(dataset: Dataset, plan: _Plan) -> Any:
    """Build the head, whose weights are discriminant analysis' directions or random ones."""
    layers = import_keras().layers
    units = unit_vectors(dataset.features)
    mean, directions = discriminant(units, dataset.labels, plan.width)
    spread = float(((units - mean) ** 2).sum(axis=1).mean())
    if plan.negatives == "proxies":  # a variance of 1 for each feature, not for all together
        spread /= len(mean)
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
