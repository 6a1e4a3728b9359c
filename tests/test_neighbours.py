"""Who is asked, and who answers."""

from clouds import cloud

from dogsim.dataset import Dataset
from dogsim.neighbours import find_neighbours


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
