"""Similar clothes: image retrieval on Fashion-MNIST with a network trained on photos.

python scripts/fashion_mnist.py                       # Keras downloads the test set
python scripts/fashion_mnist.py --images t10k-images-idx3-ubyte.gz   # with the labels beside it
python scripts/fashion_mnist.py --images sprite.png --backbone resnet50 --weights FILE --save grids
python scripts/fashion_mnist.py --images digits       # handwritten digits of scikit-learn
python scripts/fashion_mnist.py --queries "Ankle boot" Sneaker Pullover
python scripts/fashion_mnist.py --compare-networks    # ResNet-50 and ResNet-101
"""

# %%
import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

import dogsim
from dogsim.engines._keras import import_keras  # without log lines
from dogsim.errors import reason
from edge import options, parser_of

CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
DIGITS = "digits"
KS = (1, 5, 20)
# Precision, recall and F1 by the lesson on which this one is based.
PUBLISHED = {1: (0.789, 0.002, 0.003), 5: (0.754, 0.008, 0.015), 20: (0.702, 0.052, 0.098)}
Images = NDArray[np.uint8]
Labels = NDArray[np.int32]


# %% Options
def network(text: str) -> tuple[str, str]:
    """Read ``NAME`` or ``NAME=WEIGHTS``."""
    name, _, weights = text.partition("=")
    return name, weights or "imagenet"


parser = parser_of(__doc__)
parser.add_argument("--images", help="IDX, .npz or sprite PNG, or digits (default: download)")
parser.add_argument(
    "--sample-size", type=int, default=10000, help="number of images (default: 10000)"
)
parser.add_argument("--backbone", default="resnet101", help="network (default: resnet101)")
parser.add_argument("--weights", default="imagenet", help="weight file of the network")
parser.add_argument(
    "--metric", default="cosine", help="distance, one of dogsim.METRICS (default: cosine)"
)
parser.add_argument("-k", type=int, default=5, help="number of neighbours in the grid (default: 5)")
parser.add_argument(
    "--queries", nargs="+", metavar="CLASS", help="draw an image of each of these classes"
)
parser.add_argument(
    "--compare-networks",
    nargs="*",
    type=network,
    metavar="NAME[=WEIGHTS]",
    help="several networks (default: resnet50 resnet101)",
)
args = options(parser)
if args.compare_networks == []:
    args.compare_networks = [("resnet50", "imagenet"), ("resnet101", "imagenet")]
if not 1 <= args.k <= max(KS):
    parser.error(f"-k {args.k}: expected 1 to {max(KS)}")
classes = tuple("0123456789") if args.images == DIGITS else CLOTHES


# %% Images of 28 x 28 pixels, with labels
def load_data(name: str | Path | None) -> tuple[Images, Labels]:
    """Read (n, 28, 28) images with labels: from Keras, IDX, an .npz, a sprite, or digits."""
    if name is None:
        return from_keras()
    if name == DIGITS:
        return from_digits()
    file = Path(name)
    if not file.is_file():
        raise dogsim.DogsimError(f"There is no file {file}. Expected IDX, .npz or a sprite PNG.")
    try:
        images, labels = from_file(file)
    except Exception as error:  # readers of broken files raise many kinds of errors
        raise dogsim.DogsimError(
            f"Cannot read {file} ({reason(error)}). Expected NAME-images-idx3-ubyte with "
            "NAME-labels-idx1-ubyte beside it, an .npz with x_test and y_test, or a sprite PNG."
        ) from error
    if images.shape[1:] != (28, 28) or labels.shape != (len(images),):
        raise dogsim.DogsimError(
            f"{file} holds images {images.shape} and labels {labels.shape}. "
            "Expected (n, 28, 28) and (n,)."
        )
    if images.dtype != np.uint8 or not np.isin(labels, range(len(CLOTHES))).all():
        raise dogsim.DogsimError(
            f"{file} holds images of {images.dtype} and labels of {labels.dtype}. "
            f"Expected uint8, 0 to 255, and whole numbers from 0 to {len(CLOTHES) - 1}."
        )
    return images, labels.astype(np.int32)


def from_file(file: Path) -> tuple[Images, Labels]:
    """Read an .npz file, an IDX file with the labels beside it, or a sprite."""
    if file.suffix == ".npz":
        return from_npz(file)
    if "images-idx3" in file.name:
        labels_file = file.with_name(file.name.replace("images-idx3", "labels-idx1"))
        return read_idx(file), read_idx(labels_file).astype(np.int32)
    return from_sprite(file)


def from_keras() -> tuple[Images, Labels]:
    """Load the test set of 10,000 images, which Keras downloads once."""
    try:
        _, (images, labels) = import_keras().datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise dogsim.DogsimError(
            f"Fashion-MNIST could not be downloaded ({reason(error)}). Pass a file: "
            "--images FILE, or use digits: --images digits --backbone efficientnet-lite2."
        ) from error
    return images, labels.astype(np.int32)


def from_npz(file: Path) -> tuple[Images, Labels]:
    """Read ``x_test`` and ``y_test``, the names that Keras uses."""
    with np.load(file, allow_pickle=False) as arrays:
        return arrays["x_test"], arrays["y_test"]


def read_idx(file: Path) -> Images:
    """Read an IDX file of bytes, gzipped or not: 0, 0, 8, dimensions, sizes, numbers."""
    data = file.read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    if data[:3] != b"\0\0\x08":
        raise ValueError(f"{file.name} does not begin as an IDX file of bytes")
    shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape)


def from_sprite(file: Path) -> tuple[Images, Labels]:
    """Split a sheet of 28 x 28 tiles with equally many rows for each class, classes in order."""
    gray = np.asarray(Image.open(file).convert("RGB").convert("L"))
    rows, columns = gray.shape[0] // 28, gray.shape[1] // 28
    if gray.shape != (rows * 28, columns * 28) or rows % len(CLOTHES) or not columns:
        raise ValueError(
            f"a sprite of {gray.shape} pixels is not of 28 x 28, in rows of 10 classes"
        )
    tiles = gray.reshape(rows, 28, columns, 28).swapaxes(1, 2).reshape(-1, 28, 28)
    labels = np.repeat(np.arange(len(CLOTHES)), len(tiles) // len(CLOTHES))
    return tiles, labels.astype(np.int32)


def from_digits() -> tuple[Images, Labels]:
    """Load the 1,797 digits of 8 x 8 pixels of scikit-learn, enlarged to 28 x 28."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise dogsim.DogsimError('There is no sklearn. Run: pip install ".[lessons]"') from error
    small, labels = load_digits(return_X_y=True)
    grey = np.uint8(np.round(small.reshape(-1, 8, 8) * 255 / 16))
    large = [Image.fromarray(digit).resize((28, 28), Image.Resampling.BILINEAR) for digit in grey]
    return np.stack([np.asarray(digit) for digit in large]), labels.astype(np.int32)


def choose_queries(labels: Labels, wanted: list[str] | None, rng: np.random.Generator) -> list[int]:
    """Choose a random image of each given class, or three of any class."""
    if not wanted:
        return [int(row) for row in rng.choice(len(labels), min(3, len(labels)), replace=False)]
    known = {name.lower(): label for label, name in enumerate(classes)}
    rows = []
    for name in wanted:
        of_class = np.flatnonzero(labels == known.get(name.lower(), -1))
        if not len(of_class):
            raise dogsim.DogsimError(
                f"There is no image of the class {name!r}. Expected one of: {', '.join(classes)}."
            )
        rows.append(int(rng.choice(of_class)))
    return rows


images, labels = load_data(args.images)
rng = np.random.default_rng(args.seed)
rows = np.sort(rng.permutation(len(images))[: args.sample_size])
images, labels = images[rows], labels[rows]
queries = choose_queries(labels, args.queries, rng)


# %% Images in the network's input format
def preprocess_fmnist(images: Images, sample_size: int = 10000) -> Images:
    """Resize the first of (n, 28, 28) gray images to (m, 224, 224, 3) RGB, bilinear.

    10,000 of them take 1.5 GB.
    """
    small = images[:sample_size]
    large = np.empty((len(small), 224, 224, 3), np.uint8)
    for each, image in zip(large, small, strict=True):
        resized = Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR)
        each[:] = np.asarray(resized)[:, :, None]
    return large


# Your turn: 255 - images, black on white
pixels = preprocess_fmnist(images, args.sample_size)
print(f"{len(images)} images, {args.metric} distance, leave-one-out")


# %% The same steps as for dogs: images, features, neighbours
def extract_features(images: Images, model: dogsim.Extractor) -> NDArray[np.float32]:
    """Compute the features of (n, 224, 224, 3) images, (n, D)."""
    return dogsim.extract_features(images, model)


def calculate_metrics(
    true_labels: ArrayLike, predicted_labels: ArrayLike
) -> dict[int, dict[str, float]]:
    """Compute precision, recall, F1 and the accuracy of the vote at K = 1, 5, 20.

    `predicted_labels` (n, 20) are the labels of the neighbours, nearest first; with fewer columns
    the larger K are left out. Plain predictions (n,) count as one neighbour each. The definitions
    are those of `dogsim.accuracy`.
    """
    truth = np.asarray(true_labels)
    predicted = np.asarray(predicted_labels).reshape(len(truth), -1)
    hits = predicted == truth[:, None]  # (n, 20)
    others = np.bincount(truth)[truth] - 1
    metrics = {}
    for k in (k for k in KS if k <= predicted.shape[1]):
        found = hits[:, :k].sum(axis=1)
        precision = float(found.mean() / k)
        recall = float((found[others > 0] / others[others > 0]).mean())
        f1 = 2 * precision * recall / (precision + recall) if found.any() else 0.0
        accuracy = float((dogsim.majority_vote(predicted[:, :k]) == truth).mean())
        metrics[k] = {"precision": precision, "recall": recall, "f1": f1, "accuracy": accuracy}
    return metrics


def print_metrics_summary(metrics: dict[int, dict[str, float]]) -> None:
    """Print the metrics, one line for each K."""
    print(" K  precision  recall      F1  vote accuracy")
    for k, of_k in metrics.items():
        print(
            f"{k:2}  {of_k['precision']:9.4f}  {of_k['recall']:.4f}  {of_k['f1']:.4f}"
            f"  {of_k['accuracy']:.4f}"
        )


def print_published() -> None:
    """Print the published metrics in the same columns."""
    print("published, 10,000 images, ResNet-101")
    for k, (precision, recall, f1) in PUBLISHED.items():
        print(f"{k:2}  {precision:9.3f}   {recall:.3f}   {f1:.3f}")
    print()


def print_confusions(labels: Labels, neighbours: Labels) -> None:
    """Print the five most frequent confusions, from the labels (n, k) of the neighbours."""
    counts = np.zeros((len(classes), len(classes)))
    np.add.at(counts, (labels[:, None], neighbours), 1)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    np.fill_diagonal(fractions, 0)
    print("most frequent confusions")
    order = np.argsort(-fractions[fractions > 0], kind="stable")
    for true, found in np.argwhere(fractions > 0)[order][:5]:
        fraction = fractions[true, found]
        print(f"{fraction:6.1%} of the neighbours of {classes[true]} are {classes[found]}")
    print()


found = None
for name, weights in args.compare_networks or [(args.backbone, args.weights)]:
    try:
        model = dogsim.load_extractor(name, weights)
    except dogsim.DogsimError as error:
        if not args.compare_networks:
            raise
        print(f"\n{name} is left out: {error}")
        continue
    shown = weights if weights == "imagenet" else Path(weights).name
    print(f"\n{name}, weights {shown}, SHA-256 {model.recipe.weights_sha256[:12]}...")
    features = extract_features(pixels, model)
    found = dogsim.nearest(features, features, max(KS), args.metric, np.arange(len(images)))
    print_metrics_summary(calculate_metrics(labels, labels[found[1]]))
if found is None:
    raise dogsim.DogsimError("None of the networks could be loaded.")
if args.images != DIGITS:
    print_published()
distances, neighbours = found  # of the last network
print_confusions(labels, labels[neighbours[:, : args.k]])


# %% Show some neighbours
def plot_similar_images(
    query_image: Images,
    similar_images: Images,
    class_names: Sequence[str],
    distances: ArrayLike | None = None,
    metric: str = "cosine",
    gallery: dogsim.Dataset | None = None,
    rows: ArrayLike | None = None,
) -> Figure:
    """Draw a query and its neighbours in the same grid as dogs.

    `class_names` contains the class of the query, then those of the neighbours, which are `rows` of
    `gallery`.
    """
    query, *others = class_names
    if gallery is None:  # of these images only; their features are not used
        names, labels = np.unique(others, return_inverse=True)
        numbers = tuple(f"image {i}" for i in range(len(others)))
        features = np.zeros((len(others), 1), np.float32)
        gallery = dogsim.Dataset(features, labels.astype(np.int32), numbers, tuple(names.tolist()))
    shown = np.arange(len(others)) if rows is None else np.asarray(rows)
    shown_distances = np.zeros(len(others)) if distances is None else np.asarray(distances)
    image, *tiles = (255 - np.asarray(each) for each in (query_image, *similar_images))
    return dogsim.result_grid(image, gallery, shown, shown_distances, query, metric, tiles)


numbers = tuple(f"image {row}" for row in rows)
gallery = dogsim.Dataset(features, labels, numbers, classes)
figures = []
for row in queries:
    shown = neighbours[row, : args.k]
    names = [classes[label] for label in labels[[row, *shown]]]
    near = zip(names[1:], distances[row], strict=False)
    print(f"{names[0]}: {', '.join(f'{name} {distance:.3f}' for name, distance in near)}")
    figure = plot_similar_images(
        query_image=images[row],
        similar_images=images[shown],
        class_names=names,
        distances=distances[row, : args.k],
        metric=args.metric,
        gallery=gallery,
        rows=shown,
    )
    figures.append((f"query-{row}", figure))
for path in dogsim.show_or_save(figures, args.save):
    print(path)
