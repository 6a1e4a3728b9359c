"""Any folder of class folders, such as Caltech-101: learned and handcrafted features, classifiers.

    python scripts/caltech101.py 101_ObjectCategories
    python scripts/caltech101.py                       # the harder sample
    python scripts/caltech101.py --dataset dogs.h5 --save grids

It needs scikit-learn and scikit-image: pip install ".[lessons]"
"""

# %%
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import dogsim
from edge import dataset_of, options, parser_of

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
BACKGROUND = "BACKGROUND Google"  # the folder of Caltech-101 whose images have no class
Pixels = NDArray[np.uint8]

# %% Options
parser = parser_of(__doc__, dataset=True)
parser.add_argument("images", nargs="?", help="folder of class folders (default: the sample)")
parser.add_argument("--background", action="store_true", help=f"keep the folder {BACKGROUND}")
parser.add_argument("--keep", metavar="FILE", help="save the features of the folder in this file")
parser.add_argument("--backbone", help="network for the folder (default: that of dogsim)")
args = options(parser)


# %% The features of a folder, computed if necessary
def without(dataset: dogsim.Dataset, name: str) -> dogsim.Dataset:
    """Return the dataset without a class."""
    gone = dataset.breeds.index(name)
    rest = dataset.take(np.flatnonzero(dataset.labels != gone))
    labels = rest.labels - (rest.labels > gone)
    return replace(rest, labels=labels, breeds=tuple(b for b in dataset.breeds if b != name))


if args.images:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(args.keep or Path(folder) / "features.h5")
        stored = dogsim.create_dataset(args.images, out, args.backbone, args.weights)
        dataset = stored.take(range(len(stored)))  # in memory, because the folder is removed
else:
    dataset = dataset_of(args)
if BACKGROUND in dataset.breeds and not args.background:
    dataset = without(dataset, BACKGROUND)
    print(f"{BACKGROUND} is left out, because it is not a class (--background keeps it).")
known = np.flatnonzero(dataset.labels >= 0)
if len(known) < len(dataset):
    print(f"{len(dataset) - len(known)} images of no known class are left out")
    dataset = dataset.take(known)
print(f"{len(dataset)} images of {len(dataset.breeds)} classes\n")


# %% Handcrafted features
def raw_pixels(image: Pixels) -> NDArray[np.floating]:
    """Compute the mean colours of 16 x 16 cells, -1 to 1, (768,)."""
    cells: NDArray[np.floating] = image.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    return cells.ravel() / 127.5 - 1


def colour_histogram(image: Pixels) -> NDArray[np.floating]:
    """Count the pixels of each of 8 x 8 x 8 colours, independent of position, (512,)."""
    red, green, blue = (image.reshape(-1, 3) // 32).T.astype(int)
    return np.bincount(64 * red + 8 * green + blue, minlength=512).astype(np.float64)


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


# Your turn: a feature of your own, a function from an image (64, 64, 3) to a vector
HANDCRAFTED: dict[str, Callable[[Pixels], NDArray[np.floating]]] = {
    "raw pixels": raw_pixels,
    "colour histogram": colour_histogram,
    "HOG": gradients,
    "LBP": binary_patterns,
    "Gabor": gabor,
}


# %% Compare the rankings by learned and handcrafted features, leave-one-out
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


compare_rankings(dataset)


# %% The lazy classifier, which trains nothing, and three that are trained on the features
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


compare_classifiers(*dogsim.hold_out(dataset, 0.2, args.seed, least=1), seed=args.seed)


# %% One-shot: the nearest neighbour, if only one image of each class is known
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


DRAWS = 50
shots = one_shot(dataset, DRAWS, args.seed)
print(
    f"one image per class, {DRAWS} draws: accuracy {shots.mean():.4f}, standard deviation ", end=""
)
print(f"{shots.std():.4f}, chance {1 / len(np.unique(dataset.labels)):.4f}\n")


# %% The neighbours of two queries by both metrics
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


rng = np.random.default_rng(args.seed)
queries = rng.choice(len(dataset), min(2, len(dataset)), replace=False)
for path in dogsim.show_or_save(grids(dataset, queries), args.save):
    print(path)
