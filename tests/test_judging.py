"""Beyond one k: MAP@R, votes by distance, breed by breed, confusions, sets that overlap."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from sklearn.neighbors import KNeighborsClassifier

from dogsim.accuracy import accuracy, map_at_r, measure
from dogsim.classify import majority_vote, vote_weights
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.neighbours import evaluate
from dogsim.report import confusions, per_breed

RNG = np.random.default_rng(11)


def cloud(n: int, classes: int = 4, spread: float = 1.0) -> Dataset:
    labels = RNG.integers(0, classes, n).astype(np.int32)
    centres = np.random.default_rng(0).normal(size=(classes, 6))
    features = centres[labels] + spread * RNG.normal(size=(n, 6))
    names = tuple(f"breed {i}" for i in range(classes))
    paths = tuple(f"{RNG.integers(1 << 60)}.jpg" for _ in range(n))
    return Dataset(features.astype(np.float32), labels, paths, names)


def on_a_line(positions: list[float], labels: list[int]) -> Dataset:
    paths = tuple(map(str, range(len(labels))))
    features = np.array(positions, np.float32)[:, None]
    return Dataset(features, np.array(labels, np.int32), paths, ("a", "b"))


def test_map_at_r_worked_example() -> None:
    """As pytorch-metric-learning defines it: precision@i where i is right, over R."""
    gallery = on_a_line([1, 2, 3, 4, 5], [0, 1, 0, 0, 1])
    query = on_a_line([0, 9], [0, 1])
    # query a: R = 3, neighbours a b a -> (1/1 + 0 + 2/3) / 3; query b: R = 2, b a -> (1/1 + 0) / 2
    found = evaluate(gallery, None, query)
    assert map_at_r(found) == pytest.approx(((1 + 2 / 3) / 3 + 1 / 2) / 2)


def test_map_at_r_is_one_where_all_is_right() -> None:
    far = on_a_line([0, 1, 2, 100, 101], [0, 0, 0, 1, 1])
    assert map_at_r(evaluate(far, None)) == 1


def test_several_k_are_each_k() -> None:
    dataset = cloud(120)
    found = evaluate(dataset, 20)
    for k in (1, 5, 20):
        assert measure(found, k) == accuracy(dataset, k)
    matlab = evaluate(dataset, 20, protocol="matlab")
    assert measure(matlab, 5) == accuracy(dataset, 5, protocol="matlab")


@pytest.mark.parametrize("vote", ["uniform", "distance"])
def test_votes_are_scikit_learns(vote: str) -> None:
    gallery, test = cloud(300, classes=2), cloud(150, classes=2)
    peer = KNeighborsClassifier(7, weights=vote, algorithm="brute").fit(
        gallery.features.astype(np.float64), gallery.labels
    )
    answers = peer.predict(test.features.astype(np.float64))
    ours = accuracy(gallery, 7, test, vote=vote).vote_accuracy
    assert ours == pytest.approx(accuracy_score(test.labels, answers))


def test_votes_weighed_by_hand() -> None:
    distances = np.array([[1.0, 3.0, 3.0], [0.0, 1.0, 1.0]])
    labels = [[4, 5, 5], [4, 5, 5]]
    assert majority_vote(labels).tolist() == [5, 5]
    # 1 / 1 against 1 / 3 + 1 / 3; and a distance of 0 outweighs all
    assert majority_vote(labels, vote_weights(distances, "distance")).tolist() == [4, 4]
    with pytest.raises(DogsimError, match="Unknown vote 'distances'; did you mean 'distance'"):
        vote_weights(distances, "distances")


def test_breed_by_breed_and_confusions_are_scikit_learns() -> None:
    gallery, test = cloud(300, spread=1.5), cloud(200, spread=1.5)
    found = evaluate(gallery, 9, test)
    answers = majority_vote(found.neighbours)
    recall = precision_recall_fscore_support(test.labels, answers)[1]
    scores = {score.breed: score for score in per_breed(found, 9)}
    for label, name in enumerate(gallery.breeds):
        assert scores[name].vote_accuracy == pytest.approx(recall[label])
        assert scores[name].queries == int((test.labels == label).sum())
    worst_first = [score.vote_accuracy for score in per_breed(found, 9)]
    assert worst_first == sorted(worst_first)

    matrix = confusion_matrix(test.labels, answers)
    pairs = confusions(found, 9)
    for pair in pairs:
        truth, answer = (gallery.breeds.index(name) for name in (pair.breed, pair.taken_for))
        assert pair.count == matrix[truth, answer]
        assert pair.part == pytest.approx(matrix[truth, answer] / matrix[truth].sum())
    assert sum(pair.count for pair in pairs) == matrix.sum() - np.trace(matrix)
    assert [pair.count for pair in pairs] == sorted((pair.count for pair in pairs), reverse=True)


def test_pictures_in_both_sets_are_counted() -> None:
    gallery, test = cloud(30), cloud(20)
    assert evaluate(gallery, 1, test).in_both == 0
    same_path = Dataset(
        test.features, test.labels, (gallery.paths[3], *test.paths[1:]), test.breeds
    )
    assert evaluate(gallery, 1, same_path).in_both == 1
    features = test.features.copy()
    features[:2] = gallery.features[5]
    same_features = Dataset(features, test.labels, same_path.paths, test.breeds)
    assert evaluate(gallery, 1, same_features).in_both == 2
