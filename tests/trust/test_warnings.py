"""Warnings that an answer or a measured coverage does not hold, and their absence otherwise."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clouds import cloud
from commands import dogsim, dogsim_json
from numpy.typing import NDArray
from PIL import Image

from dogsim.classify import answers_to, classify
from dogsim.create_dataset import create_dataset
from dogsim.dataset import Dataset
from dogsim.images import Source
from dogsim.networks.extractor import Extractor
from dogsim.recipe import Recipe
from dogsim.retrieval.own_neighbours import far_queries, own_nearest
from dogsim.trust.answer import Answer, size_flags
from dogsim.trust.calibration import calibration_of
from dogsim.trust.coverage import Coverage, measure_coverage, novelty_test

SHIFT = np.array([3, -3, 3, -3, 3, -3], np.float32)


def coverage(known: Dataset, new: Dataset, kind: str = "breed") -> Coverage:
    return measure_coverage(calibration_of(known), new.features, new.labels, 0.9, None, kind)


def shifted(dataset: Dataset, step: float) -> Dataset:
    return replace(dataset, features=dataset.features + np.float32(step) * SHIFT)


@pytest.mark.parametrize(
    ("count", "n", "m"), [(3, 20, 300), (9, 60, 1000), (0, 25, 40), (40, 40, 99)]
)
def test_the_test_of_novelty_is_exact(count: int, n: int, m: int) -> None:
    from scipy.stats import betabinom

    level = int(0.05 * (m + 1))
    expected = betabinom(n, level, m + 1 - level).sf(count - 1)
    found = novelty_test([0.01] * count + [0.5] * (n - count), m)
    assert found is not None
    assert found.p == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert found.fraction == count / n


def test_the_test_of_novelty_needs_20_images_and_19_that_calibrate() -> None:
    assert novelty_test([0.01] * 19, 1000) is None
    assert novelty_test([0.01] * 20, 18) is None
    assert novelty_test([0.01] * 20, 19) is not None


def test_images_like_the_dataset_rarely_differ_from_it() -> None:
    """At the level 0.01, also with few images that calibrate, and for tests of both sizes."""
    rng = np.random.default_rng(0)
    for n, m in ((20, 60), (100, 60), (50, 500)):
        alarms = 0
        for _ in range(500):
            scores = np.sort(rng.random(m + n)[:m])
            p = (m - np.searchsorted(scores, rng.random(n)) + 1) / (m + 1)
            found = novelty_test(p, m)
            alarms += found is not None and found.differs
        assert alarms <= 12, (n, m)


def test_the_line_about_images_that_differ() -> None:
    found = novelty_test([0.01] * 11 + [0.5] * 39, 1000)
    assert found is not None
    assert found.text == (
        "these images differ from the dataset (22 % have a higher novelty score than 95 % of the "
        "dataset): expect worse answers"
    )
    same = novelty_test([0.5] * 50, 1000)
    assert same is not None
    assert same.text == ""


def test_a_coverage_below_the_confidence_is_reported() -> None:
    known, new = cloud(400), cloud(300)
    well, badly = coverage(known, new), coverage(known, shifted(new, 1))
    assert well.coverage_reached
    assert well.shortfall == well.difference == ""
    assert not badly.coverage_reached
    low, high = badly.coverage_ci95
    assert low < badly.coverage < high < 0.9
    assert badly.shortfall == (
        f"coverage {badly.coverage:.2f} (95 % interval {low:.2f} to {high:.2f}) is below the "
        "target 0.90"
    )
    assert badly.differs_from_dataset
    assert f"({100 * badly.unknown_rate:.0f} % have a higher novelty" in badly.difference


def test_the_interval_allows_for_both_samples() -> None:
    """It is that of n m / (n + m) cases, wider than that of the queries alone."""
    from scipy.stats import binomtest

    found = coverage(cloud(400), cloud(400))
    half = binomtest(round(found.coverage * 200), 200).proportion_ci(method="wilson")
    assert found.coverage_ci95 == pytest.approx((half.low, half.high), abs=0.005)


def test_coverage_of_the_sets_that_are_shown() -> None:
    known, new = cloud(400), shifted(cloud(300), 0.3)
    found = coverage(known, new)
    answers = answers_to(new.features, known, 3, confidence=0.9)
    shown = [
        known.breeds[label] in answer.trust.breeds
        for label, answer in zip(new.labels, answers, strict=True)
        if answer.trust and not answer.trust.unknown
    ]
    assert 0 < len(shown) < 300
    assert found.coverage_of_shown == pytest.approx(np.mean(shown))
    assert coverage(known, shifted(new, 9)).coverage_of_shown is None


def test_warnings_are_rare_where_all_is_well() -> None:
    """Splits of one distribution: at most a twentieth of them has a warning."""
    runs = [coverage(cloud(150 + i), cloud(700 + i).take(np.arange(60))) for i in range(60)]
    assert sum(not run.coverage_reached for run in runs) <= 3
    assert sum(bool(run.differs_from_dataset) for run in runs) <= 3


def test_flags_of_a_size() -> None:
    assert size_flags((640, 360), "squash") == ()  # 16:9
    assert size_flags((640, 320), "squash") == ("wide",)
    assert size_flags((320, 640), "squash") == ("tall",)
    assert size_flags((640, 320), "crop") == size_flags((640, 320), "pad") == ()
    assert size_flags((99, 300), "squash") == ("tiny", "tall")
    assert size_flags((100, 100), "squash") == ()


def test_a_query_is_far_if_few_images_of_the_dataset_are() -> None:
    known, new = cloud(400), cloud(2000)
    own = own_nearest(known, "euclidean")
    limit = np.sort(own)[-10]  # with it, 10 + 1 of 201 are as far: more than 5 %
    assert far_queries(known, np.array([[limit], [limit + 1e-9]]), "euclidean").tolist() == [
        False,
        True,
    ]
    answers = answers_to(new.features, known, 3)
    assert np.mean(["far" in answer.flags for answer in answers]) == pytest.approx(0.05, abs=0.03)
    (far,) = answers_to(30 * SHIFT[None], known, 3)
    assert far.flags == ("far",)
    assert str(far).endswith("from their nearest neighbour)")
    assert not far_queries(known.take([0]), np.ones((1, 1)), "euclidean").any()
    (same,) = answers_to(known.features[:1] + 30 * SHIFT, known, 3, rows=[0])
    assert same.flags == ()


def test_shots_of_one_scene_do_not_make_other_images_far() -> None:
    base, rows = cloud(200), np.repeat(np.arange(200), 3)
    noise = np.random.default_rng(0).normal(0, 0.01, (600, 6)).astype(np.float32)
    shots = Dataset(base.features[rows] + noise, base.labels[rows], base.paths * 3, base.breeds)
    answers = {
        scenes is not None: answers_to(cloud(201).features, replace(shots, scenes=scenes), 3)
        for scenes in (None, rows.astype(np.int32))
    }
    far = {key: np.mean(["far" in each.flags for each in found]) for key, found in answers.items()}
    assert far[True] < 0.1
    assert far[False] > 0.9
    assert len(own_nearest(replace(shots, scenes=np.zeros(600, np.int32)), "euclidean")) == 0


def test_flags_of_images(mean_colours: Extractor, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    recipe = mean_colours.recipe
    features = rng.uniform(100, 110, (40, 3)).astype(np.float32)
    labels = (np.arange(40) % 2).astype(np.int32)
    paths = tuple(f"{i}.png" for i in range(40))
    known = Dataset(features, labels, paths, ("pug", "whippet"), recipe=recipe)
    grey = Image.new("RGB", (640, 320), (105, 105, 105))
    grey.save(tmp_path / "wide.png")
    sizes = (80, 80), (300, 300)
    images: list[Source] = [tmp_path / "wide.png", *map(grey.resize, sizes)]

    def answers(dataset: Dataset) -> list[Answer]:
        extractor = replace_recipe(mean_colours, dataset.recipe)
        return classify(images, dataset, 3, extractor=extractor)

    assert [answer.flags for answer in answers(known)] == [("wide",), ("tiny",), ()]
    cropped = replace(known, recipe=replace(recipe, resize="crop"))
    assert [answer.flags for answer in answers(cropped)] == [(), ("tiny",), ()]
    first = answers(known)[0]
    assert str(first).endswith("; wide (squashed to a square)")
    title = first.figure()._suptitle  # type: ignore[attr-defined]
    assert title.get_text() == "wide (squashed to a square)"


def replace_recipe(extractor: Extractor, recipe: Recipe | None) -> Extractor:
    assert recipe
    return Extractor(recipe, lambda images: images.mean(axis=(1, 2), dtype=np.float32))


def save_noise(folder: Path, n: int, brightness: float, side: int, seed: int) -> None:
    """Save images of random blocks of two kinds of breeds, red and blue."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        breed = ("red", "blue")[i % 2]
        blocks: NDArray[np.float64] = rng.normal(brightness, 25, (4, 4, 3))
        blocks[..., 0 if breed == "red" else 2] += 60
        pixels = np.uint8(np.clip(blocks, 0, 255))
        (folder / breed).mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
        image.save(folder / breed / f"{seed}-{i}.png")


def test_commands_say_that_images_differ(tmp_path: Path, colours: str) -> None:
    save_noise(tmp_path / "known", 60, 90, 120, 0)
    save_noise(tmp_path / "like", 24, 90, 120, 1)
    save_noise(tmp_path / "other", 24, 150, 60, 2)
    known = tmp_path / "known.h5"
    for name in ("known", "like", "other"):
        create_dataset(tmp_path / name, tmp_path / f"{name}.h5", weights=colours)
    ask = ("--dataset", known, "--confidence", 0.9, "-k", 3)
    line = "these images differ from the dataset (100 % have"
    assert line in dogsim("classify", tmp_path / "other", *ask).stderr
    assert line not in dogsim("classify", tmp_path / "like", *ask).stderr
    result = dogsim_json("classify", tmp_path / "other", *ask)
    assert result["differs_from_dataset"] is True
    assert all(set(each["flags"]) == {"tiny", "far"} for each in result["results"])
    assert dogsim_json("classify", tmp_path / "like", *ask)["differs_from_dataset"] is False
    few = dogsim_json("classify", tmp_path / "like" / "red", *ask)
    assert few["differs_from_dataset"] is None
    test = ("accuracy", "--dataset", known, "--confidence", 0.9, "-k", 3, "--test")
    assert line in dogsim(*test, tmp_path / "other.h5").stderr
    report = dogsim_json(*test, tmp_path / "like.h5")
    assert report["coverage_reached"] is True
    assert report["differs_from_dataset"] is False
    assert report["coverage_kind"] == "breed"
    assert dogsim_json(*test, tmp_path / "like.h5", "--coverage", "average")["coverage"] > 0.7


def test_the_command_reports_a_low_coverage(tmp_path: Path) -> None:
    cloud(400).save(tmp_path / "known.h5")
    shifted(cloud(300), 1).save(tmp_path / "test.h5")
    command = ("accuracy", "--dataset", tmp_path / "known.h5", "--test", tmp_path / "test.h5")
    result = dogsim_json(*command, "--confidence", 0.9)
    assert result["coverage_reached"] is False
    low, high = result["coverage_ci95"]
    assert low < result["coverage"] < high < 0.9
    printed = dogsim(*command, "--confidence", 0.9)
    line = (
        f"coverage {result['coverage']:.2f} (95 % interval {low:.2f} to {high:.2f}) is below the "
        "target 0.90"
    )
    assert line in printed.stderr
    assert "for every breed: coverage" in printed.stdout
    assert (
        "on average: coverage"
        in dogsim(*command, "--confidence", 0.9, "--coverage", "average").stdout
    )
