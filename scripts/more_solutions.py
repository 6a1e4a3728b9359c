"""Solutions to the exercises of lessons 5 to 9, each with the number to see.

python scripts/more_solutions.py                  # all of them: a minute or two
python scripts/more_solutions.py digits depth     # those of these names, which stand in the lessons
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
from dogsim.accuracy import judge
from dogsim.images import Source
from draw_sample_dogs import draw_with_box
from edge import run_named
from sample_breeds import BREEDS

LITE = "efficientnet-lite0"


def right(known: ArrayLike, asked: ArrayLike, labels: NDArray[Any], k: int = 5) -> float:
    """Tell which part of the k nearest, each one's own row left out, has the label."""
    _, found = dogsim.nearest(known, asked, k, "cosine", np.arange(len(labels)))
    return float(np.mean(labels[found] == labels[:, None]))


# %% Lesson 5, other pictures
def written(n: int = 600) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Read n digits of 8 x 8 pixels, white on black, and what they are."""
    from sklearn.datasets import load_digits

    digits, labels = load_digits(return_X_y=True)
    return np.uint8(digits[:n].reshape(-1, 8, 8) * 15), labels[:n]


def features_of(digits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Ask the network of photos."""
    images = [Image.fromarray(digit).resize((224, 224)).convert("RGB") for digit in digits]
    return dogsim.extract_features(images, dogsim.load_extractor(LITE))


def digits() -> None:
    """Who knows digits better, a network of photos or the 64 pixels?"""
    images, labels = written()
    network, pixels = features_of(images), images.reshape(len(images), -1).astype(np.float32)
    for name, features in (("the network", network), ("the pixels", pixels)):
        print(f"{name:<12} P@5 {right(features, features, labels):.4f}")


def inverted() -> None:
    """Black on white instead, or one asked of the other."""
    images, labels = written()
    white, black = features_of(images), features_of(255 - images)
    for name, known, asked in (
        ("white on black", white, white),
        ("black on white", black, black),
        ("black on white, asked of white on black", white, black),
    ):
        print(f"{name:<40} P@5 {right(known, asked, labels):.4f}")


def mirrored() -> None:
    """Mirrored digits, asked of plain ones: by label."""
    images, labels = written()
    known, asked = features_of(images), features_of(images[:, :, ::-1])
    _, found = dogsim.nearest(known, asked, 5, "cosine", np.arange(len(labels)))
    hits = (labels[found] == labels[:, None]).mean(axis=1)
    for digit in range(10):
        print(f"{digit}  P@5 {hits[labels == digit].mean():.4f}")


# %% Lesson 6, learning features
def learned(**options: Any) -> float:
    """Learn from four fifths of the harder sample; tell the P@20 of the others."""
    gallery, queries = dogsim.hold_out(dogsim.sample_dataset(hard=True), 0.2)
    ranking = dogsim.train_ranking(gallery, **options)
    with TemporaryDirectory() as folder:
        head = Path(folder) / "head.keras"
        dogsim.save_model(ranking.model, head)
        known, asked = (dogsim.project(each, head) for each in (gallery, queries))
        return dogsim.accuracy(known, 20, asked).precision_at_k


def starts() -> None:
    """Triplets from random numbers, from discriminants, and proxies."""
    gallery, queries = dogsim.hold_out(dogsim.sample_dataset(hard=True), 0.2)
    print(f"nothing learned         {dogsim.accuracy(gallery, 20, queries).precision_at_k:.4f}")
    for negatives, start in (("near", "random"), ("near", "discriminant"), ("proxies", "random")):
        found = learned(negatives=negatives, start=start)
        print(f"{negatives + ', ' + start:<23} {found:.4f}")


def gaps() -> None:
    """By how much shall a breed's pictures be nearer?"""
    for gap in (0.01, 0.2, 1.0):
        print(f"{gap:<4}  {learned(negatives='near', start='random', gap=gap):.4f}")


def newcomers() -> None:
    """Does what is learned from five breeds help with five others?"""
    dataset = dogsim.sample_dataset(hard=True)
    learned = ("beagle", "German shepherd", "Siberian husky", "golden retriever", "Doberman")
    known = np.isin(dataset.labels, [dataset.breeds.index(breed) for breed in learned])
    old, new = (dataset.take(np.flatnonzero(each)) for each in (known, ~known))
    ranking = dogsim.train_ranking(old)
    print(f"as they are    P@20 {dogsim.accuracy(new, 20).precision_at_k:.4f}")
    with TemporaryDirectory() as folder:
        head = Path(folder) / "head.keras"
        dogsim.save_model(ranking.model, head)
        for name, layer in (("general", "general"), ("probabilities", "")):
            found = dogsim.accuracy(dogsim.project(new, head, layer), 20)
            print(f"{name:<14} P@20 {found.precision_at_k:.4f}")


# %% Lesson 7, inside a network
def bottleneck() -> None:
    """Count an identity block of ResNet-50 by hand."""
    import keras

    x = keras.Input((56, 56, 256))
    block = keras.Model(x, dogsim.identity_block(x, [64, 64, 256]))
    weights = 1 * 1 * 256 * 64 + 3 * 3 * 64 * 64 + 1 * 1 * 64 * 256
    biases, normalised = 64 + 64 + 256, 4 * (64 + 64 + 256)
    plain = 2 * (3 * 3 * 256 * 256)
    print(f"by hand {weights + biases + normalised:,}, counted {block.count_params():,}; ", end="")
    print(f"two convolutions 3 x 3 of 256 would have {plain:,} weights")


def reduced() -> None:
    """What do the 1 x 1 convolutions save in GoogLeNet's module 3a?"""
    with_them = 192 * (64 + 96 + 16 + 32) + 9 * 96 * 128 + 25 * 16 * 32
    without = 192 * 64 + 9 * 192 * 128 + 25 * 192 * 32
    network = dogsim.googlenet()
    module = [x for x in network.layers if x.name.startswith("inception_3a")]
    counted = sum(w.size for x in module for w in x.get_weights() if w.ndim == 4)
    print(f"with {with_them:,} weights, counted {counted:,}; without {without:,}, and ", end="")
    print(f"{64 + 128 + 32 + 192} channels instead of 256")


def work() -> None:
    """Where in ResNet-50 are the weights, and where the work, by size of the convolution?"""
    network = dogsim.resnet50()
    weights, sums = np.zeros((2, 8))
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is not None and len(kernel.shape) == 4:
            _, height, width, _ = layer.output.shape
            weights[kernel.shape[0]] += np.prod(kernel.shape)
            sums[kernel.shape[0]] += np.prod(kernel.shape) * height * width
    print("convolution   of the weights   of the multiply-adds")
    for size in (1, 3, 7):
        parts = weights[size] / weights.sum(), sums[size] / sums.sum()
        print("{0} x {0}         {1:.4f}           {2:.4f}".format(size, *parts))


# %% Lesson 8, how sure
def covered(dataset: dogsim.Dataset, confidence: float, seed: int) -> tuple[float, float]:
    """Ask two fifths of the others, and tell what was kept, and how many breeds that took."""
    known, asked = dogsim.hold_out(dataset, 0.4, seed)
    found = judge(known, [10], asked, confidence=confidence).coverage
    assert found is not None
    return found.coverage, found.mean_set_size


def promises() -> None:
    """Is a promise kept? Ten splits."""
    dataset = dogsim.sample_dataset(hard=True)
    for confidence in (0.8, 0.9, 0.95):
        kept = [covered(dataset, confidence, seed)[0] for seed in range(10)]
        print(
            f"{confidence:.2f}: {np.mean(kept):.4f} on average, {min(kept):.2f} to {max(kept):.2f}"
        )


def smaller() -> None:
    """What does a promise cost that few pictures have to keep?"""
    dataset = dogsim.sample_dataset(hard=True)
    for n in (8, 16, 25):
        rows = [np.flatnonzero(dataset.labels == label)[:n] for label in range(10)]
        some = dataset.take(np.concatenate(rows))
        kept, size = np.mean([covered(some, 0.9, seed) for seed in range(5)], axis=0)
        print(f"{n:>2} pictures of each breed: kept {kept:.4f}, {size:.2f} breeds in a set")


def strangers() -> None:
    """Who is called unknown?"""
    dataset, drawings = dogsim.sample_dataset(hard=True), dogsim.sample_queries()
    known = [drawing.stem.replace("_", " ") in dataset.breeds for drawing in drawings]
    noise = np.random.default_rng(0).integers(0, 256, (20, 56, 56, 3), np.uint8)
    asked: dict[str, list[Source]] = {
        "easier drawings of its breeds": list(compress(drawings, known)),
        "drawings of other breeds": list(compress(drawings, np.logical_not(known))),
        "noise": [Image.fromarray(each).resize((224, 224)) for each in noise],
    }
    for name, pictures in asked.items():
        answers = dogsim.classify(pictures, dataset, 10, confidence=0.9)
        unknown = sum(answer.trust.unknown for answer in answers if answer.trust)
        print(f"{name:<30} {unknown} of {len(pictures)} are called unknown")


# %% Lesson 9, the dog or the snow
@cache
def drawn() -> list[tuple[Image.Image, tuple[int, int, int, int]]]:
    """Draw three dogs of each breed, with their boxes."""
    return [draw_with_box(breed, number) for breed in BREEDS for number in (1, 2, 3)]


def judged(name: str, known: list[Image.Image], asked: list[Image.Image]) -> None:
    """Print how many of the nearest two have the breed."""
    extractor = dogsim.load_extractor(LITE)
    ours, theirs = (dogsim.extract_features(pictures, extractor) for pictures in (known, asked))
    print(f"{name:<24} P@2 {right(ours, theirs, np.arange(36) // 3, 2):.4f}")


def greyed(parts: tuple[float, float], colour: str = "#7c7468") -> Iterator[Image.Image]:
    """Show of each picture the box only, from and to these parts of its height."""
    for picture, (left, top, end, bottom) in drawn():
        low, high = (round(top + part * (bottom - top)) for part in parts)
        grey = Image.new("RGB", picture.size, colour)
        grey.paste(picture.crop((left, low, end, high)), (left, low))
        yield grey


def greys() -> None:
    """Does it matter in which colour the background is lost?"""
    whole = [picture for picture, _ in drawn()]
    judged("whole", whole, whole)
    for name, colour in (("grey", "#7c7468"), ("black", "#000000"), ("red", "#ff0000")):
        judged(f"dog on {name}", whole, list(greyed((0, 1), colour)))


def halves() -> None:
    """Which half of the dog tells its breed?"""
    whole = [picture for picture, _ in drawn()]
    judged("upper half", whole, list(greyed((0, 0.5))))
    judged("lower half", whole, list(greyed((0.5, 1))))


def moved() -> None:
    """Every box is moved into the picture of the dog of the next breed."""
    whole = [picture for picture, _ in drawn()]
    asked = []
    for (picture, box), (scene, (left, top, end, bottom)) in zip(
        drawn(), drawn()[3:] + drawn()[:3], strict=True
    ):
        into = scene.copy()
        into.paste(picture.crop(box).resize((end - left, bottom - top)), (left, top))
        asked.append(into)
    judged("whole", whole, whole)
    judged("in the next one's scene", whole, asked)


if __name__ == "__main__":
    run_named(
        *(__doc__, digits, inverted, mirrored, starts, gaps, newcomers, bottleneck, reduced, work),
        *(promises, smaller, strangers, greys, halves, moved),
    )
