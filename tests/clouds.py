"""Datasets of random features, one cluster for each breed."""

import numpy as np

from dogsim import Dataset


def cloud(n: int, classes: int = 4, spread: float = 1.0) -> Dataset:
    """Return n images with six features each, in overlapping clusters; n is also the seed."""
    rng = np.random.default_rng(n)  # independent of the order of the tests
    labels = rng.integers(0, classes, n).astype(np.int32)
    centres = np.random.default_rng(0).normal(size=(classes, 6))
    features = centres[labels] + spread * rng.normal(size=(n, 6))
    names = tuple(f"breed {i}" for i in range(classes))
    paths = tuple(f"{rng.integers(1 << 60)}.jpg" for _ in range(n))
    return Dataset(features.astype(np.float32), labels, paths, names)


def breeds_in_noise(breeds: int = 6, images_per_breed: int = 24, seed: int = 0) -> Dataset:
    """Return features of which 8 separate the breeds, and 24 are noise of larger variance."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(breeds), images_per_breed).astype(np.int32)
    means = np.random.default_rng(99).normal(0, 2, (breeds, 8))
    signal = means[labels] + rng.normal(0, 1, (len(labels), 8))
    features = np.hstack([signal, rng.normal(0, 4, (len(labels), 24))]).astype(np.float32)
    paths = tuple(f"{label}/{i}.jpg" for i, label in enumerate(labels))
    return Dataset(features, labels, paths, tuple("abcdefghij"[:breeds]))
