"""Pictures in, breeds out."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import check_k, check_metric, nearest
from dogsim.errors import DogsimError
from dogsim.images import Source, load_image, read_picture
from dogsim.networks.extractor import Extractor, extractor_for, require_recipe
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.threads import batched, prefetch
from dogsim.recipe import Recipe
from dogsim.sameness import rows_by_content
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
    runner_up : str
        The breed with most votes of the others, "" if there is none.
    runner_up_votes : int
    same : int, optional
        The row of the very same picture, where the dataset has it: it has no vote on itself.
    """

    breed: str
    votes: int
    indices: NDArray[np.intp]
    distances: NDArray[np.float64]
    runner_up: str = ""
    runner_up_votes: int = 0
    same: int | None = None


# Pixels, or the row of the dataset that is the same picture, or why there is neither.
_Read: TypeAlias = "NDArray[np.uint8] | int | DogsimError"
BATCH = 32


def classify(
    images: "Source | Iterable[Source]",
    dataset: DatasetOrFile,
    k: int = 20,
    metric: str = "euclidean",
    extractor: Extractor | None = None,
    keep_self: bool = False,
) -> list[Answer]:
    """Find each picture's k nearest in the dataset and let their breeds vote.

    MATLAB: the loop of ``main.m`` around ``feature_extract``, ``dist_calc`` and ``mink``.

    Parameters
    ----------
    images : path, array or PIL image, or an iterable of them
        As `dogsim.load_image` takes them.
    dataset : Dataset or its path
        The known pictures.
    k : int
        How many neighbours vote.
    metric : str
        One of `dogsim.METRICS`.
    extractor : Extractor, optional
        By default the one that the dataset was made with is loaded, once for several calls.
    keep_self : bool
        Let a picture that is in the dataset vote on itself. Otherwise its row is left out; told by
        the content of its file. Its features are there already: no network is asked.

    Returns
    -------
    list of Answer
        One for each picture.

    Raises
    ------
    DogsimError
        If the extractor works by another recipe than the dataset's, a picture cannot be read,
        or k or the metric is wrong.
    """
    dataset = as_dataset(dataset)
    if extractor is not None and dataset.recipe:
        dataset.recipe.require(extractor.recipe, "an extractor")
    recipe = extractor.recipe if extractor else require_recipe(dataset.recipe)
    load = partial(_extractor_of, recipe) if extractor is None else lambda: extractor
    found = []
    for answer in answers(_many(images), dataset, k, metric, recipe, load, keep_self):
        if isinstance(answer, DogsimError):
            raise answer
        found.append(answer)
    return found


def answers(
    images: Iterable[Source],
    dataset: Dataset,
    k: int,
    metric: str,
    recipe: Recipe,
    load: Callable[[], Extractor],
    keep_self: bool = False,
) -> Iterator[Answer | DogsimError]:
    """Answer as `classify` does, as the answers come; for a picture that has none, tell why.

    `load` loads the extractor of that recipe; it is called for batches with pictures that the
    dataset has not got.
    """
    check_k(k, len(dataset))
    check_metric(metric)
    read = partial(_read, dataset, rows_by_content(dataset), recipe)
    results = prefetch(read, images, ahead=BATCH, threads=os.cpu_count() or 1)
    for batch in batched(results, BATCH):
        yield from _answered(batch, dataset, k, metric, load, keep_self)


def _read(dataset: Dataset, rows: dict[str, int], recipe: Recipe, source: Source) -> _Read:
    try:
        content = source
        if isinstance(source, str | os.PathLike):
            content = read_picture(source)
            row = rows.get(bytes_sha256(content))
            if row is not None:
                return row
        return load_image(content, recipe.image_size, recipe.resize)
    except DogsimError as error:
        return DogsimError(
            str(error).replace("Cannot read the content", f"Cannot read {source}", 1)
        )


def _answered(
    batch: list[_Read],
    dataset: Dataset,
    k: int,
    metric: str,
    load: Callable[[], Extractor],
    keep_self: bool,
) -> list[Answer | DogsimError]:
    answers: dict[int, Answer | DogsimError] = {
        i: each for i, each in enumerate(batch) if isinstance(each, DogsimError)
    }
    known = {i: each for i, each in enumerate(batch) if isinstance(each, int)}
    new = {i: each for i, each in enumerate(batch) if isinstance(each, np.ndarray)}
    if known:
        rows = np.array(list(known.values()), np.intp)
        most = len(dataset) - (not keep_self)
        if k > most:
            why = f"Received k={k} for a picture of the dataset. Expected 1 to {most} others."
            answers |= dict.fromkeys(known, DogsimError(why))
        else:
            exclude = None if keep_self else rows
            found = nearest(dataset, dataset.features[rows], k, metric, exclude)
            answers |= zip(known, _votes(dataset, *found, list(known.values())), strict=True)
    if new:
        features = load()(np.stack(list(new.values())))
        found = nearest(dataset, features, k, metric)
        answers |= zip(new, _votes(dataset, *found, [None] * len(new)), strict=True)
    return [answers[i] for i in range(len(batch))]


def _votes(
    dataset: Dataset,
    distances: NDArray[np.float64],
    indices: NDArray[np.intp],
    same: list[int | None] | list[int],
) -> Iterator[Answer]:
    labels = dataset.labels[indices]
    winners = majority_vote(labels)
    others = np.where(labels == winners[:, None], -1, labels)
    seconds, second_votes = majority_vote(others), count_votes(others).max(axis=1)
    for i, (winner, votes) in enumerate(zip(winners, count_votes(labels).max(axis=1), strict=True)):
        yield Answer(
            breed=dataset.breed_of_label(winner),
            votes=int(votes),
            indices=indices[i],
            distances=distances[i],
            runner_up=dataset.breeds[seconds[i]] if second_votes[i] else "",
            runner_up_votes=int(second_votes[i]),
            same=same[i],
        )


def _many(images: "Source | Iterable[Source]") -> Iterable[Source]:
    """Take one picture as a list of one."""
    one = isinstance(images, str | bytes | os.PathLike | Image.Image)
    if one or (isinstance(images, np.ndarray) and images.ndim <= 3):
        return [images]  # type: ignore[list-item]
    return images  # type: ignore[return-value]


@lru_cache(maxsize=1)
def _extractor_of(recipe: Recipe) -> Extractor:
    return extractor_for(recipe)
