import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clouds import breeds_in_noise, cloud
from commands import python
from sklearn.metrics import accuracy_score, confusion_matrix, precision_recall_fscore_support
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from dogsim.accuracy import accuracy, published_accuracy
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.scores import calibration_error, confusions, measure, per_breed
from dogsim.vote import majority_vote


def line(positions: list[float], labels: list[int]) -> Dataset:
    return Dataset(
        np.array(positions, np.float32)[:, None],
        np.array(labels, np.int32),
        tuple(f"{i}.jpg" for i in range(len(labels))),
        ("pug", "whippet", "borzoi"),
    )


def test_worked_example() -> None:
    """Five images on a line: pugs at 0, 1, 5, whippets at 6, 8."""
    five = line([0, 1, 5, 6, 8], [0, 0, 0, 1, 1])
    result = accuracy(five, k=2)
    # neighbours, nearest first: 1 5, 0 5, 6 8, 5 8, 6 5
    assert (result.queries, result.gallery, result.k) == (5, 4, 2)
    assert result.precision_at_k == (2 + 2 + 0 + 1 + 1) / 10
    assert result.recall_at_k == pytest.approx((2 / 2 + 2 / 2 + 0 + 1 / 1 + 1 / 1) / 5)
    assert result.f1_at_k == pytest.approx(2 * 0.6 * 0.8 / 1.4)
    # votes: pug, pug, whippet; 6 has 5 (pug) nearer than 8: wrong; 8 has 6 nearer: right
    assert result.vote_accuracy == 3 / 5
    assert result.chance == pytest.approx((2 / 4 * 3 + 1 / 4 * 2) / 5)
    # Wilson's interval of 3 in 5, computed by hand
    assert result.vote_accuracy_ci95 == pytest.approx((0.2307, 0.8824), abs=1e-4)


def test_the_matlab_protocol_counts_the_query_itself() -> None:
    five = line([0, 1, 5, 6, 8], [0, 0, 0, 1, 1])
    result = accuracy(five, k=3, protocol="matlab")
    # the query and its nearest neighbour: k - 1 = 2 of 3 count; 5 and 6 are nearest to each other
    assert result.precision_at_k == (2 + 2 + 1 + 1 + 2) / 10
    assert result.gallery == 5


def test_a_duplicate_stays_and_only_the_query_is_left_out() -> None:
    twins = line([3, 3, 3, 9], [0, 1, 0, 1])
    # each of the three equal images finds the other one with the lowest index
    assert accuracy(twins, k=1).precision_at_k == (0 + 0 + 1 + 0) / 4


def test_against_scikit_learn() -> None:
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 3, 300)
    dataset = Dataset(
        (rng.normal(size=(300, 8)) + labels[:, None]).astype(np.float32),
        labels.astype(np.int32),
        tuple(map(str, range(300))),
        ("a", "b", "c"),
    )
    peer = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(dataset.features)
    nearest = peer.kneighbors(return_distance=False)[:, 0]  # without arguments: leave-one-out
    result = accuracy(dataset, k=1)
    assert result.precision_at_k == pytest.approx(accuracy_score(labels, labels[nearest]))
    assert result.vote_accuracy == pytest.approx(result.precision_at_k)


def test_another_test_set() -> None:
    gallery = line([0, 1, 5, 6], [0, 0, 1, 1])
    test = replace(line([0.1, 5.1, 5.2], [1, 0, 2]), breeds=("whippet", "pug", "borzoi"))
    result = accuracy(gallery, k=1, testset=test)
    # breeds are compared by name: pug finds pug; whippet at 5.1 finds whippet; no borzoi is known
    assert (result.queries, result.gallery) == (3, 4)
    assert result.precision_at_k == pytest.approx(2 / 3)
    assert result.recall_at_k == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_images_of_unknown_breed_are_no_queries() -> None:
    dataset = line([0, 1, 2, 3], [0, -1, 0, -1])
    result = accuracy(dataset, k=1)
    assert (result.queries, result.gallery, result.precision_at_k) == (2, 3, 0.0)
    with pytest.raises(DogsimError, match="No query has a known breed.*create-dataset --labels"):
        accuracy(line([0, 1], [-1, -1]), k=1)


def test_an_unlabelled_copy_of_a_query_is_no_answer() -> None:
    dataset = line([0, 0, 1, 2, 50, 51, 52, 52], [0, -1, 0, 0, 1, 1, 1, -1])
    assert accuracy(dataset, k=3, vote="distance").vote_accuracy == 1


def test_the_default_k_is_at_most_all_images(
    four: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    assert accuracy(four).k == 3
    note = "Only 3 images can be neighbours: k is 3 instead of 20.\n"
    assert capsys.readouterr().err == note
    assert accuracy(line(list(range(30)), [0, 1] * 15)).k == 20
    with pytest.raises(DogsimError, match="Received k=20. Expected 1 to 3"):
        accuracy(four, k=20)
    with pytest.raises(DogsimError, match="There are 0 images to be neighbours"):
        accuracy(four.take([0]))


def test_drawn_queries() -> None:
    dataset = line(list(range(40)), [0, 1] * 20)
    draws = [accuracy(dataset, 1, n_test=7, seed=seed) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert draws[0].queries == 7
    with pytest.raises(DogsimError, match="n_test=41. Expected 1 to 40"):
        accuracy(dataset, 1, n_test=41)


def test_invalid_options(four: Dataset) -> None:
    for k in (0, -3, 4):
        with pytest.raises(DogsimError, match=f"k={k}. Expected 1 to 3"):
            accuracy(four, k)
    with pytest.raises(DogsimError, match="Unknown protocol 'matlob'; did you mean 'matlab'"):
        accuracy(four, 1, protocol="matlob")
    with pytest.raises(DogsimError, match="whose queries are images of the dataset"):
        accuracy(four, 2, testset=four, protocol="matlab")
    with pytest.raises(DogsimError, match="Expected 2 or more"):
        accuracy(four, 1, protocol="matlab")
    with pytest.raises(DogsimError, match="Unknown metric"):
        accuracy(four, 1, metric="manhattan")


def stored(real_data: Path, only: Path | None = None) -> Dataset:
    with np.load(real_data / "features" / "stanford_dogs_resnet50_12000.npz") as stored:
        paths = stored["paths"].tolist()
        chosen = [i for i, path in enumerate(paths) if only is None or (only / path).is_file()]
        return Dataset(
            stored["features"][chosen].astype(np.float32),
            stored["labels"][chosen].astype(np.int32),
            tuple(paths[i] for i in chosen),
            tuple(stored["breeds"].tolist()),
        )


@pytest.mark.real_data
def test_reference_numbers_of_12000_photos(real_data: Path) -> None:
    dataset = stored(real_data)
    results = {k: accuracy(dataset, k) for k in (1, 5, 20)}
    assert results[1].precision_at_k == pytest.approx(0.7254, abs=5e-4)
    assert results[5].precision_at_k == pytest.approx(0.6709, abs=5e-4)
    assert results[20].precision_at_k == pytest.approx(0.5849, abs=5e-4)
    assert results[20].recall_at_k == pytest.approx(0.1182, abs=5e-4)
    assert results[5].vote_accuracy == pytest.approx(0.7700, abs=5e-4)
    assert results[20].vote_accuracy == pytest.approx(0.7789, abs=5e-4)
    matlab = accuracy(dataset, 20, protocol="matlab")
    assert matlab.precision_at_k == pytest.approx(0.6151, abs=5e-4)


@pytest.mark.real_data
def test_photos_to_reference_numbers(real_data: Path, tmp_path: Path) -> None:
    """The features of photos by a real ResNet-50 have the reference accuracy."""
    import subprocess
    import sys

    from dogsim.create_dataset import create_dataset

    weights = tmp_path / "resnet50.keras"
    script = real_data / "weights" / "make_keras_model.py"
    subprocess.run([sys.executable, script, weights], check=True, capture_output=True)
    photos = real_data / "data" / "stanford_dogs_224"
    made = create_dataset(photos, tmp_path / "d.h5", weights=str(weights))

    known = stored(real_data, photos)
    row_of = {path: row for row, path in enumerate(known.paths)}
    expected = known.features[[row_of[path] for path in made.paths]]
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(made.features, axis=1)
    assert len(made) == 1200
    assert ((expected * made.features).sum(axis=1) / lengths).min() >= 0.999

    results = {k: accuracy(made, k) for k in (1, 5, 20)}
    assert results[1].precision_at_k == pytest.approx(0.8542, abs=3e-3)
    assert results[5].precision_at_k == pytest.approx(0.8172, abs=3e-3)
    assert results[20].precision_at_k == pytest.approx(0.7250, abs=3e-3)
    assert results[20].recall_at_k == pytest.approx(0.2959, abs=3e-3)
    assert results[5].vote_accuracy == pytest.approx(0.8842, abs=3e-3)
    assert results[20].vote_accuracy == pytest.approx(0.8733, abs=3e-3)
    matlab = accuracy(made, 20, protocol="matlab")
    assert matlab.precision_at_k == pytest.approx(0.7517, abs=3e-3)


def on_a_line(positions: list[float], labels: list[int]) -> Dataset:
    paths = tuple(map(str, range(len(labels))))
    features = np.array(positions, np.float32)[:, None]
    return Dataset(features, np.array(labels, np.int32), paths, ("a", "b"))


def test_map_at_r_worked_example() -> None:
    """As in pytorch-metric-learning: the sum of precision@i over the hits, divided by R."""
    gallery = on_a_line([1, 2, 3, 4, 5], [0, 1, 0, 0, 1])
    query = on_a_line([0, 9], [0, 1])
    # query a: R = 3, neighbours a b a -> (1/1 + 0 + 2/3) / 3; query b: R = 2, b a -> (1/1 + 0) / 2
    assert Evaluation(gallery, query).map_at_r() == pytest.approx(((1 + 2 / 3) / 3 + 1 / 2) / 2)


def test_map_at_r_is_one_if_all_neighbours_are_right() -> None:
    far = on_a_line([0, 1, 2, 100, 101], [0, 0, 0, 1, 1])
    assert Evaluation(far).map_at_r() == 1


def test_several_k_equal_each_k() -> None:
    dataset = cloud(120)
    found = Evaluation(dataset).neighbours(20)
    for k in (1, 5, 20):
        assert measure(found.first(k)) == accuracy(dataset, k)
    matlab = Evaluation(dataset, protocol="matlab").neighbours(20)
    assert measure(matlab.first(5)) == accuracy(dataset, 5, protocol="matlab")


@pytest.mark.parametrize("vote", ["uniform", "distance"])
def test_votes_equal_those_of_scikit_learn(vote: str) -> None:
    gallery, test = cloud(300, classes=2), cloud(150, classes=2)
    peer = KNeighborsClassifier(7, weights=vote, algorithm="brute").fit(
        gallery.features.astype(np.float64), gallery.labels
    )
    answers = peer.predict(test.features.astype(np.float64))
    ours = accuracy(gallery, 7, test, vote=vote).vote_accuracy
    assert ours == pytest.approx(accuracy_score(test.labels, answers))


def test_per_breed_scores_and_confusions_equal_those_of_scikit_learn() -> None:
    gallery, test = cloud(300, spread=1.5), cloud(200, spread=1.5)
    found = Evaluation(gallery, test).neighbours(9)
    answers = majority_vote(found.labels)
    recall = precision_recall_fscore_support(test.labels, answers)[1]
    scores = {score.breed: score for score in per_breed(found)}
    for label, name in enumerate(gallery.breeds):
        assert scores[name].vote_accuracy == pytest.approx(recall[label])
        assert scores[name].queries == int((test.labels == label).sum())
    worst_first = [score.vote_accuracy for score in per_breed(found)]
    assert worst_first == sorted(worst_first)

    matrix = confusion_matrix(test.labels, answers)
    pairs = confusions(found)
    for pair in pairs:
        truth, answer = (gallery.breeds.index(name) for name in (pair.breed, pair.taken_for))
        assert pair.count == matrix[truth, answer]
        assert pair.part == pytest.approx(matrix[truth, answer] / matrix[truth].sum())
    assert sum(pair.count for pair in pairs) == matrix.sum() - np.trace(matrix)
    assert [pair.count for pair in pairs] == sorted((pair.count for pair in pairs), reverse=True)


def test_map_at_r_with_the_matlab_protocol() -> None:
    """The query is its own first neighbour and one of the R images of its breed."""
    for far in ([0, 1, 2, 100, 101], [0, 1, 2, 3, 4]):
        labels = [0, 0, 0, 1, 1] if far[3] == 100 else [0] * 5
        dataset = on_a_line([float(x) for x in far], labels)
        assert Evaluation(dataset, protocol="matlab").map_at_r() == 1
    mixed = on_a_line([0, 1, 1.9], [0, 1, 0])
    # a finds itself and b: (1 + 0) / 2; b itself: 1; the other a itself and b: 1 / 2
    found = Evaluation(mixed, protocol="matlab").map_at_r()
    assert found == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)


def test_map_at_r_is_independent_of_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = cloud(90)
    whole = Evaluation(dataset).map_at_r()
    monkeypatch.setattr("dogsim.retrieval.evaluation.MAX_BLOCK_BYTES", 32 * 40 * 7)
    assert Evaluation(dataset).map_at_r() == pytest.approx(whole, rel=1e-12)


def test_weighted_votes_in_per_breed_scores_and_confusions() -> None:
    gallery = on_a_line([0, 3, 3.1, 50], [0, 1, 1, 1])
    query = on_a_line([0.1], [0])
    uniform = Evaluation(gallery, query).neighbours(3)
    assert [each.taken_for for each in confusions(uniform)] == ["b"]
    weighted = Evaluation(gallery, query, vote="distance").neighbours(3)
    assert confusions(weighted) == []
    assert [each.vote_accuracy for each in per_breed(weighted)] == [1]


def test_every_k_is_checked_before_the_search(
    four: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dogsim.retrieval.evaluation.nearest", None)
    cases: list[tuple[list[Any], Any, str]] = [
        ([1, 5], {"protocol": "matlab"}, "k=1. Protocol matlab counts k - 1"),
        ([3, 0], {}, "k=0. Expected 1 to 3"),
        ([3, 4], {}, "k=4. Expected 1 to 3"),
        ([2.0], {}, "k=2.0. Expected a whole number"),
        ([True], {}, "k=True. Expected a whole number"),
        ([1], {"vote": "loud"}, "Unknown vote 'loud'"),
        ([1], {"metric": "far"}, "Unknown metric 'far'"),
        ([], {}, "Expected one k or more"),
    ]
    for ks, options, message in cases:
        with pytest.raises(DogsimError, match=message):
            Evaluation(four, **options).accuracies(ks)


def test_a_dataset_or_its_path(four: Dataset, tmp_path: Path) -> None:
    four.save(tmp_path / "d.h5")
    assert accuracy(tmp_path / "d.h5", np.int64(1)) == accuracy(four, 1)
    assert accuracy(four, 1, str(tmp_path / "d.h5")).queries == 4
    with pytest.raises(DogsimError, match=r"Received list\. Expected a Dataset or the path"):
        accuracy([four], 1)  # type: ignore[arg-type]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory from /proc")
@pytest.mark.parametrize("images", [2000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_map_at_r_in_bounded_memory(images: int) -> None:
    """With two breeds, R is half of the gallery."""
    code = (
        "from clouds import cloud\n"
        "from memory import peak_megabytes\n"
        "from dogsim.retrieval.evaluation import Evaluation\n"
        f"data = cloud(2 * {images}, classes=2)\n"
        "before = peak_megabytes()\n"
        "evaluation = Evaluation(data, n_test=2000)\n"
        "evaluation.accuracy(1)\n"
        "print(evaluation.map_at_r() > 0.5, before, peak_megabytes())"
    )
    done = python("-c", code, PYTHONPATH="tests")
    assert done.returncode == 0, done.stderr
    right, before, peak = done.stdout.split()
    assert right == "True"
    assert int(peak) - int(before) < 500
    assert int(peak) < 1000


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (3, 7), (0, 50), (1050, 1200)])
def test_the_interval_equals_that_of_scipy(right: int, n: int) -> None:
    from scipy.stats import binomtest

    from dogsim.retrieval.scores import wilson_interval

    expected = binomtest(right, n).proportion_ci(method="wilson")
    assert wilson_interval(right / n, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_texts_of_an_accuracy() -> None:
    found = accuracy(line([0, 1, 5, 6, 8], [0, 0, 0, 1, 1]), k=1)
    expected = "<Accuracy: P@1 0.6000, vote 0.6000 (0.2307 to 0.8824), 5 queries>"
    assert repr(found) == expected
    heading, columns, numbers = str(found).replace("\n\n", "\n").splitlines()
    assert heading == "5 queries, gallery of 4 images, euclidean distance; chance level 0.4000"
    assert columns.split()[:3] == ["k", "precision@k", "recall@k"]
    assert numbers.split()[:3] == ["1", "0.6000", "0.4000"]
    shown = found._repr_html_()
    assert "<th>precision@k</th>" in shown
    assert "<td>0.6000</td>" in shown


def test_calibration_by_hand() -> None:
    # two answers at 0.9, one right: difference 0.4; two at 0.6, both right: 0.4; equal weights
    probabilities = [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.6, 0.4]]
    assert calibration_error(probabilities, [0, 1, 1, 0]) == pytest.approx(0.4)
    assert calibration_error([[1.0, 0.0]] * 3, [0, 0, 0]) == 0


def test_published_accuracy_equals_draws_of_the_matlab_protocol() -> None:
    dataset = breeds_in_noise()
    found = published_accuracy(dataset, seed=3)
    all_queries = accuracy(dataset, 20, protocol="matlab").precision_at_k
    draws = [accuracy(dataset, 20, n_test=50, protocol="matlab", seed=i) for i in range(200)]
    precisions = [each.precision_at_k for each in draws]
    low, high = found.precision_at_k_ci95
    assert found.precision_at_k == pytest.approx(all_queries, abs=0.01)
    assert low == pytest.approx(np.quantile(precisions, 0.025), abs=0.03)
    assert high == pytest.approx(np.quantile(precisions, 0.975), abs=0.03)
    assert 0.2 < low < high - 0.01 < 1
    assert found == published_accuracy(dataset, seed=3) != published_accuracy(dataset, seed=4)
    with pytest.raises(DogsimError, match="Received a dataset with 49 images of known breed"):
        published_accuracy(dataset.take(np.arange(49)))
