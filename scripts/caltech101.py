"""Any folder of class folders, such as Caltech-101: features learned and made by hand, classifiers.

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
    from skimage.feature import hog
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer, StandardScaler
    from sklearn.svm import LinearSVC
except ImportError as error:
    sys.exit(f'caltech101.py: there is no {error.name}. Run: pip install ".[lessons]"')

KS = (1, 5, 20)
BACKGROUND = "BACKGROUND Google"  # Caltech-101's folder of what belongs to no class
Pixels = NDArray[np.uint8]

# %% Options
parser = parser_of(__doc__, dataset=True)
parser.add_argument("images", nargs="?", help="folder of class folders (default: the sample)")
parser.add_argument("--background", action="store_true", help=f"keep the class {BACKGROUND}")
parser.add_argument("--keep", metavar="FILE", help="keep the folder's features in this file")
parser.add_argument("--backbone", default="resnet50", help="of the folder (default: resnet50)")
args = options(parser)


# %% The features of a folder, computed where that has not been done
def without(dataset: dogsim.Dataset, name: str) -> dogsim.Dataset:
    """Leave a class out."""
    gone = dataset.breeds.index(name)
    rest = dataset.take(np.flatnonzero(dataset.labels != gone))
    labels = rest.labels - (rest.labels > gone)
    return replace(rest, labels=labels, breeds=tuple(b for b in dataset.breeds if b != name))


if args.images:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(args.keep or Path(folder) / "features.h5")
        dataset = dogsim.create_dataset(args.images, out, args.backbone, args.weights)
else:
    dataset = dataset_of(args)
if BACKGROUND in dataset.breeds and not args.background:
    dataset = without(dataset, BACKGROUND)
    print(f"{BACKGROUND} is left out, being no class (--background keeps it).")
known = np.flatnonzero(dataset.labels >= 0)
if len(known) < len(dataset):
    print(f"{len(dataset) - len(known)} pictures of no known class are left out")
    dataset = dataset.take(known)
print(f"{len(dataset)} pictures of {len(dataset.breeds)} classes\n")


# %% Features made by hand
def raw_pixels(picture: Pixels) -> NDArray[np.floating]:
    """Take the colours of 16 x 16 places, from -1 to 1: (768,)."""
    places: NDArray[np.floating] = picture.reshape(16, 4, 16, 4, 3).mean(axis=(1, 3))
    return places.ravel() / 127.5 - 1


def colour_histogram(picture: Pixels) -> NDArray[np.floating]:
    """Count how many pixels have each of 8 x 8 x 8 colours, wherever they lie: (512,)."""
    red, green, blue = (picture.reshape(-1, 3) // 32).T.astype(int)
    return np.bincount(64 * red + 8 * green + blue, minlength=512).astype(np.float64)


def gradients(picture: Pixels) -> NDArray[np.floating]:
    """Count the directions of edges, place by place: Dalal and Triggs 2005, (1764,)."""
    counts: NDArray[np.floating] = hog(picture, 9, (8, 8), (2, 2), channel_axis=-1)
    return counts


# Your turn: a feature of your own, a function of a picture (64, 64, 3) that gives numbers
BY_HAND: dict[str, Callable[[Pixels], NDArray[np.floating]]] = {
    "raw pixels": raw_pixels,
    "colour histogram": colour_histogram,
    "HOG": gradients,
}


# %% Rank by features that were learned and by these, every picture asking all
def compare_rankings(dataset: dogsim.Dataset) -> None:
    """Print a line for each kind of features."""
    ks = [k for k in KS if k < len(dataset)]
    print(f"{'precision@k':<32}" + "".join(f"{k:>8}" for k in ks))

    def row(name: str, ranked: dogsim.Dataset, metric: str) -> None:
        found = [dogsim.accuracy(ranked, k, metric=metric).precision_at_k for k in ks]
        print(f"{name + ', ' + metric:<32}" + "".join(f"{x:8.4f}" for x in found))

    for metric in ("euclidean", "cosine"):
        row("learned features", dataset, metric)
    if not dataset.image_file(0).is_file():
        print("(made by hand: none, for the pictures are not there)")
        return
    pictures = [dogsim.load_image(dataset.source(i), 64) for i in range(len(dataset))]
    for name, feature in BY_HAND.items():
        features = np.stack([feature(picture) for picture in pictures]).astype(np.float32)
        row(name, replace(dataset, features=features), "cosine")


compare_rankings(dataset)


# %% The lazy classifier, which learns nothing, beside three that learn from the features
def compare_classifiers(train: dogsim.Dataset, test: dogsim.Dataset, seed: int) -> None:
    """Print how many of the test pictures each one names rightly."""
    print(f"\n{len(test)} pictures held out, asked of {len(train)}")
    k = min(20, len(train))
    print(f"vote of {k:<2} neighbours     {dogsim.accuracy(train, k, test).vote_accuracy:.4f}")
    try:
        learned, error = dogsim.train_classifier(train, seed=seed).evaluate(test)
        print(f"softmax                  {learned:.4f}, calibration error {error:.4f}")
    except dogsim.DogsimError as too_few:  # it holds some of them out itself
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


# %% What two queries find by one metric and by the other
def grids(dataset: dogsim.Dataset, queries: NDArray[np.intp]) -> Iterator[tuple[str, Figure]]:
    """Draw them, where the pictures can be found."""
    for metric in ("euclidean", "cosine"):
        k = min(8, len(dataset) - 1)
        found = dogsim.nearest(dataset, dataset.features[queries], k, metric, queries)
        for row, distances, indices in zip(queries, *found, strict=True):
            picture, breed = dataset.image_file(row), dataset.breed(row)
            if picture.is_file():
                shown = dataset.source(row), dataset, indices, distances, breed, metric
                yield f"{picture.stem}-{metric}", dogsim.result_grid(*shown)


rng = np.random.default_rng(args.seed)
queries = rng.choice(len(dataset), min(2, len(dataset)), replace=False)
for path in dogsim.show_or_save(grids(dataset, queries), args.save):
    print(path)
