"""Coverage for every breed: class-conditional p-values, and the vote of the breed means."""

from collections.abc import Callable

import numpy as np
import pytest
from clouds import cloud
from crepes import ConformalClassifier
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import NeighbourArrays
from dogsim.errors import DogsimError
from dogsim.retrieval.own_neighbours import own_neighbours
from dogsim.trust.breed_means import BreedMeans
from dogsim.trust.calibration import calibration_for, calibration_of
from dogsim.trust.conformal import (
    BreedPValues,
    interpolated_p_values,
    p_values,
    pooled_breeds,
    prediction_sets,
)
from dogsim.trust.coverage import measure_coverage
from dogsim.trust.leave_one_out import MAX_NEIGHBOURS, left_out_together

NONE = np.full(50, np.nan)


def scores_of(sizes: list[int], seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Return distinct random scores and the labels of as many images of each breed."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(seed).random(sum(sizes)), labels


def test_p_values_of_large_breeds_are_those_of_crepes() -> None:
    """Exactly those at the calibration scores, and by interpolation at most 1 / (n + 1) above."""
    scores, labels = scores_of([90, 120, 200])
    shares = np.random.default_rng(1).random((50, 3))
    shares[:20] = np.random.default_rng(2).choice(scores[labels == 1], (20, 3))
    ours = BreedPValues(scores, labels, 3).p_values(shares, NONE, np.zeros(50, int))
    for label, n in enumerate([90, 120, 200]):
        mondrian = ConformalClassifier().fit(1 - scores, bins=labels)
        exact = mondrian.predict_p(1 - shares[:, [label]], bins=np.full(50, label), smoothing=False)
        above = ours[:, label] - exact[:, 0]
        assert above.min() >= -1e-12
        assert above.max() < 1 / (n + 1)
        at_score = np.isin(shares[:, label], scores[labels == label])
        np.testing.assert_allclose(above[at_score], 0, atol=1e-12)


def test_interpolation_by_hand() -> None:
    known, no = np.array([0.2, 0.4, 0.4, 0.8]), np.full(7, np.nan)
    queries = np.array([0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.9])
    counts = interpolated_p_values(known, queries, no) * 5
    # Below the smallest score and above the largest nothing is interpolated.
    np.testing.assert_allclose(counts, [1, 2, 2.5, 4, 4.75, 5, 5])


def test_a_small_breed_is_a_weighted_mean() -> None:
    sizes = [20, 25, 200, 3000]
    scores, labels = scores_of(sizes)
    shares = np.random.default_rng(1).random((50, 4))
    ours = BreedPValues(scores, labels, 4).p_values(shares, NONE, np.zeros(50, int))
    own = interpolated_p_values(np.sort(scores[labels == 0]), shares[:, 0], NONE)
    similar = p_values(scores[labels <= 2], shares[:, 0])  # 245 images of breeds 0, 1 and 2
    np.testing.assert_allclose(ours[:, 0], 0.25 * own + 0.75 * similar, atol=1e-12)
    large = interpolated_p_values(np.sort(scores[labels == 3]), shares[:, 3], NONE)
    np.testing.assert_allclose(ours[:, 3], large)


def test_breeds_of_the_same_size_are_pooled_together() -> None:
    assert pooled_breeds(np.array([3, 500, 3, 3]), 3).tolist() == [True, True, True, True]
    assert pooled_breeds(np.array([150, 150, 150, 900]), 150).tolist() == [True] * 3 + [False]
    assert pooled_breeds(np.array([0, 250]), 0).tolist() == [True, True]


def test_the_score_of_the_query_does_not_count() -> None:
    """Neither among the images of its breed nor among those that the breed is pooled with."""
    scores, labels = scores_of([200, 30, 3000])
    calibration = BreedPValues(scores, labels, 3)
    for i in (3, 210, 300):
        label, others = labels[i], np.arange(len(scores)) != i
        shares = np.full((1, 3), scores[i])
        (found,) = calibration.p_values(shares, scores[[i]], labels[[i]])
        (own,) = p_values(scores[others & (labels == label)], scores[[i]])
        (pooled,) = p_values(scores[others & (labels != 2)], scores[[i]])  # of 230 images
        weight = min((labels == label).sum() / 80, 1)
        assert found[label] == pytest.approx(weight * own + (1 - weight) * pooled)


def brute_shares(
    dataset: Dataset, query: NDArray[np.float32], votes: NDArray[np.bool_], temperature: float
) -> NDArray[np.float64]:
    """Compute the vote of the means of the images that vote, for one query."""
    units = dataset.features / np.linalg.norm(dataset.features, axis=1, keepdims=True)
    unit, weights = query / np.linalg.norm(query), np.zeros(len(dataset.breeds))
    for label in range(len(dataset.breeds)):
        chosen = votes & (dataset.labels == label)
        if chosen.any():
            mean = units[chosen].mean(axis=0)
            square = np.sum((unit - mean / np.linalg.norm(mean)) ** 2)
            weights[label] = np.exp(-square / temperature)
    return np.asarray(weights / weights.sum())


def test_breed_means_leave_out_duplicates_and_scenes() -> None:
    dataset = cloud(40)
    scenes = np.arange(40, dtype=np.int32)
    scenes[[0, 1, 2, 7, 9]] = 99
    lonely = int(np.flatnonzero(dataset.labels == 3)[0])
    labels = np.where((dataset.labels == 3) & (np.arange(40) != lonely), 0, dataset.labels)
    known = Dataset(
        dataset.features, labels.astype(np.int32), dataset.paths, dataset.breeds, scenes=scenes
    )
    rows = np.delete(np.arange(40), 5)
    place = np.full(40, -1)
    place[rows] = np.arange(39)
    place[5] = place[6]  # a duplicate of row 6, which votes for it
    numbers = left_out_together(known, place)
    queries = np.array([0, 5, 20, lonely])
    found = BreedMeans(known, rows, numbers).shares(known.features[queries], place[queries], 0.5)
    for row, shares in zip(queries, found, strict=True):
        votes = np.isin(np.arange(40), rows) & (numbers != numbers[row])
        expected = brute_shares(known, known.features[row], votes, 0.5)
        np.testing.assert_allclose(shares, expected, rtol=1e-5)
    assert found[3, 3] == 0
    new = BreedMeans(known, rows, numbers).shares(known.features[:1], np.array([-1]), 0.5)[0]
    everything = np.isin(np.arange(40), rows)
    expected = brute_shares(known, known.features[0], everything, 0.5)
    np.testing.assert_allclose(new, expected, rtol=1e-5)


def hard_and_easy(n: int, seed: int) -> Dataset:
    """Return n images of each of eight breeds, four of which overlap."""
    centres = np.random.default_rng(0).normal(size=(8, 12))
    centres[:4] = centres[0] + 0.5 * (centres[:4] - centres[0])
    labels = np.repeat(np.arange(8, dtype=np.int32), n)
    noise = np.random.default_rng(seed).normal(size=(8 * n, 12))
    paths = tuple(f"{seed}-{i}.jpg" for i in range(8 * n))
    features = (3 * centres[labels] + noise).astype(np.float32)
    return Dataset(features, labels, paths, tuple("abcdefgh"))


def worst_breed(kind: str) -> float:
    """Return the lowest coverage of a breed on average over some datasets."""
    coverages = []
    for seed in range(3):
        known, new = hard_and_easy(90, seed), hard_and_easy(200, seed + 50)
        calibration = calibration_for(known, 0.9)
        found = measure_coverage(calibration, new.features, new.labels, 0.9, None, kind)
        assert found.coverage_kind == kind
        coverages.append([each.coverage for each in sorted(found.per_breed, key=lambda x: x.breed)])
    return float(np.mean(coverages, axis=0).min())


def test_every_breed_reaches_the_coverage() -> None:
    assert worst_breed("average") < 0.86
    assert worst_breed("breed") > 0.88


def test_a_kind_of_coverage_that_does_not_exist() -> None:
    known = cloud(50)
    with pytest.raises(DogsimError, match="coverage 'breeds'; did you mean 'breed'"):
        prediction_sets(calibration_of(known), known.features, 0.9, coverage="breeds")


def nearest_of(
    found: NeighbourArrays, rows: NDArray[np.intp], known: NDArray[np.bool_], k: int
) -> NeighbourArrays:
    """Return the neighbours of some rows among the known rows, as a search would find them."""
    distances, indices = found[0][rows], found[1][rows]
    order = np.argsort(~known[indices], axis=1, kind="stable")[:, :k]
    assert known[np.take_along_axis(indices, order, axis=1)].all()
    new_row = np.cumsum(known) - 1
    ordered = np.take_along_axis(indices, order, axis=1)
    return np.take_along_axis(distances, order, axis=1), new_row[ordered]


@pytest.mark.real_data
@pytest.mark.slow
def test_every_breed_of_stanford_dogs_reaches_the_coverage(
    breeds120: Dataset,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """20 splits of each breed into 80 known images and 20 queries; one search serves all splits."""
    found = own_neighbours(breeds120, 256)
    cases = [("breed", 0.8), ("breed", 0.9), ("breed", 0.95), ("average", 0.9)]
    covered, sizes = np.zeros((4, 20, 120)), np.zeros((4, 20))
    for seed in range(20):
        rng, new = np.random.default_rng(seed), np.zeros(12000, bool)
        for label in range(120):
            new[rng.choice(np.flatnonzero(breeds120.labels == label), 20, replace=False)] = True
        known, queries = (breeds120.take(np.flatnonzero(each)) for each in (~new, new))
        own, theirs = (
            nearest_of(found, np.flatnonzero(each), ~new, MAX_NEIGHBOURS) for each in (~new, new)
        )
        with monkeypatch.context() as patch:
            patch.setattr("dogsim.trust.calibration.own_neighbours", lambda *_, own=own: own)
            patch.setattr("dogsim.trust.leave_one_out.nearest", lambda *_, near=theirs: near)
            calibration = calibration_of(known)
            sets = {
                kind: prediction_sets(calibration, queries.features, 0.9, coverage=kind)
                for kind in ("breed", "average")
            }
        for case, (kind, confidence) in enumerate(cases):
            inside = np.array([each.p_values for each in sets[kind]]) > 1 - confidence  # (n, c)
            likeliest = [breeds120.breeds.index(each.breeds[0]) for each in sets[kind]]
            inside[np.arange(2400), likeliest] = True
            hits = inside[np.arange(2400), queries.labels]
            covered[case, seed] = np.bincount(queries.labels, hits) / 20
            sizes[case, seed] = inside.sum(axis=1).mean()
    worst, mean, size = covered.mean(axis=1).min(axis=1), covered.mean(axis=(1, 2)), sizes.mean(1)
    for each in zip(cases, worst.round(4), mean.round(4), size.round(3), strict=True):
        record_property("worst, mean, size", str(each))
    record_property("mean of the lowest", str(covered.min(axis=2).mean(axis=1)))
    assert worst[1] >= 0.87
    assert size[1] <= 1.65
    assert (mean[:3] >= [0.8, 0.9, 0.95]).all()
    assert mean[3] == pytest.approx(0.9, abs=0.01)
    assert worst[3] < 0.8
