"""The whole method in 100 lines: which of the images I know look most like this one?

python scripts/tiny.py [photos]          # the sample, or a folder with a folder for each breed
python scripts/tiny.py --query dog.jpg   # the nearest images of dog.jpg
python scripts/tiny.py --pixels          # without a network: small images as features
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

SAMPLE = Path(__file__).resolve().parent.parent / "data" / "sample_dogs"
Floats = NDArray[np.floating]
Labels = NDArray[np.intp]


def list_images(folder: Path) -> tuple[list[Path], Labels, list[str]]:
    """The label of an image is the name of its folder. See dogsim/folders."""
    paths = sorted(p for p in folder.glob("*/*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    breeds = sorted({path.parent.name for path in paths})
    return paths, np.array([breeds.index(path.parent.name) for path in paths]), breeds


def load_image(path: Path, size: int) -> NDArray[np.uint8]:
    """Upright RGB pixels of a square, (size, size, 3). See dogsim/images.py."""
    upright = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    return np.asarray(upright.resize((size, size), Image.Resampling.BICUBIC))


def network_features(paths: list[Path]) -> Floats:
    """The average-pooling layer of a network, (n, d). See dogsim/networks, feature_extract.py."""
    from dogsim import load_extractor

    extractor = load_extractor("efficientnet-lite2", precision="float32")  # or "resnet50"
    size = extractor.recipe.image_size
    return np.concatenate([extractor(load_image(path, size)[None]) for path in paths])


def pixel_features(paths: list[Path]) -> Floats:
    """The 16 x 16 pixels of a small image, (n, 768): how good is a search without a network?"""
    return np.stack([load_image(path, 16).ravel() / 255 for path in paths])


def dist_calc(dataset: Floats, query: Floats) -> Floats:
    """Euclidean distances of a query (d,) to all images (n, d). See dogsim/dist_calc.py."""
    return np.asarray(np.sqrt(((dataset.astype(np.float64) - query) ** 2).sum(axis=1)))


def mink(distances: Floats, k: int) -> Labels:
    """The k smallest, nearest first; ties go to the lower index. See dogsim/exact.py."""
    return np.argsort(distances, kind="stable")[:k]


def vote(labels: Labels) -> int:
    """The label with most votes; in a tie, that of the nearest neighbour. See dogsim/vote.py."""
    counts = np.bincount(labels)
    return int(next(label for label in labels if counts[label] == counts.max()))


def evaluate(features: Floats, labels: Labels, k: int) -> tuple[float, float]:
    """Precision at k and accuracy of the vote, leave-one-out. See dogsim/accuracy.py, retrieval."""
    near = np.empty((len(features), k), np.intp)
    for row, query in enumerate(features):
        distances = dist_calc(features, query)
        distances[row] = np.inf  # an image is not its own neighbour
        near[row] = labels[mink(distances, k)]
    right = np.array([vote(each) for each in near]) == labels
    return float((near == labels[:, None]).mean()), float(right.mean())


def main(arguments: list[str] | None = None) -> None:
    """Print the accuracy of a folder, or the nearest images of a query. See dogsim/cli."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=SAMPLE, help="default: the sample")
    parser.add_argument("--query", type=Path, help="an image, whose neighbours are printed")
    parser.add_argument("-k", type=int, default=5, help="number of neighbours (default: 5)")
    parser.add_argument("--pixels", action="store_true", help="compare pixels, without a network")
    args = parser.parse_args(arguments)
    paths, labels, breeds = list_images(args.folder)
    if not paths:
        parser.error(f"no images in {args.folder}/BREED/. Expected one folder of images per breed.")
    compute = pixel_features if args.pixels else network_features
    features = compute(paths)  # dogsim/create_dataset.py stores them
    if args.query:
        distances = dist_calc(features, compute([args.query])[0])
        near = mink(distances, args.k)
        print(f"{args.query}: {breeds[vote(labels[near])]}")
        for row in near:
            print(f"{distances[row]:8.3f}  {paths[row]}")
    else:
        precision, right = evaluate(features, labels, args.k)
        print(f"{len(paths)} images of {len(breeds)} breeds, leave-one-out, k = {args.k}")
        print(f"precision {precision:.4f}, accuracy of the vote {right:.4f}")


if __name__ == "__main__":
    main()
