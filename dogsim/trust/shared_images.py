"""Find the images that a dataset and a test set share."""

from dataclasses import dataclass

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.trust.duplicates import TYPICAL_RANK, find_leaks


@dataclass(frozen=True)
class SharedImages:
    """Leaks and shared scenes, as paths in the dataset and in the test set, see `Audit`."""

    leaks: tuple[tuple[str, str], ...] = ()
    scenes: tuple[tuple[str, str], ...] = ()


def shared_images(dataset: Dataset, testset: Dataset) -> SharedImages:
    """Find the images of a test set that are in the dataset as well."""
    if not (len(dataset) and len(testset)):
        return SharedImages()
    neighbours = nearest(dataset, testset, min(TYPICAL_RANK, len(dataset)), "cosine")
    leaks = find_leaks(dataset, testset, neighbours)
    return SharedImages(tuple((dataset.paths[i], testset.paths[j]) for i, j, _ in leaks))
