"""Solutions to the exercises of lessons 5 to 9, with the numbers that the lessons show.

python scripts/more_solutions.py                  # all of them: a minute or two
python scripts/more_solutions.py digits margins   # the ones with these names, which the lessons use
"""

from collections.abc import Iterator
from functools import cache
from itertools import compress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

import dogsim
from dogsim.images import Source
from dogsim.trust.calibration import calibration_for
from dogsim.trust.coverage import measure_coverage as coverage_of
from draw_sample_dogs import draw_with_box
from edge import run_named
from sample_breeds import BREEDS

LITE = "efficientnet-lite2"


def precision(gallery: ArrayLike, queries: ArrayLike, labels: NDArray[Any], k: int = 5) -> float:
    """Compute precision@k; each query's own row of the gallery is left out."""
    _, found = dogsim.nearest(gallery, queries, k, "cosine", np.arange(len(labels)))
    return float(np.mean(labels[found] == labels[:, None]))


# %% Lesson 5, other images
def load_digit_images(n: int = 600) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Load n digits of 8 x 8 pixels, white on black, with their labels."""
    from sklearn.datasets import load_digits

    digits, labels = load_digits(return_X_y=True)
    return np.uint8(digits[:n].reshape(-1, 8, 8) * 15), labels[:n]


def features_of(digits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the features of digits with a network trained on photos."""
    extractor = dogsim.load_extractor(LITE)
    size = extractor.recipe.image_size
    images = [Image.fromarray(digit).resize((size, size)).convert("RGB") for digit in digits]
    return dogsim.extract_features(images, extractor)


def digits() -> None:
    """Which features are better for digits, those of the network or the 64 pixels?"""
    images, labels = load_digit_images()
    network, pixels = features_of(images), images.reshape(len(images), -1).astype(np.float32)
    for name, features in (("the network", network), ("the pixels", pixels)):
        print(f"{name:<12} P@5 {precision(features, features, labels):.4f}")


def inverted() -> None:
    """How good are black digits, and black queries for white digits?"""
    images, labels = load_digit_images()
    white, black = features_of(images), features_of(255 - images)
    for name, gallery, queries in (
        ("white on black", white, white),
        ("black on white", black, black),
        ("black queries, white on black gallery", white, black),
    ):
        print(f"{name:<40} P@5 {precision(gallery, queries, labels):.4f}")


def mirrored() -> None:
    """How good are mirrored queries, for each digit?"""
    images, labels = load_digit_images()
    gallery, queries = features_of(images), features_of(images[:, :, ::-1])
    _, found = dogsim.nearest(gallery, queries, 5, "cosine", np.arange(len(labels)))
    hits = (labels[found] == labels[:, None]).mean(axis=1)
    for digit in range(10):
        print(f"{digit}  P@5 {hits[labels == digit].mean():.4f}")


# %% Lesson 6, learning features
def held_out_precision(**options: Any) -> float:
    """Train on four fifths of the harder sample and return the P@20 of the rest."""
    gallery, queries = dogsim.hold_out(dogsim.sample_dataset(hard=True), 0.2)
    ranking = dogsim.train_ranking(gallery, **options)
    with TemporaryDirectory() as folder:
        head = Path(folder) / "head.keras"
        dogsim.save_model(ranking.model, head)
        gallery, queries = (dogsim.project(each, head) for each in (gallery, queries))
        return dogsim.accuracy(gallery, 20, queries).precision_at_k


def starts() -> None:
    """How do initial weights and negatives compare?"""
    gallery, queries = dogsim.hold_out(dogsim.sample_dataset(hard=True), 0.2)
    print(f"no training             {dogsim.accuracy(gallery, 20, queries).precision_at_k:.4f}")
    for negatives, start in (("near", "random"), ("near", "discriminant"), ("proxies", "random")):
        one = {"proxies_per_breed": 1} if negatives == "proxies" else {}
        found = held_out_precision(negatives=negatives, start=start, **one)
        print(f"{negatives + ', ' + start:<23} {found:.4f}")


def negatives() -> None:
    """Which negatives rank breeds best, from random weights?"""
    for kind in ("near", "drawn", "in-class", "mixture", "pairs"):
        print(f"{kind:<9} {held_out_precision(negatives=kind, start='random'):.4f}")


def margins() -> None:
    """How does the margin of the loss matter?"""
    for gap in (0.01, 0.2, 1.0):
        print(f"{gap:<4}  {held_out_precision(negatives='near', start='random', gap=gap):.4f}")


def new_breeds() -> None:
    """Does training on five breeds improve the ranking of five others?"""
    dataset = dogsim.sample_dataset(hard=True)
    trained = ("beagle", "German shepherd", "Siberian husky", "golden retriever", "Doberman")
    known = np.isin(dataset.labels, [dataset.breeds.index(breed) for breed in trained])
    old, new = (dataset.take(np.flatnonzero(each)) for each in (known, ~known))
    ranking = dogsim.train_ranking(old)
    print(f"no head        P@20 {dogsim.accuracy(new, 20).precision_at_k:.4f}")
    with TemporaryDirectory() as folder:
        head = Path(folder) / "head.keras"
        dogsim.save_model(ranking.model, head)
        for name, layer in (("general", "general"), ("probabilities", "")):
            found = dogsim.accuracy(dogsim.project(new, head, layer), 20)
            print(f"{name:<14} P@20 {found.precision_at_k:.4f}")


# %% Lesson 7, inside a network
def bottleneck() -> None:
    """Count the parameters of an identity block of ResNet-50 by hand."""
    import keras

    x = keras.Input((56, 56, 256))
    block = keras.Model(x, dogsim.identity_block(x, [64, 64, 256]))
    weights = 1 * 1 * 256 * 64 + 3 * 3 * 64 * 64 + 1 * 1 * 64 * 256
    biases, normalised = 64 + 64 + 256, 4 * (64 + 64 + 256)
    plain = 2 * (3 * 3 * 256 * 256)
    print(f"by hand {weights + biases + normalised:,}, counted {block.count_params():,}; ", end="")
    print(f"two convolutions 3 x 3 of 256 would have {plain:,} weights")


def reductions() -> None:
    """How many weights do the 1 x 1 convolutions save in GoogLeNet's module 3a?"""
    with_them = 192 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32
    without = 192 * 64 + 9 * 192 * 128 + 25 * 192 * 32
    network = dogsim.googlenet()
    module = [x for x in network.layers if x.name.startswith("inception_3a")]
    counted = sum(w.size for x in module for w in x.get_weights() if w.ndim == 4)
    print(f"with {with_them:,} weights, counted {counted:,}; without {without:,}, and ", end="")
    print(f"{64 + 128 + 32 + 192} channels instead of 256")


def work() -> None:
    """Which convolutions of ResNet-50 have the weights, and which the multiply-adds?"""
    network = dogsim.resnet50()
    weights, multiply_adds = np.zeros((2, 8))
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            _, height, width, _ = layer.output.shape
            weights[kernel.shape[0]] += np.prod(kernel.shape)
            multiply_adds[kernel.shape[0]] += np.prod(kernel.shape) * height * width
    print("convolution   of the weights   of the multiply-adds")
    for size in (1, 3, 7):
        fractions = weights[size] / weights.sum(), multiply_adds[size] / multiply_adds.sum()
        print("{0} x {0}         {1:.4f}           {2:.4f}".format(size, *fractions))


# %% Lesson 8, how sure
def measure_coverage(dataset: dogsim.Dataset, confidence: float, seed: int) -> tuple[float, float]:
    """Return the coverage and the mean set size, with two fifths of the images as queries."""
    gallery, queries = dogsim.hold_out(dataset, 0.4, seed)
    calibration = calibration_for(gallery, confidence)
    found = coverage_of(calibration, queries.features, queries.labels, confidence)
    return found.coverage, found.mean_set_size


def coverage() -> None:
    """Is the coverage at least the confidence? Ten splits."""
    dataset = dogsim.sample_dataset(hard=True)
    for confidence in (0.8, 0.9, 0.95):
        reached = [measure_coverage(dataset, confidence, seed)[0] for seed in range(10)]
        print(f"{confidence:.2f}: {np.mean(reached):.4f} on average, ", end="")
        print(f"{min(reached):.2f} to {max(reached):.2f}")


def small_datasets() -> None:
    """How large are the prediction sets with few images?"""
    dataset = dogsim.sample_dataset(hard=True)
    for n in (8, 16, 25):
        rows = [np.flatnonzero(dataset.labels == label)[:n] for label in range(10)]
        part = dataset.take(np.concatenate(rows))
        reached, size = np.mean([measure_coverage(part, 0.9, seed) for seed in range(5)], axis=0)
        print(f"{n:>2} images of each breed: coverage {reached:.4f}, {size:.2f} breeds in a set")


def unknown() -> None:
    """Which images are called unknown?"""
    dataset, drawings = dogsim.sample_dataset(hard=True), dogsim.sample_queries()
    known = [drawing.stem.replace("_", " ") in dataset.breeds for drawing in drawings]
    noise = np.random.default_rng(0).integers(0, 256, (20, 56, 56, 3), np.uint8)
    queries: dict[str, list[Source]] = {
        "easier drawings of its breeds": list(compress(drawings, known)),
        "drawings of other breeds": list(compress(drawings, np.logical_not(known))),
        "noise": [Image.fromarray(each).resize((224, 224)) for each in noise],
    }
    for name, images in queries.items():
        answers = dogsim.classify(images, dataset, 10, confidence=0.9)
        found = sum(answer.trust.unknown for answer in answers if answer.trust)
        print(f"{name:<30} {found} of {len(images)} are called unknown")


# %% Lesson 9, the dog or the snow
@cache
def drawn() -> list[tuple[Image.Image, tuple[int, int, int, int]]]:
    """Draw three dogs of each breed, with their boxes."""
    return [draw_with_box(breed, number) for breed in BREEDS for number in (1, 2, 3)]


def print_precision(name: str, gallery: list[Image.Image], queries: list[Image.Image]) -> None:
    """Print precision@2 of the query images."""
    extractor = dogsim.load_extractor(LITE)
    known, shown = (dogsim.extract_features(images, extractor) for images in (gallery, queries))
    print(f"{name:<24} P@2 {precision(known, shown, np.arange(36) // 3, 2):.4f}")


def boxes_only(heights: tuple[float, float], colour: str = "#7c7468") -> Iterator[Image.Image]:
    """Yield each image with all but its box grey, between two fractions of the box height."""
    for image, (left, top, end, bottom) in drawn():
        low, high = (round(top + fraction * (bottom - top)) for fraction in heights)
        grey = Image.new("RGB", image.size, colour)
        grey.paste(image.crop((left, low, end, high)), (left, low))
        yield grey


def backgrounds() -> None:
    """Does the colour of the removed background matter?"""
    whole = [image for image, _ in drawn()]
    print_precision("whole", whole, whole)
    for name, colour in (("grey", "#7c7468"), ("black", "#000000"), ("red", "#ff0000")):
        print_precision(f"dog on {name}", whole, list(boxes_only((0, 1), colour)))


def halves() -> None:
    """Which half of the dog identifies its breed?"""
    whole = [image for image, _ in drawn()]
    print_precision("upper half", whole, list(boxes_only((0, 0.5))))
    print_precision("lower half", whole, list(boxes_only((0.5, 1))))


def moved() -> None:
    """What if every dog is pasted into the image of the next breed?"""
    whole = [image for image, _ in drawn()]
    pasted = []
    for (image, box), (scene, (left, top, end, bottom)) in zip(
        drawn(), drawn()[3:] + drawn()[:3], strict=True
    ):
        scene = scene.copy()
        scene.paste(image.crop(box).resize((end - left, bottom - top)), (left, top))
        pasted.append(scene)
    print_precision("whole", whole, whole)
    print_precision("in the next one's scene", whole, pasted)


if __name__ == "__main__":
    run_named(
        *(
            __doc__,
            digits,
            inverted,
            mirrored,
            starts,
            negatives,
            margins,
            new_breeds,
            bottleneck,
            reductions,
            work,
        ),
        *(coverage, small_datasets, unknown, backgrounds, halves, moved),
    )
