"""Lesson 5: other images."""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import lesson
from PIL import Image
from printed import ON_LESSONS, answers, same

import fashion_mnist
from dogsim import Dataset, DogsimError, accuracy, nearest


@pytest.fixture(scope="module")
def clothes(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray, Path]:
    """Ten classes of four tiles, one row a class, in every kind of file."""
    rng = np.random.default_rng(0)
    shapes = rng.integers(0, 200, (10, 28, 28), np.uint8)
    images = shapes.repeat(4, axis=0) + rng.integers(0, 20, (40, 28, 28), np.uint8)
    labels = np.arange(10).repeat(4).astype(np.uint8)
    folder = tmp_path_factory.mktemp("clothes")
    np.savez(folder / "clothes.npz", x_test=images, y_test=labels)
    header = b"\0\0\x08\x03" + np.array(images.shape, ">i4").tobytes()
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz", "wb") as file:
        file.write(header + images.tobytes())
    with gzip.open(folder / "t10k-labels-idx1-ubyte.gz", "wb") as file:
        file.write(b"\0\0\x08\x01" + np.array([40], ">i4").tobytes() + labels.tobytes())
    sheet = images.reshape(10, 4, 28, 28).swapaxes(1, 2).reshape(280, 112)
    Image.fromarray(sheet).convert("RGBA").save(folder / "sprite.png")
    return images, labels, folder


@pytest.mark.parametrize("name", ["clothes.npz", "t10k-images-idx3-ubyte.gz", "sprite.png"])
def test_every_kind_of_fashion_file(clothes: Any, name: str) -> None:
    images, labels, folder = clothes
    read, read_labels = fashion_mnist.load_data(folder / name)
    assert np.array_equal(read, images)
    assert np.array_equal(read_labels, labels)


def test_invalid_fashion_files(tmp_path: Path) -> None:
    (tmp_path / "x-images-idx3").write_bytes(b"GIF89a")
    (tmp_path / "x.npz").write_text("no arrays")
    Image.new("L", (100, 100)).save(tmp_path / "x.png")
    np.savez(tmp_path / "large.npz", x_test=np.zeros((3, 32, 32)), y_test=np.zeros(3))
    for name, message in [
        ("x-images-idx3", "does not begin as an IDX file"),
        ("x.npz", "Cannot read"),
        ("x.png", r"not of 28 x 28"),
        ("large.npz", r"holds images \(3, 32, 32\)"),
        ("none.png", "There is no file"),
    ]:
        with pytest.raises(DogsimError, match=message):
            fashion_mnist.load_data(tmp_path / name)
    with pytest.raises(DogsimError, match=r"could not be downloaded .*--images FILE"):
        fashion_mnist.load_data(None)


def test_fashion_images_are_bilinear_rgb() -> None:
    ramp = np.tile(np.arange(28, dtype=np.uint8) * 9, (3, 28, 1))
    large = fashion_mnist.preprocess_fmnist(ramp, sample_size=2)
    assert large.shape == (2, 224, 224, 3)
    assert np.array_equal(large[..., 0], large[..., 2])
    # between the centres of the first and the last pixel a ramp stays linear
    line = 9 * ((np.arange(4, 220) + 0.5) / 8 - 0.5)
    np.testing.assert_allclose(large[1, 100, 4:220, 0], line, atol=0.51)


def test_fashion_metrics_are_those_of_accuracy() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60).astype(np.int32)
    features = (np.eye(4)[labels] + rng.normal(0, 0.6, (60, 4))).astype(np.float32)
    data = Dataset(features, labels, tuple(map(str, range(60))), tuple("abcd"))

    _, rows = nearest(data, data, 20, exclude=np.arange(60))
    metrics = fashion_mnist.calculate_metrics(labels, labels[rows])
    for k, ours in metrics.items():
        theirs = accuracy(data, k)
        assert ours["precision"] == pytest.approx(theirs.precision_at_k)
        assert ours["recall"] == pytest.approx(theirs.recall_at_k)
        assert ours["f1"] == pytest.approx(theirs.f1_at_k)
        assert ours["accuracy"] == pytest.approx(theirs.vote_accuracy)


def test_fashion_metrics_of_plain_predictions() -> None:
    truth, predicted = [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]
    metrics = fashion_mnist.calculate_metrics(truth, predicted)
    assert list(metrics) == [1]
    assert metrics == fashion_mnist.calculate_metrics(truth, np.array(predicted)[:, None])
    assert metrics[1]["precision"] == metrics[1]["accuracy"] == pytest.approx(3 / 5)
    assert metrics[1]["recall"] == pytest.approx((2 * 1 / 2 + 1) / 5)
    assert list(fashion_mnist.calculate_metrics(truth, np.zeros((5, 7), int))) == [1, 5]


def test_the_fashion_lesson(clothes: Any, tmp_path: Path) -> None:
    _, _, folder = clothes
    sprite = ("--images", folder / "sprite.png")
    out = lesson(
        *("fashion_mnist", *sprite, "--save", tmp_path / "grids", "-k", 3),
        *("--compare-networks", "resnet101,efficientnet-lite2", "--queries", "sneaker,Bag"),
    )
    assert "resnet101 is left out: The weights of resnet101 could not be" in out
    assert "efficientnet-lite2, weights imagenet, SHA-256 " in out
    at_1 = next(line.split() for line in out.splitlines() if line.startswith(" 1 "))
    assert float(at_1[1]) == float(at_1[4]) > 0.9  # the shapes differ, with little noise
    number = r"\d\.\d{3}"
    near = (f"{name}: " + ", ".join([f"{name} {number}"] * 3) for name in ("Sneaker", "Bag"))
    assert re.search("\n".join(near), out)
    assert " 5      0.754   0.008   0.015\n" in out
    assert "% of the neighbours of " not in out
    assert len(list((tmp_path / "grids").glob("*.png"))) == 2
    with pytest.raises(DogsimError, match="There is no file"):
        fashion_mnist.main("gone.png")
    with pytest.raises(DogsimError, match="no image of the class 'hat'"):
        fashion_mnist.main(str(folder / "sprite.png"), queries="hat")


def test_fashion_confusions_and_distances(capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.array([0, 0, 6], np.int32)
    fashion_mnist.print_confusions(
        labels, np.array([[0, 6], [6, 6], [6, 6]], np.int32), fashion_mnist.CLOTHES
    )
    assert "75.0% of the neighbours of T-shirt/top are Shirt" in capsys.readouterr().out
    tile = np.zeros((28, 28), np.uint8)
    figure = fashion_mnist.plot_similar_images(
        tile, np.stack([tile] * 2), ["Bag", "Bag", "Coat"], [0.0625, 0.5]
    )
    query, bars, *others = figure.axes
    assert query.get_xlabel().startswith("breed: Bag")
    assert [text.get_text() for text in bars.texts] == ["Bag 1", "Coat 1", "votes"]
    assert [axes.get_xlabel() for axes in others] == ["#1 · 0.0625", "#2 · 0.500"]
    assert [axes.get_title() for axes in others] == ["Bag", "Coat"]
    marks = [[text.get_text() for text in axes.texts][1] for axes in others]
    assert marks == ["✓", "✗"]


@pytest.mark.parametrize(
    "name", ["clothes.npz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
)
def test_truncated_fashion_files(clothes: Any, tmp_path: Path, name: str) -> None:
    _, _, folder = clothes
    for file in folder.iterdir():
        whole = file.read_bytes()
        (tmp_path / file.name).write_bytes(whole[: len(whole) // 2] if file.name == name else whole)
    images_file = tmp_path / name.replace("labels-idx1", "images-idx3")
    with pytest.raises(DogsimError, match="Cannot read") as caught:
        fashion_mnist.load_data(images_file)
    assert "\n" not in str(caught.value)


def test_fashion_arrays_of_another_type(tmp_path: Path) -> None:
    whole = np.zeros((3, 28, 28), np.uint8)
    for images, labels in ((whole / 255, [0, 1, 2]), (whole, [0, 1, 10]), (whole, [0.5, 1, 2])):
        np.savez(tmp_path / "x.npz", x_test=images, y_test=labels)
        with pytest.raises(DogsimError, match="Expected uint8, 0 to 255, and whole numbers"):
            fashion_mnist.load_data(tmp_path / "x.npz")


@pytest.mark.slow
def test_the_fashion_lesson_names_its_weights(clothes: Any, colours: str, tmp_path: Path) -> None:
    _, _, folder = clothes
    import keras

    pixels = keras.Sequential(
        [keras.Input((224, 224, 3)), keras.layers.GlobalAveragePooling2D(name="avg_pool")]
    )
    pixels.save(tmp_path / "mine.keras")
    sprite = ("--images", folder / "sprite.png", "--save", tmp_path)
    out = lesson("fashion_mnist", *sprite, "--weights", tmp_path / "mine.keras")
    assert "resnet101, weights mine.keras, SHA-256 " in out


@pytest.mark.slow
def test_solutions(capsys: pytest.CaptureFixture[str]) -> None:
    solutions = fashion_mnist.digits, fashion_mnist.inverted, fashion_mnist.mirrored
    for solution, shown in zip(solutions, answers("fashion_mnist"), strict=True):
        solution()
        same(capsys.readouterr().out, shown, ON_LESSONS)
