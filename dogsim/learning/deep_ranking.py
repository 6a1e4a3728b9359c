"""Deep ranking: learn which features to weigh, so that a breed's pictures come first.

After Wang et al. 2014, "Learning fine-grained image similarity with deep ranking"
(arXiv:1404.4661), with out-of-class negatives: for a query, a positive of its breed and a negative
of another, the positive shall be nearer by a gap. The three networks of the paper share their
weights, so here one network embeds all pictures of a batch, and each of them is query, positive
and negative in turn.
"""

from collections import deque
from dataclasses import replace
from typing import Any

import numpy as np

from dogsim.accuracy import accuracy
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, unknown
from dogsim.learning.hold_out import hold_out
from dogsim.learning.training import GAIN, NEGATIVES, ROUND, Plan, Ranking, start, training
from dogsim.learning.triplets import ranking_loss, sample_triplets
from dogsim.networks.heads import embed
from dogsim.plumbing.progress import track

__all__ = ["Ranking", "ranking_loss", "sample_triplets", "train_ranking"]

HELD_OUT = 0.1  # of each breed's pictures, and at least one
LEAST = 4  # pictures of a breed: one to hold out, and more than one positive among the rest
K = 20


def train_ranking(
    dataset: Dataset,
    negatives: str = "near",
    gap: float = 0.2,
    width: int | None = None,
    dropout: float = 0.15,
    learning_rate: float = 1e-3,
    max_steps: int = 500,
    patience: int = 4,
    seed: int = 0,
) -> Ranking:
    """Train an embedding of a dataset's stored features with the triplet ranking loss.

    The embedding is linear, from unit vectors to unit vectors, and starts from linear
    discriminant analysis. A tenth of each breed is held out and says when to stop; then the
    training is done over with all pictures, for as many steps as were best: none, where nothing
    ranks better than the start.

    Parameters
    ----------
    dataset : Dataset
        Two breeds or more with at least 4 pictures each; breeds with fewer, and pictures of
        unknown breed, are left out.
    negatives : {"near", "drawn"}
        ``"near"``: all triplets of batches of up to 128 breeds x 8 pictures, near negatives
        counting most. ``"drawn"``: triplets drawn beforehand, every negative with the same chance,
        as in the paper.
    gap : float
        Of the loss; unit vectors are 0 to 2 apart.
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

    Returns
    -------
    Ranking

    Raises
    ------
    DogsimError
        If `negatives` is unknown, a number is out of range or the dataset is too small.
    """
    if negatives not in NEGATIVES:
        raise unknown("negatives", negatives, NEGATIVES)
    check_numbers(gap=gap, learning_rate=learning_rate, max_steps=max_steps, patience=patience)
    check_numbers(width=1 if width is None else width)
    if not 0 <= dropout < 1:
        raise DogsimError(f"Received dropout={dropout}. Expected 0 or more, less than 1.")
    known = trainable(dataset)
    part, asked = hold_out(known, HELD_OUT, seed, least=1)
    k = min(K, len(part))

    def score(head: Any) -> float:
        gallery, queries = (replace(x, features=embed(head, x.features)) for x in (part, asked))
        return accuracy(gallery, k, queries).precision_at_k

    plan = Plan(negatives, gap, width, dropout, learning_rate, seed)
    head = start(part, plan)
    history, best, rounds = [score(head)], 0, -(-max_steps // ROUND)
    for _ in track(training(head, part, plan, rounds), rounds * ROUND, "steps, stops early"):
        history.append(score(head))
        if history[-1] > history[best] + GAIN:
            best = len(history) - 1
        elif len(history) - 1 - best >= patience:
            break
    head = start(known, plan)
    if best:
        again = training(head, known, plan, best)
        deque(track(again, best * ROUND, "steps on all pictures"), maxlen=0)
    return Ranking(head, tuple(history), best, best * ROUND, k)


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
