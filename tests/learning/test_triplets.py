"""Sampling of triplets and pairs."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dogsim import DogsimError, sample_pairs, sample_triplets
from dogsim.learning.triplets import MIN_RELEVANCE_DIFFERENCE

# a busy machine must not fail a test
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@PATIENT
@given(st.lists(st.integers(-1, 3), min_size=2, max_size=20), st.integers(0, 9))
def test_triplets_are_valid(labels: list[int], seed: int) -> None:
    known = [label for label in labels if label >= 0]
    if len(set(known)) < 2 or len(set(known)) == len(known):
        with pytest.raises(DogsimError, match="Expected 2 breeds or more"):
            sample_triplets(labels, 5, seed)
        return
    triplets = sample_triplets(labels, 50, seed)
    query, positive, negative = np.array(labels)[triplets].T
    assert triplets.shape == (50, 3)
    assert (query >= 0).all()
    assert (negative >= 0).all()
    assert (query == positive).all()
    assert (query != negative).all()
    assert (triplets[:, 0] != triplets[:, 1]).all()
    assert np.array_equal(triplets, sample_triplets(labels, 50, seed))


def test_triplets_are_uniform() -> None:
    labels = [5, 1, 5, -1, 1, 5, 2]  # 5: rows 0, 2, 5; 1: rows 1, 4; 2: row 6, never a query
    triplets, counts = np.unique(sample_triplets(labels, 40_000), axis=0, return_counts=True)
    of_query_0 = counts[triplets[:, 0] == 0]
    assert len(of_query_0) == 2 * 3  # positives 2 and 5, negatives 1, 4 and 6
    assert len(triplets) == 3 * 6 + 2 * 4
    np.testing.assert_allclose(of_query_0, 40_000 / 5 / 6, rtol=0.12)
    with pytest.raises(DogsimError, match="Received n=0"):
        sample_triplets(labels, 0)


def relevance_of(features: np.ndarray) -> np.ndarray:
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray((1 + units @ units.T) / 2)


def test_in_class_negatives_are_less_relevant_images_of_the_same_breed() -> None:
    rng = np.random.default_rng(0)
    labels, features = rng.integers(-1, 4, 60), rng.normal(size=(60, 8))
    relevance = relevance_of(features)
    triplets = sample_triplets(labels, 500, 3, features, in_class=1)
    query, positive, negative = triplets.T
    assert (labels[query] >= 0).all()
    assert (labels[triplets] == labels[query][:, None]).all()
    assert (np.sort(triplets)[:, 1:] != np.sort(triplets)[:, :-1]).all()
    nearer = relevance[query, positive] - relevance[query, negative]
    assert nearer.min() >= MIN_RELEVANCE_DIFFERENCE - 1e-12
    assert np.array_equal(triplets, sample_triplets(labels, 500, 3, features, in_class=1))


def test_in_class_triplets_are_drawn_by_relevance() -> None:
    """The probabilities of the paper, computed for every possible triplet of five images."""
    features = np.random.default_rng(1).normal(size=(5, 3))
    relevance = relevance_of(features)
    np.fill_diagonal(relevance, np.nan)
    weight, probability = np.zeros((5, 5)), {}
    for i in range(5):
        for p in range(5):
            less = relevance[i] <= relevance[i, p] - MIN_RELEVANCE_DIFFERENCE
            if i != p and less.any():
                weight[i, p] = relevance[i, p]
                for n in np.flatnonzero(less):
                    probability[i, p, int(n)] = relevance[i, n] / relevance[i][less].sum()
    expected = {t: weight[t[:2]] / weight.sum() * part for t, part in probability.items()}
    triplets = sample_triplets([0] * 5, 60_000, 0, features, in_class=1)
    found, counts = np.unique(triplets, axis=0, return_counts=True)
    assert {tuple(map(int, t)) for t in found} == set(expected)
    for triplet, count in zip(found, counts, strict=True):
        wanted = 60_000 * expected[int(triplet[0]), int(triplet[1]), int(triplet[2])]
        assert abs(count - wanted) < 5 * np.sqrt(wanted) + 1


def test_a_mixture_has_both_kinds_of_negatives() -> None:
    rng = np.random.default_rng(0)
    labels, features = np.repeat(np.arange(4), 9), rng.normal(size=(36, 8))
    triplets = sample_triplets(labels, 1000, 0, features, in_class=0.3)
    in_class = labels[triplets[:, 0]] == labels[triplets[:, 2]]
    assert in_class.sum() == 300
    assert 100 < in_class[:500].sum() < 200  # in random order
    for wrong, message in [
        ({"in_class": 0.3}, "Received no features"),
        ({"in_class": 2, "features": features}, "in_class=2. Expected 0 to 1"),
        ({"in_class": 1, "features": features[:5]}, r"features \(5, 8\) for 36 labels"),
        ({"in_class": 1, "features": np.ones((36, 8))}, "no breed with images of different"),
    ]:
        with pytest.raises(DogsimError, match=message):
            sample_triplets(labels, 10, **wrong)  # type: ignore[arg-type]
    with pytest.raises(DogsimError, match="no breed with images of different"):
        sample_triplets([0, 0, 1, 1], 10, 0, features[:4], in_class=1)


def test_pairs_alternate() -> None:
    labels = np.array([5, 1, 5, -1, 1, 5, 2])
    first, second = labels[sample_pairs(labels, 101)].T
    assert (first >= 0).all()
    assert ((first == second) == (np.arange(101) % 2 == 0)).all()
