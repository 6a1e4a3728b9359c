"""Images in, breeds out: find each query's neighbours and let their breeds vote."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import DEFAULT_K, check_k, check_metric, k_or_default, nearest
from dogsim.errors import DogsimError, as_flag, counted
from dogsim.feature_extract import check_extractor
from dogsim.figures.thumbnails import html_answer
from dogsim.image_files.boxes import BoxFolder
from dogsim.images import Source, as_images, file_of
from dogsim.networks.extractor import Extractor
from dogsim.networks.extractor_for import lazy_extractor_for
from dogsim.plumbing.terminal import printable
from dogsim.plumbing.threads import batched
from dogsim.retrieval.query import NO_BOXES, box_folder, read_queries
from dogsim.retrieval.query_expansion import require_plain
from dogsim.trust.calibration import Calibration, calibration_for
from dogsim.trust.conformal import PredictionSet, prediction_sets
from dogsim.vote import two_most_voted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUERY_BATCH = 32  # images through the network at once
MAX_BREEDS_IN_ANSWER = 8  # of a prediction set
MAX_UNLABELLED_IN_TEXT = 3  # neighbours, if none has a breed
MAX_NEIGHBOURS_IN_HTML = 11


@dataclass(frozen=True, eq=False)
class Answer:
    """The neighbours of one query in a dataset, and the breed for which they vote.

    Attributes
    ----------
    breed : str
        The breed with most votes, "unknown" if no neighbour has a breed.
    votes : int
        Number of the k neighbours that have that breed.
    indices : (k,) int
        Rows of the neighbours in the dataset, nearest first.
    distances : (k,) float64
        Their distances.
    features : (d,) float32
        The query's.
    dataset : Dataset
        Where the neighbours were found.
    trust : PredictionSet, optional
        The prediction set with its p-values; None if no confidence was given.
    runner_up : str
        The breed with the second most votes, "" if there is none.
    runner_up_votes : int
        Its votes.
    row : int, optional
        The row of the same image, if it is in the dataset: it does not vote on itself.
    metric : str
        The metric of the distances.
    image : path, array, PIL image or Cropped, optional
        The query; None if only its features were given.
    """

    breed: str
    votes: int
    indices: NDArray[np.intp]
    distances: NDArray[np.float64]
    features: NDArray[np.float32]
    dataset: Dataset
    trust: PredictionSet | None = None
    runner_up: str = ""
    runner_up_votes: int = 0
    row: int | None = None
    metric: str = "euclidean"
    image: Source | None = None

    @property
    def vote(self) -> str:
        """The result of the vote in words, with the prediction set if there is one."""
        second = f", {self.runner_up} {self.runner_up_votes}" if self.runner_up else ""
        vote = f"{self.breed} ({self.votes} of {counted(len(self.indices), 'vote')}{second})"
        if self.trust is None:
            return vote
        if self.trust.unknown:
            return f"unknown, none of the breeds (p = {self.trust.novelty_p:.3f}); nearest {vote}"
        breeds = ", ".join(self.trust.breeds[:MAX_BREEDS_IN_ANSWER])
        more = len(self.trust.breeds) - MAX_BREEDS_IN_ANSWER
        return f"{{{breeds}{f' and {more} more' if more > 0 else ''}}}; vote {vote}"

    def __str__(self) -> str:
        """Return the vote and the nearest neighbour in one line."""
        paths = [self.dataset.paths[row] for row in self.indices[:MAX_UNLABELLED_IN_TEXT]]
        near = [f"{path} at {far:.3g}" for path, far in zip(paths, self.distances, strict=False)]
        if not self.votes and self.trust is None:
            return printable(f"nearest {', '.join(near)}; of unknown breed")
        return printable(f"{self.vote}, nearest {near[0]}")

    def __repr__(self) -> str:
        return f"<Answer: {self}>"

    def figure(self) -> "Figure":
        """Draw the query beside its neighbours, as `dogsim.result_grid` does.

        The true breed is the one in the name of the query's file or folder. The title is the
        prediction set. Raises `DogsimError` if there is no image or it cannot be read.
        """
        from dogsim.figures.grid import result_grid

        if self.image is None:
            raise DogsimError("This answer has no image. Expected an answer of dogsim.classify.")
        file = file_of(self.image)
        truth = self.dataset.label_of_path(file) if file else None
        title = self.vote if self.trust else ""
        return result_grid(
            self.image, self.dataset, self.indices, self.distances, truth, self.metric, title=title
        )

    def show(self, save: str | os.PathLike[str] | None = None) -> list[Path]:
        """Show the figure, or save it as a PNG file, as `dogsim.show_or_save` does."""
        from dogsim.figures.display import show_or_save

        file = file_of(self.image) if self.image is not None else None
        name = file.stem if file else "answer"
        return show_or_save([(name, self.figure())], save, [file] if file else [])

    def _repr_html_(self) -> str:
        """Return the query and its nearest neighbours as HTML, for a notebook."""
        ranked = list(zip(self.indices, self.distances, strict=True))
        neighbours = [
            (self.dataset.source(row), f"#{rank} {self.dataset.breed(row)}, {distance:#.3g}")
            for rank, (row, distance) in enumerate(ranked[:MAX_NEIGHBOURS_IN_HTML], 1)
        ]
        return html_answer(str(self), self.image, neighbours, len(ranked) - len(neighbours))


def classify(
    images: Source | Iterable[Source],
    dataset: DatasetOrFile,
    k: int | None = None,
    metric: str = "euclidean",
    extractor: Extractor | None = None,
    confidence: float | None = None,
    keep_self: bool = False,
    boxes: str | os.PathLike[str] | None = None,
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
    for answer in answers(queries, dataset, k, metric, extractor, confidence, keep_self, folder):
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
) -> Iterator[Answer | DogsimError]:
    """Yield an answer for each image, or the error of an image that has no answer.

    Parameters and errors are those of `classify`. Images of the dataset are answered by their
    stored features; the extractor is called only for other images.
    """
    check_metric(metric)
    if confidence is not None:  # raises before the network is loaded
        calibration_for(require_plain(dataset), confidence)
    others = len(dataset) - (not keep_self)
    inputs = read_queries(images, dataset, extractor.recipe, boxes, ahead=QUERY_BATCH)
    for batch in batched(inputs, QUERY_BATCH):
        found: dict[int, Answer | DogsimError] = {}
        rows = {i: each for i, (_, each) in enumerate(batch) if isinstance(each, int)}
        pixels = {i: each for i, (_, each) in enumerate(batch) if isinstance(each, np.ndarray)}
        if rows and k > others:
            error = f"Received k={k} for an image of the dataset, which has {others} others."
            found |= dict.fromkeys(rows, DogsimError(error))
        elif rows:
            stored = list(rows.values())
            features = np.asarray(dataset.features[stored])  # (m, d)
            known = answers_to(features, dataset, k, metric, confidence, stored, keep_self)
            found |= zip(rows, known, strict=True)
        if pixels:
            features = extractor(np.stack(list(pixels.values())))  # (n, d)
            computed = answers_to(features, dataset, k, metric, confidence)
            found |= zip(pixels, computed, strict=True)
        for i, (image, each) in enumerate(batch):
            answer = each if isinstance(each, DogsimError) else found[i]
            yield replace(answer, image=image) if isinstance(answer, Answer) else answer


def answers_to(
    features: NDArray[np.float32],
    dataset: Dataset,
    k: int,
    metric: str = "euclidean",
    confidence: float | None = None,
    rows: Sequence[int | None] | None = None,
    keep_self: bool = False,
    calibration: Calibration | None = None,
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
        trusts = prediction_sets(calibration, features, confidence, left_out)
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
