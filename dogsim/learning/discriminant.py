"""Linear discriminant analysis: the directions in which breeds differ most."""

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError


def discriminant(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    width: int | None = None,
    shrinkage: float = 0.3,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Find the linear map after which breeds lie far apart for how far each one spreads.

    The scatter within breeds is shrunk towards a ball, whitened, and the means of the breeds are
    decomposed: Fisher's criterion (1936, doi:10.1111/j.1469-1809.1936.tb02137.x) for many classes
    (Rao 1948, doi:10.1111/j.2517-6161.1948.tb00008.x).

    Parameters
    ----------
    features : (n, d) float
    labels : (n,) int
        Two values or more.
    width : int, optional
        How many directions, by default and at most one fewer than breeds or d.
    shrinkage : float
        From 0 (the scatter as measured, which fewer than d pictures cannot tell) to 1 (a ball).

    Returns
    -------
    mean : (d,) float32
        Of the breeds' means.
    directions : (d, width) float32
        The embedding is ``(features - mean) @ directions``.

    Raises
    ------
    DogsimError
        If there are fewer than two breeds, or all pictures of each are the same.

    >>> flat = np.array([[0.0, 0.0], [9.0, 1.0], [0.0, 2.0], [9.0, 3.0]])
    >>> mean, directions = discriminant(flat, np.array([0, 0, 1, 1]), shrinkage=0.001)
    >>> bool(abs(directions[1, 0]) > 9 * abs(directions[0, 0]))  # height tells them apart
    True
    """
    breeds, rows = np.unique(labels, return_inverse=True)
    if len(breeds) < 2:
        raise DogsimError(f"Received pictures of {len(breeds)} breed. Expected 2 breeds or more.")
    x = np.asarray(features, np.float64)
    means = np.stack([x[rows == row].mean(axis=0) for row in range(len(breeds))])
    deviations = x - means[rows]
    within = deviations.T @ deviations / len(x)
    ball = np.trace(within) / len(within)
    if ball <= 0:
        raise DogsimError("Pictures of a breed are all the same. Expected some that differ.")
    within = (1 - shrinkage) * within + shrinkage * ball * np.eye(len(within))
    spreads, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(np.maximum(spreads, 1e-9 * ball))
    mean = means.mean(axis=0)
    _, _, turn = np.linalg.svd((means - mean) @ whiten, full_matrices=False)
    most = min(len(breeds) - 1, x.shape[1])
    directions = whiten @ turn[: min(width or most, most)].T
    return mean.astype(np.float32), directions.astype(np.float32)
