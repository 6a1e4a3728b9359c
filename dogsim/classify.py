"""Pictures in, breeds out."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.dist_calc import check_k, check_metric, nearest
from dogsim.feature_extract import extract_features
from dogsim.images import Source
from dogsim.networks.extractor import Extractor, extractor_for
from dogsim.recipe import Recipe
from dogsim.trust.confidence import Trust, calibration_for, trust
from dogsim.vote import VOTES as VOTES  # with the next two: importable from here as ever
from dogsim.vote import count_votes
from dogsim.vote import majority_vote as majority_vote
from dogsim.vote import vote_weights as vote_weights


@dataclass(frozen=True, eq=False)
class Answer:
    """What a dataset says of one picture.

    Attributes
    ----------
    breed : str
        The breed with most votes, "unknown" if no neighbour has a breed.
    votes : int
        How many of the k neighbours have that breed.
    indices : (k,) int
        Rows of the neighbours in the dataset, nearest first.
    distances : (k,) float64
    trust : Trust, optional
        Where a confidence was asked for: the set of breeds that holds the picture's own as often as
        that, their p-values, and whether it is of none of them.
    """

    breed: str
    votes: int
    indices: NDArray[np.intp]
    distances: NDArray[np.float64]
    trust: Trust | None = None


@lru_cache(maxsize=1)
def loaded_extractor(
    recipe: Recipe | None, weights: str | None = None, head: str | None = None
) -> Extractor:
    """Do what `extractor_for` does, but for the same dataset once."""
    return extractor_for(recipe, weights, head)


def classify(
    images: Iterable[Source],
    dataset: Dataset,
    k: int = 20,
    metric: str = "euclidean",
    extractor: Extractor | None = None,
    confidence: float | None = None,
) -> list[Answer]:
    """Find each picture's k nearest in the dataset and let their breeds vote.

    MATLAB: the loop of ``main.m`` around ``feature_extract``, ``dist_calc`` and ``mink``.

    Parameters
    ----------
    images : iterable of path, array or PIL image
        As `dogsim.load_image` takes them.
    dataset : Dataset
        The known pictures.
    k : int
        How many neighbours vote.
    metric : str
        One of `dogsim.METRICS`.
    extractor : Extractor, optional
        By default the one that the dataset was made with, which stays loaded for the next call.
    confidence : float, optional
        Answer with a set of breeds as well, which holds the true one in so many cases: 0.9.

    Returns
    -------
    list of Answer
        One for each picture.

    Raises
    ------
    DogsimError
        If the extractor works by another recipe than the dataset's, a picture cannot be read,
        k or the metric is wrong, or the dataset cannot promise that confidence.
    """
    check_k(k, len(dataset))
    check_metric(metric)
    if confidence is not None:  # a promise that cannot be made is told before the network is loaded
        calibration_for(dataset, confidence)
    if extractor is None:
        extractor = loaded_extractor(dataset.recipe)
    elif dataset.recipe:
        dataset.recipe.require(extractor.recipe, "an extractor")
    features = extract_features(images, extractor)
    distances, indices = nearest(dataset, features, k, metric)
    labels = dataset.labels[indices]
    breeds = [dataset.breed_of_label(label) for label in majority_vote(labels)]
    votes = count_votes(labels).max(axis=1).tolist()
    trusts: list[Trust | None] = [None] * len(features)
    if confidence is not None:
        trusts = [*trust(dataset, features, confidence)]
    return [Answer(*each) for each in zip(breeds, votes, indices, distances, trusts, strict=True)]
