"""Pictures in, breeds out."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.answer import Answer as Answer  # importable from here as ever
from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import check_k, check_metric, nearest
from dogsim.errors import DogsimError
from dogsim.image_files.files import read_image_file
from dogsim.images import Cropped, Source, as_images, file_of, load_image
from dogsim.networks.extractor import Extractor
from dogsim.networks.extractor_for import lazy_extractor_for
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.threads import batched, prefetch, usable_cpus
from dogsim.recipe import Recipe
from dogsim.retrieval.identity import boxes_for, rows_by_content, seen
from dogsim.trust.calibration import Calibration, calibration_for
from dogsim.trust.conformal import PredictionSet, prediction_sets
from dogsim.vote import VOTES as VOTES  # with the next two: importable from here as ever
from dogsim.vote import count_votes
from dogsim.vote import majority_vote as majority_vote
from dogsim.vote import vote_weights as vote_weights

BATCH = 32  # pictures through the network at once


# Pixels, or the row of the dataset that is the same picture, or why there is neither.
_Read: TypeAlias = "NDArray[np.uint8] | int | DogsimError"


def classify(
    images: Source | Iterable[Source],
    dataset: DatasetOrFile,
    k: int = 20,
    metric: str = "euclidean",
    extractor: Extractor | None = None,
    confidence: float | None = None,
    keep_self: bool = False,
    boxes: str | os.PathLike[str] | None = None,
) -> list[Answer]:
    """Find each picture's k nearest in the dataset and let their breeds vote.

    MATLAB: the loop of ``main.m`` around ``feature_extract``, ``dist_calc`` and ``mink``.

    Parameters
    ----------
    images : path, array or PIL image, or iterable of them
        As `dogsim.load_image` takes them.
    dataset : Dataset or path
        The known pictures.
    k : int
        How many neighbours vote.
    metric : str
        One of `dogsim.METRICS`.
    extractor : Extractor, optional
        By default the one that the dataset was made with, which stays loaded for the next call.
    confidence : float, optional
        Answer with a set of breeds as well, which holds the true one in so many cases: 0.9.
    keep_self : bool
        Let a picture that is in the dataset vote on itself. Otherwise its row is left out; told by
        the content of its file. Its features are there already: no network is asked.
    boxes : path, optional
        A folder of PASCAL-VOC files, see `dogsim.create_dataset`: of a picture file that has one
        there, only the box is seen, widened as the dataset's are.

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
    dataset = as_dataset(dataset)
    if extractor is not None and dataset.recipe:
        dataset.recipe.require(extractor.recipe, "an extractor")
    extractor = extractor or lazy_extractor_for(dataset.recipe)
    found, cropping = [], boxes_for(dataset, boxes)
    asked = (seen(image, dataset, cropping) for image in as_images(images))
    for answer in answers(asked, dataset, k, metric, extractor, confidence, keep_self):
        if isinstance(answer, DogsimError):
            raise answer
        found.append(answer)
    return found


def answers(
    images: Iterable[Source],
    dataset: Dataset,
    k: int,
    metric: str,
    extractor: Extractor,
    confidence: float | None = None,
    keep_self: bool = False,
) -> Iterator[Answer | DogsimError]:
    """Answer as `classify` does, as the answers come; for a picture that has none, tell why.

    The extractor is called only for images that are not in the dataset.
    """
    check_k(k, len(dataset))
    check_metric(metric)
    if confidence is not None:  # a promise that cannot be made is told before the network is loaded
        calibration_for(dataset, confidence)
    rows_of = rows_by_content(dataset)

    def read(picture: Source) -> tuple[Source, _Read]:
        return picture, _read(rows_of, extractor.recipe, picture)

    results = prefetch(read, images, ahead=BATCH, threads=usable_cpus())
    for pictures, batch in (zip(*each, strict=True) for each in batched(results, BATCH)):
        told: dict[int, Answer | DogsimError] = {
            i: each for i, each in enumerate(batch) if isinstance(each, DogsimError)
        }
        known = {i: each for i, each in enumerate(batch) if isinstance(each, int)}
        if known and k > len(dataset) - (not keep_self):
            why = (
                f"Received k={k} for a picture of the dataset, which has {len(dataset) - 1} others."
            )
            told |= dict.fromkeys(known, DogsimError(why))
        elif known:
            rows = list(known.values())
            features = np.asarray(dataset.features[rows])
            found = answers_to(features, dataset, k, metric, confidence, rows, keep_self)
            told |= zip(known, found, strict=True)
        new = {i: each for i, each in enumerate(batch) if isinstance(each, np.ndarray)}
        if new:
            features = extractor(np.stack(list(new.values())))
            told |= zip(new, answers_to(features, dataset, k, metric, confidence), strict=True)
        for i, picture in enumerate(pictures):
            answer = told[i]
            yield replace(answer, picture=picture) if isinstance(answer, Answer) else answer


def answers_to(
    features: NDArray[np.float32],
    dataset: Dataset,
    k: int,
    metric: str = "euclidean",
    confidence: float | None = None,
    same: Sequence[int | None] | None = None,
    keep_self: bool = False,
    calibration: Calibration | None = None,
) -> Iterator[Answer]:
    """Answer as `classify` does for pictures whose features (n, d) are there already.

    Parameters
    ----------
    same : sequence of int or None, optional
        For each picture its row in the dataset, None where it has none.
    calibration : Calibration, optional
        That of the dataset, where a caller who asks often has kept it.

    Others as for `classify`, which raises the same.
    """
    same = [None] * len(features) if same is None else same
    rows = np.array([-1 if row is None or keep_self else row for row in same], np.intp)
    found = nearest(dataset, features, k, metric, rows if (rows >= 0).all() else None)
    trusts: Sequence[PredictionSet | None] = [None] * len(rows)
    if confidence is not None:
        calibration = calibration or calibration_for(dataset, confidence)
        trusts = prediction_sets(calibration, features, confidence, rows)
    return _votes(dataset, features, *found, trusts, same, metric)


def _read(rows: dict[str, int], recipe: Recipe, source: Source) -> _Read:
    file = file_of(source)
    try:
        if file is None:
            return load_image(source, recipe.image_size, recipe.resize)
        content = read_image_file(file)
        row = rows.get(bytes_sha256(content))
        if row is not None:
            return row
        part = Cropped(content, source.box) if isinstance(source, Cropped) else content
        return load_image(part, recipe.image_size, recipe.resize, str(file))
    except DogsimError as error:
        return error


def _votes(
    dataset: Dataset,
    features: NDArray[np.float32],
    distances: NDArray[np.float64],
    indices: NDArray[np.intp],
    trusts: Sequence[PredictionSet | None],
    same: Sequence[int | None],
    metric: str,
) -> Iterator[Answer]:
    labels = dataset.labels[indices]
    winners, votes = majority_vote(labels), count_votes(labels).max(axis=1)
    others = np.where(labels == winners[:, None], -1, labels)
    seconds, second_votes = majority_vote(others), count_votes(others).max(axis=1)
    for i, winner in enumerate(winners):
        yield Answer(
            breed=dataset.breed_of_label(winner),
            votes=int(votes[i]),
            indices=indices[i],
            distances=distances[i],
            trust=trusts[i],
            runner_up=dataset.breeds[seconds[i]] if second_votes[i] else "",
            runner_up_votes=int(second_votes[i]),
            same=same[i],
            features=features[i],
            dataset=dataset,
            metric=metric,
        )
