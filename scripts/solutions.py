"""Solutions to the exercises of lessons 3 and 4, with the numbers that the lessons show.

python scripts/solutions.py                   # all of them
python scripts/solutions.py middle means      # the ones with these names, which the lessons use
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

import dogsim
from edge import run_named

PAIRS = (
    *(("beagle", "harrier"), ("German shepherd", "Malinois"), ("Siberian husky", "malamute")),
    *(("golden retriever", "Labrador"), ("Doberman", "Rottweiler")),
)
DOUBLES = dict(PAIRS) | {double: breed for breed, double in PAIRS}  # drawn to be similar


def evaluate(
    name: str, dataset: dogsim.Dataset, features: ArrayLike | None = None, k: int = 20
) -> None:
    """Print precision and vote accuracy of a dataset, or of other features (n, d) for it."""
    if features is not None:
        dataset = replace(dataset, features=np.asarray(features, np.float32))
    result = dogsim.accuracy(dataset, k)
    print(f"{name:<24} P@{k} {result.precision_at_k:.4f}  vote {result.vote_accuracy:.4f}")


def files_of(dataset: dogsim.Dataset) -> list[Path]:
    """Return the image files of a dataset."""
    return [dataset.image_file(row) for row in range(len(dataset))]


def small_images(dataset: dogsim.Dataset) -> NDArray[np.float32]:
    """Resize the images to 16 x 16 pixels, (n, 768)."""
    small = [dogsim.load_image(image, 16).ravel() for image in files_of(dataset)]
    return np.stack(small).astype(np.float32)


# %% Lesson 3, why are they near
def middle() -> None:
    """How much of the distance comes from the middle ninth of the positions?"""
    dataset = dogsim.sample_dataset(hard=True)
    extractor = dogsim.extractor_for(dataset.recipe)
    parts = []
    rows = np.arange(5, len(dataset), 12)
    _, nearest = dogsim.nearest(dataset, dataset.features[rows], 1, exclude=rows)
    for row, other in zip(rows.tolist(), nearest[:, 0].tolist(), strict=True):
        why = dogsim.explain(dataset.source(row), dataset.source(other), extractor)
        both, every = (why.query_parts, why.query_likeness), np.ones_like(why.query_parts)
        third = len(why.query_parts) // 3
        middle = slice(third, -third)  # 3 of 9 rows and columns
        parts.append([each[middle, middle].sum() / each.sum() for each in (*both, every)])
    distance, likeness, positions = np.mean(parts, axis=0)
    print(f"the middle: {positions:.4f} of the positions, {distance:.4f} of the distance, ", end="")
    print(f"{likeness:.4f} of the similarity of nearest neighbours")


def mistakes() -> None:
    """How many of the wrong neighbours have the breed that was drawn to be similar?"""
    dataset = dogsim.sample_dataset(hard=True)
    double = np.array([dataset.breeds.index(DOUBLES[breed]) for breed in dataset.breeds])
    for metric in ("euclidean", "cosine"):
        _, found = dogsim.nearest(dataset, dataset, 20, metric, np.arange(len(dataset)))
        labels = dataset.labels[found]  # (n, 20)
        wrong = (labels != dataset.labels[:, None]).sum()
        doubles = (labels == double[dataset.labels][:, None]).sum()
        print(f"{metric:<10} {wrong} of {labels.size} neighbours are wrong, {doubles} the double's")


def means() -> None:
    """For how many breeds is the double the nearest one, by the mean of their features?"""
    dataset = dogsim.sample_dataset(hard=True)
    for name, features in (
        ("the network", dataset.features),
        ("16 x 16 pixels", small_images(dataset)),
    ):
        centres = np.stack([features[dataset.labels == label].mean(axis=0) for label in range(10)])
        _, nearest = dogsim.nearest(centres, centres, 1, exclude=np.arange(10))
        nearest_breeds = [dataset.breeds[label] for label in nearest[:, 0]]
        doubles = [
            DOUBLES[breed] == other
            for breed, other in zip(dataset.breeds, nearest_breeds, strict=True)
        ]
        print(f"{name:<16} the double is the nearest of {sum(doubles)} of 10 breeds")


# %% Lesson 4, metrics and classifiers
def metrics() -> None:
    """Which distances give the same ranking, and when?"""
    dataset = dogsim.sample_dataset(hard=True)
    lengths = np.linalg.norm(dataset.features, axis=1, keepdims=True)
    units = replace(dataset, features=dataset.features / lengths)
    print("P@20          as they are   of length 1")
    for metric in dogsim.METRICS:
        both = [dogsim.accuracy(each, 20, metric=metric) for each in (dataset, units)]
        print(f"{metric:<13} {both[0].precision_at_k:.4f}        {both[1].precision_at_k:.4f}")


def voters() -> None:
    """How many neighbours should vote?"""
    dataset = dogsim.sample_dataset(hard=True)
    for k in (1, 3, 5, 10, 20, 50, 100):
        evaluate("the network", dataset, k=k)


def few() -> None:
    """How do three classifiers compare with few examples, on average of three splits?"""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler
    from sklearn.svm import LinearSVC

    def accuracies(n: int, seed: int) -> Iterator[float]:
        rest, held = dogsim.hold_out(dataset, 0.2, seed)
        rows = [np.flatnonzero(rest.labels == label)[:n] for label in range(10)]
        known = rest.take(np.concatenate(rows))
        yield dogsim.accuracy(known, 1, held).vote_accuracy
        means = np.stack(
            [known.features[known.labels == label].mean(axis=0) for label in range(10)]
        )
        _, nearest = dogsim.nearest(means, held, 1)
        yield float(np.mean(nearest[:, 0] == held.labels))
        model = LinearSVC(C=0.01, random_state=seed)
        model = make_pipeline(Normalizer(), StandardScaler(), model)
        yield model.fit(known.features, known.labels).score(held.features, held.labels)

    dataset = dogsim.sample_dataset(hard=True)
    print("known   nearest   nearest mean   linear SVM")
    for n in (2, 5, 10, 20):
        found = np.mean([[*accuracies(n, seed)] for seed in range(3)], axis=0)
        print("{:>5}   {:.4f}    {:.4f}         {:.4f}".format(n, *found))


if __name__ == "__main__":
    run_named(
        *(__doc__, middle, mistakes, means, metrics, voters, few),
    )
