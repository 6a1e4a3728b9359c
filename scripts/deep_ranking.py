"""Which features to weigh? The story of deep ranking, on pictures that training never saw.

python scripts/deep_ranking.py                        # the drawings of dogs that come along
python scripts/deep_ranking.py --dataset dogs.h5 --save figures
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import dogsim


def main(args: argparse.Namespace) -> None:
    if args.dataset:
        dataset = dogsim.Dataset.open(args.dataset)
    else:
        dataset = dogsim.sample_dataset(args.weights)

    # A fifth of each breed is put aside before anything is learned.
    gallery, queries = dogsim.hold_out(dataset, 0.2, args.seed, least=1)
    print(f"{len(gallery)} pictures to learn from, {len(queries)} that training never sees\n")

    # query, positive, negative: the loss asks that the positive be nearer by a gap
    triplets = dogsim.sample_triplets(gallery.labels, 10_000, args.seed)
    worst = triplets[losses(gallery, triplets).argmax()]
    names = (gallery.breed(row) for row in worst)
    print("the worst of 10,000 triplets: {}, {}, {}".format(*names))
    show_losses("before", losses(gallery, triplets))

    # The gallery learns which features to weigh: a head, as a file of its own.
    ranking = dogsim.train_ranking(gallery, negatives=args.negatives, seed=args.seed)
    with TemporaryDirectory() as folder:
        head = Path(args.head or Path(folder) / "head.keras")
        dogsim.save_model(ranking.model, head)
        after = dogsim.project(gallery, head), dogsim.project(queries, head)
    show_losses(f"after {ranking.steps} steps", losses(after[0], triplets))

    pairs = {"before": (gallery, queries), "after": after}
    figures = [("precision", precision_curve(pairs)), *grids(pairs)]
    for path in dogsim.show_or_save(figures, args.save):
        print(path)


def losses(dataset: dogsim.Dataset, triplets: NDArray[np.intp]) -> NDArray[np.float32]:
    """Compute the ranking loss of triplets, for features of length 1."""
    units = dataset.features / np.linalg.norm(dataset.features, axis=1, keepdims=True)
    query, positive, negative = (units[rows] for rows in triplets.T)
    return np.asarray(dogsim.ranking_loss(query, positive, negative, gap=0.2))


def show_losses(when: str, losses: NDArray[np.float32]) -> None:
    """Print how many triplets are in the wrong order or too close, and what that costs."""
    print(f"{when}: loss {losses.mean():.4f} on average, not 0 for {np.mean(losses > 0):.1%}")


def precision_curve(pairs: dict[str, tuple[dogsim.Dataset, dogsim.Dataset]]) -> Figure:
    """Judge the held-out queries at several k, print the numbers and draw them."""
    figure, axes = plt.subplots(layout="constrained")
    print("\n           P@1     P@5     P@20    vote of 20")
    for (name, (gallery, queries)), style in zip(pairs.items(), ("o--", "s-"), strict=True):
        ks = [k for k in (1, 2, 3, 5, 10, 15, 20) if k <= len(gallery)]
        results = {k: dogsim.accuracy(gallery, k, queries) for k in ks}
        axes.plot(ks, [results[k].precision_at_k for k in ks], style, label=name)
        shown = "  ".join(f"{results[k].precision_at_k:.4f}" for k in (1, 5, 20) if k in ks)
        print(f"{name:<9}  {shown}  {results[ks[-1]].vote_accuracy:.4f}")
    axes.set(
        xlabel="k",
        ylabel="precision@k",
        ylim=(None, 1),
        xticks=ks,
        title="Pictures that training never saw, asked of the gallery",
    )
    axes.legend()
    return figure


def grids(pairs: dict[str, tuple[dogsim.Dataset, dogsim.Dataset]]) -> list[tuple[str, Figure]]:
    """Draw the query that gained most, before and after, where its picture can be found."""
    hits, found = {}, {}
    for name, (gallery, queries) in pairs.items():
        found[name] = dogsim.nearest(gallery, queries, min(8, len(gallery)))
        hits[name] = (gallery.labels[found[name][1]] == queries.labels[:, None]).sum(axis=1)
    queries = pairs["before"][1]
    row = int(np.argmax(hits["after"] - hits["before"]))
    print(f"\nneighbours of the right breed among 8, for {queries.paths[row]}: ", end="")
    print(f"{hits['before'][row]} before, {hits['after'][row]} after")
    picture = queries.picture(row)
    if not picture.is_file():
        return []
    return [
        (name, dogsim.result_grid(picture, gallery, indices, distances, queries.breed(row)))
        for name, (gallery, _) in pairs.items()
        for distances, indices in [(found[name][0][row], found[name][1][row])]
    ]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", help="dataset file (default: the sample that comes along)")
    parser.add_argument("--weights", default="imagenet", help="weight file, for the sample")
    parser.add_argument("--head", metavar="FILE", help="keep the head in this .keras file")
    parser.add_argument("--negatives", default="near", help="near or drawn (default: near)")
    parser.add_argument("--save", metavar="DIR", help="save the figures as PNG in this folder")
    parser.add_argument("--seed", type=int, default=0, help="for split and training (default: 0)")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main(parse_args())
    except dogsim.DogsimError as error:
        sys.exit(f"deep_ranking.py: {error}")
