"""Triplets (query, positive of its breed, negative of another breed) and their ranking losses."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.engines._keras import import_keras
from dogsim.errors import DogsimError, as_integer, as_number, counted
from dogsim.plumbing.arrays import WHOLE, as_numbers

MAX_TRIPLETS = 100_000_000  # 2.4 GB
NEGATIVE_TEMPERATURE = 0.05  # a negative that is farther by this much has 1/e of the weight
MIN_SQUARED_DISTANCE = 1e-12  # the gradient of the square root is infinite at 0


def sample_triplets(labels: ArrayLike, n: int, seed: int = 0) -> NDArray[np.intp]:
    """Draw triplets of images with replacement: query, positive, negative.

    Parameters
    ----------
    labels : (m,) int
        Breed of each image; images of label -1 (unknown) are never drawn.
    n : int
        Number of triplets.
    seed : int

    Returns
    -------
    (n, 3) int
        Rows of `labels`: an image whose breed has another one, another image of its breed, and an
        image of another breed. Each is drawn uniformly from all possible images.

    Raises
    ------
    DogsimError
        If n is less than 1, no breed has two images or there is only one breed.

    >>> query, positive, negative = sample_triplets([7, 7, 8], 1)[0]
    >>> sorted([int(query), int(positive)]), int(negative)
    ([0, 1], 2)
    """
    breeds = as_numbers("labels", labels, WHOLE, ndim=1)
    n = as_integer("n", n, 1, MAX_TRIPLETS)
    seed = as_integer("seed", seed, 0)
    rows = np.argsort(breeds, kind="stable")
    rows = rows[breeds[rows] >= 0]
    _, first, counts = np.unique(breeds[rows], return_index=True, return_counts=True)
    if len(counts) < 2 or counts.max() < 2:
        raise DogsimError(
            f"Received {counted(len(rows), 'image')} of {counted(len(counts), 'breed')}. Expected "
            "2 breeds or more, one of them with 2 images or more."
        )
    rng = np.random.default_rng(seed)
    first, counts = np.repeat(first, counts), np.repeat(counts, counts)  # of the breed of each row
    query = rng.choice(np.flatnonzero(counts > 1), n)
    first, counts = first[query], counts[query]
    # Draw from one position fewer and shift the positions from the query on: this excludes the
    # query. Likewise the shift by `counts` excludes the block of its breed.
    positive = first + rng.integers(counts - 1)
    positive += positive >= query
    negative = rng.integers(len(rows) - counts)
    negative += np.where(negative >= first, counts, 0)
    triplets: NDArray[np.intp] = rows[np.column_stack([query, positive, negative])]
    return triplets


def triplet_batches(
    labels: NDArray[np.integer], steps: int, triplets_per_batch: int, seed: int
) -> Iterator[NDArray[np.intp]]:
    """Yield batches of rows (3 b,): the queries of b triplets, the positives, the negatives."""
    triplets = sample_triplets(labels, steps * triplets_per_batch, seed)
    for batch in np.split(triplets, steps):
        yield batch.T.ravel()


def balanced_batches(
    labels: NDArray[np.integer], max_breeds: int, images_per_breed: int, seed: int
) -> Iterator[NDArray[np.intp]]:
    """Yield batches of rows (b,) without end: the same number of images of random breeds.

    The rows of a batch are grouped by breed.
    """
    rng = np.random.default_rng(seed)
    rows_of = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    while True:
        breeds = rng.choice(len(rows_of), min(max_breeds, len(rows_of)), replace=False)
        yield np.concatenate(
            [rng.choice(rows_of[breed], images_per_breed, replace=False) for breed in breeds]
        )


def ranking_loss(query: Any, positive: Any, negative: Any, gap: float = 1.0) -> Any:
    """Compute the triplet ranking loss max(0, gap + D(q, p) - D(q, n)), D Euclidean.

    Wang et al. 2014, arXiv:1404.4661, section 3, with the distance D instead of its square.

    Parameters
    ----------
    query, positive, negative : (n, d) array or tensor
        Embeddings.
    gap : float
        Margin: how much nearer than the negative the positive should be.

    Returns
    -------
    (n,) tensor
        One loss for each triplet, differentiable also where two embeddings are equal.

    >>> ranking_loss([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 1.0]]).numpy()
    array([5.], dtype=float32)
    """
    gap = as_number("gap", gap)
    ops = import_keras().ops
    query, positive, negative = (
        ops.convert_to_tensor(x if ops.is_tensor(x) else as_numbers("embeddings", x), "float32")
        for x in (query, positive, negative)
    )
    if not query.shape == positive.shape == negative.shape or len(query.shape) != 2:
        shapes = ", ".join(str(tuple(x.shape)) for x in (query, positive, negative))
        raise DogsimError(f"Received embeddings {shapes}. Expected three of the same (n, d).")
    to_positive = _square_root(ops.sum(ops.square(query - positive), axis=-1))
    to_negative = _square_root(ops.sum(ops.square(query - negative), axis=-1))
    return ops.relu(gap + to_positive - to_negative)


def weighted_ranking_loss(embeddings: Any, images_per_breed: int, gap: float) -> Any:
    """Compute the mean ranking loss, a scalar, of all triplets with most weight on near negatives.

    Most negatives are already far away and have no gradient. Each negative of a query has the
    weight softmax(-D(q, n) / 0.05), which is the mean over negatives drawn with that probability:
    a sharper variant of the distance-weighted sampling of Wu et al. 2017 (arXiv:1706.07567).

    Parameters
    ----------
    embeddings : (n, d) tensor
        Unit vectors, grouped by breed.
    images_per_breed : int
        2 or more. All images of a breed are positives of each other, all others negatives.
    gap : float
        As for `ranking_loss`.
    """
    ops = import_keras().ops
    n = embeddings.shape[0]
    rows = np.arange(n)
    other_breed = rows[:, None] // images_per_breed != rows // images_per_breed  # (n, n)
    block = np.arange(images_per_breed)
    others_of_block = np.stack([np.delete(block, i) for i in block])
    start_of_block = (rows // images_per_breed * images_per_breed)[:, None]
    positives = np.tile(others_of_block, (n // images_per_breed, 1)) + start_of_block
    # for unit vectors |a - b|^2 = 2 - 2 a.b
    distances = _square_root(2 - 2 * ops.matmul(embeddings, ops.transpose(embeddings)))  # (n, n)
    logits = ops.where(other_breed, -distances / NEGATIVE_TEMPERATURE, -np.inf)
    weights = ops.stop_gradient(ops.softmax(logits, axis=1))
    to_positive = ops.take_along_axis(distances, positives, axis=1)
    losses = ops.relu(gap + to_positive[:, :, None] - distances[:, None, :])  # (n, p, n)
    return ops.mean(ops.sum(losses * weights[:, None, :], axis=2))


def _square_root(squares: Any) -> Any:
    ops = import_keras().ops
    return ops.sqrt(ops.maximum(squares, MIN_SQUARED_DISTANCE))
