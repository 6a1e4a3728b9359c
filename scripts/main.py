"""The whole method step by step: which of the images I know look most like this one?

python scripts/main.py                    # the sample's queries and the sample's images
python scripts/main.py my_dog.jpg         # an image of yours
python scripts/main.py photos --dataset dogs.h5 -k 8 --save grids
"""

# %% [markdown]
# # 1. The method
#
# 45 minutes: run 10, read 10, exercises 20, talk 5. Prerequisites: a little Python; you know what a
# vector and a loop are. [The glossary](../docs/glossary.md) explains the terms.
#
# Which of the images I know look most like this one? A network turns every image into a row of
# numbers, its **features**. Images that look alike have similar features. So we compute the
# features of all known images once. For a new image, the **query**, we look for the known
# images with the most similar features, its **neighbours**. They vote, and the breed with the most
# votes is the answer. Nothing is trained.
#
# **Run** all cells. Then **read** from the top. A comment names the step of the original MATLAB
# project, and `Your turn` marks a line to change.
#
# The numbers in the lessons are those of the network EfficientNet-Lite2, which is installed with
# dogsim. They have three digits, because the fourth may depend on the processor.

# %%
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

import dogsim


def main(
    images: Annotated[list[Path] | None, typer.Argument(help="Images or folders of them.")] = None,
    dataset: Annotated[
        Path | None, typer.Option(envvar="DOGSIM_DATASET", help="Dataset file.")
    ] = None,
    k: Annotated[int, typer.Option(help="Number of neighbours.")] = 8,
    weights: Annotated[
        str | None, typer.Option(help="Weight file of ResNet-50, or of the dataset's network.")
    ] = None,
    backbone: Annotated[
        str | None, typer.Option(help="Network of the sample, such as efficientnet-lite2.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Folder to save the grids to, as PNG files.")
    ] = None,
) -> None:
    """Print the breed of each query and draw its neighbours."""
    # %% [markdown]
    # ## The known images
    #
    # The sample has 300 drawings of 12 breeds, 25 of each. A **dataset** holds their features, a
    # row of 1280 numbers for each image (2048 with ResNet-50), and their breeds. It is computed at
    # the first use, which takes some seconds, and then read from a file.

    # %%
    # load('dataset.mat')
    if dataset:
        known = dogsim.Dataset.open(dataset)
    else:
        known = dogsim.sample_dataset(weights, backbone=backbone)

    # %% [markdown]
    # ## The queries and the network
    #
    # The queries are twelve other drawings, one of each breed. The network is the one that the
    # dataset was made with: features of two networks cannot be compared.

    # %%
    queries = [file for path in images or () for file in dogsim.find_images(path)]
    queries = queries or dogsim.sample_queries()
    # net = resnet50; here the network of the dataset
    extractor = dogsim.extractor_for(known.recipe, weights)

    # %% [markdown]
    # ## Five steps for each query
    #
    # 1. Compute its features.
    # 2. Compute its distance to every known image: the length of the difference of two rows.
    # 3. Find the k smallest distances.
    # 4. Let the neighbours vote.
    # 5. Draw the query and its neighbours. A green frame with a tick means the query's breed, an
    #    orange frame with a cross another one.

    # %%
    # Your turn: another distance, such as "chebyshev", the largest difference of two features
    metric = "euclidean"
    right: list[bool] = []
    saved: list[Path] = []
    for query in queries:
        # features = activations(net, imresize(img, [224 224]), 'avg_pool')
        features = dogsim.feature_extract(query, extractor)
        # distances = dist_calc(dataset, testset): row i is test image i, column j known image j
        distances = dogsim.dist_calc(known, [features], metric)
        # [distances, indices] = mink(distances, k, 2)
        distances, indices = dogsim.mink(distances, k)
        # mode(labels(indices)): the breed that most of the neighbours have
        label = dogsim.majority_vote(known.labels[indices])[0]
        dogsim.say(f"{query.name}: {known.breed_of_label(label)}")
        # subplot, imshow: the query first, then its neighbours
        truth = known.label_of_path(query)
        grid = dogsim.result_grid(query, known, indices[0], distances[0], truth, metric)
        saved += dogsim.show_or_save([(query.stem, grid)], save, saved)
        # accuracy.m: is the neighbour of the breed in the query's name?
        right += [known.breed(row) == truth for row in indices[0] if truth]
    if right:
        print(f"{sum(right) / len(right):.2%} of {len(right)} neighbours have their query's breed")

    # %% tags=["script"]
    for path in saved:
        dogsim.say(str(path))


# %% [markdown]
# ## Exercises
#
# Write down what you expect, then run, then vary. The solutions are folded: try first. All use the
# 300 drawings. Each drawing is the query once, and the other 299 are the known images.
# **Precision** is the fraction of the k neighbours that have the query's breed, P@20 for k = 20.
# **Vote** is the fraction of the queries whose breed wins the vote.


# %%
def evaluate(
    name: str, known: dogsim.Dataset, features: np.ndarray | None = None, k: int = 20
) -> None:
    """Print precision and vote accuracy of a dataset, or of other features (n, d) for it."""
    if features is not None:
        known = dogsim.Dataset(
            features=features.astype(np.float32),
            labels=known.labels,
            paths=known.paths,
            breeds=known.breeds,
        )
    result = dogsim.accuracy(known, k)
    print(f"{name:<18} P@{k} {result.precision_at_k:.3f}  vote {result.vote_accuracy:.3f}")


# %% [markdown]
# ### Exercise 1: what does the network contribute?
#
# *Expect:* which fraction of 20 random neighbours have the query's breed? And of the 20 nearest, if
# the features are the pixels of the image at 16 x 16? `dogsim.load_image(file, 16)` reads them,
# and `.ravel()` puts them into one row. `known.image_file(row)` is the file of an image.
# `evaluate("pixels", known, features)` needs an array with a row for each image:
# `np.array([... for row in range(len(known))])`.
#
# *Vary:* 32 x 32 pixels; only the mean colour; your own idea.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def pixels(known: dogsim.Dataset) -> None:
    """Compare the network with features that need none."""
    files = [known.image_file(row) for row in range(len(known))]
    small = [dogsim.load_image(file, 16).ravel() for file in files]  # 768 numbers
    images = [dogsim.load_image(file, 64).reshape(-1, 3) for file in files]
    # how often each colour occurs: channels in 8 steps, and 64 red + 8 green + blue as its number
    colours = [np.bincount(image // 32 @ [64, 8, 1], minlength=512) for image in images]
    evaluate("the network", known)
    evaluate("16 x 16 pixels", known, np.array(small))
    evaluate("8 x 8 x 8 colours", known, np.array(colours))


# %% [markdown] tags=["answer"]
# The precision of the network is 0.999, of the pixels 0.172, and of the colours 0.095. The chance
# level, of random neighbours, is 24 / 299 = 0.080. Pixels depend on the position of the dog, which
# varies. Colours do not, but many breeds have coats of the same colours. The vote of the pixels,
# 0.303, is far better than their precision: to win, a breed needs only a few neighbours more than
# each other breed.

# %% [markdown]
# ### Exercise 2: how many neighbours?
#
# *Expect:* what are precision and vote accuracy for k = 24, 48, 100 and 299?
#
# *Vary:* remove ten drawings of one breed: `part = known.take(rows)` keeps the rows that you list.
# Which breed loses votes at k = 40? Save the part, `part.save("fewer.h5")`, and let this command
# answer: `!dogsim accuracy --dataset fewer.h5 --k 40 --per-breed`.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def many_neighbours(known: dogsim.Dataset) -> None:
    """Use more neighbours than a breed has; then remove ten beagles."""
    for number in (24, 48, 100, 299):
        evaluate("all drawings", known, k=number)
    beagles = np.flatnonzero(known.labels == known.breeds.index("beagle"))
    part = known.take(np.setdiff1d(np.arange(len(known)), beagles[:10]))
    every = np.arange(len(part))
    _, neighbours = dogsim.nearest(part, part, 40, exclude=every)  # no image finds itself
    votes = dogsim.majority_vote(part.labels[neighbours])
    for label, breed in enumerate(part.breeds):
        of_breed = part.labels == label
        print(f"{breed:<20} {np.sum(votes[of_breed] == label)} of {of_breed.sum()} are right")


# %% [markdown] tags=["answer"]
# P@24 is 0.989, P@48 0.499, P@100 0.240 and P@299 0.080. A breed has 25 drawings, so only 24 others
# can be right: at most 24 of 48. The vote falls from 1 to 0.970, 0.463 and 0. With k = 299 all
# drawings vote. The query's own breed has 24 votes and every other breed 25: it can never win.
#
# With ten drawings less, a beagle has only 14 others of its breed. At k = 20 they still win. At
# k = 40 another breed often has more: only 3 of 15 beagles are right, and all other breeds stay
# right. The vote does not know how many drawings a breed has.

# %% [markdown]
# ### Exercise 3: where in the network does the breed appear?
#
# *Expect:* are the features of the first layer, or of a middle layer, as good as those of the last
# layer, or hardly better than pixels?
#
# `dogsim.load_extractor("efficientnet-lite2", layer="stem_relu", precision="float32")` loads the
# network up to a layer, and `dogsim.extract_features(files, network)` computes the features of
# files.
#
# *Vary:* another `layer`. The error message for a wrong name lists the most similar valid ones.

# %% tags=["exercise"]
# Your code: the layers "stem_relu" and "block10_add" of the network "efficientnet-lite2"


# %% tags=["solution"]
def layers(known: dogsim.Dataset) -> None:
    """Compare an early and a middle layer."""
    files = [known.image_file(row) for row in range(len(known))]
    for layer in ("stem_relu", "block10_add"):
        network = dogsim.load_extractor("efficientnet-lite2", layer=layer, precision="float32")
        evaluate(layer, known, dogsim.extract_features(files, network))


# %% [markdown] tags=["answer"]
# The first layer reaches 0.120 and the middle layer 0.234, little more than pixels. What
# distinguishes breeds appears late in the network. Therefore the last layer before the classes is
# used.

# %% [markdown]
# ## Talk
#
# The network was not trained on these drawings, or on any drawing of this kind. Why does it work?
# With which images would it fail? Try a photo of yourself: `!dogsim classify me.jpg`. ([Lesson
# 8](how_sure.py) is about images of none of the breeds.)
#
# [Lesson 2](judging.py) asks how good such a method really is.

# %%
if __name__ == "__main__":
    dogsim.run_script(main)
