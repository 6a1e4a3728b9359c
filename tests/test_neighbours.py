"""Who is asked, and who answers."""

import numpy as np

from dogsim.dataset import Dataset
from dogsim.neighbours import find_neighbours

RNG = np.random.default_rng(11)


def cloud(n: int, classes: int = 4, spread: float = 1.0) -> Dataset:
    labels = RNG.integers(0, classes, n).astype(np.int32)
    centres = np.random.default_rng(0).normal(size=(classes, 6))
    features = centres[labels] + spread * RNG.normal(size=(n, 6))
    names = tuple(f"breed {i}" for i in range(classes))
    paths = tuple(f"{RNG.integers(1 << 60)}.jpg" for _ in range(n))
    return Dataset(features.astype(np.float32), labels, paths, names)


def test_pictures_in_both_sets_are_counted() -> None:
    gallery, test = cloud(30), cloud(20)
    assert find_neighbours(gallery, 1, test).in_both == 0
    same_path = Dataset(
        test.features, test.labels, (gallery.paths[3], *test.paths[1:]), test.breeds
    )
    assert find_neighbours(gallery, 1, same_path).in_both == 1
    features = test.features.copy()
    features[:2] = gallery.features[5]
    same_features = Dataset(features, test.labels, same_path.paths, test.breeds)
    assert find_neighbours(gallery, 1, same_features).in_both == 2
