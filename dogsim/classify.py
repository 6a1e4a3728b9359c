"""Images in, breeds out: find each query's neighbours and let their breeds vote."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import DEFAULT_K, check_k, check_metric, k_or_default, nearest
from dogsim.errors import DogsimError, as_flag
from dogsim.feature_extract import check_extractor
from dogsim.image_files.boxes import BoxFolder
from dogsim.images import Source, as_images
from dogsim.networks.extractor import Extractor
from dogsim.networks.extractor_for import lazy_extractor_for
from dogsim.plumbing.threads import batched
from dogsim.retrieval.query import NO_BOXES, LoadedQuery, box_folder, read_queries
from dogsim.retrieval.query_expansion import require_plain
from dogsim.trust.answer import Answer
from dogsim.trust.calibration import Calibration, calibration_for
from dogsim.trust.conformal import (
    DEFAULT_COVERAGE,
    PredictionSet,
    check_coverage,
    prediction_sets,
)
from dogsim.vote import two_most_voted

QUERY_BATCH = 32  # images through the network at once


def classify(
    images: Source | Iterable[Source],
    dataset: DatasetOrFile,
    k: int | None = None,
    metric: str = "euclidean",
    extractor: Extractor | None = None,
    confidence: float | None = None,
    keep_self: bool = False,
    boxes: str | os.PathLike[str] | None = None,
    coverage: str = DEFAULT_COVERAGE,
) -> list[Answer]:
    """Find the k nearest neighbours of each image in the dataset and let their breeds vote.

    MATLAB: the loop of ``main.m`` around ``feature_extract``, ``dist_calc`` and ``mink``.

    Parameters
    ----------
    images : path, array or PIL image, or iterable of them
        The queries, as `dogsim.load_image` takes them.
    dataset : Dataset or path
        The known images.
    k : int, optional
        Number of neighbours that vote; by default 20, or all other images of a smaller dataset.
    metric : str
        One of `dogsim.METRICS`.
    extractor : Extractor, optional
        By default the one that the dataset was made with, which stays loaded for the next call.
    confidence : float, optional
        Also return a set of breeds that contains the true one with this probability, as 0.9.
    keep_self : bool
        Let an image of the dataset vote on itself. By default its row is left out. Such an image
        is recognised by the content of its file, and its features are not computed again.
    boxes : path, optional
        A folder of PASCAL-VOC files, see `dogsim.create_dataset`: an image file with a box there
        is cropped to the box, with the margin of the dataset.
    coverage : {"breed", "average"}
        Whether `confidence` holds for the images of every breed, or for all images on average.

    Returns
    -------
    list of Answer
        One for each image.

    Raises
    ------
    DogsimError
        If the extractor has another recipe than the dataset, an image cannot be read, k or the
        metric is not valid, or the dataset is too small for the confidence.
    """
    dataset = as_dataset(dataset)
    keep_self = as_flag("keep_self", keep_self)
    k = number_of_voters(k, dataset, keep_self)
    if extractor is None:
        extractor = lazy_extractor_for(dataset.recipe)
    check_extractor(extractor, dataset.recipe)
    queries, folder, found = as_images(images), box_folder(dataset, boxes), []
    for answer in answers(
        queries, dataset, k, metric, extractor, confidence, keep_self, folder, coverage
    ):
        if isinstance(answer, DogsimError):
            raise answer
        found.append(answer)
    return found


def number_of_voters(
    k: int | None, dataset: Dataset, keep_self: bool, default: int | None = None
) -> int:
    """Return k, by default `default` or `DEFAULT_K`, at most all other images of the dataset.

    Raises `DogsimError` unless it is a whole number from 1 to the number of images.
    """
    others = max(len(dataset) - (not keep_self), 1)  # the default suits images of the dataset too
    return check_k(k_or_default(k, default or DEFAULT_K, others), len(dataset))


def answers(
    images: Iterable[Source],
    dataset: Dataset,
    k: int,
    metric: str,
    extractor: Extractor,
    confidence: float | None = None,
    keep_self: bool = False,
    boxes: BoxFolder = NO_BOXES,
    coverage: str = DEFAULT_COVERAGE,
) -> Iterator[Answer | DogsimError]:
    """Yield an answer for each image, or the error of an image that has no answer.

    Parameters and errors are those of `classify`. Images of the dataset are answered by their
    stored features; the extractor is called only for other images.
    """
    check_metric(metric)
    check_coverage(coverage)
    if confidence is not None:  # raises before the network is loaded
        calibration_for(require_plain(dataset), confidence)
    others = len(dataset) - (not keep_self)
    vote = partial(
        answers_to, dataset=dataset, k=k, metric=metric, confidence=confidence, coverage=coverage
    )
    inputs = read_queries(images, dataset, extractor.recipe, boxes, ahead=QUERY_BATCH)
    for batch in batched(inputs, QUERY_BATCH):
        found: dict[int, Answer | DogsimError] = {}
        rows = {i: each.row for i, each in enumerate(batch) if each.row is not None}
        pixels = {i: each.pixels for i, each in enumerate(batch) if each.pixels is not None}
        if rows and k > others:
            error = f"Received k={k} for an image of the dataset, which has {others} others."
            found |= dict.fromkeys(rows, DogsimError(error))
        elif rows:
            stored = list(rows.values())
            features = np.asarray(dataset.features[stored])  # (m, d)
            found |= zip(rows, vote(features, rows=stored, keep_self=keep_self), strict=True)
        if pixels:
            features = extractor(np.stack(list(pixels.values())))  # (n, d)
            found |= zip(pixels, vote(features), strict=True)
        for i, query in enumerate(batch):
            yield query.error or _with_image(found[i], query)


def _with_image(answer: Answer | DogsimError, query: LoadedQuery) -> Answer | DogsimError:
    if isinstance(answer, DogsimError):
        return answer
    return replace(answer, image=query.image, size=query.size)


def answers_to(
    features: NDArray[np.float32],
    dataset: Dataset,
    k: int,
    metric: str = "euclidean",
    confidence: float | None = None,
    rows: Sequence[int | None] | None = None,
    keep_self: bool = False,
    calibration: Calibration | None = None,
    coverage: str = DEFAULT_COVERAGE,
) -> list[Answer]:
    """Return the answers to queries whose features (n, d) are given.

    Parameters
    ----------
    rows : sequence of int or None, optional
        For each query its row in the dataset, None if the dataset does not contain it.
    calibration : Calibration, optional
        The dataset's, if the caller has cached it.

    The other parameters and the errors are those of `classify`.
    """
    rows = [None] * len(features) if rows is None else rows
    left_out = np.array([-1 if row is None or keep_self else row for row in rows], np.intp)
    exclude = left_out if (left_out >= 0).all() else None
    distances, indices = nearest(dataset, features, k, metric, exclude)  # (n, k), (n, k)
    trusts: Sequence[PredictionSet | None] = [None] * len(rows)
    if confidence is not None:
        calibration = calibration or calibration_for(require_plain(dataset), confidence)
        trusts = prediction_sets(calibration, features, confidence, left_out, coverage)
    winners, votes, seconds, second_votes = two_most_voted(dataset.labels[indices])
    return [
        Answer(
            breed=dataset.breed_of_label(winners[i]),
            votes=int(votes[i]),
            indices=indices[i],
            distances=distances[i],
            features=features[i],
            dataset=dataset,
            trust=trusts[i],
            runner_up=dataset.breeds[seconds[i]] if second_votes[i] else "",
            runner_up_votes=int(second_votes[i]),
            row=row,
            metric=metric,
        )
        for i, row in enumerate(rows)
    ]
