"""Stratified split of a dataset into training images and held-out images."""

import numpy as np

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.errors import DogsimError


def hold_out(
    dataset: DatasetOrFile, part: float, seed: int = 0, least: int = 0
) -> tuple[Dataset, Dataset]:
    """Draw a fraction of the images of each breed; images of unknown breed stay in the rest.

    Parameters
    ----------
    dataset : Dataset or path
    part : float
        Fraction to hold out, more than 0 and less than 1; rounded down for each breed.
    seed : int
    least : int
        Minimum number of images to hold out of each breed.

    Returns
    -------
    rest, held : Dataset

    Raises
    ------
    DogsimError
        If `part` is out of range.

    >>> eight = Dataset(np.eye(8), np.arange(8) // 4, tuple("abcdefgh"), ("pug", "whippet"))
    >>> rest, held = hold_out(eight, 0.25)
    >>> len(rest), held.labels
    (6, array([0, 1]))
    """
    dataset = as_dataset(dataset)
    if not 0 < part < 1:
        raise DogsimError(f"Received part={part}. Expected more than 0 and less than 1.")
    rng = np.random.default_rng(seed)
    held = np.zeros(len(dataset), bool)
    for label in np.unique(dataset.labels[dataset.labels >= 0]):
        rows = np.flatnonzero(dataset.labels == label)
        number = min(len(rows), max(least, int(part * len(rows))))
        held[rng.choice(rows, number, replace=False)] = True
    return dataset.take(np.flatnonzero(~held)), dataset.take(np.flatnonzero(held))
