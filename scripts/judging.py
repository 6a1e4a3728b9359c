"""How good is it, honestly? Five ways to fool oneself, each with its number.

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
parser.add_argument("-k", type=int, default=20, help="how many neighbours (default: 20)")
args = options(parser)

# %% Honestly: every picture asks all others
dataset = dataset_of(args)
honest = dogsim.accuracy(dataset, args.k)
print(f"precision@{args.k} {honest.precision_at_k:.4f}, by chance {honest.chance:.4f}")
low, high = honest.vote_accuracy_ci95
print(f"vote {honest.vote_accuracy:.4f}, 95 % interval {low:.4f} to {high:.4f}")

# %% 1. A picture that votes for itself
# Your turn: another k
print(f"\n{'k':>4}   honest   itself among them   MATLAB's count")
for k in sorted({2, 5, args.k}):
    _, neighbours = dogsim.nearest(dataset, dataset, k)  # nothing is left out
    itself = np.mean(dataset.labels[neighbours] == dataset.labels[:, None])
    alone = dogsim.accuracy(dataset, k).precision_at_k
    # MATLAB leaves the query in, and counts k - 1 of its k neighbours
    matlab = dogsim.accuracy(dataset, k, protocol="matlab").precision_at_k
    print(f"{k:>4}   {alone:.4f}   {itself:.4f}             {matlab:.4f}")

# %% 2. Fifty queries, drawn three times
# Your turn: 200 queries
DRAWN = min(50, len(dataset))
print(f"\nvote of {DRAWN} queries, drawn three times, with its interval")
for seed in range(3):
    drawn = dogsim.accuracy(dataset, args.k, n_test=DRAWN, seed=seed)
    print("{:.4f}   {:.4f} to {:.4f}".format(drawn.vote_accuracy, *drawn.vote_accuracy_ci95))


# %% 3. How often does an interval hold what all pictures say?
def intervals(draws: int = 40) -> Figure:
    """Draw that many draws with their intervals, the ones that miss in another colour."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    missed = 0
    for place in range(draws):
        drawn = dogsim.accuracy(dataset, args.k, n_test=DRAWN, seed=place)
        low, high = drawn.vote_accuracy_ci95
        misses = not low <= honest.vote_accuracy <= high
        missed += misses
        colour = "#d55e00" if misses else "#0072b2"
        axes.plot([place, place], [low, high], color=colour, lw=2)
        axes.plot(place, drawn.vote_accuracy, "s" if misses else "o", color=colour)
    axes.axhline(honest.vote_accuracy, color="#444444", ls="--")
    axes.set(xlabel="draw", ylabel="vote accuracy", xlim=(-1, draws))
    title = f"{DRAWN} queries, drawn {draws} times: {missed} intervals miss what all pictures say"
    axes.set_title(title, loc="left", fontsize=11)
    print(f"\n{missed} of {draws} intervals miss {honest.vote_accuracy:.4f}")
    return figure


show("intervals", intervals(), args)


# %% 4. A head that is judged by what it has learned from
def judged(gallery: dogsim.Dataset, queries: dogsim.Dataset | None = None) -> dogsim.Accuracy:
    """Learn from the gallery, and judge by the queries, or by the gallery itself."""
    ranking = dogsim.train_ranking(gallery, seed=args.seed)
    with TemporaryDirectory() as folder:
        head = Path(folder) / "head.keras"
        dogsim.save_model(ranking.model, head)
        asked = None if queries is None else dogsim.project(queries, head)
        return dogsim.accuracy(dogsim.project(gallery, head), args.k, asked)


known, held = dogsim.hold_out(dataset, 0.2, args.seed, least=1)
heads = {
    "no head": honest,
    "a head, asked what it learned": judged(dataset),
    "a head, asked what is new": judged(known, held),
}
print(f"\n                               P@{args.k:<6} vote")
for name, found in heads.items():
    print(f"{name:<30} {found.precision_at_k:.4f}   {found.vote_accuracy:.4f}")

# %% 5. Pictures on both sides, and labels that are wrong
found_leaks = dogsim.audit(known, held)
print(f"\n{len(found_leaks.leaks)} of {len(held)} held-out pictures are in the gallery as well:")
for there, here in found_leaks.leaks:
    print(f"  {here} is {there}")

audit = dogsim.audit(dataset)
print(f"\n{len(audit.duplicates)} pictures are there twice, {len(audit.labels)} labels suspicious")
key = Path(dataset.root, "key.csv")
if key.is_file():  # the harder sample tells what was done to it
    with key.open(newline="") as file:
        planted = list(csv.DictReader(file))
    wrong = {row["picture"] for row in planted if row["what"] == "wrong label"}
    copies = {
        frozenset((row["picture"], row["of"])) for row in planted if row["what"].startswith("copy")
    }
    suspects = [suspect.path for suspect in audit.labels]
    pairs = [frozenset(group) for group in audit.duplicates]
    print(f"of {len(copies)} planted copies {len(copies & set(pairs))} are found", end="")
    print(f", and {len(set(pairs) - copies)} pairs that only look alike")
    print(f"of {len(wrong)} planted labels {len(wrong & set(suspects))} are found", end="")
    print(f", {len(wrong & set(suspects[: len(wrong)]))} of them among the first {len(wrong)}")
