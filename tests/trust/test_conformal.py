"""Prediction sets reach their coverage, and what would lower it is excluded or reported."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import cloud
from commands import dogsim, dogsim_json, refusal
from conftest import REPOSITORY
from crepes import ConformalClassifier
from mapie.classification import SplitConformalClassifier
from numpy.typing import NDArray
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.feature_extract import extract_features
from dogsim.learning.apply_head import project
from dogsim.learning.deep_ranking import train_ranking
from dogsim.learning.training import hold_out
from dogsim.networks.extractor import load_extractor
from dogsim.networks.trained_models import save_model
from dogsim.recipe import Recipe
from dogsim.trust import conformal
from dogsim.trust.calibration import calibration_for, calibration_of
from dogsim.trust.conformal import PredictionSet, p_values
from dogsim.trust.coverage import Coverage, measure_coverage
from dogsim.trust.leave_one_out import (
    left_out_together,
    soft_votes,
    voting_neighbours,
    voting_rows,
)


def prediction_sets(
    dataset: Dataset, features: NDArray[np.float32], confidence: float
) -> list[PredictionSet]:
    return conformal.prediction_sets(calibration_for(dataset, confidence), features, confidence)


def coverage(known: Dataset, new: Dataset, confidence: float) -> Coverage:
    calibration = calibration_for(known, confidence)
    return measure_coverage(calibration, new.features, new.labels, confidence)


def test_p_values_are_those_of_crepes() -> None:
    rng = np.random.default_rng(0)
    known, queries = rng.random(200).round(2), rng.random((50, 6)).round(2)  # with ties
    theirs = ConformalClassifier().fit(1 - known).predict_p(1 - queries, smoothing=False)
    np.testing.assert_allclose(p_values(known, queries), theirs, rtol=0, atol=1e-12)


def test_p_values_on_a_split_are_those_of_crepes() -> None:
    known, new = cloud(300), cloud(200)
    calibration, shares = calibration_of(known), shares_of(known, new.features)
    theirs = ConformalClassifier().fit(-calibration.own).predict_p(-shares, smoothing=False)
    sets = conformal.prediction_sets(calibration, new.features, 0.9, coverage="average")
    ours = [answer.p_values for answer in sets]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("confidence", [0.7, 0.85, 0.95])
def test_sets_on_a_split_are_those_of_mapie(confidence: float) -> None:
    known, new = cloud(300), cloud(200)
    own = calibration_of(known).own  # (n,): MAPIE's score "lac" is 1 - own
    rest = np.repeat((1 - own[:, None]) / 3, 4, axis=1)  # (n, c): of no importance
    known_shares = np.where(np.arange(4) == known.labels[:, None], own[:, None], rest)
    classifier = SplitConformalClassifier(SharesAsProbabilities(), confidence, "lac", prefit=True)
    classifier.conformalize(known_shares, known.labels)
    theirs = classifier.predict_set(shares_of(known, new.features))[1][:, :, 0]  # (m, c)
    calibration = calibration_for(known, confidence)
    sets = conformal.prediction_sets(calibration, new.features, confidence, coverage="average")
    ours = np.array([answer.p_values > 1 - confidence for answer in sets])
    np.testing.assert_array_equal(ours, theirs)
    assert 0 < theirs.mean() < 1


class SharesAsProbabilities(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier of four classes whose samples are the probabilities themselves."""

    classes_ = np.arange(4)

    def fit(self, shares: NDArray[np.float64], y: NDArray[np.intp]) -> "SharesAsProbabilities":
        return self

    def predict_proba(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        return shares

    def predict(self, shares: NDArray[np.float64]) -> NDArray[np.intp]:
        return np.asarray(shares.argmax(axis=1))


def shares_of(known: Dataset, features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Compute the share of each breed in both votes on new images, (m, 4)."""
    calibration = calibration_of(known)
    neighbours = voting_neighbours(known, calibration.rows, calibration.units, features)
    votes = soft_votes(*neighbours, calibration.temperature, 4)
    return (votes + votes_of_means(known, features, calibration.temperature)) / 2


def votes_of_means(
    known: Dataset, features: NDArray[np.float32], temperature: float
) -> NDArray[np.float64]:
    """Compute the vote of the breed means for new images, one by one."""
    units = known.features / np.linalg.norm(known.features, axis=1, keepdims=True)
    means = [units[known.labels == label].mean(axis=0) for label in range(len(known.breeds))]
    votes = []
    for query in features:
        distances = [
            np.linalg.norm(query / np.linalg.norm(query) - mean / np.linalg.norm(mean))
            for mean in means
        ]
        weights = np.exp(-(np.array(distances) ** 2) / temperature)
        votes.append(weights / weights.sum())
    return np.array(votes)


def test_left_out_score_does_not_count() -> None:
    known = np.array([0.1, 0.5, 0.9])
    queries = np.array([[0.6, 0.2]])
    expected = p_values(np.array([0.1, 0.9]), queries)
    assert p_values(known, queries, np.array([0.5])).tolist() == expected.tolist()


@pytest.mark.parametrize("confidence", [0.8, 0.9, 0.95])
def test_coverage_on_new_images(confidence: float) -> None:
    found = []
    for seed in range(4):
        known, new = cloud(400 + seed), cloud(300 + seed)
        found.append(coverage(known, new, confidence))
    assert np.mean([each.coverage for each in found]) >= confidence - 0.025
    assert np.mean([each.unknown_rate for each in found]) <= 0.07
    assert max(each.mean_set_size for each in found) < 2.5


def test_novel_image_is_unknown() -> None:
    far = prediction_sets(cloud(300), np.array([[30, -30, 30, -30, 30, -30]], np.float32), 0.9)[0]
    assert 1 / 301 <= far.novelty_p <= 0.05
    assert far.unknown


def test_set_is_never_empty_and_begins_with_the_likeliest() -> None:
    known = cloud(300)
    for answer in prediction_sets(known, cloud(100).features, 0.5):
        assert answer.credibility == answer.p_values.max()
    (query,) = cloud(100).features[:1]
    calibration = calibration_for(known, 0.5)
    (scores,) = calibration.scores(query[None])
    for kind in conformal.COVERAGES:
        (answer,) = conformal.prediction_sets(calibration, query[None], 0.5, coverage=kind)
        assert answer.breeds[0] == known.breeds[scores.shares.argmax()]


def test_duplicates_count_once() -> None:
    """Each copy would find the other, and the vote would always seem to be right."""
    hard = cloud(300, spread=2.5)
    copied = hard.take(np.repeat(np.arange(300), 3))
    once, thrice = calibration_of(hard), calibration_of(copied)
    np.testing.assert_array_equal(once.own, thrice.own)
    assert once.temperature == thrice.temperature
    new = cloud(900, spread=2.5)
    with_duplicates = coverage(copied, new, 0.9)
    assert with_duplicates == coverage(hard, new, 0.9)
    assert with_duplicates.coverage >= 0.87


def half_trained_on() -> Dataset:
    """Return a cloud with every second image near its breed's mean, as if trained on it."""
    known = cloud(600, spread=1.5)
    trained_on = np.arange(600) % 2 == 0
    means = np.stack([known.features[known.labels == i].mean(axis=0) for i in range(4)])
    features = np.where(trained_on[:, None], means[known.labels] * 1.5, known.features)
    features += np.random.default_rng(1).normal(0, 0.1, features.shape).astype(np.float32)
    return replace(known, features=features, learned=trained_on)


def test_training_images_do_not_calibrate() -> None:
    """The vote on training images is right more often than the vote on new ones."""
    known, new = half_trained_on(), cloud(900, spread=1.5)
    ignored = replace(known, learned=np.zeros(600, bool))
    broken = coverage(ignored, new, 0.9)
    correct = coverage(known, new, 0.9)
    assert broken.coverage < 0.85
    assert correct.coverage == pytest.approx(0.9, abs=0.03)
    assert calibration_of(known).n_calibrating == 300
    assert np.isnan(calibration_of(known).own[::2]).all()


def test_duplicate_of_a_training_image_does_not_calibrate() -> None:
    known = half_trained_on()
    doubled = known.take(np.append(np.arange(600), 4))
    copy = replace(doubled, learned=np.append(np.arange(600) % 2 == 0, False))
    assert calibration_of(copy).n_calibrating == 300


def test_head_trained_on_every_image_is_refused() -> None:
    known = replace(cloud(100), learned=np.ones(100, bool))
    with pytest.raises(DogsimError, match="0 usable images.*100 images not counted.*--hold-back"):
        prediction_sets(known, known.features, 0.9)


def test_head_without_training_record_is_refused() -> None:
    known = cloud(100)
    recipe = Recipe("resnet50", "imagenet", "ab", "avg_pool", 224, head="h.keras", head_sha256="cd")
    with pytest.raises(DogsimError, match=r"head h\.keras.*before dogsim project"):
        prediction_sets(replace(known, recipe=recipe), known.features, 0.9)


def test_coverage_is_an_average_over_breeds() -> None:
    """Some breeds have a lower coverage than the confidence, and `per_breed` lists them."""
    known, new = cloud(600, classes=6, spread=1.5), cloud(900, classes=6, spread=1.5)
    found = coverage(known, new, 0.9)
    rates = [each.coverage for each in found.per_breed]
    assert rates == sorted(rates)
    assert rates[0] < 0.9 < rates[-1]
    queries = [each.queries for each in found.per_breed]
    assert np.average(rates, weights=queries) == pytest.approx(found.coverage)


@pytest.mark.parametrize(("confidence", "needed"), [(0.9, 9), (0.95, 19), (0.99, 99)])
def test_too_few_images_are_refused(confidence: float, needed: int) -> None:
    enough, new = cloud(needed), cloud(5).features
    assert len(prediction_sets(enough, new, confidence)) == 5
    with pytest.raises(DogsimError, match=f"at least {needed} of known breeds"):
        prediction_sets(enough.take(np.arange(needed - 1)), new, confidence)


def test_sets_of_every_breed_are_refused() -> None:
    """If too many images get no vote for their own breed, each set contains every breed."""
    known = cloud(320)
    labels = np.where(np.arange(320) < 16, 4 + np.arange(320) % 16, known.labels).astype(np.int32)
    lonely = replace(known, labels=labels, breeds=(*known.breeds, *(f"one {i}" for i in range(16))))
    with pytest.raises(DogsimError, match=r"5\.3% of .* every breed.*less than 0\.947"):
        prediction_sets(lonely, known.features[:2], 0.99)
    assert len(prediction_sets(lonely, known.features[:2], 0.9)) == 2


@pytest.mark.parametrize("confidence", [0.0, 1.0, 90.0, -0.5])
def test_confidence_out_of_range(confidence: float) -> None:
    with pytest.raises(DogsimError, match="more than 0 and less than 1"):
        prediction_sets(cloud(50), cloud(5).features, confidence)


def test_leave_one_out_coverage_equals_the_confidence() -> None:
    """For every breed it is a little higher, because no set is without the likeliest breed."""
    known = cloud(400)
    calibration = calibration_for(known, 0.9)
    found = {
        kind: measure_coverage(
            calibration, known.features, known.labels, 0.9, np.arange(400), kind
        ).coverage
        for kind in conformal.COVERAGES
    }
    assert found["average"] == pytest.approx(0.9, abs=0.01)
    assert 0.9 <= found["breed"] < 0.95


def test_cached_by_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dogsim.plumbing.cache.cache_folder", lambda: tmp_path)
    first = calibration_of(cloud(100))
    (file,) = tmp_path.glob("trust-*.npz")
    with monkeypatch.context() as patch:
        patch.setattr(
            "dogsim.trust.calibration.LeaveOneOut", lambda *_, **__: pytest.fail("computed again")
        )
        again = calibration_of(cloud(100))
    np.testing.assert_array_equal(first.own, again.own)
    for damage in (b"", b"nonsense", file.read_bytes()[:200]):
        file.write_bytes(damage)
        np.testing.assert_array_equal(calibration_of(cloud(100)).own, first.own)
    monkeypatch.setattr("dogsim.plumbing.cache.MAX_ARRAY_FILES", 2)
    for n in (30, 31, 32):
        calibration_of(cloud(n))
    assert len(list(tmp_path.glob("trust-*"))) == len(list(tmp_path.glob("near-*"))) == 2


def test_cache_that_cannot_be_written_costs_time_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr("dogsim.plumbing.cache.cache_folder", lambda: tmp_path / "file")
    assert len(prediction_sets(cloud(50), cloud(5).features, 0.9)) == 5


def test_images_of_unknown_breed_neither_vote_nor_calibrate() -> None:
    known = cloud(200)
    labels = known.labels.copy()
    labels[::4] = -1
    partly = Dataset(known.features, labels, known.paths, known.breeds)
    labelled = known.take(np.flatnonzero(labels >= 0))
    np.testing.assert_array_equal(calibration_of(partly).own, calibration_of(labelled).own)


def test_commands(tmp_path: Path) -> None:
    known, test = tmp_path / "a.h5", tmp_path / "b.h5"
    cloud(300).save(known)
    cloud(200).save(test)
    command = ("accuracy", "--dataset", known, "--test", test, "--confidence", 0.9)
    result = dogsim_json(*command)
    assert result["confidence"] == 0.9
    assert result["coverage"] > 0.84
    assert 1 <= result["mean_set_size"] < 4
    assert result["unknown_rate"] < 0.12
    assert len(result["coverage_per_breed"]) == 4
    printed = dogsim(*command).stdout
    assert "breeds in a set" in printed
    assert "by construction" not in printed
    hint = "so the coverage is near 0.9 by construction: measure it with --test. Breeds with the"
    assert hint in dogsim("accuracy", "--dataset", known, "--confidence", 0.9).stdout
    assert "less than 1" in refusal("accuracy", "--dataset", known, "--confidence", 90)


QUERIES_WITHOUT_DOG = ("cat1", "cat2", "cow", "horse", "person")


def split(breeds120: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Split into 9,600 known images and 2,400 new ones."""
    new = np.zeros(12000, bool)
    new[np.random.default_rng(seed).choice(12000, 2400, replace=False)] = True
    return breeds120.take(np.flatnonzero(~new)), breeds120.take(np.flatnonzero(new))


def measured(
    breeds120: Dataset, splits: int, slack: float, record: Callable[[str, object], None]
) -> None:
    """Check the coverage on average over some splits, and record the numbers."""
    found: dict[float, list[Coverage]] = {0.8: [], 0.9: [], 0.95: []}
    for seed in range(splits):
        known, new = split(breeds120, seed)
        for confidence, each in found.items():
            each.append(coverage(known, new, confidence))
    for confidence, each in found.items():
        by_breed: dict[str, list[float]] = defaultdict(list)
        for rates in each:
            for breed in rates.per_breed:
                by_breed[breed.breed].append(breed.coverage)
        worst = min(by_breed, key=lambda breed: float(np.mean(by_breed[breed])))
        record(f"{confidence} coverage", float(np.mean([x.coverage for x in each])))
        record(f"{confidence} set size", float(np.mean([x.mean_set_size for x in each])))
        record(f"{confidence} unknown", float(np.mean([x.unknown_rate for x in each])))
        record(f"{confidence} worst breed", f"{worst} {np.mean(by_breed[worst]):.3f}")
        assert np.mean([x.coverage for x in each]) >= confidence - slack
        assert np.mean([x.unknown_rate for x in each]) <= 0.045 + slack
    assert np.mean([x.mean_set_size for x in found[0.9]]) <= 1.7


@pytest.mark.real_data
def test_coverage_on_real_features(
    breeds120: Dataset, record_property: Callable[[str, object], None]
) -> None:
    measured(breeds120, 2, 0.025, record_property)


@pytest.mark.real_data
@pytest.mark.slow
def test_coverage_on_average_over_six_splits(
    breeds120: Dataset, record_property: Callable[[str, object], None]
) -> None:
    measured(breeds120, 6, 0.015, record_property)


@pytest.mark.real_data
@pytest.mark.slow
def test_real_head_calibrates_on_held_back_images(
    breeds120: Dataset, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Calibrated on its training images, a head does not reach a coverage of 0.9."""
    known, new = split(breeds120, 0)
    part, _ = hold_out(known, 0.2)
    save_model(train_ranking(part).model, tmp_path / "head.keras")
    embedded, queries = (project(x, tmp_path / "head.keras") for x in (known, new))
    correct = coverage(embedded, queries, 0.9)
    ignored = replace(embedded, learned=np.zeros(len(known), bool))
    broken = coverage(ignored, queries, 0.9)
    for name, found in {"without": correct, "with": broken}.items():
        rates = found.coverage, found.mean_set_size, found.unknown_rate
        record_property(f"calibrated {name} training images", str(rates))
    assert broken.coverage < 0.85
    assert broken.unknown_rate > 0.1
    assert correct.coverage == pytest.approx(0.9, abs=0.03)
    assert correct.mean_set_size < 3
    assert correct.unknown_rate == pytest.approx(0.05, abs=0.02)


@pytest.mark.real_data
@pytest.mark.slow
def test_images_of_other_things_are_unknown(
    breeds120: Dataset,
    real_data: Path,
    resnet_file: Path,
    record_property: Callable[[str, object], None],
) -> None:
    foreign_breeds = np.random.default_rng(0).choice(120, 20, replace=False)
    foreign = np.isin(breeds120.labels, foreign_breeds)
    known = breeds120.take(np.flatnonzero(~foreign))
    network = load_extractor("resnet50", str(resnet_file))

    def unknown_rate(name: str, features: NDArray[np.float32]) -> float:
        rate = float(np.mean([answer.unknown for answer in prediction_sets(known, features, 0.9)]))
        record_property(name, f"{rate:.3f} of {len(features)}")
        return rate

    sheet = np.asarray(Image.open(real_data / "data/fashion_mnist_sprite.png").convert("RGB"))
    clothes = [sheet[28 * i : 28 * i + 28, 28 * i : 28 * i + 28] for i in range(30)]
    drawings = sorted((REPOSITORY / "data/sample_dogs").glob("*/0[1-5].jpg"))
    photos = [real_data / "data/query_images" / f"{name}.jpg" for name in QUERIES_WITHOUT_DOG]
    assert unknown_rate("photos of other things", extract_features(photos, network)) >= 0.8
    assert unknown_rate("clothes", extract_features(clothes, network)) >= 0.95
    assert unknown_rate("drawings of dogs", extract_features(drawings, network)) >= 0.8
    assert unknown_rate("other breeds", breeds120.features[foreign]) >= 0.15


def test_images_of_a_scene_do_not_vote_on_each_other() -> None:
    """Three shots of each scene: with scenes, the calibration is that of a new scene."""
    base = cloud(60, spread=2)
    rows = np.repeat(np.arange(60), 3)
    noise = np.random.default_rng(0).normal(0, 0.01, (180, 6)).astype(np.float32)
    paths = tuple(f"{i}.jpg" for i in range(180))
    shots = Dataset(base.features[rows] + noise, base.labels[rows], paths, base.breeds)
    known = replace(shots, scenes=rows.astype(np.int32))
    new = cloud(61, spread=2)
    covered = [
        measure_coverage(calibration_for(each, 0.8), new.features, new.labels, 0.8).coverage
        for each in (shots, known)
    ]
    assert covered[0] < 0.7 < covered[1]
    with pytest.raises(DogsimError, match="show one scene"):
        calibration_of(replace(shots, scenes=np.zeros(180, np.int32)))


def test_breeds_of_one_scene_do_not_calibrate() -> None:
    """Without their scene no image of them is left, which a new image of them would find."""
    known = cloud(60, classes=3)
    scenes = np.where(known.labels == 0, 99, np.arange(60)).astype(np.int32)
    calibration = calibration_of(replace(known, scenes=scenes))
    assert np.isnan(calibration.own).tolist() == (known.labels[calibration.rows] == 0).tolist()
    one_each = replace(known, scenes=known.labels)
    with pytest.raises(DogsimError, match="their breeds have one scene"):
        calibration_for(one_each, 0.9)


def test_a_duplicate_joins_two_scenes() -> None:
    scenes = np.array([0, 0, 1, 1, 2], np.int32)
    features, labels = np.eye(5, dtype=np.float32), np.zeros(5, np.int32)
    dataset = Dataset(features, labels, tuple("abcde"), ("pug",), scenes=scenes)
    place = voting_rows(dataset, [(1, 2)])[1]
    units = left_out_together(dataset, place)
    assert len({*units[:4].tolist()}) == 1
    assert units[4] != units[0]
