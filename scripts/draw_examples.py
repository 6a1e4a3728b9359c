"""Draw the pictures of README and docs/ from the drawings of dogs that come along.

python scripts/draw_examples.py [FOLDER]     # data/ by default

The gallery of the grid has six drawings of each breed only, so that the seventh and the eighth are
mistakes.
"""

import sys
from pathlib import Path

import numpy as np

import dogsim
from dogsim.figures.display import save_figure

DATA = Path(__file__).resolve().parent.parent / "data"
BACKBONE, QUERY, OTHER, OF_BREED, K = "efficientnet-lite0", "beagle", "whippet", 6, 8


def main(folder: Path) -> None:
    extractor = dogsim.load_extractor(BACKBONE)
    sample = features_of(dogsim.sample_dataset(), extractor)
    queries = {path.stem: path for path in dogsim.sample_queries()}
    query, other = queries[QUERY], queries[OTHER]

    of_breed = [np.flatnonzero(sample.labels == label) for label in range(len(sample.breeds))]
    gallery = sample.take(np.concatenate([rows[:OF_BREED] for rows in of_breed]))
    asked = dogsim.feature_extract(query, extractor)
    distances, indices = dogsim.nearest(gallery, [asked], K)
    grid = dogsim.result_grid(query, gallery, indices[0], distances[0], QUERY)

    why = dogsim.explain(query, other, extractor)
    figures = {
        "example_grid": grid,
        "example_explain": dogsim.heat_maps(query, other, why, (QUERY, OTHER)),
        "example_tree": dogsim.breed_tree(sample),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png", force=True)
        print(folder / f"{name}.png")


def features_of(dataset: dogsim.Dataset, extractor: dogsim.Extractor) -> dogsim.Dataset:
    """Compute a dataset's features anew: those of one network, whatever is kept here."""
    pictures = [dataset.image_file(row) for row in range(len(dataset))]
    features = dogsim.extract_features(pictures, extractor)
    return dogsim.Dataset(
        features, dataset.labels, dataset.paths, dataset.breeds, root=dataset.root
    )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
    except dogsim.DogsimError as error:
        sys.exit(f"draw_examples.py: {error}")
