"""Sampling of triplets: a query, a positive of its breed and a negative.

An out-of-class negative has another breed. An in-class negative has the breed of the query, but is
less relevant to it than the positive. Wang et al. 2014 (arXiv:1404.4661) use both.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dogsim.errors import DogsimError, as_integer, as_number, counted
from dogsim.plumbing.arrays import WHOLE, as_numbers, unit_vectors

MAX_TRIPLETS = 100_000_000  # 2.4 GB
MAX_BUFFERED_IMAGES = 1000  # of a breed, for in-class negatives
BLOCK_QUERIES = 1024
MIN_RELEVANCE_DIFFERENCE = 0.01  # between positive and in-class negative, T_r in the paper


def sample_triplets(
    labels: ArrayLike,
    n: int,
    seed: int = 0,
    features: ArrayLike | None = None,
    in_class: float = 0.0,
) -> NDArray[np.intp]:
    """Draw triplets of images with replacement: query, positive, negative.

    Negatives of other breeds are drawn uniformly, and in-class negatives by relevance: query,
    positive and negative have one breed and are drawn with probabilities proportional to their
    relevance, and the positive is more relevant than the negative by a margin. The relevance is
    (1 + cosine) / 2 of the features. This is a variant of the sampling of Wang et al. 2014
    (arXiv:1404.4661); docs/negatives.md lists the differences.

    Parameters
    ----------
    labels : (m,) int
        Breed of each image; images of label -1 (unknown) are never drawn.
    n : int
        Number of triplets.
    seed : int
    features : (m, d) array, optional
        Features of the images, for in-class negatives.
    in_class : float
        Fraction of the triplets that have an in-class negative, 0 to 1.

    Returns
    -------
    (n, 3) int
        Rows of `labels`: an image whose breed has another one, another image of its breed, and a
        negative. With an out-of-class negative each is drawn uniformly from all possible images.

    Raises
    ------
    DogsimError
        If n is less than 1, no breed has two images or there is only one breed; with `in_class`,
        if there are no features, or no breed has images of different relevance.

    >>> query, positive, negative = sample_triplets([7, 7, 8], 1)[0]
    >>> sorted([int(query), int(positive)]), int(negative)
    ([0, 1], 2)
    """
    breeds = as_numbers("labels", labels, WHOLE, ndim=1)
    n = as_integer("n", n, 1, MAX_TRIPLETS)
    seed = as_integer("seed", seed, 0)
    number = round(n * _as_fraction(in_class))
    parts = [_out_of_class_triplets(breeds, n - number, seed)] if number < n else []
    if number:
        units = _as_units(features, len(breeds))
        parts.append(_in_class_triplets(breeds, units, number, seed))
    triplets = np.concatenate(parts)
    return np.random.default_rng(seed).permutation(triplets) if len(parts) == 2 else triplets


def _as_fraction(in_class: float) -> float:
    """Return the fraction of in-class negatives; raise `DogsimError` unless it is 0 to 1."""
    if not 0 <= as_number("in_class", in_class, "0 to 1") <= 1:
        raise DogsimError(f"Received in_class={in_class}. Expected 0 to 1.")
    return float(in_class)


def _as_units(features: ArrayLike | None, n: int) -> NDArray[np.floating]:
    """Scale features (n, d) to length 1; raise `DogsimError` if they are missing or do not fit."""
    if features is None:
        raise DogsimError("Received no features. Expected features (m, d) for in-class negatives.")
    numbers = as_numbers("features", features, ndim=2)
    if len(numbers) != n:
        raise DogsimError(f"Received features {numbers.shape} for {n} labels. Expected ({n}, d).")
    return unit_vectors(numbers)


def _out_of_class_triplets(breeds: NDArray[np.integer], n: int, seed: int) -> NDArray[np.intp]:
    """Draw triplets (n, 3) with negatives of other breeds uniformly."""
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


def _in_class_triplets(
    breeds: NDArray[np.integer], units: NDArray[np.floating], n: int, seed: int
) -> NDArray[np.intp]:
    """Draw triplets (n, 3) of one breed each, by relevance."""
    rng = np.random.default_rng([seed, 1])
    buffers = []  # rows of at most `MAX_BUFFERED_IMAGES` images of each breed
    for breed in np.unique(breeds[breeds >= 0]):
        rows = np.flatnonzero(breeds == breed)
        buffers.append(rng.permutation(rows)[:MAX_BUFFERED_IMAGES])
    # the total relevance of each image as a positive is its weight as a query
    totals = [_pair_weights(_relevance(units[rows])).sum(axis=1) for rows in buffers]
    weights = np.concatenate(totals or [np.zeros(1)])
    if not weights.any():
        raise DogsimError(
            "Received no breed with images of different relevance. Expected a breed with 3 images "
            f"or more, of which two differ in (1 + cosine) / 2 by {MIN_RELEVANCE_DIFFERENCE}."
        )
    queries = np.sort(rng.choice(len(weights), n, p=weights / weights.sum()))
    starts = np.cumsum([0, *map(len, buffers)])
    triplets = []
    for rows, start in zip(buffers, starts, strict=False):
        own = queries[(queries >= start) & (queries < start + len(rows))] - start
        if len(own):
            triplets.append(rows[_draw_by_relevance(_relevance(units[rows]), own, rng)])
    return rng.permutation(np.concatenate(triplets))


def _relevance(units: NDArray[np.floating]) -> NDArray[np.floating]:
    """Compute the relevance (m, m) of images to each other, 0 to 1; of an image to itself NaN."""
    relevance: NDArray[np.floating] = np.clip((1 + units @ units.T) / 2, 0, 1).astype(np.float64)
    np.fill_diagonal(relevance, np.nan)
    return relevance


def _pair_weights(relevance: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the weights (m, m) of positives; 0 where no negative is less relevant by the margin.

    >>> relevance = np.array([[np.nan, 0.9, 0.5], [0.9, np.nan, 0.9], [0.5, 0.9, np.nan]])
    >>> _pair_weights(relevance)[:2].tolist()
    [[0.0, 0.9, 0.0], [0.0, 0.0, 0.0]]
    """
    if len(relevance) < 3:
        return np.zeros_like(relevance)
    least = np.nanmin(relevance, axis=1, keepdims=True)  # (m, 1)
    return np.where(least <= relevance - MIN_RELEVANCE_DIFFERENCE, relevance, 0)


def _draw_by_relevance(
    relevance: NDArray[np.floating], queries: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.intp]:
    """Draw a positive, then a less relevant negative for each query; return triplets (q, 3)."""
    weights, triplets = _pair_weights(relevance), []
    for block in np.array_split(queries, -(-len(queries) // BLOCK_QUERIES)):
        rows = relevance[block]  # (b, m)
        positives = _draw(weights[block], rng)
        limits = rows[np.arange(len(block)), positives] - MIN_RELEVANCE_DIFFERENCE
        negatives = _draw(np.where(rows <= limits[:, None], rows, 0), rng)
        triplets.append(np.column_stack([block, positives, negatives]))
    return np.concatenate(triplets)


def _draw(weights: NDArray[np.floating], rng: np.random.Generator) -> NDArray[np.intp]:
    """Draw an index per row (b,) with probabilities proportional to the weights (b, m)."""
    sums = np.cumsum(weights, axis=1)
    drawn: NDArray[np.intp] = (sums <= rng.random((len(sums), 1)) * sums[:, -1:]).sum(axis=1)
    return drawn


def sample_pairs(labels: ArrayLike, n: int, seed: int = 0) -> NDArray[np.intp]:
    """Draw pairs of images: alternately of the same breed and of two breeds.

    Parameters
    ----------
    labels, n, seed
        As for `sample_triplets`; n is the number of pairs.

    Returns
    -------
    (n, 2) int
        Rows of `labels`, for `contrastive_loss`.

    Raises
    ------
    DogsimError
        As `sample_triplets` does.

    >>> pairs = sample_pairs([7, 7, 8], 2)
    >>> sorted(pairs[0].tolist()), int(pairs[1, 1])
    ([0, 1], 2)
    """
    n = as_integer("n", n, 1, MAX_TRIPLETS)
    triplets = sample_triplets(labels, -(-n // 2), seed)
    pairs: NDArray[np.intp] = triplets[:, [0, 1, 0, 2]].reshape(-1, 2)[:n]
    return pairs


def triplet_batches(
    labels: NDArray[np.integer],
    steps: int,
    triplets_per_batch: int,
    seed: int,
    features: NDArray[np.floating] | None = None,
    in_class: float = 0.0,
) -> Iterator[NDArray[np.intp]]:
    """Yield batches of rows (3 b,): the queries of b triplets, the positives, the negatives."""
    triplets = sample_triplets(labels, steps * triplets_per_batch, seed, features, in_class)
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
