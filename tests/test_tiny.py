"""`scripts/tiny.py` finds the neighbours, votes and accuracy of the package."""

from pathlib import Path

import numpy as np
import pytest
from clouds import cloud
from commands import lesson

import tiny
from dogsim import Dataset, accuracy, majority_vote, nearest, sample_dataset


def assert_equal(dataset: Dataset) -> None:
    """Compare neighbours, votes and scores on the features of a dataset."""
    labels = dataset.labels.astype(np.intp)
    for k in (1, 5, 20):
        _, near = nearest(dataset, dataset, k, exclude=np.arange(len(dataset)))
        for row, query in enumerate(dataset.features):
            distances = tiny.dist_calc(dataset.features, query)
            distances[row] = np.inf
            assert np.array_equal(tiny.mink(distances, k), near[row])
        votes = [tiny.vote(each) for each in labels[near]]
        assert np.array_equal(votes, majority_vote(labels[near]))
        expected = accuracy(dataset, k)
        scores = (expected.precision_at_k, expected.vote_accuracy)
        assert tiny.evaluate(dataset.features, labels, k) == pytest.approx(scores)


def test_neighbours_votes_and_accuracy_equal_those_of_the_package() -> None:
    assert_equal(cloud(90))  # overlapping breeds, with ties in the votes
    assert_equal(sample_dataset())


def test_features_equal_those_of_the_sample() -> None:
    dataset, root = sample_dataset(), Path(sample_dataset().root)
    paths, labels, breeds = tiny.list_images(root)
    assert [path.relative_to(root).as_posix() for path in paths] == list(dataset.paths)
    assert [breeds[label] for label in labels] == [
        dataset.breeds[label].replace(" ", "_") for label in dataset.labels
    ]
    some = np.arange(0, len(paths), 60)
    computed = tiny.network_features([paths[i] for i in some])
    scale = np.linalg.norm(dataset.features[some], axis=1)
    assert (np.linalg.norm(computed - dataset.features[some], axis=1) < 0.02 * scale).all()


def test_it_has_at_most_100_lines_and_runs_without_a_network() -> None:
    assert len(Path(tiny.__file__).read_text(encoding="utf-8").splitlines()) <= 100
    out = lesson("tiny", "--pixels", "-k", 1)
    assert out.startswith("300 images of 12 breeds, leave-one-out, k = 1\nprecision 0.")
    query = tiny.SAMPLE / "pug" / "01.jpg"
    lines = lesson("tiny", "--pixels", "--query", query, "-k", 2).splitlines()
    assert lines[0] == f"{query}: pug"
    assert lines[1].split() == ["0.000", str(query)]
