"""Clothes that look alike: retrieval on Fashion-MNIST by a network that never saw clothes so small.

python scripts/fashion_mnist.py                       # Keras downloads the test set
python scripts/fashion_mnist.py --images t10k-images-idx3-ubyte.gz   # labels lie beside it
python scripts/fashion_mnist.py --images sprite.png --backbone resnet50 --weights FILE --save grids
"""

import argparse
import gzip
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

import dogsim
from dogsim.errors import reason
from dogsim.networks._keras import import_keras  # silent, and not before it is needed

CLASSES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
KS = (1, 5, 20)
Images = NDArray[np.uint8]
Labels = NDArray[np.int32]


def main(args: argparse.Namespace) -> None:
    images, labels = load_data(args.images)
    rng = np.random.default_rng(args.seed)
    rows = np.sort(rng.permutation(len(images))[: args.sample_size])
    images, labels = images[rows], labels[rows]
    model = dogsim.load_extractor(args.backbone, args.weights)
    given = "" if args.weights == "imagenet" else f" with the weights of {Path(args.weights).name}"
    print(f"{len(images)} images, {args.backbone}{given}")

    # the same steps as for dogs: pictures, features, neighbours
    features = extract_features(preprocess_fmnist(images, args.sample_size), model)
    # every image asks all others: leave-one-out
    _, neighbours = dogsim.nearest(features, features, max(KS), exclude=np.arange(len(features)))
    print_metrics_summary(calculate_metrics(labels, labels[neighbours]))

    figures = []
    for row in rng.choice(len(images), 3, replace=False):
        shown = neighbours[row, :8]
        names = [CLASSES[label] for label in labels[[row, *shown]]]
        figures.append((f"query-{row}", plot_similar_images(images[row], images[shown], names)))
    for path in dogsim.show_or_save(figures, args.save):
        print(path)


def preprocess_fmnist(images: Images, sample_size: int = 10000) -> Images:
    """Turn the first of (n, 28, 28) gray images into (m, 224, 224, 3) RGB, bilinear.

    10,000 of them take 1.5 GB.
    """
    small = images[:sample_size]
    large = np.empty((len(small), 224, 224, 3), np.uint8)
    for each, image in zip(large, small, strict=True):
        resized = Image.fromarray(image).resize((224, 224), Image.Resampling.BILINEAR)
        each[:] = np.asarray(resized)[:, :, None]
    return large


def extract_features(images: Images, model: dogsim.Extractor) -> NDArray[np.float32]:
    """Compute the features of (n, 224, 224, 3) images, (n, D)."""
    return dogsim.extract_features(images, model)


def calculate_metrics(
    true_labels: ArrayLike, predicted_labels: ArrayLike
) -> dict[int, dict[str, float]]:
    """Compute precision, recall and F1 at K = 1, 5, 20.

    `predicted_labels` (n, 20) are those of the neighbours, nearest first; a query can find all
    others of its class. The definitions are `dogsim.accuracy`'s.
    """
    truth = np.asarray(true_labels)
    hits = np.asarray(predicted_labels) == truth[:, None]
    others = np.bincount(truth)[truth] - 1
    metrics = {}
    for k in KS:
        found = hits[:, :k].sum(axis=1)
        precision = float(found.mean() / k)
        recall = float((found[others > 0] / others[others > 0]).mean())
        f1 = 2 * precision * recall / (precision + recall) if found.any() else 0.0
        metrics[k] = {"precision": precision, "recall": recall, "f1": f1}
    return metrics


def print_metrics_summary(metrics: dict[int, dict[str, float]]) -> None:
    """Print a line for every K."""
    print(" K  precision  recall      F1")
    for k, of_k in metrics.items():
        print(f"{k:2}  {of_k['precision']:9.4f}  {of_k['recall']:.4f}  {of_k['f1']:.4f}")


def plot_similar_images(query_image: Images, similar_images: Images, class_names: Any) -> Figure:
    """Draw a query and what was found; `class_names` of the query first, then of the others."""
    figure, axes = plt.subplots(3, 3, figsize=(6, 6.6), layout="constrained")
    query, *others = class_names
    names = [f"query: {query}", *(f"{name} {'✓' if name == query else '✗'}" for name in others)]
    for tile in axes.flat:
        tile.set_axis_off()
    for tile, image, name in zip(axes.flat, [query_image, *similar_images], names, strict=False):
        tile.imshow(image, cmap="gray_r")
        tile.set_title(name)
    return figure


def load_data(file: Path | None) -> tuple[Images, Labels]:
    """Read (n, 28, 28) images with labels: from Keras, an IDX file, an .npz or a sprite."""
    if file is None:
        return from_keras()
    if not file.is_file():
        raise dogsim.DogsimError(f"There is no file {file}. Expected IDX, .npz or a sprite PNG.")
    try:
        if file.suffix == ".npz":
            images, labels = from_npz(file)
        elif "images-idx3" in file.name:
            labels_file = file.with_name(file.name.replace("images-idx3", "labels-idx1"))
            images, labels = read_idx(file), read_idx(labels_file).astype(np.int32)
        else:
            images, labels = from_sprite(file)
    except Exception as error:  # readers of broken files raise nearly anything
        raise dogsim.DogsimError(
            f"Cannot read {file} ({reason(error)}). Expected NAME-images-idx3-ubyte with "
            "NAME-labels-idx1-ubyte beside it, an .npz with x_test and y_test, or a sprite PNG."
        ) from error
    if images.shape[1:] != (28, 28) or labels.shape != (len(images),):
        raise dogsim.DogsimError(
            f"{file} holds images {images.shape} and labels {labels.shape}. "
            "Expected (n, 28, 28) and (n,)."
        )
    if images.dtype != np.uint8 or not np.isin(labels, range(len(CLASSES))).all():
        raise dogsim.DogsimError(
            f"{file} holds images of {images.dtype} and labels of {labels.dtype}. "
            f"Expected uint8, 0 to 255, and whole numbers from 0 to {len(CLASSES) - 1}."
        )
    return images, labels.astype(np.int32)


def from_keras() -> tuple[Images, Labels]:
    """Let Keras download the data once; the test set has 10,000 images."""
    try:
        _, (images, labels) = import_keras().datasets.fashion_mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception when a download fails
        raise dogsim.DogsimError(
            f"Fashion-MNIST could not be downloaded ({reason(error)}). Give a file: --images FILE."
        ) from error
    return images, labels.astype(np.int32)


def from_npz(file: Path) -> tuple[Images, Labels]:
    """Read ``x_test`` and ``y_test``, as Keras names them."""
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
    """Cut a sheet of 28 x 28 tiles, the same number of rows for each class, classes in order."""
    gray = np.asarray(Image.open(file).convert("RGB").convert("L"))
    rows, columns = gray.shape[0] // 28, gray.shape[1] // 28
    if gray.shape != (rows * 28, columns * 28) or rows % len(CLASSES) or not columns:
        raise ValueError(
            f"a sprite of {gray.shape} pixels is not of 28 x 28, in rows of 10 classes"
        )
    tiles = gray.reshape(rows, 28, columns, 28).swapaxes(1, 2).reshape(-1, 28, 28)
    labels = np.repeat(np.arange(len(CLASSES)), len(tiles) // len(CLASSES))
    return tiles, labels.astype(np.int32)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--images", type=Path, help="IDX, .npz or sprite PNG (default: download)")
    parser.add_argument("--sample-size", type=int, default=10000, help="how many (default: 10000)")
    parser.add_argument("--backbone", default="resnet101", help="network (default: resnet101)")
    parser.add_argument("--weights", default="imagenet", help="weight file of the network")
    parser.add_argument("--save", metavar="DIR", help="save the grids as PNG files in this folder")
    parser.add_argument("--seed", type=int, default=0, help="for sample and queries (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main(parse_args())
    except dogsim.DogsimError as error:
        sys.exit(f"fashion_mnist.py: {error}")
