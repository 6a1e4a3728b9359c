"""Why are they near? Where a distance comes from, place by place, and where it misleads the vote.

python scripts/why_near.py                        # the harder sample
python scripts/why_near.py --dataset dogs.h5 --save figures
python scripts/why_near.py --solutions            # the solutions of the exercises as well
"""

# %% [markdown]
# # 3. Why are they near
#
# 30 minutes: run 10, exercises 15, talk 5. Prerequisite: [lesson 1](main.py). Data: the harder
# sample, 250 drawings of ten breeds, which are similar in pairs.
#
# A distance is one number. Which places of two images does it come from, and how much of it from
# the dog? Which breeds does the vote [confuse](../docs/figures.md), and which are near each
# other?

# %%
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

import dogsim
from dogsim.explain import origin_of
from dogsim.figures.distances import tree_order
from dogsim.figures.evaluation import confusion_matrix
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.scores import confusions

PAIRS = (  # each breed of the harder sample and its double, which was drawn to be similar
    *(("beagle", "harrier"), ("German shepherd", "Malinois"), ("Siberian husky", "malamute")),
    *(("golden retriever", "Labrador"), ("Doberman", "Rottweiler")),
)
DOUBLES = dict(PAIRS) | {double: breed for breed, double in PAIRS}

# %% [markdown]
# The dogs of the first sample were drawn by a script, which knows the box of each dog exactly.
# The function measures which fraction of a map lies in a box.

# %%
BOXES = {  # left, top, right, bottom, in pixels
    "Doberman/03.jpg": (71, 23, 256, 221),
    "pug/01.jpg": (95, 33, 255, 180),
    "beagle/01.jpg": (58, 33, 246, 199),
    "Dalmatian/02.jpg": (26, 42, 251, 204),
    "whippet/05.jpg": (17, 40, 230, 229),
}


def inside(parts: NDArray[np.float64], size: tuple[int, int], box: tuple[int, ...]) -> float:
    """Return the fraction of the sum of parts (h, w) in a box (left, top, right, bottom).

    The parts cover an image of this size (width, height) evenly; each counts at its centre.
    """
    rows, columns = (np.arange(n) + 0.5 for n in parts.shape)
    x, y = columns / parts.shape[1] * size[0], rows / parts.shape[0] * size[1]
    left, top, right, bottom = box
    within = np.outer((top <= y) & (y < bottom), (left <= x) & (x < right))
    return float(parts[within].sum() / parts.sum())


# %%
def main(
    dataset: Annotated[
        Path | None, typer.Option(help="Dataset file (default: the harder sample).")
    ] = None,
    k: Annotated[int, typer.Option(help="Number of neighbours that vote.")] = 20,
    weights: Annotated[
        str | None, typer.Option(help="Weight file of ResNet-50, for the sample.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Folder to save the figures to.")] = None,
    solutions: Annotated[
        bool, typer.Option("--solutions", help="Run the solutions of the exercises as well.")
    ] = False,
) -> None:
    """Run the lesson."""
    # %% [markdown]
    # ## Where the distance comes from
    #
    # We look for the query with the nearest neighbour of another breed: a harrier, whose nearest
    # image is a beagle. We explain two distances: to this beagle, and to the nearest harrier.
    #
    # The network describes each image by 81 places (9 x 9), and the features are their mean. So
    # the squared distance is the sum of 162 parts, 81 of each image,
    # [exactly](../docs/explain.md). Orange places increase the distance, blue places reduce it.

    # %%
    images = dogsim.Dataset.open(dataset) if dataset else dogsim.sample_dataset(weights, hard=True)
    extractor = dogsim.extractor_for(images.recipe, weights)
    distances, neighbours = dogsim.nearest(images, images, 20, exclude=np.arange(len(images)))
    right = images.labels[neighbours] == images.labels[:, None]  # (n, 20)
    misled = np.flatnonzero(~right[:, 0] & right.any(axis=1) & (distances[:, 0] > 0))
    # Your turn: another query, its index in images.paths
    query = int(misled[distances[misled, 0].argmin()])
    wrong, own = int(neighbours[query, 0]), int(neighbours[query, right[query].argmax()])
    saved = []
    for name, other in (("wrong", wrong), ("right", own)):
        names = images.paths[query], images.paths[other]
        pair = images.source(query), images.source(other)
        why = dogsim.explain(*pair, extractor, origin=origin_of(images))
        print(f"{names[0]} and {names[1]}: distance {why.distance:.4f}, its square ", end="")
        print(f"{why.distance**2:.4f}; {why.query_parts.size} places of each add up to ", end="")
        print(f"{why.sum:.4f}")
        saved += dogsim.show_or_save([(f"why-{name}", dogsim.heat_maps(*pair, why, names))], save)

    # %% [markdown]
    # ## Two dogs on snow
    #
    # Does the distance come from the dogs or from the snow? In these two drawings of the first
    # sample, the boxes of the dogs are 43 % and 30 % of the image, and contain 92 % and 81 % of
    # the distance. So the network looks mainly at the dogs.

    # %%
    # Your turn: other drawings of `BOXES`
    chosen = "Doberman/03.jpg", "pug/01.jpg"
    folder = dogsim.sample_dataset(backbone="efficientnet-lite2").root
    drawn = [Path(folder, path) for path in chosen]
    why = dogsim.explain(drawn[0], drawn[1], extractor)
    print(f"{' and '.join(chosen)}, distance {why.distance:.4f}; in the box of the dog are")
    sides = (why.query_parts, why.query_likeness), (why.other_parts, why.other_likeness)
    for path, file, (parts, likeness) in zip(chosen, drawn, sides, strict=True):
        size, box = Image.open(file).size, BOXES[path]
        area = inside(np.ones_like(parts), size, box)
        print(f"{area:.0%} of the places of {path}, ", end="")
        print(f"{inside(parts, size, box):.0%} of the distance, ", end="")
        print(f"{inside(likeness, size, box):.0%} of what they have in common")
    figure = dogsim.heat_maps(drawn[0], drawn[1], why, chosen)
    saved += dogsim.show_or_save([("on-snow", figure)], save)

    # %% [markdown]
    # ## The mistakes of the vote
    #
    # Twenty neighbours vote on each image, and 45 of 250 votes are wrong. Most of them choose the
    # double of the breed. In the figure, a row is the true breed, and a column is the breed that
    # won the vote.

    # %%
    found = Evaluation(images).neighbours(k)
    pairs = confusions(found)
    n_wrong = sum(each.count for each in pairs)
    print(f"{n_wrong} of {len(images)} votes of {k} are wrong, most often")
    for each in pairs[:6]:
        print(f"{each.count:>4} {each.breed}, taken for {each.taken_for}")
    figure = confusion_matrix(found, tree_order(images))
    saved += dogsim.show_or_save([("confusions", figure)], save)

    # %% [markdown]
    # ## The tree of breeds
    #
    # The tree joins the two nearest breeds first, then the next ones. Which doubles does it join?

    # %%
    saved += dogsim.show_or_save([("tree", dogsim.breed_tree(images))], save)

    # %% tags=["script"]
    for file in saved:
        dogsim.say(str(file))
    if solutions:
        middle(images, extractor)
        mistakes(images)
        means(images)


# %% [markdown]
# ## Exercises
#
# Write down what you expect, then write the code, run and vary it. Look at the solution
# afterwards.
#
# ## Exercise 1: the middle
#
# *Expect:* nine of the 81 places are in the middle, a fraction of 0.11. What fraction of the
# distance is there?
#
# *Start with* `dogsim.explain` of an image and its nearest neighbour, and the sum of
# `query_parts[3:6, 3:6]`.
#
# *Vary:* the corners; another origin of the likeness, `origin=origin_of(images)`.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def middle(images: dogsim.Dataset, extractor: dogsim.Extractor) -> None:
    """Print how much of the distance comes from the middle ninth of the places."""
    parts = []
    rows = np.arange(5, len(images), 12)
    _, nearest = dogsim.nearest(images, images.features[rows], 1, exclude=rows)
    for row, other in zip(rows.tolist(), nearest[:, 0].tolist(), strict=True):
        why = dogsim.explain(images.source(row), images.source(other), extractor)
        both, every = (why.query_parts, why.query_likeness), np.ones_like(why.query_parts)
        third = len(why.query_parts) // 3
        centre = slice(third, -third)  # 3 of 9 rows and columns
        parts.append([each[centre, centre].sum() / each.sum() for each in (*both, every)])
    distance, likeness, places = np.mean(parts, axis=0)
    print(f"the middle: {places:.3f} of the places, {distance:.3f} of the distance, ", end="")
    print(f"{likeness:.3f} of the likeness")


# %% [markdown] tags=["answer"]
# ```text
# the middle: 0.111 of the places, 0.380 of the distance, 0.359 of the likeness
# ```
#
# The dogs are there. Each place depends on most of the image, but most on its own surroundings.

# %% [markdown]
# ## Exercise 2: the doubles
#
# *Expect:* of the 20 neighbours of all 250 drawings, 2,268 have another breed. If they were
# spread evenly over the nine other breeds, 252 would have that of the double. How many do? Are
# there fewer with the cosine distance?
#
# *Start with* `dogsim.nearest(images, images, 20, metric, np.arange(len(images)))` and
# `DOUBLES[breed]`.
#
# *Vary:* `dogsim accuracy --dataset hard.h5 --confusions --figures figures`, and look at the six
# worst mistakes.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def mistakes(images: dogsim.Dataset) -> None:
    """Print how many of the wrong neighbours have the breed that was drawn to be similar."""
    double = np.array([images.breeds.index(DOUBLES[breed]) for breed in images.breeds])
    for metric in ("euclidean", "cosine"):
        _, rows = dogsim.nearest(images, images, 20, metric, np.arange(len(images)))
        labels = images.labels[rows]  # (n, 20)
        wrong = (labels != images.labels[:, None]).sum()
        doubles = (labels == double[images.labels][:, None]).sum()
        print(f"{metric:<10} {wrong} of {labels.size} neighbours are wrong, {doubles} the double's")


# %% [markdown] tags=["answer"]
# ```text
# euclidean  2268 of 5000 neighbours are wrong, 1296 the double's
# cosine     2184 of 5000 neighbours are wrong, 1256 the double's
# ```
#
# The others have other reasons: eight labels are wrong, and some dogs lie behind a fence in the
# dark.

# %% [markdown]
# ## Exercise 3: class means
#
# *Expect:* compute the mean features of each breed. For how many of the ten is the double the
# nearest? And with the mean of 16 x 16 pixels?
#
# *Start with* `images.features[images.labels == label].mean(axis=0)`.
#
# *Vary:* means of five images; of one. How many are enough?

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def means(images: dogsim.Dataset) -> None:
    """Print for how many breeds the double is the nearest one, by the mean of their features."""
    files = [images.image_file(row) for row in range(len(images))]
    pixels = np.stack([dogsim.load_image(file, 16).ravel() for file in files])
    for name, features in (("the network", images.features), ("16 x 16 pixels", pixels)):
        centres = np.stack([features[images.labels == label].mean(axis=0) for label in range(10)])
        _, nearest = dogsim.nearest(centres, centres, 1, exclude=np.arange(10))
        doubles = [DOUBLES[images.breeds[i]] == images.breeds[nearest[i, 0]] for i in range(10)]
        print(f"{name:<16} the double is the nearest of {sum(doubles)} of 10 breeds")


# %% [markdown] tags=["answer"]
# ```text
# the network      the double is the nearest of 8 of 10 breeds
# 16 x 16 pixels   the double is the nearest of 3 of 10 breeds
# ```
#
# One image is easily confused with the double, the mean of 25 hardly: the effects of pose and
# light on the features cancel out. The mean of the pixels of 25 images is nearly uniform grey.

# %% [markdown]
# ## Talk
#
# The map shows where the distance comes from. Does it show why the network finds these places
# alike? What would you have to change in the image to find out? ([Lesson 9](background.py) does.)

if __name__ == "__main__":
    dogsim.run_script(main)
