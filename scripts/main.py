"""The whole method on one screen: which of the pictures I know look most like this one?

python scripts/main.py                    # the sample's queries, asked of the sample
python scripts/main.py my_dog.jpg         # a picture of yours
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
    """Make a grid for each picture. The comments name the step in MATLAB."""
    if args.dataset:  # load('dataset.mat')
        dataset = dogsim.Dataset.open(args.dataset)
    else:
        dataset = dogsim.sample_dataset(args.weights or "imagenet")
    pictures = [file for path in args.pictures for file in dogsim.find_images(path)]
    pictures = pictures or dogsim.sample_queries()
    # net = resnet50: the very network that the dataset was made with
    extractor = dogsim.extractor_for(dataset.recipe, args.weights)
    right: list[bool] = []

    for picture in pictures:
        # features = activations(net, imresize(img, [224 224]), 'avg_pool')
        features = dogsim.feature_extract(picture, extractor)
        # distances = dist_calc(dataset, testset): row i is test picture i, column j known picture j
        metric = "euclidean"  # Your turn: another distance, such as "chebyshev"
        distances = dogsim.dist_calc(dataset, [features], metric)
        # [distances, indices] = mink(distances, k, 2)
        distances, indices = dogsim.mink(distances, args.k)
        # mode(labels(indices)): the breed that most of the neighbours have
        label = dogsim.majority_vote(dataset.labels[indices])[0]
        dogsim.say(f"{picture.name}: {dataset.breed_of_label(label)}")
        # subplot, imshow: the picture first, then its neighbours
        truth = dataset.label_of_path(picture)
        grid = dogsim.result_grid(picture, dataset, indices[0], distances[0], truth, metric)
        yield picture.stem, grid
        # accuracy.m: is the neighbour of the breed that the query's name tells?
        right += [dataset.breed(row) == truth for row in indices[0] if truth]
    if right:
        print(f"{sum(right) / len(right):.2%} of {len(right)} neighbours have their query's breed")


# %% From the command line
def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("pictures", nargs="*", type=Path, help="pictures or folders of them")
    parser.add_argument("--dataset", default=os.environ.get("DOGSIM_DATASET"), help="dataset file")
    parser.add_argument("-k", type=int, default=8, help="how many neighbours (default: 8)")
    parser.add_argument("--weights", help="weight file of ResNet-50, or of the dataset's network")
    parser.add_argument("--save", metavar="DIR", help="save the grids as PNG files in this folder")
    # A notebook's command line is its kernel's, not ours.
    return parser.parse_args([] if "ipykernel" in sys.argv[0] else None)


if __name__ == "__main__":
    arguments = parse_args()
    try:
        for path in dogsim.show_or_save(grids(arguments), arguments.save):
            dogsim.say(str(path))
    except dogsim.DogsimError as error:
        sys.exit(dogsim.printable(f"main.py: {error}"))
