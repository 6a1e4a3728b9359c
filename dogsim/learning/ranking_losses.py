"""Losses of triplets and of pairs of embeddings."""

from typing import Any

import numpy as np

from dogsim.engines.tensorflow import import_keras
from dogsim.errors import DogsimError, as_number
from dogsim.plumbing.arrays import as_numbers

NEGATIVE_TEMPERATURE = 0.05  # a negative that is farther by this much has 1/e of the weight
MIN_SQUARED_DISTANCE = 1e-12  # the gradient of the square root is infinite at 0


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
    query, positive, negative = _as_embeddings(query, positive, negative)
    to_positive, to_negative = _distances(query, positive), _distances(query, negative)
    return import_keras().ops.relu(gap + to_positive - to_negative)


def contrastive_loss(first: Any, second: Any, same: Any, gap: float = 1.0) -> Any:
    """Compute the contrastive loss of pairs: D²/2 for one breed, max(0, gap - D)²/2 for two.

    Hadsell et al. 2006, "Dimensionality reduction by learning an invariant mapping"
    (doi:10.1109/CVPR.2006.100), equation 4; D is the Euclidean distance. Unlike a triplet, a pair
    determines how far apart two images should be, not which of two is nearer.

    Parameters
    ----------
    first, second : (n, d) array or tensor
        Embeddings.
    same : (n,) bool
        Whether the images of a pair have the same breed.
    gap : float
        Margin: pairs of two breeds have no loss if they are farther apart.

    Returns
    -------
    (n,) tensor
        One loss for each pair, differentiable also where two embeddings are equal.

    >>> contrastive_loss([[0.0, 0.0]] * 2, [[0.3, 0.4]] * 2, [True, False], 1.5).numpy()
    array([0.125, 0.5  ], dtype=float32)
    """
    gap = as_number("gap", gap)
    first, second = _as_embeddings(first, second)
    ops = import_keras().ops
    same = same if ops.is_tensor(same) else as_numbers("same", same, "bui", ndim=1)
    same = ops.cast(same, "bool")
    if tuple(same.shape) != tuple(first.shape[:1]):
        raise DogsimError(
            f"Received same {tuple(same.shape)}. Expected one for each of {first.shape[0]} pairs."
        )
    distances = _distances(first, second)
    apart = ops.square(ops.relu(gap - distances))
    return ops.where(same, ops.square(distances), apart) / 2


def mean_triplet_loss(embeddings: Any, gap: float, pairs: bool = False) -> Any:
    """Compute the mean loss, a scalar, of triplets given as queries, positives and negatives.

    Parameters
    ----------
    embeddings : (3 b, d) tensor
    gap : float
    pairs : bool
        Whether each triplet is two pairs with the contrastive loss.
    """
    ops = import_keras().ops
    query, positive, negative = ops.split(embeddings, 3)
    if not pairs:
        return ops.mean(ranking_loss(query, positive, negative, gap))
    losses = [
        contrastive_loss(query, other, np.full(query.shape[0], other is positive), gap)
        for other in (positive, negative)
    ]
    return ops.mean(ops.concatenate(losses))


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


def _as_embeddings(*embeddings: Any) -> list[Any]:
    """Return embeddings as tensors; raise `DogsimError` unless all have the same shape (n, d)."""
    ops = import_keras().ops
    tensors = [
        ops.convert_to_tensor(x if ops.is_tensor(x) else as_numbers("embeddings", x), "float32")
        for x in embeddings
    ]
    if len({tuple(x.shape) for x in tensors}) > 1 or len(tensors[0].shape) != 2:
        shapes = ", ".join(str(tuple(x.shape)) for x in tensors)
        number = {2: "two", 3: "three"}[len(tensors)]
        raise DogsimError(f"Received embeddings {shapes}. Expected {number} of the same (n, d).")
    return tensors


def _distances(a: Any, b: Any) -> Any:
    """Compute the Euclidean distances (n,) of embeddings (n, d)."""
    ops = import_keras().ops
    return _square_root(ops.sum(ops.square(a - b), axis=-1))


def _square_root(squares: Any) -> Any:
    ops = import_keras().ops
    return ops.sqrt(ops.maximum(squares, MIN_SQUARED_DISTANCE))
