"""Linear discriminant analysis: the directions that separate breeds best."""

import numpy as np
from numpy.typing import NDArray

from dogsim.errors import DogsimError, as_integer, as_number, counted
from dogsim.plumbing.arrays import WHOLE, as_numbers


def discriminant(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    width: int | None = None,
    shrinkage: float = 0.3,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Compute the linear map with the largest ratio of between-class to within-class scatter.

    The within-class scatter matrix is shrunk towards a multiple of the identity and whitened; the
    class means are then decomposed by SVD: Fisher's criterion (1936,
    doi:10.1111/j.1469-1809.1936.tb02137.x) for many classes (Rao 1948,
    doi:10.1111/j.2517-6161.1948.tb00008.x).

    Parameters
    ----------
    features : (n, d) float
    labels : (n,) int
        Two different values or more.
    width : int, optional
        Number of directions, by default and at most min(number of breeds - 1, d).
    shrinkage : float
        From 0 (the measured scatter matrix, unreliable with fewer than d images) to 1 (a multiple
        of the identity).

    Returns
    -------
    mean : (d,) float32
        Mean of the class means.
    directions : (d, width) float32
        The embedding is ``(features - mean) @ directions``.

    Raises
    ------
    DogsimError
        If there are fewer than two breeds, or the images of each breed are all identical.

    >>> flat = np.array([[0.0, 0.0], [9.0, 1.0], [0.0, 2.0], [9.0, 3.0]])
    >>> mean, directions = discriminant(flat, np.array([0, 0, 1, 1]), shrinkage=0.001)
    >>> bool(abs(directions[1, 0]) > 9 * abs(directions[0, 0]))  # the second number separates them
    True
    """
    x, labels = _checked(features, labels)  # (n, d), (n,)
    width = None if width is None else as_integer("width", width)
    if not 0 <= as_number("shrinkage", shrinkage) <= 1:
        raise DogsimError(f"Received shrinkage={shrinkage}. Expected 0 to 1.")
    breeds, rows = np.unique(labels, return_inverse=True)
    if len(breeds) < 2:
        raise DogsimError(
            f"Received images of {counted(len(breeds), 'breed')}. Expected 2 breeds or more."
        )
    means = np.stack([x[rows == row].mean(axis=0) for row in range(len(breeds))])  # (c, d)
    deviations = x - means[rows]
    within = deviations.T @ deviations / len(x)  # (d, d)
    variance = np.trace(within) / len(within)
    if variance <= 0:
        raise DogsimError("The images of each breed are all identical. Expected different ones.")
    within = (1 - shrinkage) * within + shrinkage * variance * np.eye(len(within))
    eigenvalues, axes = np.linalg.eigh(within)
    whiten = axes / np.sqrt(np.maximum(eigenvalues, 1e-9 * variance))
    mean = means.mean(axis=0)
    _, _, rotation = np.linalg.svd((means - mean) @ whiten, full_matrices=False)
    max_width = min(len(breeds) - 1, x.shape[1])
    directions = whiten @ rotation[: min(width or max_width, max_width)].T
    return mean.astype(np.float32), directions.astype(np.float32)


def _checked(
    features: NDArray[np.floating], labels: NDArray[np.integer]
) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
    """Return features as float64 with their labels; raise `DogsimError` if they do not fit."""
    x = as_numbers("features", features, ndim=2).astype(np.float64)
    classes = as_numbers("labels", labels, WHOLE, ndim=1)
    if len(classes) != len(x) or not np.isfinite(x).all():
        raise DogsimError(
            f"Received features {x.shape} and labels {classes.shape}. Expected (n, d) finite "
            "numbers and (n,)."
        )
    return x, classes
