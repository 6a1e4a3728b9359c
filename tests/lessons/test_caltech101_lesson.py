"""Lesson 4: learned and handcrafted features, classifiers, and one-shot."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import python
from PIL import Image
from printed import ON_LESSONS, answers, same
from sklearn.cluster import MiniBatchKMeans

import caltech101
from dogsim import Dataset, accuracy, hold_out, load_image, nearest, result_grid, sample_dataset


@pytest.fixture(scope="module")
def classes() -> Dataset:
    """Six classes, without image files."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20).astype(np.int32)
    features = np.eye(6)[labels].repeat(4, axis=1) * 2 + rng.normal(0, 1, (120, 24))
    names = tuple(f"{label}/{i}.jpg" for i, label in enumerate(labels))
    return Dataset(features.astype(np.float32), labels, names, tuple("abcdef"))


def test_the_scores_are_those_of_accuracy(
    classes: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    caltech101.compare_rankings(classes)
    lines = capsys.readouterr().out.splitlines()
    for metric in ("euclidean", "cosine"):
        shown = next(line for line in lines if line.startswith(f"learned features, {metric}"))
        assert [float(x) for x in shown.split()[3:]] == pytest.approx(
            [accuracy(classes, k, metric=metric).precision_at_k for k in (1, 5, 20)], abs=1e-4
        )
    assert "handcrafted features: none" in lines[-1]  # there are no image files


def test_the_classifiers(classes: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    caltech101.compare_classifiers(*hold_out(classes, 0.2, 0, least=1), seed=0)
    lines = capsys.readouterr().out.splitlines()
    assert "24 images held out, 96 to train on" in lines
    for name in ("vote of 20 neighbours", "softmax", "linear SVM", "logistic regression"):
        shown = next(line for line in lines if line.startswith(name))
        assert float(shown.removeprefix(name).split(",")[0]) > 0.8


def test_grids_show_distances_of_their_metric() -> None:
    data, row = sample_dataset(), np.array([3])
    drawn = dict(caltech101.grids(data, row))
    for metric in ("euclidean", "cosine"):
        distances, indices = nearest(data, data.features[row], 8, metric, row)
        shown = data.source(3), data, indices[0], distances[0], data.breed(3), metric
        grid = drawn[f"{data.image_file(3).stem}-{metric}"]
        assert labels_of(grid) == labels_of(result_grid(*shown))


def labels_of(figure: Any) -> list[str]:
    return [axes.xaxis.label.get_text() for axes in figure.axes]


def test_a_folder_that_is_not_a_class(
    tmp_path: Path, colours: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Striped and plain images, and a folder that is not a class."""
    rng = np.random.default_rng(0)
    for name in ("BACKGROUND_Google", "plain", "striped"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(90, 110, (64, 64, 3), np.uint8)
            pixels[:: 8 if name == "striped" else 64] = 255
            Image.fromarray(pixels).save(tmp_path / "classes" / name / f"{i}.png")
    keep = tmp_path / "all.h5"
    images = caltech101.read_folder(tmp_path / "classes", keep, "resnet50", colours)
    assert len(caltech101.of_known_classes(images, background=True)) == 30
    images = caltech101.of_known_classes(images)
    assert "BACKGROUND Google is left out" in capsys.readouterr().out
    assert images.breeds == ("plain", "striped")
    assert [images.breed(row) for row in (0, 19)] == ["plain", "striped"]
    caltech101.compare_rankings(images)
    lines = capsys.readouterr().out.splitlines()
    hog = next(line for line in lines if line.startswith("HOG"))
    assert float(hog.split()[2]) == 1  # edges identify stripes
    kinds = ["raw pixels", "colour histogram", "HOG", "LBP", "Gabor", "SIFT"]
    assert [line.split(",")[0] for line in lines[3:]] == kinds


def test_a_colour_histogram_is_independent_of_position() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:16] = (255, 0, 0)
    flipped = image[::-1]
    counts = caltech101.colour_histogram(image)
    assert counts[7 * 64] == 16 * 64
    assert counts[0] == 48 * 64
    assert np.array_equal(counts, caltech101.colour_histogram(flipped))
    assert not np.array_equal(caltech101.raw_pixels(image), caltech101.raw_pixels(flipped))


def test_textures_and_keypoints() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    patterns = caltech101.binary_patterns(flat).reshape(16, 10)
    assert (patterns[:, 8] >= 0.75).all()  # all neighbours are as bright as the pixel
    np.testing.assert_allclose(patterns.sum(axis=1), 1)
    waves = np.cos(2 * np.pi * 0.2 * np.arange(64)) * 100 + 128
    across = np.repeat(np.tile(waves, (64, 1))[:, :, None], 3, axis=2).astype(np.uint8)
    strength = caltech101.gabor(across).reshape(3, 4, 16).mean(axis=2)
    assert np.unravel_index(strength.argmax(), (3, 4)) == (1, 0)  # its frequency and direction
    turned = caltech101.gabor(across.swapaxes(0, 1)).reshape(3, 4, 16).mean(axis=2)
    assert np.unravel_index(turned.argmax(), (3, 4)) == (1, 2)


def test_one_shot_accuracy() -> None:
    labels = np.arange(30).astype(np.int32) % 3
    paths, breeds = tuple(f"{i}.jpg" for i in range(30)), ("a", "b", "c")
    apart = Dataset(np.eye(3, dtype=np.float32)[labels], labels, paths, breeds)
    assert caltech101.one_shot(apart, 4, 0).tolist() == [1, 1, 1, 1]
    rng = np.random.default_rng(0)
    noise = Dataset(rng.normal(size=(30, 5)).astype(np.float32), labels, paths, breeds)
    shots = caltech101.one_shot(noise, 20, 0)
    assert abs(shots.mean() - 1 / 3) < 0.08
    assert np.allclose(shots * 27, np.round(shots * 27))  # of 27 queries


def test_a_bag_of_words_counts_the_nearest_words() -> None:
    data = sample_dataset()
    images = [load_image(data.source(row), 64) for row in range(4)]
    images.append(np.full((64, 64, 3), 90, np.uint8))  # no keypoints
    bags = caltech101.bags_of_words(images, words=5)
    keypoints = [caltech101.sift_descriptors(image) for image in images]
    assert [len(each) for each in keypoints] == bags[:, :-1].sum(axis=1).tolist()
    assert bags[:, -1].tolist() == [0, 0, 0, 0, 1]
    assert keypoints[-1].shape == (0, 128)
    every = np.concatenate(keypoints)
    words = MiniBatchKMeans(5, random_state=0, n_init=3).fit(every).cluster_centers_
    nearest_word = np.linalg.norm(keypoints[0][:, None] - words, axis=2).argmin(axis=1)
    assert np.array_equal(np.bincount(nearest_word, minlength=5), bags[0, :-1])
    assert caltech101.bags_of_words(images[-1:]).tolist() == [[1]]


@pytest.mark.parametrize("unknown", [0, 4])
@pytest.mark.slow
def test_few_images(unknown: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four images per class, and some of no known class."""
    rng = np.random.default_rng(0)
    labels = np.append(np.arange(6).repeat(4), [-1] * unknown).astype(np.int32)
    features = np.eye(7)[labels].repeat(4, axis=1) * 2 + rng.normal(0, 1, (len(labels), 28))
    names = tuple(f"{i}.jpg" for i in range(len(labels)))
    Dataset(features.astype(np.float32), labels, names, tuple("abcdef")).save(tmp_path / "d.h5")
    caltech101.main(dataset=tmp_path / "d.h5", save=tmp_path)
    out = capsys.readouterr().out
    assert "6 images held out, 18 to train on" in out
    assert "one image per class, 50 draws: accuracy " in out
    assert ("4 images of no known class are left out" in out) is bool(unknown)


@pytest.mark.slow
def test_solutions(capsys: pytest.CaptureFixture[str]) -> None:
    images = sample_dataset(hard=True)
    solutions = caltech101.metrics, caltech101.voters, caltech101.few
    for solution, shown in zip(solutions, answers("caltech101"), strict=True):
        solution(images)
        same(capsys.readouterr().out, shown, ON_LESSONS)


def test_a_missing_dataset_file() -> None:
    done = python("scripts/caltech101.py", "--dataset", "gone.h5")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("caltech101.py: There is no dataset file gone.h5.")
