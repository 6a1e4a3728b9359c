"""Any folder of class folders, such as Caltech-101: two rankings, two classifiers, one look inside.

python scripts/caltech101.py 101_ObjectCategories
python scripts/caltech101.py                       # the drawings of dogs that come along
python scripts/caltech101.py --dataset dogs.h5 --weights FILE --save grids
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import dogsim
from dogsim.networks._keras import import_keras  # silent, and not before it is needed

KS = (1, 5, 20)


def main(args: argparse.Namespace) -> None:
    dataset = load_dataset(args)
    known = np.flatnonzero(dataset.labels >= 0)
    if len(known) < len(dataset):
        print(f"{len(dataset) - len(known)} pictures of no known class are left out")
        dataset = dataset.take(known)
    print(f"{len(dataset)} pictures of {len(dataset.breeds)} classes\n")
    compare_rankings(dataset)
    compare_classifiers(*dogsim.hold_out(dataset, 0.2, args.seed, least=1), seed=args.seed)
    look_inside()
    rng = np.random.default_rng(args.seed)
    queries = rng.choice(len(dataset), min(2, len(dataset)), replace=False)
    for path in dogsim.show_or_save(grids(dataset, queries), args.save):
        print(path)


def load_dataset(args: argparse.Namespace) -> dogsim.Dataset:
    """Open the features of a folder, computing them where that has not been done."""
    if args.dataset:
        return dogsim.Dataset.open(args.dataset)
    if not args.images:
        return dogsim.sample_dataset(args.weights)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(args.keep or Path(folder) / "features.h5")
        return dogsim.create_dataset(args.images, out, args.backbone, args.weights)


def compare_rankings(dataset: dogsim.Dataset) -> None:
    """Rank by Euclidean and by cosine distance, every picture asking all others."""
    print("precision@k   euclidean  cosine")
    for k in (k for k in KS if k < len(dataset)):
        both = (dogsim.accuracy(dataset, k, metric=m) for m in ("euclidean", "cosine"))
        euclidean, cosine = (result.precision_at_k for result in both)
        print(f"{k:11}   {euclidean:9.4f}  {cosine:.4f}")


def compare_classifiers(train: dogsim.Dataset, test: dogsim.Dataset, seed: int) -> None:
    """Set the lazy classifier, which learns nothing, beside a softmax on the frozen features."""
    k = min(20, len(train))
    lazy = dogsim.accuracy(train, k, test).vote_accuracy
    learned = softmax_accuracy(train, test, seed)
    print(f"\n{len(test)} pictures held out, asked of {len(train)}")
    print(f"vote of {k} neighbours      {lazy:.4f}")
    print(f"softmax on the features  {learned:.4f}\n")


def softmax_accuracy(train: dogsim.Dataset, test: dogsim.Dataset, seed: int) -> float:
    """Train a softmax on features, and find how often it names the right class."""
    keras = import_keras()
    keras.utils.set_random_seed(seed)
    length = np.linalg.norm(train.features, axis=1).mean()  # one scale for all
    scale = np.sqrt(train.features.shape[1]) / length
    model = keras.Sequential(
        [
            keras.Input((train.features.shape[1],)),
            keras.layers.Rescaling(scale),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(len(train.breeds), activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    model.fit(train.features, train.labels, batch_size=32, epochs=30, verbose=0)
    found = model.predict(test.features, verbose=0).argmax(axis=1)
    return float((found == test.labels).mean())


def look_inside() -> None:
    """Count the parameters of the networks' blocks, and set them beside the papers' numbers."""
    keras = import_keras()
    network = dogsim.resnet50()
    convolutions = [x for x in network.layers if isinstance(x, keras.layers.Conv2D)]
    main_path = [x for x in convolutions if not x.name.endswith("_0_conv")]
    image = keras.Input((28, 28, 192))
    module = dogsim.inception_module(image, 64, (96, 128), (16, 32), 32, "inception_3a")
    weights = sum(w.size for w in keras.Model(image, module).get_weights() if w.ndim == 4)
    work = sum(multiply_adds(layer) for layer in convolutions) + 2048 * 1000
    print("what is inside                            here          paper")
    print(f"ResNet-50: layers with weights            {len(main_path) + 1}            50")
    print(f"ResNet-50: multiply-adds                  {work / 1e9:.2f} G        3.8 G")
    print(f"ResNet-50: parameters                     {network.count_params():,}    -")
    print(f"Inception 3a: weights                     {weights:,}       159 K\n")


def multiply_adds(layer: object) -> int:
    """Count how often a convolution multiplies and adds for one picture."""
    kernel, (_, height, width, _) = layer.kernel.shape, layer.output.shape  # type: ignore[attr-defined]
    return int(np.prod(kernel) * height * width)


def grids(dataset: dogsim.Dataset, queries: NDArray[np.intp]) -> Iterator[tuple[str, Figure]]:
    """Draw what each query finds by one metric and by the other."""
    for metric in ("euclidean", "cosine"):
        k = min(8, len(dataset) - 1)
        found = dogsim.nearest(dataset, dataset.features[queries], k, metric, queries)
        for row, distances, indices in zip(queries, *found, strict=True):
            picture, breed = dataset.picture(row), dataset.breed(row)
            if picture.is_file():
                grid = dogsim.result_grid(picture, dataset, indices, distances, breed)
                yield f"{picture.stem}-{metric}", grid


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("images", nargs="?", help="folder of class folders (default: the sample)")
    parser.add_argument("--dataset", help="dataset file, instead of a folder")
    parser.add_argument("--keep", metavar="FILE", help="keep the folder's features in this file")
    parser.add_argument("--backbone", default="resnet50", help="network (default: resnet50)")
    parser.add_argument("--weights", default="imagenet", help="weight file of the network")
    parser.add_argument("--save", metavar="DIR", help="save the grids as PNG files in this folder")
    parser.add_argument("--seed", type=int, default=0, help="for split and queries (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main(parse_args())
    except dogsim.DogsimError as error:
        sys.exit(f"caltech101.py: {error}")
