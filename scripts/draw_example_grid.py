"""Draw data/example_grid.png, the picture of the README: a drawn beagle and its eight nearest.

python scripts/draw_example_grid.py [FILE]

The gallery has six drawings of each breed only, so that the seventh and the eighth are mistakes.
"""

import sys
from pathlib import Path

import numpy as np

import dogsim
from dogsim.figures.display import save_figure

OUT = Path(__file__).resolve().parent.parent / "data" / "example_grid.png"
BACKBONE, QUERY, OF_BREED, K = "efficientnet-lite0", "beagle", 6, 8


def main(out: Path) -> None:
    extractor = dogsim.load_extractor(BACKBONE)
    sample = dogsim.sample_dataset()
    first = [
        np.flatnonzero(sample.labels == label)[:OF_BREED] for label in range(len(sample.breeds))
    ]
    gallery = sample.take(np.concatenate(first))
    pictures = [gallery.picture(row) for row in range(len(gallery))]
    features = dogsim.extract_features(pictures, extractor)
    gallery = dogsim.Dataset(
        features, gallery.labels, gallery.paths, gallery.breeds, root=gallery.root
    )
    query = next(path for path in dogsim.sample_queries() if path.stem == QUERY)
    asked = dogsim.feature_extract(query, extractor)
    distances, indices = dogsim.nearest(gallery, [asked], K)
    save_figure(
        dogsim.result_grid(query, gallery, indices[0], distances[0], QUERY), out, force=True
    )


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
    except dogsim.DogsimError as error:
        sys.exit(f"draw_example_grid.py: {error}")
