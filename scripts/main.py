"""The whole method on one screen: which of the images I know look most like this one?

python scripts/main.py                    # the sample's queries and the sample's images
python scripts/main.py my_dog.jpg         # an image of yours
python scripts/main.py photos --dataset dogs.h5 -k 8 --save grids
"""

# %%
from pathlib import Path
from typing import Annotated

import typer

import dogsim


def main(
    images: Annotated[list[Path] | None, typer.Argument(help="Images or folders of them.")] = None,
    dataset: Annotated[
        Path | None, typer.Option(envvar="DOGSIM_DATASET", help="Dataset file.")
    ] = None,
    k: Annotated[int, typer.Option(help="Number of neighbours.")] = 8,
    weights: Annotated[
        str | None, typer.Option(help="Weight file of ResNet-50, or of the dataset's network.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder to save the grids to, as PNG files.")
    ] = None,
) -> None:
    """Print the breed of each image and draw its neighbours. The comments name MATLAB's steps."""
    # load('dataset.mat')
    known = dogsim.Dataset.open(dataset) if dataset else dogsim.sample_dataset(weights)
    queries = [file for path in images or () for file in dogsim.find_images(path)]
    queries = queries or dogsim.sample_queries()
    # net = resnet50: the network that the dataset was made with
    extractor = dogsim.extractor_for(known.recipe, weights)
    right: list[bool] = []
    saved: list[Path] = []

    for query in queries:
        # features = activations(net, imresize(img, [224 224]), 'avg_pool')
        features = dogsim.feature_extract(query, extractor)
        # distances = dist_calc(dataset, testset): row i is test image i, column j known image j
        metric = "euclidean"  # Your turn: another distance, such as "chebyshev"
        distances = dogsim.dist_calc(known, [features], metric)
        # [distances, indices] = mink(distances, k, 2)
        distances, indices = dogsim.mink(distances, k)
        # mode(labels(indices)): the breed that most of the neighbours have
        label = dogsim.majority_vote(known.labels[indices])[0]
        dogsim.say(f"{query.name}: {known.breed_of_label(label)}")
        # subplot, imshow: the query first, then its neighbours
        truth = known.label_of_path(query)
        grid = dogsim.result_grid(query, known, indices[0], distances[0], truth, metric)
        saved += dogsim.show_or_save([(query.stem, grid)], save, saved)
        # accuracy.m: is the neighbour of the breed in the query's name?
        right += [known.breed(row) == truth for row in indices[0] if truth]
    if right:
        print(f"{sum(right) / len(right):.2%} of {len(right)} neighbours have their query's breed")
    for path in saved:
        dogsim.say(str(path))


if __name__ == "__main__":
    dogsim.run_script(main)
