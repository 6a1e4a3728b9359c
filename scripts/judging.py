"""Which evaluation mistakes make a method look better than it is?

python scripts/judging.py                        # the harder sample
python scripts/judging.py --dataset dogs.h5 --save figures
"""

# %% [markdown]
# # 2. Correct evaluation
#
# 45 minutes: run 10, exercises 25, talk 10. Prerequisites: [lesson 1](main.py), and the meaning of
# [precision and vote](../docs/numbers.md).
#
# A number such as "84 % correct" is easy to get wrong. This lesson makes five common mistakes on
# purpose and shows how much each one changes the number. The data are the harder sample: 250
# drawings of ten breeds. Each breed has a double, a breed that looks like it. Eight labels are
# wrong, and eight drawings are copies.

# %%
import csv
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.figure import Figure

import dogsim

# %% [markdown]
# Read these two functions later, when a step uses them. The first plots how far the result of a
# few random queries is from that of all images. The second trains a linear map of the features, a
# *head*, and evaluates the mapped features.


# %%
def intervals(
    known: dogsim.Dataset, k: int, n_queries: int = 50, draws: int = 40
) -> tuple[Figure, int]:
    """Plot the 95 % interval of each random draw; return how many miss the overall accuracy."""
    overall = dogsim.accuracy(known, k).vote_accuracy
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    missed = 0
    for draw in range(draws):
        drawn = dogsim.accuracy(known, k, n_test=n_queries, seed=draw)
        low, high = drawn.vote_accuracy_ci95
        misses = not low <= overall <= high
        missed += misses
        colour = "#d55e00" if misses else "#0072b2"
        axes.plot([draw, draw], [low, high], color=colour, lw=2)
        axes.plot(draw, drawn.vote_accuracy, "s" if misses else "o", color=colour)
    axes.axhline(overall, color="#444444", ls="--")
    axes.set(xlabel="draw", ylabel="vote accuracy", xlim=(-1, draws))
    title = f"{n_queries} queries, {draws} draws: {missed} intervals miss the overall accuracy"
    axes.set_title(title, loc="left", fontsize=11)
    return figure, missed


def with_head(
    gallery: dogsim.Dataset, queries: dogsim.Dataset | None, k: int, seed: int
) -> dogsim.Accuracy:
    """Train a head on the gallery, and evaluate it on the queries or on the gallery itself."""
    ranking = dogsim.train_ranking(gallery, seed=seed)
    with TemporaryDirectory() as folder:
        head = Path(folder) / "head.keras"
        dogsim.save_model(ranking.model, head)
        embedded = None if queries is None else dogsim.project(queries, head)
        return dogsim.accuracy(dogsim.project(gallery, head), k, embedded)


def main(
    dataset: Path | None = None,
    k: int = 20,
    weights: str | None = None,
    save: Path | None = None,
    seed: int = 0,
) -> None:
    """Make five mistakes and print the effect of each."""
    # %% [markdown]
    # ## The correct evaluation: leave-one-out
    #
    # Each image is the query once, and all others are the known images. The chance level is the
    # precision of random neighbours. The interval says how far the vote accuracy of these images
    # may be from that of other images of the same kind.

    # %%
    known = dogsim.Dataset.open(dataset) if dataset else dogsim.sample_dataset(weights, hard=True)
    honest = dogsim.accuracy(known, k)
    print(f"precision@{k} {honest.precision_at_k:.3f}, chance level {honest.chance:.3f}")
    low, high = honest.vote_accuracy_ci95
    print(f"vote {honest.vote_accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f}")

    # %% [markdown]
    # ## Mistake 1: the query among its own neighbours
    #
    # The nearest image of a known image is the image itself, at distance 0. If it counts, the
    # precision rises, most for small k. The MATLAB project included it: it counted the first k - 1
    # of the k neighbours, of which the first is the query itself. With k = 2 nothing else counts.

    # %%
    print(f"{'k':>4}   correct  query included  MATLAB protocol")
    for number in sorted({2, 5, k}):  # Your turn: another k
        _, neighbours = dogsim.nearest(known, known, number)  # the query is included
        included = np.mean(known.labels[neighbours] == known.labels[:, None])
        correct = dogsim.accuracy(known, number).precision_at_k
        matlab = dogsim.accuracy(known, number, protocol="matlab").precision_at_k
        print(f"{number:>4}   {correct:.3f}    {included:.3f}           {matlab:.3f}")

    # %% [markdown]
    # ## Mistake 2: few queries
    #
    # The result depends on which queries are drawn. Here are three draws of 50.

    # %%
    n_queries = min(50, len(known))  # Your turn: 200 queries
    for draw in range(3):
        drawn = dogsim.accuracy(known, k, n_test=n_queries, seed=draw)
        low, high = drawn.vote_accuracy_ci95
        print(f"vote {drawn.vote_accuracy:.3f}, 95 % interval {low:.3f} to {high:.3f}")

    # %% [markdown]
    # A good interval contains the accuracy of all images (dashed) in about 95 of 100 draws. Orange
    # intervals miss it.

    # %%
    figure, missed = intervals(known, k, n_queries)
    print(f"{missed} of 40 intervals miss {honest.vote_accuracy:.3f}")
    for path in dogsim.show_or_save([("intervals", figure)], save):
        dogsim.say(str(path))

    # %% [markdown]
    # ## Mistake 3: test images that were training images
    #
    # A head is a small network that is trained on the features ([lesson 6](deep_ranking.py)). On
    # its own training images it looks nearly perfect. Only images that it has not seen, the
    # *held-out* images, show what it can do. Compare the last two rows: they have the same 50
    # queries. The cell trains two heads, which takes half a minute.

    # %%
    training, held_out = dogsim.hold_out(known, 0.2, seed, least=1)
    results = {
        "no head, all images": honest,
        "a head, on training images": with_head(known, None, k, seed),
        "no head, on held-out images": dogsim.accuracy(training, k, held_out),
        "a head, on held-out images": with_head(training, held_out, k, seed),
    }
    for name, found in results.items():
        print(f"{name:<28} P@{k} {found.precision_at_k:.3f}  vote {found.vote_accuracy:.3f}")

    # %% [markdown]
    # ## Mistake 4: copies
    #
    # If a test image is also a training image, in another file, the split does not help. `audit`
    # finds such copies within a dataset.
    # (`dogsim.audit(training, held_out).leaks` compares two datasets.)

    # %%
    audit = dogsim.audit(known)
    held = set(held_out.paths)
    leaks = [group for group in audit.duplicates if 0 < len(held & set(group)) < len(group)]
    print(f"{len(audit.duplicates)} groups of copies; the split separates {len(leaks)} of them:")
    for group in leaks:
        print(f"  {' and '.join(group)}")

    # %% [markdown]
    # ## Mistake 5: wrong labels
    #
    # `audit` also lists suspicious labels. Of the harder sample the truth is known: `key.csv` lists
    # the planted mistakes.

    # %%
    key = Path(known.root, "key.csv")
    if key.is_file():
        with key.open(newline="") as file:
            planted = list(csv.DictReader(file))
        wrong = {row["picture"] for row in planted if row["what"] == "wrong label"}
        copies = {
            frozenset((row["picture"], row["of"]))
            for row in planted
            if row["what"].startswith("copy")
        }
        suspects = {suspect.path for suspect in audit.labels}
        pairs = {frozenset(group) for group in audit.duplicates}
        print(f"{len(copies & pairs)} of {len(copies)} planted duplicates are found", end="")
        print(f", and {len(pairs - copies)} pairs that are only similar")
        print(f"{len(wrong & suspects)} of {len(wrong)} planted wrong labels are found", end="")
        print(f" among {len(suspects)} suspects")


# %% [markdown]
# ## Exercises
#
# Write down what you expect, then run, then vary. The solutions are folded: try first.

# %% [markdown]
# ### Exercise 1: everything twice
#
# *Expect:* copy the gallery, so that it contains every drawing twice. The query is left out by its
# row. What is precision@1? Does precision@20 rise or fall?
#
# `known.take(rows)` returns the dataset with these rows; a row may occur twice.
# `dogsim.accuracy(dataset, k)` has `precision_at_k` and `vote_accuracy`.
#
# *Vary:* copy the gallery three times; then copy only the beagles. Which breed loses votes? Save
# both datasets, such as `both.save("both.h5")`, and compare the tables of
# `!dogsim accuracy --dataset both.h5 --per-breed`. (Its warning about scenes is about your copies.)

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def twice(known: dogsim.Dataset) -> None:
    """Evaluate the gallery, and the gallery with every drawing twice."""
    both = known.take(np.repeat(np.arange(len(known)), 2))
    for k in (1, 20):
        for name, gallery in (("once", known), ("twice", both)):
            found = dogsim.accuracy(gallery, k)
            print(f"{name:<5} P@{k:<2} {found.precision_at_k:.3f} vote {found.vote_accuracy:.3f}")


# %% [markdown] tags=["answer"]
# P@1 rises from 0.808 to 0.996, and P@20 from 0.546 to 0.674. Every query finds its own copy first.
# (P@1 is not 1, because one drawing is in the folders of two breeds, and its copy with the other
# label may come first: all copies have distance 0, and the lowest row wins.) Leave-one-out does not
# protect against copies; [`dogsim audit`](../docs/audit.md) finds them.

# %% [markdown]
# ### Exercise 2: how many queries?
#
# *Expect:* the vote accuracy of 50 queries varies from draw to draw. How many queries halve its
# standard deviation? `dogsim.accuracy(known, n_test=n, seed=seed)` draws n of the 250 drawings.
# Would you expect the same if new drawings were made for each draw?
#
# *Vary:* the standard deviation of precision@20 instead. Why is it smaller?

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def draws(known: dogsim.Dataset) -> None:
    """Measure how much a hundred draws of n queries vary."""
    for n in (25, 50, 100, 200):
        votes = [dogsim.accuracy(known, n_test=n, seed=seed).vote_accuracy for seed in range(100)]
        print(f"{n:>3} queries: {np.mean(votes):.3f}, standard deviation {np.std(votes):.3f}")


# %% [markdown] tags=["answer"]
# The standard deviations of 25, 50, 100 and 200 queries are 0.078, 0.050, 0.028 and 0.010. For n
# independent queries the formula is sqrt(p (1 - p) / n) with the accuracy p = 0.82: 0.077, 0.054,
# 0.038 and 0.027. Half of it needs four times as many queries. The measured values of 100 and 200
# are smaller than the formula says, because there are only 250 drawings: each time the queries are
# almost the same. The accuracy on *new* images varies as the formula says. With 50 queries you
# cannot tell apart two methods that differ by one percentage point.
#
# Precision@20 varies less. For each query it is a mean of 20 neighbours, but a vote is only right
# or wrong.

# %% [markdown]
# ### Exercise 3: the planted mistakes
#
# *Expect:* `key.csv`, in the folder `known.root`, lists the wrong labels (`what` is "wrong label",
# `of` the true breed) and the copies. How much does the accuracy change if the labels are
# corrected? And if the copies are removed? `dataclasses.replace(known, labels=...)` changes the
# labels, and `known.take(rows)` keeps some rows. The breed `golden_retriever` of the file is
# `golden retriever` in `known.breeds`.
#
# *Vary:* look at the suspects. Run `!dogsim create-dataset data/hard_dogs -o hard.h5
# --backbone efficientnet-lite2` and `!dogsim audit hard.h5 --save findings`, and open the page in
# `findings`. Which labels would you call wrong?

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def cleaned(known: dogsim.Dataset) -> None:
    """Evaluate the dataset with corrected labels, and without copies."""
    labels, copies = known.labels.copy(), []
    with Path(known.root, "key.csv").open(newline="") as file:
        for planted in csv.DictReader(file):
            row = known.paths.index(planted["picture"])
            if planted["what"] == "wrong label":
                labels[row] = known.breeds.index(planted["of"].replace("_", " "))
            else:
                copies.append(row)
    corrected = replace(known, labels=labels)
    others = np.setdiff1d(np.arange(len(known)), copies)
    for name, dataset in {
        "as it is": known,
        "labels corrected": corrected,
        "copies removed": known.take(others),
        "both": corrected.take(others),
    }.items():
        found = dogsim.accuracy(dataset, 20)
        print(f"{name:<16} P@20 {found.precision_at_k:.3f}  vote {found.vote_accuracy:.3f}")


# %% [markdown] tags=["answer"]
# With corrected labels P@20 rises from 0.546 to 0.576 and the vote from 0.820 to 0.848. Eight of
# 250 labels are 3 %, and they cost nearly three points, because they count as queries and as
# neighbours.
#
# Without the copies the vote falls to 0.814: a copy finds its original, so removing copies is more
# honest. P@20 stays the same, 0.547.
#
# The audit finds 8 of 8 copies, and no pair that is only similar. It finds 7 of 8 wrong labels
# among a dozen suspects. The eighth is a beagle with the label harrier, its double.

# %% [markdown]
# ## Talk
#
# You read that a method is right in 84 of 100 cases. What would you ask? (How many queries? From
# which source? Were they training images? Are there copies? Who made the labels?)

# %%
if __name__ == "__main__":
    dogsim.run_script(main)
