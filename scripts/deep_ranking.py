"""Which features matter? Deep ranking step by step, evaluated on held-out images.

python scripts/deep_ranking.py                        # the harder sample
python scripts/deep_ranking.py --dataset dogs.h5 --save figures
python scripts/deep_ranking.py --start discriminant   # initial weights that are hard to improve
python scripts/deep_ranking.py --multiscale           # also the network of the paper: minutes
"""

# %%
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

import dogsim
from edge import dataset_of, options, parser_of, show

# %% Options
parser = parser_of(__doc__, dataset=True)
parser.add_argument("--head", metavar="FILE", help="save the head in this .keras file")
parser.add_argument("--negatives", default="near", help="near, drawn, in-class, mixture or pairs")
parser.add_argument("--start", default="random", help="random, or discriminant (default: random)")
# The paper uses a margin of 1. Unit vectors are 0 to 2 apart, those of different breeds about 1.4:
# with a margin of 1 also triplets in the right order have a gradient, with 0.2 they have none.
parser.add_argument("--gap", type=float, default=0.2, help="margin of the loss (default: 0.2)")
parser.add_argument("--multiscale", action="store_true", help="train the paper's network, too")
args = options(parser)

# %% Hold out a fifth of each breed before training
dataset = dataset_of(args)
gallery, queries = dogsim.hold_out(dataset, 0.2, args.seed, least=1)
print(f"{len(gallery)} training images, {len(queries)} held out\n")


# %% Triplets: query, positive, negative; the loss is 0 if the positive is nearer by the margin
def losses(dataset: dogsim.Dataset, triplets: NDArray[np.intp], gap: float) -> NDArray[np.float32]:
    """Compute the ranking loss of triplets for features of length 1."""
    units = dataset.features / np.linalg.norm(dataset.features, axis=1, keepdims=True)
    query, positive, negative = (units[rows] for rows in triplets.T)
    return np.asarray(dogsim.ranking_loss(query, positive, negative, gap))


def show_losses(when: str, losses: NDArray[np.float32]) -> None:
    """Print the mean loss, and the fraction of triplets with a positive loss."""
    print(f"{when}: mean loss {losses.mean():.4f}, positive for {np.mean(losses > 0):.1%}")


triplets = dogsim.sample_triplets(gallery.labels, 10_000, args.seed)
worst = triplets[losses(gallery, triplets, args.gap).argmax()]
names = (gallery.breed(row) for row in worst)
print("the worst of 10,000 triplets: {}, {}, {}".format(*names))
show_losses("before", losses(gallery, triplets, args.gap))

# %% Train a head on the gallery and save it
# Your turn: width=2 for embeddings of two numbers; dropout=0.5; max_steps=50
ranking = dogsim.train_ranking(gallery, args.negatives, args.gap, seed=args.seed, start=args.start)
with TemporaryDirectory() as folder:
    head = Path(args.head or Path(folder) / "head.keras")
    dogsim.save_model(ranking.model, head)
    after = dogsim.project(gallery, head), dogsim.project(queries, head)
show_losses(f"after {ranking.steps} steps", losses(after[0], triplets, args.gap))
first, best = ranking.history[0], ranking.history[ranking.best]
print(f"precision@{ranking.k} of held-out images {first:.4f} at the start, {best:.4f} at best")


# %% Learning curves: the loss and the precision of held-out images after each round
def learning_curves(ranking: dogsim.Ranking) -> Figure:
    """Plot both against the round."""
    figure = Figure(layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    rounds = np.arange(len(ranking.history))
    above.plot(rounds[1:], ranking.losses, "o-")
    above.set(
        ylabel="loss of the batches", title="Rounds of 25 steps; the red dot is the selected one"
    )
    below.plot(rounds, ranking.history, "o-", markersize=4)
    below.plot(ranking.best, ranking.history[ranking.best], "o", color="tab:red", markersize=9)
    below.xaxis.get_major_locator().set_params(integer=True)
    below.set(xlabel="round", ylabel=f"precision@{ranking.k}, held out")
    return figure


show("learning", learning_curves(ranking), args)


# %% The network of the paper: two shallow paths with random weights beside the trained network
if args.multiscale:
    paper = dogsim.fine_tune(
        *(gallery, None), network="multiscale", batch_size=8, max_steps=100, seed=args.seed
    )
    print(f"multiscale: precision@{paper.k} of held-out images, every 25 steps: ", end="")
    print(", ".join(f"{precision:.2f}" for precision in paper.history))
    show("multiscale", learning_curves(paper), args)


# %% Precision before and after, on the held-out images
def precision_curve(pairs: dict[str, tuple[dogsim.Dataset, dogsim.Dataset]]) -> Figure:
    """Print and plot the precision of the held-out queries at several k."""
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    print("\n           P@1     P@5     P@20    vote of 20")
    for (name, (gallery, queries)), style in zip(pairs.items(), ("o--", "s-"), strict=True):
        ks = [k for k in (1, 2, 3, 5, 10, 15, 20) if k <= len(gallery)]
        results = {k: dogsim.accuracy(gallery, k, queries) for k in ks}
        values = [results[k].precision_at_k for k in ks]
        axes.plot(ks, values, style)
        axes.annotate(name, (ks[-1], values[-1]), (8, 0), textcoords="offset points", va="center")
        shown = "  ".join(f"{results[k].precision_at_k:.4f}" for k in (1, 5, 20) if k in ks)
        print(f"{name:<9}  {shown}  {results[ks[-1]].vote_accuracy:.4f}")
    axes.set(
        xlabel="k",
        ylabel="precision@k",
        ylim=(0, 1),
        xticks=ks,
        title=f"{len(queries)} held-out queries, {len(gallery)} gallery images",
    )
    axes.hlines(results[ks[0]].chance, 1, ks[-1], color="#555555", ls=":")
    level = (ks[-1], results[ks[0]].chance)
    axes.annotate("chance", level, (8, 0), textcoords="offset points", va="center")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


pairs = {"before": (gallery, queries), "after": after}
show("precision", precision_curve(pairs), args)

# %% The query with the largest gain
found, hits = {}, {}
for name, (known, held_out) in pairs.items():
    found[name] = dogsim.nearest(known, held_out, min(8, len(known)))
    hits[name] = (known.labels[found[name][1]] == held_out.labels[:, None]).sum(axis=1)
row = int(np.argmax(hits["after"] - hits["before"]))
print(f"\nneighbours of the correct breed among 8, for {queries.paths[row]}: ", end="")
print(f"{hits['before'][row]} before, {hits['after'][row]} after")
if queries.image_file(row).is_file():
    answers = {
        name: (known, found[name][1][row], found[name][0][row])
        for name, (known, _) in pairs.items()
    }
    grids = dogsim.result_grids(queries.source(row), answers, queries.breed(row))
    show("before-and-after", grids, args)
