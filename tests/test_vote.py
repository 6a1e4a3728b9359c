"""The vote of the neighbours."""

import tracemalloc
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from dogsim.errors import DogsimError
from dogsim.vote import count_votes, majority_vote, vote_weights


@pytest.mark.parametrize(
    ("labels", "winner"),
    [
        ([3], 3),
        ([1, 2, 2], 2),
        ([5, 1, 1, 5], 5),  # a tie: 5 has the nearest neighbour
        ([4, 1, 2, 2, 1], 1),  # a tie of two; the nearest neighbour has one vote only
        ([-1, -1, -1, 0], 0),  # an unknown label has no vote
        ([-1, -1], -1),
    ],
)
def test_vote_worked_examples(labels: list[int], winner: int) -> None:
    assert majority_vote([labels]).tolist() == [winner]


@given(st.lists(st.lists(st.integers(-1, 4), min_size=6, max_size=6), min_size=1, max_size=8))
def test_vote_equals_its_definition(rows: list[list[int]]) -> None:
    for row, winner in zip(rows, majority_vote(rows), strict=True):
        votes = Counter(label for label in row if label >= 0)
        if not votes:
            assert winner == -1
        else:
            tied = [label for label in votes if votes[label] == max(votes.values())]
            assert winner == min(tied, key=row.index)


def test_vote_without_ties_equals_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    known, queries = rng.normal(size=(200, 5)), rng.normal(size=(100, 5))
    labels = rng.integers(0, 2, 200)  # two classes and an odd k cannot tie
    peer = KNeighborsClassifier(n_neighbors=7, algorithm="brute").fit(known, labels)
    ours = majority_vote(labels[peer.kneighbors(queries, return_distance=False)])
    assert np.array_equal(ours, peer.predict(queries))


def test_vote_without_neighbours() -> None:
    invalid: list[Any] = [[], [[]], [1, 2]]
    for labels in invalid:
        with pytest.raises(DogsimError, match=r"Expected \(n, k\)"):
            majority_vote(labels)


def test_weighted_votes_by_hand() -> None:
    distances = np.array([[1.0, 3.0, 3.0], [0.0, 1.0, 1.0]])
    labels = [[4, 5, 5], [4, 5, 5]]
    assert majority_vote(labels).tolist() == [5, 5]
    # 1 / 1 against 1 / 3 + 1 / 3; a distance of 0 outweighs all others
    assert majority_vote(labels, vote_weights(distances, "distance")).tolist() == [4, 4]
    with pytest.raises(DogsimError, match="Unknown vote 'distances'; did you mean 'distance'"):
        vote_weights(distances, "distances")


def test_an_unlabelled_neighbour_at_distance_0_does_not_silence_the_others() -> None:
    """Label -1 has no vote, so the labelled neighbours vote with 1 / distance."""
    labels = np.array([[-1, 4, 5, 5]], np.int32)
    distances = np.array([[0.0, 2.0, 3.0, 3.0]])
    assert majority_vote(labels, vote_weights(distances, "distance", labels)).tolist() == [5]
    assert majority_vote(labels, vote_weights(distances, "distance")).tolist() == [4]
    alone = np.array([[-1, -1]], np.int32)
    weights = vote_weights(distances[:, :2], "distance", alone)
    assert majority_vote(alone, weights).tolist() == [-1]


def test_labels_of_any_size_take_little_memory() -> None:
    assert majority_vote([[2**31 - 1, 0, 2**31 - 1]]).tolist() == [2**31 - 1]
    for labels in ([[-2, 0]], [[2**31, 0]]):
        with pytest.raises(DogsimError, match="Expected -1 .unknown. and more"):
            majority_vote(labels)
    with pytest.raises(DogsimError, match=r"Received weights \(1, 1\). Expected \(1, 2\)"):
        majority_vote([[0, 1]], np.ones((1, 1)))


def test_votes_of_many_breeds_take_little_memory() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(-1, 50_000, (300, 20)).astype(np.int32)
    labels[:, 1] = labels[:, 0]
    weights = rng.random((300, 20))
    tracemalloc.start()
    counts, sums = count_votes(labels), count_votes(labels, weights)
    assert (
        tracemalloc.get_traced_memory()[1] < 150e6
    )  # a table of all labels: 300 x 50,000 x 8 bytes
    tracemalloc.stop()
    same = labels[:, :, None] == labels[:, None, :]
    known = labels >= 0
    assert np.array_equal(counts, same.sum(axis=2) * known)
    np.testing.assert_allclose(sums, (same * weights[:, None, :]).sum(axis=2) * known)
