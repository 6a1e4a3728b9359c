"""Wrong labels are found, and the list ends where its estimated precision is too low."""

from dataclasses import replace

import numpy as np
import pytest
from clouds import cloud
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.retrieval.own_neighbours import own_neighbours
from dogsim.trust.audit import audit
from dogsim.trust.findings import MIN_LABEL_PRECISION
from dogsim.trust.leave_one_out import MAX_NEIGHBOURS, LeaveOneOut, VoteScores
from dogsim.trust.vote_findings import (
    LabelNoise,
    _nearest_of_breed,
    estimate_label_noise,
    label_chances,
    likeliest_rows,
    suspicious_labels,
)


def votes_on(dataset: Dataset) -> LeaveOneOut:
    return LeaveOneOut(dataset, own_neighbours(dataset, MAX_NEIGHBOURS))


def chances_of(dataset: Dataset) -> tuple[LabelNoise, NDArray[np.float64]]:
    """Return the estimated noise and the chance that each label is wrong, (n,)."""
    votes = votes_on(dataset)
    noise = estimate_label_noise(votes)
    return noise, label_chances(votes.scores(noise.temperature), noise.fraction, votes.n_breeds)


def exchanged(
    dataset: Dataset, seed: int, fraction: float = 0.05
) -> tuple[Dataset, NDArray[np.bool_]]:
    """Change the labels of a fraction of the images; return the dataset and which these are."""
    rng = np.random.default_rng(seed)
    wrong = np.zeros(len(dataset), bool)
    wrong[rng.choice(len(dataset), round(len(dataset) * fraction), replace=False)] = True
    others = dataset.labels + rng.integers(1, len(dataset.breeds), len(dataset))
    labels = np.where(wrong, others % len(dataset.breeds), dataset.labels).astype(np.int32)
    return replace(dataset, labels=labels), wrong


def test_exchanged_labels_come_first() -> None:
    known = cloud(400, spread=0.3)
    mixed, wrong = exchanged(known, seed=0)
    assert roc_auc_score(wrong, chances_of(mixed)[1]) >= 0.97
    found = audit(mixed).labels
    truth = {path: known.breed(row) for row, path in enumerate(known.paths)}
    label = {path: mixed.breed(row) for row, path in enumerate(mixed.paths)}
    assert sum(each.suggested == truth[each.path] != each.breed for each in found) >= 16  # of 20
    assert all(each.breed == label[each.path] for each in found)
    assert all(label[each.like] == each.suggested for each in found)
    assert [each.chance for each in found] == sorted((x.chance for x in found), reverse=True)


@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_the_list_is_as_precise_as_it_says(spread: float) -> None:
    """With breeds that are apart (0.3) and that overlap (1.0)."""
    known = cloud(900, spread=spread)
    assert len(audit(known).labels) <= 5
    mixed, wrong = exchanged(known, seed=1)
    noise, _ = chances_of(mixed)
    assert 0.02 <= noise.fraction <= 0.08
    found = audit(mixed).labels
    assert np.mean([each.chance for each in found]) >= MIN_LABEL_PRECISION
    wrong_paths = {path for path, each in zip(mixed.paths, wrong, strict=True) if each}
    assert np.mean([each.path in wrong_paths for each in found]) >= MIN_LABEL_PRECISION


def test_chance_by_hand() -> None:
    """With three breeds, 12 % wrong labels and shares (0.01, 0.9, 0.09) of which the first is own.

    P(label) = 0.88 * 0.01 + 0.06 * 0.99 = 0.0682, and 0.06 * 0.9 of it is for the second breed.
    """
    scores = VoteScores(
        own=np.array([0.01, np.nan]),
        other=np.array([1, 1]),
        other_share=np.array([0.9, 0.9]),
        novelty=np.zeros(2),
    )
    chance, unlabelled = label_chances(scores, 0.12, 3)
    assert chance == pytest.approx(0.054 / 0.0682)
    assert np.isnan(unlabelled)


def test_the_list_ends_at_the_bound() -> None:
    chances = np.array([0.2, 0.8, np.nan, 0.5, 0.7, 0.1])
    for bound, rows in ((0.9, []), (0.75, [1, 4]), (0.6, [1, 4, 3]), (0.55, [1, 4, 3, 0])):
        assert likeliest_rows(chances, bound).tolist() == rows


def test_the_nearest_image_of_a_breed_that_is_far() -> None:
    """Also if all cached neighbours are of other breeds."""
    known = cloud(300, spread=0.1)
    votes = votes_on(known)
    for row in (0, 1):
        for label in range(4):
            _, rows = nearest(known, known.features[row], 299, "cosine", [row])
            expected = rows[0][known.labels[rows[0]] == label][0]
            assert _nearest_of_breed(votes, row, label) == expected


def test_datasets_that_have_no_wrong_label() -> None:
    """One breed, two images, equal images: nothing is listed and nothing fails."""
    one_breed = cloud(50, classes=1)
    assert suspicious_labels(votes_on(one_breed)) == ()
    two = cloud(50).take([0, 1])
    assert all(each.chance <= 1 for each in suspicious_labels(votes_on(two)))
    equal = replace(cloud(50), features=np.ones((50, 3), np.float32))
    assert suspicious_labels(votes_on(equal)) == ()


@pytest.mark.real_data
def test_exchanged_labels_of_real_features(breeds120: Dataset) -> None:
    some = breeds120.take(np.flatnonzero(breeds120.labels % 5 == 0))
    of24 = replace(some, labels=some.labels // 5, breeds=some.breeds[::5])
    mixed, wrong = exchanged(of24, seed=0)
    noise, chances = chances_of(mixed)
    assert 0.03 <= noise.fraction <= 0.07
    assert roc_auc_score(wrong, chances) >= 0.98
    assert wrong[np.argsort(-chances)[: wrong.sum()]].mean() >= 0.8
    listed = likeliest_rows(chances, MIN_LABEL_PRECISION)
    assert wrong[listed].mean() >= MIN_LABEL_PRECISION
    assert wrong[listed].sum() >= 0.9 * wrong.sum()
    assert len(likeliest_rows(chances_of(of24)[1], MIN_LABEL_PRECISION)) <= len(of24) / 50
