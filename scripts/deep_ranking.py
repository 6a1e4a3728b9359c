"""Which features matter? Deep ranking step by step, evaluated on held-out images.

python scripts/deep_ranking.py                        # the harder sample
python scripts/deep_ranking.py --dataset dogs.h5 --save figures
python scripts/deep_ranking.py --start discriminant   # initial weights that are hard to improve
python scripts/deep_ranking.py --multiscale           # also the network of the paper: minutes
python scripts/deep_ranking.py --solutions            # also the solutions of the exercises
"""

# %% [markdown]
# # 6. Learning features
#
# 60 minutes: run 15, exercises 35, talk 10. Prerequisites: [lesson 2](judging.py), and what a
# gradient is. Data: the harder sample, 250 drawings of ten breeds, which are similar in pairs.
#
# The network was trained on photos of a thousand classes. It was never trained to distinguish
# these ten breeds, so some of its features describe the breed and others the fence behind the dog.
# In this lesson a *head* learns which features matter: a linear map from the features of an image
# to nine numbers, its *embedding*. Afterwards the neighbours are searched among the embeddings.
#
# The method is *deep ranking* (Wang et al. 2014, arXiv:1404.4661). It learns from *triplets*: a
# query, a *positive* (an image of its breed) and a *negative* (here an image of another breed).
# With D for the distance of two embeddings, the loss of a triplet is
#
#     max(0, margin + D(query, positive) - D(query, negative))
#
# It is 0 if the positive is nearer than the negative by the margin. Otherwise its gradient moves
# the positive towards the query and the negative away from it.

# %%
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray

import dogsim

# %% [markdown]
# Four functions follow: the losses of triplets, the embeddings of a dataset, and two figures.


# %%
def losses(dataset: dogsim.Dataset, triplets: NDArray[np.intp], gap: float) -> NDArray[np.float32]:
    """Compute the ranking losses (n,) of triplets (n, 3) for features of length 1."""
    units = dataset.features / np.linalg.norm(dataset.features, axis=1, keepdims=True)
    query, positive, negative = (units[rows] for rows in triplets.T)
    return np.asarray(dogsim.ranking_loss(query, positive, negative, gap))


def embedded(
    ranking: dogsim.Ranking, datasets: list[dogsim.Dataset], layer: str = ""
) -> list[dogsim.Dataset]:
    """Return datasets with the embeddings of a trained head as features."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "head.keras"
        dogsim.save_model(ranking.model, file)
        return [dogsim.project(dataset, file, layer) for dataset in datasets]


# %%
def learning_curves(ranking: dogsim.Ranking) -> Figure:
    """Plot the loss and the precision of held-out images against the round."""
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


def precision_curve(pairs: dict[str, tuple[dogsim.Dataset, dogsim.Dataset]]) -> Figure:
    """Print and plot the precision of held-out queries at several k, before and after."""
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    print("           P@1     P@5     P@20    vote of 20")
    for (name, (gallery, queries)), style in zip(pairs.items(), ("o--", "s-"), strict=True):
        ks = [k for k in (1, 2, 3, 5, 10, 15, 20) if k <= len(gallery)]
        results = {k: dogsim.accuracy(gallery, k, queries) for k in ks}
        values = [results[k].precision_at_k for k in ks]
        axes.plot(ks, values, style)
        axes.annotate(name, (ks[-1], values[-1]), (8, 0), textcoords="offset points", va="center")
        shown = "  ".join(f"{results[k].precision_at_k:.4f}" for k in (1, 5, 20) if k in ks)
        print(f"{name:<9}  {shown}  {results[ks[-1]].vote_accuracy:.4f}")
    title = f"{len(queries)} held-out queries, {len(gallery)} gallery images"
    axes.set(xlabel="k", ylabel="precision@k", ylim=(0, 1), xticks=ks, title=title)
    chance = results[ks[0]].chance
    axes.hlines(chance, 1, ks[-1], color="#555555", ls=":")
    axes.annotate("chance", (ks[-1], chance), (8, 0), textcoords="offset points", va="center")
    axes.spines[["top", "right"]].set_visible(False)
    return figure


# %%
def main(
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset file (default: the harder sample).")
    ] = None,
    negatives: Annotated[
        str, typer.Option(help="near, drawn, in-class, mixture or pairs.")
    ] = "near",
    start: Annotated[str, typer.Option(help="Initial weights: random or discriminant.")] = "random",
    gap: Annotated[float, typer.Option(help="Margin of the loss.")] = 0.2,
    multiscale: Annotated[
        bool, typer.Option("--multiscale", help="Train the paper's network as well.")
    ] = False,
    weights: Annotated[
        str | None, typer.Option(help="Weight file of ResNet-50, for the sample.")
    ] = None,
    head: Annotated[Path | None, typer.Option(help="Save the head in this .keras file.")] = None,
    save: Annotated[Path | None, typer.Option(help="Folder to save the figures to.")] = None,
    seed: int = 0,
    solutions: Annotated[
        bool, typer.Option("--solutions", help="Run the solutions of the exercises as well.")
    ] = False,
) -> None:
    """Run the lesson."""
    # %% [markdown]
    # ## Hold out a fifth of each breed
    #
    # Training must not use the images that measure its effect (lesson 2).

    # %%
    images = dogsim.Dataset.open(dataset) if dataset else dogsim.sample_dataset(weights, hard=True)
    gallery, queries = dogsim.hold_out(images, 0.2, seed, least=1)
    print(f"{len(gallery)} training images, {len(queries)} held out")

    # %% [markdown]
    # ## Triplets
    #
    # Triplets are drawn at random. Nearly half have a loss of 0 before the training. The others are
    # the ones to learn from.

    # %%
    triplets = dogsim.sample_triplets(gallery.labels, 10_000, seed)
    before = losses(gallery, triplets, gap)
    worst = [gallery.breed(row) for row in triplets[before.argmax()]]
    print("the worst of 10,000 triplets: {}, {}, {}".format(*worst))
    print(f"before: mean loss {before.mean():.4f}, positive for {np.mean(before > 0):.1%}")

    # %% [markdown]
    # ## Train the head
    #
    # It starts from random weights, so that the effect of the training is visible. A round is 25
    # steps. After each one the precision of held-out training images is measured, and the best
    # round is selected.

    # %%
    # Your turn: width=2 for embeddings of two numbers; dropout=0.5; max_steps=50
    options: dict[str, Any] = {"negatives": negatives, "start": start, "gap": gap, "seed": seed}
    ranking = dogsim.train_ranking(gallery, **options)
    if head:
        dogsim.save_model(ranking.model, head)
    after = embedded(ranking, [gallery, queries])
    learned = losses(after[0], triplets, gap)
    print(f"after {ranking.steps} steps: mean loss {learned.mean():.4f}, ", end="")
    print(f"positive for {np.mean(learned > 0):.1%}")
    first, best = ranking.history[0], ranking.history[ranking.best]
    print(f"precision@{ranking.k} of held-out images {first:.4f} at the start, {best:.4f} at best")
    for path in dogsim.show_or_save([("learning", learning_curves(ranking))], save):
        dogsim.say(str(path))

    # %% [markdown]
    # The network of the paper has two more paths, which see the image at a lower resolution. It
    # takes minutes, so it is trained only with `multiscale = True`; what it learns is in
    # [multiscale.md](../docs/multiscale.md).

    # %%
    if multiscale:
        paper = dogsim.fine_tune(
            *(gallery, None), network="multiscale", batch_size=8, max_steps=100, seed=seed
        )
        print(f"multiscale: precision@{paper.k} of held-out images, every 25 steps: ", end="")
        print(", ".join(f"{precision:.2f}" for precision in paper.history))
        for path in dogsim.show_or_save([("multiscale", learning_curves(paper))], save):
            dogsim.say(str(path))

    # %% [markdown]
    # ## Before and after
    #
    # On 50 drawings that the training never used, P@1 rises from 0.76 to 0.84, P@5 from 0.744 to
    # 0.864 and P@20 from 0.543 to 0.827, after 475 steps.

    # %%
    pairs = {"before": (gallery, queries), "after": (after[0], after[1])}
    for path in dogsim.show_or_save([("precision", precision_curve(pairs))], save):
        dogsim.say(str(path))

    # %% [markdown]
    # The query with the largest gain: before, its neighbours are other dogs behind a fence.

    # %%
    found, hits = {}, {}
    for name, (known, held_out) in pairs.items():
        found[name] = dogsim.nearest(known, held_out, min(8, len(known)))
        hits[name] = (known.labels[found[name][1]] == held_out.labels[:, None]).sum(axis=1)
    row = int(np.argmax(hits["after"] - hits["before"]))
    print(f"neighbours of the correct breed among 8, for {queries.paths[row]}: ", end="")
    print(f"{hits['before'][row]} before, {hits['after'][row]} after")
    if queries.image_file(row).is_file():
        answers = {
            name: (known, found[name][1][row], found[name][0][row])
            for name, (known, _) in pairs.items()
        }
        grids = dogsim.result_grids(queries.source(row), answers, queries.breed(row))
        for path in dogsim.show_or_save([("before-and-after", grids)], save):
            dogsim.say(str(path))

    # %% tags=["script"]
    if solutions:
        print()
        starts(gallery, queries)
        print()
        margins(gallery, queries)
        print()
        new_breeds()


# %% [markdown]
# ## Exercises
#
# Write down what you expect. Then run, then vary, then look at the solution.
#
# ## Exercise 1: initial weights
#
# *Expect:* the P@20 of the held-out drawings with three heads. One starts from random weights. One
# starts from linear discriminant analysis, a formula that needs no steps. One learns a vector for
# each breed, a [proxy](../docs/deep_ranking.md), instead of triplets.
#
# *Vary:* `seed=1` to `4`. Which differences are larger than those between seeds?

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def starts(gallery: dogsim.Dataset, queries: dogsim.Dataset) -> None:
    """Print the P@20 of held-out images for several initial weights and losses."""
    k = min(20, len(gallery))
    print(f"no training             {dogsim.accuracy(gallery, k, queries).precision_at_k:.4f}")
    kinds: tuple[dict[str, Any], ...] = (
        {"negatives": "near", "start": "random"},
        {"negatives": "near", "start": "discriminant"},
        {"negatives": "proxies", "start": "random", "proxies_per_breed": 1},
    )
    for options in kinds:
        known, held_out = embedded(dogsim.train_ranking(gallery, **options), [gallery, queries])
        found = dogsim.accuracy(known, k, held_out).precision_at_k
        print(f"{options['negatives'] + ', ' + options['start']:<23} {found:.4f}")


# %% [markdown] tags=["answer"]
# 0.543 without training, 0.827 from random weights, 0.902 from the discriminant analysis, 0.880
# with proxies. A formula of 1936 is hard to improve with 200 images. So compare every method with
# it.

# %% [markdown]
# ## Exercise 2: the margin
#
# *Expect:* unit vectors of different breeds are about 1.4 apart. What is the effect of a margin of
# 0.01, and of 1, as in the paper?
#
# *Vary:* `negatives = "drawn"`, where the negatives of other breeds are drawn with uniform
# probability, then `in-class`, `mixture` and `pairs`: [negatives](../docs/negatives.md).

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def margins(gallery: dogsim.Dataset, queries: dogsim.Dataset) -> None:
    """Print the P@20 of held-out images for three margins."""
    k = min(20, len(gallery))
    for gap in (0.01, 0.2, 1.0):
        ranking = dogsim.train_ranking(gallery, negatives="near", start="random", gap=gap)
        known, held_out = embedded(ranking, [gallery, queries])
        print(f"{gap:<4}  {dogsim.accuracy(known, k, held_out).precision_at_k:.4f}")


# %% [markdown] tags=["answer"]
# 0.799, 0.827 and 0.870. With a small margin most triplets soon have a loss of 0 and no gradient.
# With a large one they keep a gradient. But with 50 queries a difference of a few points is not
# significant (lesson 2).

# %% [markdown]
# ## Exercise 3: new breeds
#
# *Expect:* train on five breeds. Evaluate on the five breeds that look like them and were not in
# the training. Is the result better than without training, or worse?
#
# *Vary:* train on four breeds and two of the similar ones; evaluate on the others.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def new_breeds() -> None:
    """Train on five breeds of the harder sample and print the P@20 of the five others."""
    images = dogsim.sample_dataset(hard=True)
    trained = ("beagle", "German shepherd", "Siberian husky", "golden retriever", "Doberman")
    known = np.isin(images.labels, [images.breeds.index(breed) for breed in trained])
    old, new = (images.take(np.flatnonzero(rows)) for rows in (known, ~known))
    ranking = dogsim.train_ranking(old)
    print(f"no head        P@20 {dogsim.accuracy(new, 20).precision_at_k:.4f}")
    for name, layer in (("general", "general"), ("probabilities", "")):
        [projected] = embedded(ranking, [new], layer)
        print(f"{name:<14} P@20 {dogsim.accuracy(projected, 20).precision_at_k:.4f}")


# %% [markdown] tags=["answer"]
# 0.762 without a head, 0.826 with its general layer, 0.707 with its last one. (Five breeds are
# easier than ten.) What distinguishes beagles from huskies helps a little to distinguish harriers
# from malamutes. But the last layer contains the probabilities of the five training breeds. The
# similarity to a Doberman says something about a Rottweiler, but not enough. `dogsim project`
# selects the general layer automatically.

# %% [markdown]
# ## Talk
#
# P@20 rose from 0.54 to 0.90. Is the network better now? What has the head learned, and which part
# of it would also be valid for photos?

if __name__ == "__main__":
    dogsim.run_script(main)
