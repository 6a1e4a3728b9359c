"""How good is it really? Five evaluation mistakes, each with its effect in numbers.

python scripts/judging.py                        # the harder sample
python scripts/judging.py --dataset dogs.h5 --save figures
"""

# %%
import csv
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure

import dogsim
from edge import dataset_of, options, parser_of, show

# %% Options
parser = parser_of(__doc__, dataset=True)
parser.add_argument("-k", type=int, default=20, help="number of neighbours (default: 20)")
args = options(parser)

# %% The correct evaluation: leave-one-out
dataset = dataset_of(args)
honest = dogsim.accuracy(dataset, args.k)
print(f"precision@{args.k} {honest.precision_at_k:.4f}, chance level {honest.chance:.4f}")
low, high = honest.vote_accuracy_ci95
print(f"vote {honest.vote_accuracy:.4f}, 95 % interval {low:.4f} to {high:.4f}")

# %% 1. The query among its own neighbours
# Your turn: another k
print(f"\n{'k':>4}   correct  query included     MATLAB protocol")
for k in sorted({2, 5, args.k}):
    _, neighbours = dogsim.nearest(dataset, dataset, k)  # the query is included
    included = np.mean(dataset.labels[neighbours] == dataset.labels[:, None])
    left_out = dogsim.accuracy(dataset, k).precision_at_k
    # the MATLAB project includes the query and counts k - 1 of its k neighbours
    matlab = dogsim.accuracy(dataset, k, protocol="matlab").precision_at_k
    print(f"{k:>4}   {left_out:.4f}   {included:.4f}             {matlab:.4f}")

# %% 2. Fifty random queries, three times
# Your turn: 200 queries
N_QUERIES = min(50, len(dataset))
print(f"\nvote accuracy of {N_QUERIES} random queries, three times, with its interval")
for seed in range(3):
    drawn = dogsim.accuracy(dataset, args.k, n_test=N_QUERIES, seed=seed)
    print("{:.4f}   {:.4f} to {:.4f}".format(drawn.vote_accuracy, *drawn.vote_accuracy_ci95))


# %% 3. How often does an interval contain the accuracy of all images?
def intervals(draws: int = 40) -> Figure:
    """Plot the intervals of random draws; those that miss the overall accuracy are orange."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    missed = 0
    for draw in range(draws):
        drawn = dogsim.accuracy(dataset, args.k, n_test=N_QUERIES, seed=draw)
        low, high = drawn.vote_accuracy_ci95
        misses = not low <= honest.vote_accuracy <= high
        missed += misses
        colour = "#d55e00" if misses else "#0072b2"
        axes.plot([draw, draw], [low, high], color=colour, lw=2)
        axes.plot(draw, drawn.vote_accuracy, "s" if misses else "o", color=colour)
    axes.axhline(honest.vote_accuracy, color="#444444", ls="--")
    axes.set(xlabel="draw", ylabel="vote accuracy", xlim=(-1, draws))
    title = f"{N_QUERIES} queries, {draws} draws: {missed} intervals miss the overall accuracy"
    axes.set_title(title, loc="left", fontsize=11)
    print(f"\n{missed} of {draws} intervals miss {honest.vote_accuracy:.4f}")
    return figure


show("intervals", intervals(), args)


# %% 4. A head evaluated on its training images
def with_head(gallery: dogsim.Dataset, queries: dogsim.Dataset | None = None) -> dogsim.Accuracy:
    """Train a head on the gallery, and evaluate it on the queries or on the gallery itself."""
    ranking = dogsim.train_ranking(gallery, seed=args.seed)
    with TemporaryDirectory() as folder:
        head = Path(folder) / "head.keras"
        dogsim.save_model(ranking.model, head)
        embedded = None if queries is None else dogsim.project(queries, head)
        return dogsim.accuracy(dogsim.project(gallery, head), args.k, embedded)


known, held = dogsim.hold_out(dataset, 0.2, args.seed, least=1)
heads = {
    "no head": honest,
    "a head, on training images": with_head(dataset),
    "a head, on held-out images": with_head(known, held),
}
print(f"\n                               P@{args.k:<6} vote")
for name, found in heads.items():
    print(f"{name:<30} {found.precision_at_k:.4f}   {found.vote_accuracy:.4f}")

# %% 5. Duplicates in gallery and queries, and wrong labels
leaks = dogsim.audit(known, held).leaks
print(f"\n{len(leaks)} of {len(held)} held-out images are also in the gallery:")
for there, here in leaks:
    print(f"  {here} is {there}")

audit = dogsim.audit(dataset)
print(f"\n{len(audit.duplicates)} groups of duplicates, {len(audit.labels)} suspicious labels")
key = Path(dataset.root, "key.csv")
if key.is_file():  # the planted mistakes of the harder sample
    with key.open(newline="") as file:
        planted = list(csv.DictReader(file))
    wrong = {row["picture"] for row in planted if row["what"] == "wrong label"}
    copies = {
        frozenset((row["picture"], row["of"])) for row in planted if row["what"].startswith("copy")
    }
    suspects = [suspect.path for suspect in audit.labels]
    pairs = [frozenset(group) for group in audit.duplicates]
    print(f"{len(copies & set(pairs))} of {len(copies)} planted duplicates are found", end="")
    print(f", and {len(set(pairs) - copies)} pairs that are only similar")
    print(f"{len(wrong & set(suspects))} of {len(wrong)} planted wrong labels are found", end="")
    print(f", {len(wrong & set(suspects[: len(wrong)]))} of them among the first {len(wrong)}")
