"""None of these: how badly a picture fits among the known ones.

The distance to the tenth neighbour on unit vectors tells what is far from everything (Sun et al.,
"Out-of-distribution detection with deep nearest neighbors", 2022, arXiv:2204.06507). Divided by
the tenth root of the largest share of the vote, it also tells what lies between the breeds.
"""

import numpy as np
from numpy.typing import NDArray

NEIGHBOUR = 10
POWER = 0.1  # of the share; larger ones let cows and horses pass, smaller ones foreign breeds
UNKNOWN_AT = 0.05  # the p-value, and so how many known pictures are called unknown

Floats = NDArray[np.float64]


def novelty_scores(squares: Floats, shares: Floats) -> Floats:
    """Score how badly pictures fit, the larger the worse.

    Parameters
    ----------
    squares : (n, k) float64
        Squared distances to the k nearest on unit vectors, nearest first.
    shares : (n, c) float64
        The share of each breed in the vote.

    Returns
    -------
    (n,) float64

    >>> novelty_scores(np.array([[1.0, 4.0]]), np.array([[1.0, 0.0]]))
    array([2.])
    """
    kth = np.sqrt(squares[:, min(NEIGHBOUR, squares.shape[1]) - 1])
    return np.asarray(kth / shares.max(axis=1) ** POWER)
