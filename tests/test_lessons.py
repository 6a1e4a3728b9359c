"""The lessons in scripts/ run, and their numbers are right."""

import gzip
import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from commands import lesson, lesson_and_names, lesson_refusal, python
from PIL import Image

from dogsim import (
    Dataset,
    DogsimError,
    accuracy,
    load_image,
    nearest,
    result_grid,
    sample_dataset,
    sample_queries,
)

QUERIES = [str(path) for path in sample_queries()[:2]]


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


@pytest.fixture(scope="module")
def fashion(clothes: Any, colours: str) -> SimpleNamespace:
    """The lesson's functions."""
    arguments = ("--images", clothes[2] / "sprite.png", "--weights", colours, "--save", clothes[2])
    return SimpleNamespace(**lesson_and_names("fashion_mnist", *arguments)[1])


@pytest.mark.parametrize("name", ["clothes.npz", "t10k-images-idx3-ubyte.gz", "sprite.png"])
def test_every_kind_of_fashion_file(clothes: Any, fashion: SimpleNamespace, name: str) -> None:
    images, labels, folder = clothes
    read, read_labels = fashion.load_data(folder / name)
    assert np.array_equal(read, images)
    assert np.array_equal(read_labels, labels)


def test_invalid_fashion_files(fashion: SimpleNamespace, tmp_path: Path) -> None:
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
            fashion.load_data(tmp_path / name)
    with pytest.raises(DogsimError, match=r"could not be downloaded .*--images FILE"):
        fashion.load_data(None)


def test_fashion_images_are_bilinear_rgb(fashion: SimpleNamespace) -> None:
    ramp = np.tile(np.arange(28, dtype=np.uint8) * 9, (3, 28, 1))
    large = fashion.preprocess_fmnist(ramp, sample_size=2)
    assert large.shape == (2, 224, 224, 3)
    assert np.array_equal(large[..., 0], large[..., 2])
    # between the centres of the first and the last pixel a ramp stays linear
    line = 9 * ((np.arange(4, 220) + 0.5) / 8 - 0.5)
    np.testing.assert_allclose(large[1, 100, 4:220, 0], line, atol=0.51)


def test_fashion_metrics_are_those_of_accuracy(fashion: SimpleNamespace) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 60).astype(np.int32)
    features = (np.eye(4)[labels] + rng.normal(0, 0.6, (60, 4))).astype(np.float32)
    data = Dataset(features, labels, tuple(map(str, range(60))), tuple("abcd"))
    from dogsim import nearest

    _, rows = nearest(data, data, 20, exclude=np.arange(60))
    metrics = fashion.calculate_metrics(labels, labels[rows])
    for k, ours in metrics.items():
        theirs = accuracy(data, k)
        assert ours["precision"] == pytest.approx(theirs.precision_at_k)
        assert ours["recall"] == pytest.approx(theirs.recall_at_k)
        assert ours["f1"] == pytest.approx(theirs.f1_at_k)
        assert ours["accuracy"] == pytest.approx(theirs.vote_accuracy)


def test_fashion_metrics_of_plain_predictions(fashion: SimpleNamespace) -> None:
    truth, predicted = [0, 0, 0, 1, 1], [0, 0, 1, 1, 0]
    metrics = fashion.calculate_metrics(truth, predicted)
    assert list(metrics) == [1]
    assert metrics == fashion.calculate_metrics(truth, np.array(predicted)[:, None])
    assert metrics[1]["precision"] == metrics[1]["accuracy"] == pytest.approx(3 / 5)
    assert metrics[1]["recall"] == pytest.approx((2 * 1 / 2 + 1) / 5)
    assert list(fashion.calculate_metrics(truth, np.zeros((5, 7), int))) == [1, 5]


def test_the_fashion_lesson(clothes: Any, tmp_path: Path) -> None:
    _, _, folder = clothes
    sprite = ("--images", folder / "sprite.png")
    out = lesson(
        *("fashion_mnist", *sprite, "--save", tmp_path / "grids", "-k", 3),
        *("--compare-networks", "resnet101", "efficientnet-lite2", "--queries", "sneaker", "Bag"),
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
    assert "There is no file" in lesson_refusal("fashion_mnist", "--images", "gone.png")
    assert "no image of the class 'hat'" in lesson_refusal(
        "fashion_mnist", *sprite, "--queries", "hat"
    )


def test_fashion_confusions_and_distances(
    fashion: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.array([0, 0, 6], np.int32)
    fashion.print_confusions(labels, np.array([[0, 6], [6, 6], [6, 6]], np.int32))
    assert "75.0% of the neighbours of T-shirt/top are Shirt" in capsys.readouterr().out
    tile = np.zeros((28, 28), np.uint8)
    figure = fashion.plot_similar_images(tile, [tile] * 2, ["Bag", "Bag", "Coat"], [0.0625, 0.5])
    query, bars, *others = figure.axes
    assert query.get_xlabel().startswith("breed: Bag")
    assert [text.get_text() for text in bars.texts] == ["Bag 1", "Coat 1", "votes"]
    assert [axes.get_xlabel() for axes in others] == ["#1 · 0.0625", "#2 · 0.500"]
    assert [axes.get_title() for axes in others] == ["Bag", "Coat"]
    marks = [[text.get_text() for text in axes.texts][1] for axes in others]
    assert marks == ["✓", "✗"]


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset file of six classes, without image files."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20).astype(np.int32)
    features = np.eye(6)[labels].repeat(4, axis=1) * 2 + rng.normal(0, 1, (120, 24))
    path = tmp_path_factory.mktemp("classes") / "classes.h5"
    names = tuple(f"{label}/{i}.jpg" for i, label in enumerate(labels))
    Dataset(features.astype(np.float32), labels, names, tuple("abcdef")).save(path)
    return path


@pytest.fixture(scope="module")
def classifiers(
    classes: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, SimpleNamespace]:
    """The output of the lesson, and its functions."""
    folder = tmp_path_factory.mktemp("grids")
    out, names = lesson_and_names("caltech101", "--dataset", classes, "--save", folder)
    return out, SimpleNamespace(**names)


def test_the_lesson_of_classifiers(classes: Path, classifiers: tuple[str, SimpleNamespace]) -> None:
    out, _ = classifiers
    lines = out.splitlines()
    data = Dataset.open(classes)
    for metric in ("euclidean", "cosine"):
        shown = next(line for line in lines if line.startswith(f"learned features, {metric}"))
        assert [float(x) for x in shown.split()[3:]] == pytest.approx(
            [accuracy(data, k, metric=metric).precision_at_k for k in (1, 5, 20)], abs=1e-4
        )
    assert "handcrafted features: none" in out  # there are no image files
    for name in ("softmax", "linear SVM", "logistic regression"):
        shown = next(line for line in lines if line.startswith(name))
        assert float(shown.removeprefix(name).split(",")[0]) > 0.8


def test_grids_show_distances_of_their_metric(
    classifiers: tuple[str, SimpleNamespace],
) -> None:
    data, row = sample_dataset(), np.array([3])
    drawn = dict(classifiers[1].grids(data, row))
    for metric in ("euclidean", "cosine"):
        distances, indices = nearest(data, data.features[row], 8, metric, row)
        shown = data.source(3), data, indices[0], distances[0], data.breed(3), metric
        grid = drawn[f"{data.image_file(3).stem}-{metric}"]
        assert labels_of(grid) == labels_of(result_grid(*shown))


def labels_of(figure: Any) -> list[str]:
    return [axes.xaxis.label.get_text() for axes in figure.axes]


@pytest.mark.slow
def test_handcrafted_features(tmp_path: Path) -> None:
    """Striped and plain images, and a folder that is not a class."""
    rng = np.random.default_rng(0)
    for name in ("BACKGROUND_Google", "plain", "striped"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        for i in range(10):
            pixels = rng.integers(90, 110, (64, 64, 3), np.uint8)
            pixels[:: 8 if name == "striped" else 64] = 255
            Image.fromarray(pixels).save(tmp_path / "classes" / name / f"{i}.png")
    options = ("--backbone", "efficientnet-lite2", "--save", tmp_path / "grids")
    out = lesson("caltech101", tmp_path / "classes", *options)
    assert "BACKGROUND Google is left out" in out
    assert "20 images of 2 classes" in out
    hog = next(line for line in out.splitlines() if line.startswith("HOG"))
    assert float(hog.split()[2]) == 1  # edges identify stripes
    assert "raw pixels, cosine" in out
    assert all(f"{name}, cosine" in out for name in ("LBP", "Gabor", "SIFT"))
    assert "30 images of 3 classes" in lesson(
        "caltech101", tmp_path / "classes", *options, "--background"
    )


def test_a_colour_histogram_is_independent_of_position(
    classifiers: tuple[str, SimpleNamespace],
) -> None:
    lesson_module = classifiers[1]
    image = np.zeros((64, 64, 3), np.uint8)
    image[:16] = (255, 0, 0)
    flipped = image[::-1]
    counts = lesson_module.colour_histogram(image)
    assert counts[7 * 64] == 16 * 64
    assert counts[0] == 48 * 64
    assert np.array_equal(counts, lesson_module.colour_histogram(flipped))
    assert not np.array_equal(lesson_module.raw_pixels(image), lesson_module.raw_pixels(flipped))


def test_textures_and_keypoints(classifiers: tuple[str, SimpleNamespace]) -> None:
    lesson_module = classifiers[1]
    flat = np.full((64, 64, 3), 90, np.uint8)
    patterns = lesson_module.binary_patterns(flat).reshape(16, 10)
    assert (patterns[:, 8] >= 0.75).all()  # all neighbours are as bright as the pixel
    np.testing.assert_allclose(patterns.sum(axis=1), 1)
    waves = np.cos(2 * np.pi * 0.2 * np.arange(64)) * 100 + 128
    across = np.repeat(np.tile(waves, (64, 1))[:, :, None], 3, axis=2).astype(np.uint8)
    strength = lesson_module.gabor(across).reshape(3, 4, 16).mean(axis=2)
    assert np.unravel_index(strength.argmax(), (3, 4)) == (1, 0)  # its frequency and direction
    turned = lesson_module.gabor(across.swapaxes(0, 1)).reshape(3, 4, 16).mean(axis=2)
    assert np.unravel_index(turned.argmax(), (3, 4)) == (1, 2)


def test_one_shot_accuracy(classifiers: tuple[str, SimpleNamespace]) -> None:
    out, lesson_module = classifiers
    assert "one image per class, 50 draws: accuracy " in out
    labels = np.arange(30).astype(np.int32) % 3
    paths, breeds = tuple(f"{i}.jpg" for i in range(30)), ("a", "b", "c")
    apart = Dataset(np.eye(3, dtype=np.float32)[labels], labels, paths, breeds)
    assert lesson_module.one_shot(apart, 4, 0).tolist() == [1, 1, 1, 1]
    rng = np.random.default_rng(0)
    noise = Dataset(rng.normal(size=(30, 5)).astype(np.float32), labels, paths, breeds)
    shots = lesson_module.one_shot(noise, 20, 0)
    assert abs(shots.mean() - 1 / 3) < 0.08
    assert np.allclose(shots * 27, np.round(shots * 27))  # of 27 queries


def test_a_bag_of_words_counts_the_nearest_words(
    classifiers: tuple[str, SimpleNamespace],
) -> None:
    lesson_module, data = classifiers[1], sample_dataset()
    images = [load_image(data.source(row), 64) for row in range(4)]
    images.append(np.full((64, 64, 3), 90, np.uint8))  # no keypoints
    bags = lesson_module.bags_of_words(images, words=5)
    keypoints = [lesson_module.sift_descriptors(image) for image in images]
    assert [len(each) for each in keypoints] == bags[:, :-1].sum(axis=1).tolist()
    assert bags[:, -1].tolist() == [0, 0, 0, 0, 1]
    assert keypoints[-1].shape == (0, 128)
    every = np.concatenate(keypoints)
    words = lesson_module.MiniBatchKMeans(5, random_state=0, n_init=3).fit(every).cluster_centers_
    nearest_word = np.linalg.norm(keypoints[0][:, None] - words, axis=2).argmin(axis=1)
    assert np.array_equal(np.bincount(nearest_word, minlength=5), bags[0, :-1])
    assert lesson_module.bags_of_words(images[-1:]).tolist() == [[1]]


@pytest.mark.slow
def test_the_lesson_inside_a_network(tmp_path: Path) -> None:
    out = lesson("look_inside", "--networks", "MobileNet", "--epochs", 1, "--save", tmp_path)
    for number in ("60,965,224", "6,998,552", "4,253,864", "857,082", "163,328", "50,177,000"):
        assert number in out
    lines = [line.split() for line in out.splitlines()]
    assert ["with", "weights", "22", "22"] in lines
    assert ["and", "pooling", "27", "27"] in lines
    assert "identity block with zeros: largest change 0\n" in out
    ratios = {line[0]: float(line[-1]) for line in lines if line[:1] in (["sigmoid"], ["ReLU"])}
    assert ratios["sigmoid"] < 1e-6 < 0.01 < ratios["ReLU"]  # the gradient vanishes
    errors = [line for line in lines if line[1:2] == ["layers"] and line[0].isdigit()]
    assert [line[0] for line in errors] == ["8", "20", "32"]
    assert all(0 <= float(error) <= 1 for line in errors for error in line[2:])
    without, with_shortcuts = (
        float(line.split()[-2].replace(",", ""))
        for line in out.splitlines()
        if line.endswith("times")
    )
    assert without > 20 * with_shortcuts  # ratio of the gradients at both ends of 56 layers
    assert (tmp_path / "gradient-norms.png").is_file()


def test_the_lesson_of_deep_ranking(classes: Path, tmp_path: Path) -> None:
    out = lesson("deep_ranking", "--dataset", classes, "--save", tmp_path / "figures")
    before, after = (
        [float(x) for x in line.split()[1:]]
        for line in out.splitlines()
        if line.startswith(("before  ", "after  "))
    )
    assert after[2] > before[2] + 0.05  # precision@20 of held-out images
    assert (tmp_path / "figures" / "precision.png").is_file()
    assert (tmp_path / "figures" / "learning.png").is_file()
    start, best = (
        float(line.split(" held-out images ")[1].split()[place])
        for line in out.splitlines()
        if " held-out images " in line
        for place in (0, 4)
    )
    assert best > start + 0.1
    assert "There is no dataset file" in lesson_refusal("deep_ranking", "--dataset", "gone.h5")


@pytest.mark.parametrize(
    "name", ["clothes.npz", "t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
)
def test_truncated_fashion_files(
    clothes: Any, fashion: SimpleNamespace, tmp_path: Path, name: str
) -> None:
    _, _, folder = clothes
    for file in folder.iterdir():
        whole = file.read_bytes()
        (tmp_path / file.name).write_bytes(whole[: len(whole) // 2] if file.name == name else whole)
    images_file = tmp_path / name.replace("labels-idx1", "images-idx3")
    with pytest.raises(DogsimError, match="Cannot read") as caught:
        fashion.load_data(images_file)
    assert "\n" not in str(caught.value)


def test_fashion_arrays_of_another_type(fashion: SimpleNamespace, tmp_path: Path) -> None:
    whole = np.zeros((3, 28, 28), np.uint8)
    for images, labels in ((whole / 255, [0, 1, 2]), (whole, [0, 1, 10]), (whole, [0.5, 1, 2])):
        np.savez(tmp_path / "x.npz", x_test=images, y_test=labels)
        with pytest.raises(DogsimError, match="Expected uint8, 0 to 255, and whole numbers"):
            fashion.load_data(tmp_path / "x.npz")


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


@pytest.mark.parametrize("unknown", [0, 4])
def test_the_lesson_of_classifiers_on_few_images(unknown: int, tmp_path: Path) -> None:
    """Four images per class, and some of no known class."""
    rng = np.random.default_rng(0)
    labels = np.append(np.arange(6).repeat(4), [-1] * unknown).astype(np.int32)
    features = np.eye(7)[labels].repeat(4, axis=1) * 2 + rng.normal(0, 1, (len(labels), 28))
    names = tuple(f"{i}.jpg" for i in range(len(labels)))
    Dataset(features.astype(np.float32), labels, names, tuple("abcdef")).save(tmp_path / "d.h5")
    out = lesson("caltech101", "--dataset", tmp_path / "d.h5", "--save", tmp_path)
    assert "6 images held out, 18 to train on" in out
    assert ("4 images of no known class are left out" in out) is bool(unknown)


def test_a_mistake_ends_a_lesson_in_one_line() -> None:
    done = python("scripts/deep_ranking.py", "--dataset", "\x1b[2J.h5")
    assert done.returncode == 1
    assert done.stderr.startswith(r"deep_ranking.py: There is no dataset file \x1b[2J.h5.")
    assert len(done.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def backgrounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, SimpleNamespace, Path]:
    """The lesson with striped and plain dogs, on backgrounds of the same colours."""
    tmp_path = tmp_path_factory.mktemp("backgrounds")
    rng = np.random.default_rng(0)
    for breed in ("plain", "striped"):
        (tmp_path / "photos" / breed).mkdir(parents=True)
        (tmp_path / "boxes" / breed).mkdir(parents=True)
        for i in range(5):
            pixels = np.full((128, 128, 3), (50 * i, 100, 250 - 50 * i), np.uint8)
            dog = pixels[16:112, 16:112]
            dog[:] = rng.integers(80, 120, dog.shape)
            dog[:: 8 if breed == "striped" else 96] = 255
            Image.fromarray(pixels).save(tmp_path / "photos" / breed / f"{i}.png")
            (tmp_path / "boxes" / breed / f"{i}.xml").write_text(
                "<annotation><object><bndbox><xmin>16</xmin><ymin>16</ymin>"
                "<xmax>112</xmax><ymax>112</ymax></bndbox></object></annotation>"
            )
    out, names = lesson_and_names(
        *("background", "--photos", tmp_path / "photos", "--boxes", tmp_path / "boxes"),
        *("--backbone", "efficientnet-lite2", "-k", 4, "--save", tmp_path / "figure"),
    )
    return out, SimpleNamespace(**names), tmp_path


def test_the_lesson_of_backgrounds(backgrounds: tuple[str, SimpleNamespace, Path]) -> None:
    out, _, tmp_path = backgrounds
    assert "10 images of 2 breeds; a box covers 56% of its image" in out
    precision = {
        part: float(line.removeprefix(part).split()[0])
        for line in out.splitlines()
        for part in ("whole", "dog only", "background only")
        if line.startswith(f"{part} ")
    }
    assert precision["dog only"] == 1
    assert precision["background only"] <= 0.6  # both breeds have the same backgrounds
    assert (tmp_path / "figure" / "background.png").is_file()
    (tmp_path / "none").mkdir()
    wrong = ("background", "--photos", tmp_path / "photos", "--boxes", tmp_path / "none")
    assert "None of the images" in lesson_refusal(*wrong)


def test_the_grey_parts(backgrounds: tuple[str, SimpleNamespace, Path], tmp_path: Path) -> None:
    background = backgrounds[1]
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    box = background.Box(10, 6, 30, 20, 80, 60)  # measured in a copy twice as large
    whole, dog, around = (
        np.asarray(next(background.greyed([tmp_path / "x.png"], [box], part)))
        for part in background.PARTS
    )
    assert np.array_equal(whole, pixels)
    inside = np.zeros((30, 40), bool)
    inside[3:10, 5:15] = True
    assert np.array_equal(dog[inside], pixels[inside])
    assert np.array_equal(around[~inside], pixels[~inside])
    assert (dog[~inside] == background.GREY).all()
    assert (around[inside] == background.GREY).all()


def test_the_box_of_a_drawn_dog(backgrounds: tuple[str, SimpleNamespace, Path]) -> None:
    background, script = backgrounds[1], import_module("draw_sample_dogs")
    image, breed, box = next(background.drawings(1))
    sides = background.pixel_box(image, box)
    assert breed == next(iter(background.BREEDS))
    assert 0.1 < background.area_fraction(image, box) < 0.9
    assert sides == (box.left, box.top, box.right, box.bottom)
    assert image.tobytes() == script.draw_dog(breed, 1).tobytes()


@pytest.mark.slow
def test_the_lesson_of_distances(tmp_path: Path) -> None:
    out = lesson("why_near", "--save", tmp_path)
    sums = [line.rpartition("its square ")[2] for line in out.splitlines() if "add up to" in line]
    assert len(sums) == 2
    for text in sums:
        square, total = text.split("; 81 places of either add up to ")
        assert float(total) == pytest.approx(float(square), abs=2e-4)
    assert len(list(tmp_path.glob("*.png"))) == 5


@pytest.mark.slow
def test_the_lesson_of_trust(tmp_path: Path) -> None:
    out = lesson("how_sure", "--save", tmp_path)
    rows = [line.split() for line in out.splitlines() if line.startswith("0.")][:6]
    for confidence, coverage, _ in rows:
        assert float(coverage) > float(confidence) - 0.06  # 100 queries
    sizes = [float(size) for _, _, size in rows]
    assert sizes == sorted(sizes)
    assert "unknown    0.004  Dalmatian" in out
    assert len(list(tmp_path.glob("*.png"))) == 2
