"""Draw the figures of README and docs/ from the sample drawings.

python scripts/draw_examples.py [FOLDER]     # data/ by default

The gallery of the grid contains only six drawings of each breed, so that at least two of eight
neighbours are wrong.
"""

import sys
from pathlib import Path

import numpy as np

import dogsim
from dogsim.figures.display import save_figure

DATA = Path(__file__).resolve().parent.parent / "data"
BACKBONE, QUERY_BREED, OTHER_BREED = "efficientnet-lite2", "beagle", "whippet"
IMAGES_PER_BREED, GRID_NEIGHBOURS = 6, 8


def main(folder: Path) -> None:
    """Write the figures to a folder."""
    sample = dogsim.sample_dataset(backbone=BACKBONE)
    extractor = dogsim.extractor_for(sample.recipe)
    queries = {path.stem: path for path in dogsim.sample_queries()}
    query, other = queries[QUERY_BREED], queries[OTHER_BREED]

    rows_of = [np.flatnonzero(sample.labels == label) for label in range(len(sample.breeds))]
    gallery = sample.take(np.concatenate([rows[:IMAGES_PER_BREED] for rows in rows_of]))
    features = dogsim.feature_extract(query, extractor)
    distances, indices = dogsim.nearest(gallery, [features], GRID_NEIGHBOURS)
    grid = dogsim.result_grid(query, gallery, indices[0], distances[0], QUERY_BREED)

    why = dogsim.explain(query, other, extractor)
    figures = {
        "example_grid": grid,
        "example_explain": dogsim.heat_maps(query, other, why, (QUERY_BREED, OTHER_BREED)),
        "example_tree": dogsim.breed_tree(sample),
    }
    for name, figure in figures.items():
        save_figure(figure, folder / f"{name}.png", force=True)
        print(folder / f"{name}.png")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else DATA)
    except dogsim.DogsimError as error:
        sys.exit(f"draw_examples.py: {error}")
