"""Any folder of class folders, such as Caltech-101: learned and handcrafted features, classifiers.

    python scripts/caltech101.py 101_ObjectCategories --keep caltech.h5
    python scripts/caltech101.py                       # the harder sample
    python scripts/caltech101.py --dataset dogs.h5 --save grids
    python scripts/caltech101.py --solutions           # also the solutions of the exercises

It needs scikit-learn and scikit-image: pip install ".[lessons]"
"""

# %% [markdown]
# # 4. Metrics and classifiers
#
# 45 minutes: run 10, exercises 30, talk 5. Prerequisite: [lesson 1](main.py). Data: the harder
# sample, 250 drawings of ten breeds, or any folder of classes, such as
# [Caltech-101](../docs/caltech101.md).
#
# Lesson 1 used the features of a network, the Euclidean distance and a vote. Each of the three
# can be replaced. How good are the features that people designed before networks learned them?
# How good are classifiers that are trained? And what is possible with one example of each class?

# %%
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray

import dogsim

try:
    from scipy.signal import fftconvolve
    from skimage.color import rgb2gray
    from skimage.feature import SIFT, hog, local_binary_pattern
    from skimage.filters import gabor_kernel
    from sklearn.cluster import MiniBatchKMeans
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler
    from sklearn.svm import LinearSVC
except ImportError as error:
    sys.exit(f'caltech101.py: there is no {error.name}. Run: pip install ".[lessons]"')

KS = (1, 5, 20)
Pixels = NDArray[np.uint8]


# %% [markdown]
# ## The images
#
# A folder with a folder for each class becomes a dataset. The folder BACKGROUND_Google of
# Caltech-101 is left out, because its images have no class.


# %%
BACKGROUND = "BACKGROUND Google"  # underscores become spaces


def read_folder(
    folder: Path, keep: Path | None, backbone: str | None, weights: str | None
) -> dogsim.Dataset:
    """Compute the features of a folder of classes; `keep` is the file for them."""
    with tempfile.TemporaryDirectory() as temporary:
        file = keep or Path(temporary) / "features.h5"
        stored = dogsim.create_dataset(folder, file, backbone, weights)
        return stored.take(range(len(stored)))  # in memory, because the folder is removed


def without(dataset: dogsim.Dataset, name: str) -> dogsim.Dataset:
    """Return the dataset without a class."""
    gone = dataset.breeds.index(name)
    rest = dataset.take(np.flatnonzero(dataset.labels != gone))
    labels = rest.labels - (rest.labels > gone)
    return replace(rest, labels=labels, breeds=tuple(b for b in dataset.breeds if b != name))


def of_known_classes(dataset: dogsim.Dataset, background: bool = False) -> dogsim.Dataset:
    """Return the images that have a class."""
    if BACKGROUND in dataset.breeds and not background:
        dataset = without(dataset, BACKGROUND)
        print(f"{BACKGROUND} is left out, because it is not a class (--background keeps it).")
    known = np.flatnonzero(dataset.labels >= 0)
    if len(known) < len(dataset):
        print(f"{len(dataset) - len(known)} images of no known class are left out")
    return dataset.take(known)


# %% [markdown]
# ## Handcrafted features
#
# Each function describes an image of 64 x 64 pixels. The first two use the colours.


# %%
def raw_pixels(image: Pixels) -> NDArray[np.floating]:
    """Compute the mean colours of 16 x 16 cells, -1 to 1, (768,)."""
    cells: NDArray[np.floating] = image.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    return cells.ravel() / 127.5 - 1


def colour_histogram(image: Pixels) -> NDArray[np.floating]:
    """Count the pixels of each of 8 x 8 x 8 colours, independent of position, (512,)."""
    red, green, blue = (image.reshape(-1, 3) // 32).T.astype(int)
    return np.bincount(64 * red + 8 * green + blue, minlength=512).astype(np.float64)


# %% [markdown]
# HOG describes the directions of edges, LBP the pattern around each pixel, and Gabor filters
# waves of three frequencies and four directions. All are computed in cells of the image.


# %%
def gradients(image: Pixels) -> NDArray[np.floating]:
    """Compute histograms of oriented gradients per cell (Dalal and Triggs 2005), (1764,)."""
    counts: NDArray[np.floating] = hog(image, 9, (8, 8), (2, 2), channel_axis=-1)
    return counts


def binary_patterns(image: Pixels) -> NDArray[np.floating]:
    """Count local binary patterns (Ojala et al. 2002) in 4 x 4 cells, (160,).

    Each pixel is compared with its eight neighbours; the 10 uniform patterns are flat, edge, corner
    and so on, and all others together.
    """
    grey = (rgb2gray(image) * 255).astype(np.uint8)
    patterns = local_binary_pattern(grey, 8, 1, "uniform")  # type: ignore[no-untyped-call]
    cells = patterns.astype(int).reshape(4, 16, 4, 16).swapaxes(1, 2).reshape(16, -1)
    return np.concatenate([np.bincount(cell, minlength=10) for cell in cells]) / 256


GABOR_FILTERS = [  # three frequencies, cycles per pixel, and four directions
    gabor_kernel(frequency, np.pi / 4 * direction)  # type: ignore[no-untyped-call]
    for frequency in (0.1, 0.2, 0.4)
    for direction in range(4)
]


def gabor(image: Pixels) -> NDArray[np.floating]:
    """Compute the mean response of Gabor filters (waves in a Gaussian) in 4 x 4 cells, (192,)."""
    grey = rgb2gray(image)
    responses = (abs(fftconvolve(grey - grey.mean(), g, mode="same")) for g in GABOR_FILTERS)
    return np.concatenate([r.reshape(4, 16, 4, 16).mean(axis=(1, 3)).ravel() for r in responses])


# %% [markdown]
# SIFT describes the surroundings of keypoints. Their number differs from image to image, so they
# are counted: similar descriptors are one of 100 visual words.


# %%
def sift_descriptors(image: Pixels) -> NDArray[np.floating]:
    """Describe the keypoints of an image (Lowe 2004), (n, 128)."""
    sift = SIFT()  # type: ignore[no-untyped-call]
    try:
        sift.detect_and_extract(rgb2gray(image))  # type: ignore[no-untyped-call]
    except RuntimeError:  # there are no keypoints
        return np.empty((0, 128))
    return np.asarray(sift.descriptors, np.float64)


def bags_of_words(images: list[Pixels], words: int = 100, seed: int = 0) -> NDArray[np.floating]:
    """Count how often each visual word occurs in each image, (n, words + 1).

    A word is a cluster of similar SIFT descriptors of all images (Csurka et al. 2004, "Visual
    categorization with bags of keypoints"). The last column is 1 for an image without keypoints,
    because the cosine distance is not defined for zeros.
    """
    descriptors = [sift_descriptors(image) for image in images]
    together = np.concatenate(descriptors)
    if len(together) < 2:
        return np.ones((len(images), 1))
    clusters = MiniBatchKMeans(min(words, len(together)), random_state=seed, n_init=3)
    clusters.fit(together)
    found = [clusters.predict(each) if len(each) else [] for each in descriptors]
    counts = np.stack([np.bincount(np.array(each, int), minlength=words) for each in found])
    return np.column_stack([counts, counts.sum(axis=1) == 0])


# %%
# Your turn: a feature of your own, a function from an image (64, 64, 3) to a vector
HANDCRAFTED: dict[str, Callable[[Pixels], NDArray[np.floating]]] = {
    "raw pixels": raw_pixels,
    "colour histogram": colour_histogram,
    "HOG": gradients,
    "LBP": binary_patterns,
    "Gabor": gabor,
}


# %% [markdown]
# Precision@k of each kind of features, leave-one-out:


# %%
def compare_rankings(dataset: dogsim.Dataset) -> None:
    """Print precision@k for each kind of features."""
    ks = [k for k in KS if k < len(dataset)]
    print(f"{'precision@k':<32}" + "".join(f"{k:>8}" for k in ks))

    def row(name: str, ranked: dogsim.Dataset, metric: str) -> None:
        found = [dogsim.accuracy(ranked, k, metric=metric).precision_at_k for k in ks]
        print(f"{name + ', ' + metric:<32}" + "".join(f"{x:8.4f}" for x in found))

    for metric in ("euclidean", "cosine"):
        row("learned features", dataset, metric)
    if not dataset.image_file(0).is_file():
        print("(handcrafted features: none, because the image files are missing)")
        return
    images = [dogsim.load_image(dataset.source(i), 64) for i in range(len(dataset))]
    for name, feature in HANDCRAFTED.items():
        features = np.stack([feature(image) for image in images]).astype(np.float32)
        row(name, replace(dataset, features=features), "cosine")
    row("SIFT", replace(dataset, features=bags_of_words(images).astype(np.float32)), "cosine")


# %% [markdown]
# ## Classifiers
#
# The vote trains nothing. The other three are trained on the features.


# %%
def compare_classifiers(train: dogsim.Dataset, test: dogsim.Dataset, seed: int) -> None:
    """Print the accuracy of each classifier on the test images."""
    print(f"\n{len(test)} images held out, {len(train)} to train on")
    k = min(20, len(train))
    print(f"vote of {k:<2} neighbours     {dogsim.accuracy(train, k, test).vote_accuracy:.4f}")
    try:
        accuracy, error = dogsim.train_classifier(train, seed=seed).evaluate(test)
        print(f"softmax                  {accuracy:.4f}, calibration error {error:.4f}")
    except dogsim.DogsimError as too_few:  # it holds out some of them itself
        print(f"softmax                  none: {too_few}")
    for name, classifier in {
        "linear SVM": LinearSVC(C=0.01, random_state=seed),
        "logistic regression": LogisticRegression(C=0.1, max_iter=200),
    }.items():
        model = make_pipeline(Normalizer(), StandardScaler(), classifier)
        model.fit(train.features, train.labels)
        print(f"{name:<24} {model.score(test.features, test.labels):.4f}")
    print()


# %%
def one_shot(dataset: dogsim.Dataset, draws: int, seed: int) -> NDArray[np.float64]:
    """Return the accuracy of each draw of one image per class; all others are queries."""
    rng, accuracies = np.random.default_rng(seed), []
    for _ in range(draws):
        order = rng.permutation(len(dataset))
        known = order[np.unique(dataset.labels[order], return_index=True)[1]]
        rest = np.setdiff1d(np.arange(len(dataset)), known)
        found = dogsim.accuracy(dataset.take(known), 1, dataset.take(rest), metric="cosine")
        accuracies.append(found.vote_accuracy)
    return np.array(accuracies)


# %%
def grids(dataset: dogsim.Dataset, queries: NDArray[np.intp]) -> Iterator[tuple[str, Figure]]:
    """Draw a grid for each query and metric, if the image files are available."""
    for metric in ("euclidean", "cosine"):
        k = min(8, len(dataset) - 1)
        found = dogsim.nearest(dataset, dataset.features[queries], k, metric, queries)
        for row, distances, indices in zip(queries, *found, strict=True):
            image, breed = dataset.image_file(row), dataset.breed(row)
            if image.is_file():
                shown = dataset.source(row), dataset, indices, distances, breed, metric
                yield f"{image.stem}-{metric}", dogsim.result_grid(*shown)


# %%
def main(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of class folders (default: the harder sample).")
    ] = None,
    dataset: Annotated[Path | None, typer.Option(help="Dataset file, instead of a folder.")] = None,
    background: Annotated[
        bool, typer.Option("--background", help=f"Keep the folder {BACKGROUND}.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(help="Save the features of the folder in this file.")
    ] = None,
    backbone: Annotated[str | None, typer.Option(help="Network for the folder.")] = None,
    weights: Annotated[str | None, typer.Option(help="Weight file of the network.")] = None,
    save: Annotated[Path | None, typer.Option(help="Folder to save the grids to.")] = None,
    seed: int = 0,
    solutions: Annotated[
        bool, typer.Option("--solutions", help="Run the solutions of the exercises as well.")
    ] = False,
) -> None:
    """Run the lesson."""
    # %% [markdown]
    # ## Learned and handcrafted features
    #
    # 1,200 photos of 24 dog breeds (ResNet-50, `python scripts/caltech101.py FOLDER`), and the
    # 250 drawings, cosine distance but for the first row:
    #
    # | precision@ | photos, 1 | 5 | 20 | drawings, 1 | 5 | 20 |
    # |---|---|---|---|---|---|---|
    # | learned, Euclidean | 0.854 | 0.817 | 0.725 | 0.808 | 0.717 | 0.546 |
    # | learned | 0.872 | 0.841 | 0.773 | 0.808 | 0.712 | 0.563 |
    # | raw pixels | 0.104 | 0.084 | 0.073 | 0.272 | 0.199 | 0.145 |
    # | colour histogram | 0.091 | 0.080 | 0.074 | 0.240 | 0.150 | 0.121 |
    # | HOG | 0.104 | 0.078 | 0.064 | 0.376 | 0.213 | 0.136 |
    # | LBP | 0.090 | 0.074 | 0.065 | 0.208 | 0.145 | 0.118 |
    # | Gabor | 0.102 | 0.090 | 0.072 | 0.352 | 0.220 | 0.152 |
    # | SIFT, bag of words | 0.082 | 0.069 | 0.060 | 0.336 | 0.277 | 0.209 |
    #
    # By chance they would be 0.041 and 0.096. Handcrafted features find the repeated shapes of
    # drawings, but in photos they find hardly more than similar colours.

    # %%
    if folder:
        images = read_folder(folder, keep, backbone, weights)
    elif dataset:
        images = dogsim.Dataset.open(dataset)
    else:
        images = dogsim.sample_dataset(weights, hard=True)
    images = of_known_classes(images, background)
    print(f"{len(images)} images of {len(images.breeds)} classes\n")
    compare_rankings(images)

    # %% [markdown]
    # ## Four classifiers
    #
    # A fifth of the images is held out. On 240 held-out photos, the accuracy is 0.896 for the
    # vote of 20, 0.908 for the [softmax](../docs/classifier.md), 0.904 for a linear SVM and 0.925
    # for logistic regression; on 50 drawings 0.80, 0.90, 0.90 and 0.88. (The softmax uses a tenth
    # of its training images for early stopping only.)

    # %%
    compare_classifiers(*dogsim.hold_out(images, 0.2, seed, least=1), seed=seed)

    # %% [markdown]
    # ## One-shot
    #
    # Only one image of each class is known, drawn 50 times. The accuracy of the nearest neighbour
    # is 0.55 on the drawings, with a standard deviation of 0.05; chance is 0.10. On the photos it
    # is 0.68, with 0.03 and 0.04.

    # %%
    draws = 50
    shots = one_shot(images, draws, seed)
    print(f"one image per class, {draws} draws: accuracy {shots.mean():.4f}, ", end="")
    print(f"standard deviation {shots.std():.4f}, ", end="")
    print(f"chance {1 / len(np.unique(images.labels)):.4f}\n")

    # %% [markdown]
    # ## The neighbours of two queries
    #
    # The cosine distance ignores the length of the features. Which neighbours change?

    # %%
    rng = np.random.default_rng(seed)
    queries = rng.choice(len(images), min(2, len(images)), replace=False)
    saved = dogsim.show_or_save(grids(images, queries), save)

    # %% tags=["script"]
    for file in saved:
        dogsim.say(str(file))
    if solutions:
        metrics(images)
        voters(images)
        few(images)


# %% [markdown]
# ## Exercises
#
# Write down what you expect, then write the code, run and vary it. Look at the solution
# afterwards.
#
# ## Exercise 1: distances
#
# *Expect:* which of six distances give the same ranking? Which do if all features have length 1?
#
# *Start with* `dogsim.METRICS` and `dogsim.accuracy(images, 20, metric=metric)`.
#
# *Vary:* the square root of each feature, then of all of them.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def metrics(images: dogsim.Dataset) -> None:
    """Print the precision by each distance, of the features and of features of length 1."""
    lengths = np.linalg.norm(images.features, axis=1, keepdims=True)
    units = replace(images, features=images.features / lengths)
    print("P@20          as they are   of length 1")
    for metric in dogsim.METRICS:
        both = [dogsim.accuracy(each, 20, metric=metric) for each in (images, units)]
        print(f"{metric:<13} {both[0].precision_at_k:.3f}         {both[1].precision_at_k:.3f}")


# %% [markdown] tags=["answer"]
# ```text
# P@20          as they are   of length 1
# euclidean     0.546         0.563
# sqeuclidean   0.546         0.563
# cosine        0.563         0.563
# cityblock     0.542         0.572
# chebyshev     0.351         0.378
# correlation   0.568         0.568
# ```
#
# For vectors of length 1, the squared Euclidean distance is twice the cosine distance. Squaring
# does not change the order. The Chebyshev distance uses only one of 1,280 features: the one with
# the largest difference.

# %% [markdown]
# ## Exercise 2: how many voters?
#
# *Expect:* precision decreases with k. Does the vote accuracy?
#
# *Vary:* votes with weight 1 / distance: `dogsim.accuracy(images, k, vote="distance")`.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def voters(images: dogsim.Dataset) -> None:
    """Print precision and vote accuracy of few and of many neighbours."""
    for k in (1, 3, 5, 10, 20, 50, 100):
        found = dogsim.accuracy(images, k)
        print(f"P@{k:<3} {found.precision_at_k:.3f}  vote {found.vote_accuracy:.3f}")


# %% [markdown] tags=["answer"]
# ```text
# P@1   0.808  vote 0.808
# P@3   0.760  vote 0.812
# P@5   0.717  vote 0.812
# P@10  0.650  vote 0.844
# P@20  0.546  vote 0.820
# P@50  0.340  vote 0.728
# P@100 0.202  vote 0.636
# ```
#
# At first there are more votes for the correct breed, then more for others: only 24 images have
# the query's breed.

# %% [markdown]
# ## Exercise 3: few examples
#
# *Expect:* with 2, 5, 10 and 20 drawings of each breed, which is best: the nearest neighbour, the
# nearest class mean, or a linear SVM?
#
# *Start with* `rest, held = dogsim.hold_out(images, 0.2, seed)`.
#
# *Vary:* 1 % wrong labels, then 10 %. Which classifier is affected most?

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def few(images: dogsim.Dataset) -> None:
    """Print the accuracy of three classifiers with few examples, the mean of three splits."""
    classes = range(len(images.breeds))

    def accuracies(n: int, seed: int) -> Iterator[float]:
        rest, held = dogsim.hold_out(images, 0.2, seed)
        rows = [np.flatnonzero(rest.labels == label)[:n] for label in classes]
        known = rest.take(np.concatenate(rows))
        yield dogsim.accuracy(known, 1, held).vote_accuracy
        means = np.stack([known.features[known.labels == label].mean(axis=0) for label in classes])
        _, nearest = dogsim.nearest(means, held, 1)
        yield float(np.mean(nearest[:, 0] == held.labels))
        model = LinearSVC(C=0.01, random_state=seed)
        model = make_pipeline(Normalizer(), StandardScaler(), model)
        yield model.fit(known.features, known.labels).score(held.features, held.labels)

    print("known   nearest   nearest mean   linear SVM")
    for n in (2, 5, 10, 20):
        found = np.mean([[*accuracies(n, seed)] for seed in range(3)], axis=0)
        print("{:>5}   {:.3f}     {:.3f}          {:.3f}".format(n, *found))


# %% [markdown] tags=["answer"]
# ```text
# known   nearest   nearest mean   linear SVM
#     2   0.687     0.707          0.687
#     5   0.773     0.720          0.820
#    10   0.800     0.887          0.873
#    20   0.793     0.907          0.927
# ```
#
# Two examples are too few to learn from; twenty show which features matter.

# %% [markdown]
# ## Talk
#
# The lazy classifier learns a new breed when 20 images are copied to a folder. What would the
# others need?

if __name__ == "__main__":
    dogsim.run_script(main)
