"""Triplets of pictures and what they cost: query, positive of its breed, negative of another."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError

NEARNESS = 0.05  # a negative farther by this much counts e times less


def sample_triplets(labels: ArrayLike, n: int, seed: int = 0) -> NDArray[np.intp]:
    """Draw triplets of pictures beforehand: query, positive, negative.

    Parameters
    ----------
    labels : (m,) int
        The pictures' breeds; those of label -1 (unknown) are never drawn.
    n : int
        How many triplets.
    seed : int

    Returns
    -------
    (n, 3) int
        Rows of `labels`: any picture whose breed has another one; another one of its breed; one
        of another breed. Each with the same chance among those possible.

    Raises
    ------
    DogsimError
        If n is less than 1, no breed has two pictures or there is only one breed.

    >>> query, positive, negative = sample_triplets([7, 7, 8], 1)[0]
    >>> sorted([int(query), int(positive)]), int(negative)
    ([0, 1], 2)
    """
    labels = np.asarray(labels)
    rows = np.argsort(labels, kind="stable")
    rows = rows[labels[rows] >= 0]
    _, first, counts = np.unique(labels[rows], return_index=True, return_counts=True)
    if n < 1 or len(counts) < 2 or counts.max() < 2:
        raise DogsimError(
            f"Received n={n} and {len(rows)} pictures of {len(counts)} breeds. Expected n of at "
            "least 1 and 2 breeds or more, one of them with 2 pictures or more."
        )
    rng = np.random.default_rng(seed)
    first, counts = np.repeat(first, counts), np.repeat(counts, counts)  # of each row's breed
    query = rng.choice(np.flatnonzero(counts > 1), n)
    first, counts = first[query], counts[query]
    # A number among one fewer, moved up from the query's place on, is any place but the query's;
    # likewise for the breed's block.
    positive = first + rng.integers(counts - 1)
    positive += positive >= query
    negative = rng.integers(len(rows) - counts)
    negative += np.where(negative >= first, counts, 0)
    triplets: NDArray[np.intp] = rows[np.column_stack([query, positive, negative])]
    return triplets


def ranking_loss(query: Any, positive: Any, negative: Any, gap: float = 1.0) -> Any:
    """Compute the triplet ranking loss max(0, gap + D(q, p) - D(q, n)), D Euclidean.

    Wang et al. 2014, arXiv:1404.4661, section 3, with D the distance itself and not its square.

    Parameters
    ----------
    query, positive, negative : (n, d) array or tensor
        Embeddings.
    gap : float
        By how much the positive shall be nearer than the negative.

    Returns
    -------
    (n,) tensor
        One loss a triplet; it can be differentiated, also where two embeddings are the same.

    >>> ranking_loss([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 1.0]]).numpy()
    array([5.], dtype=float32)
    """
    ops = import_keras().ops
    query, positive, negative = (
        ops.convert_to_tensor(x, "float32") for x in (query, positive, negative)
    )
    to_positive = _root(ops.sum(ops.square(query - positive), axis=-1))
    to_negative = _root(ops.sum(ops.square(query - negative), axis=-1))
    return _hinge(to_positive, to_negative, gap)


def near_loss(embeddings: Any, pictures: int, gap: float) -> Any:
    """Average the ranking loss over all triplets of a batch, near negatives before all.

    Most negatives are far already and teach nothing. Each counts by exp(-D(q, n) / 0.05), the
    weights of a query adding up to 1: the mean of drawing negatives with that chance, as a harder
    kind of the distance-weighted sampling of Wu et al. 2017 (arXiv:1706.07567).

    Parameters
    ----------
    embeddings : (n, d) tensor
        Unit vectors, `pictures` of a breed after the other.
    pictures : int
        Of a breed, 2 or more. All of one are each other's positives, all others negatives.
    gap : float
        As for `ranking_loss`.

    Returns
    -------
    () tensor
    """
    ops = import_keras().ops
    n = embeddings.shape[0]
    rows = np.arange(n)
    other_breed = rows[:, None] // pictures != rows // pictures
    block = np.arange(pictures)
    others_of_block = np.stack([np.delete(block, i) for i in block])
    positives = (
        np.tile(others_of_block, (n // pictures, 1)) + (rows // pictures * pictures)[:, None]
    )
    # of unit vectors: |a - b|^2 = 2 - 2 a.b
    distances = _root(2 - 2 * ops.matmul(embeddings, ops.transpose(embeddings)))
    nearness = ops.softmax(ops.where(other_breed, -distances / NEARNESS, -np.inf), axis=1)
    to_positive = ops.take_along_axis(distances, positives, axis=1)
    losses = _hinge(to_positive[:, :, None], distances[:, None, :], gap)
    weighted = losses * ops.stop_gradient(nearness)[:, None, :]
    return ops.mean(ops.sum(weighted, axis=2))


def _hinge(to_positive: Any, to_negative: Any, gap: float) -> Any:
    return import_keras().ops.relu(gap + to_positive - to_negative)


def _root(squares: Any) -> Any:
    ops = import_keras().ops
    return ops.sqrt(ops.maximum(squares, 1e-12))  # the root's slope at 0 is infinite
