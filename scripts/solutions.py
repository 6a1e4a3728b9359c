"""Solutions to the exercises of docs/lesson-method.md, each with the number to see.

python scripts/solutions.py          # all three
python scripts/solutions.py pixels   # one of pixels, k, layers
"""

# %% The drawings and their features
import sys
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

import dogsim

dataset = dogsim.sample_dataset()
pictures = [dataset.picture(row) for row in range(len(dataset))]
wanted = sys.argv[1:] or ["pixels", "k", "layers"]


def judge(name: str, features: ArrayLike, k: int = 20) -> None:
    """Print how good neighbours are by these features, (n, d), a row for each drawing."""
    other = replace(dataset, features=np.asarray(features, np.float32))
    found = dogsim.accuracy(other, k)
    print(f"{name:<24} P@{k} {found.precision_at_k:.4f}  vote {found.vote_accuracy:.4f}")


# %% Exercise 1: what a picture is without a network
if "pixels" in wanted:
    judge("the network", dataset.features)
    judge("16 x 16 pixels", [dogsim.load_image(file, 16).ravel() for file in pictures])
    colours = [dogsim.load_image(file, 64).reshape(-1, 3) // 32 @ [64, 8, 1] for file in pictures]
    judge("8 x 8 x 8 colours", [np.bincount(each, minlength=512) for each in colours])

# %% Exercise 2: too many neighbours
if "k" in wanted:
    for k in (24, 48, 100, 299):
        judge("the network", dataset.features, k)

# %% Exercise 3: earlier in the network
if "layers" in wanted:
    for layer in ("stem_relu", "block7_add"):
        extractor = dogsim.load_extractor("efficientnet-lite0", layer=layer)
        judge(layer, dogsim.extract_features(pictures, extractor))
