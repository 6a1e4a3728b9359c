"""The whole method on one screen: which of the images I know look most like this one?

python scripts/main.py                    # the sample's queries and the sample's images
python scripts/main.py my_dog.jpg         # an image of yours
python scripts/main.py photos --dataset dogs.h5 -k 8 --save grids
"""

# %%
import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from matplotlib.figure import Figure

import dogsim


# %% The five steps
def grids(args: argparse.Namespace) -> Iterator[tuple[str, Figure]]:
    """Draw a grid for each image. The comments name the step in MATLAB."""
    if args.dataset:  # load('dataset.mat')
        dataset = dogsim.Dataset.open(args.dataset)
    else:
        dataset = dogsim.sample_dataset(args.weights)
    images = [file for path in args.images for file in dogsim.find_images(path)]
    images = images or dogsim.sample_queries()
    # net = resnet50: the network that the dataset was made with
    extractor = dogsim.extractor_for(dataset.recipe, args.weights)
    right: list[bool] = []

    for image in images:
        # features = activations(net, imresize(img, [224 224]), 'avg_pool')
        features = dogsim.feature_extract(image, extractor)
        # distances = dist_calc(dataset, testset): row i is test image i, column j known image j
        metric = "euclidean"  # Your turn: another distance, such as "chebyshev"
        distances = dogsim.dist_calc(dataset, [features], metric)
        # [distances, indices] = mink(distances, k, 2)
        distances, indices = dogsim.mink(distances, args.k)
        # mode(labels(indices)): the breed that most of the neighbours have
        label = dogsim.majority_vote(dataset.labels[indices])[0]
        dogsim.say(f"{image.name}: {dataset.breed_of_label(label)}")
        # subplot, imshow: the image first, then its neighbours
        truth = dataset.label_of_path(image)
        grid = dogsim.result_grid(image, dataset, indices[0], distances[0], truth, metric)
        yield image.stem, grid
        # accuracy.m: is the neighbour of the breed in the query's name?
        right += [dataset.breed(row) == truth for row in indices[0] if truth]
    if right:
        print(f"{sum(right) / len(right):.2%} of {len(right)} neighbours have their query's breed")


# %% From the command line
def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("images", nargs="*", type=Path, help="images or folders of images")
    parser.add_argument("--dataset", default=os.environ.get("DOGSIM_DATASET"), help="dataset file")
    parser.add_argument("-k", type=int, default=8, help="number of neighbours (default: 8)")
    parser.add_argument("--weights", help="weight file of ResNet-50, or of the dataset's network")
    parser.add_argument("--save", metavar="DIR", help="save the grids as PNG files in this folder")
    # In a notebook the command line is that of its kernel.
    return parser.parse_args([] if "ipykernel" in sys.argv[0] else None)


if __name__ == "__main__":
    arguments = parse_args()
    try:
        for path in dogsim.show_or_save(grids(arguments), arguments.save):
            dogsim.say(str(path))
    except dogsim.DogsimError as error:
        sys.exit(dogsim.printable(f"main.py: {error}"))
