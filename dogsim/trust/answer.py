"""The answer to a query: its neighbours, their vote, and how far to trust it."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError, counted
from dogsim.figures.thumbnails import html_answer
from dogsim.images import Source, file_of
from dogsim.plumbing.terminal import printable
from dogsim.retrieval.own_neighbours import far_queries
from dogsim.trust.conformal import PredictionSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Flag: TypeAlias = Literal["tiny", "wide", "tall", "far"]

MAX_BREEDS_IN_ANSWER = 8  # of a prediction set
MAX_UNLABELLED_IN_TEXT = 3  # neighbours, if none has a breed
MAX_NEIGHBOURS_IN_HTML = 11
TINY_SIDE = 100  # pixels; a smaller image has less detail than the network expects
MAX_SQUASHED_RATIO = 1.8  # of the sides; 16:9 photos have 1.78

FLAG_TEXTS: dict[Flag, str] = {
    "tiny": f"tiny (under {TINY_SIDE} pixels)",
    "wide": "wide (squashed to a square)",
    "tall": "tall (squashed to a square)",
    "far": "far (farther than 95 % of the dataset's images from their nearest neighbour)",
}


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
    size : (int, int), optional
        Its width and height, pixels; None if they are not known.
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
    size: tuple[int, int] | None = None

    @cached_property
    def flags(self) -> tuple[Flag, ...]:
        """Reasons why the answer may be worse than others: of "tiny", "wide", "tall" and "far".

        See docs/warnings.md. An image of the dataset has none.
        """
        if self.row is not None:
            return ()
        resize = self.dataset.recipe.resize if self.dataset.recipe else ""
        far = far_queries(self.dataset, self.distances[None], self.metric)[0]
        return (*(size_flags(self.size, resize) if self.size else ()), *(("far",) if far else ()))

    @property
    def flag_text(self) -> str:
        """The flags in words, "" if there are none; an unknown image need not be called far."""
        unknown = self.trust is not None and self.trust.unknown
        flags = [flag for flag in self.flags if not (unknown and flag == "far")]
        return ", ".join(FLAG_TEXTS[flag] for flag in flags)

    @property
    def vote(self) -> str:
        """The result of the vote in words, after the prediction set if there is one.

        The set is the answer then, likeliest breed first, and the text says if the vote differs.
        """
        second = f", {self.runner_up} {self.runner_up_votes}" if self.runner_up else ""
        vote = f"{self.breed} ({self.votes} of {counted(len(self.indices), 'vote')}{second})"
        if self.trust is None:
            return vote
        if self.trust.unknown:
            return (
                f"answer unknown, none of the breeds (p = {self.trust.novelty_p:.3f}); vote {vote}"
            )
        breeds = ", ".join(self.trust.breeds[:MAX_BREEDS_IN_ANSWER])
        more = len(self.trust.breeds) - MAX_BREEDS_IN_ANSWER
        answer = f"answer {{{breeds}{f' and {more} more' if more > 0 else ''}}}"
        if len(self.trust.breeds) > 1:
            answer += ", likeliest first"
        differs = self.votes and self.breed not in self.trust.breeds
        return f"{answer}; {'the vote differs:' if differs else 'vote'} {vote}"

    def __str__(self) -> str:
        """Return the vote and the nearest neighbour in one line."""
        paths = [self.dataset.paths[row] for row in self.indices[:MAX_UNLABELLED_IN_TEXT]]
        near = [f"{path} at {far:.3g}" for path, far in zip(paths, self.distances, strict=False)]
        if not self.votes and self.trust is None:
            text = f"nearest {', '.join(near)}; of unknown breed"
        else:
            text = f"{self.vote}, nearest {near[0]}"
        return printable(f"{text}; {self.flag_text}" if self.flag_text else text)

    def __repr__(self) -> str:
        return f"<Answer: {self}>"

    def figure(self) -> "Figure":
        """Draw the query beside its neighbours, as `dogsim.result_grid` does.

        The true breed is the one in the name of the query's file or folder. The title is the
        prediction set and the flags. Raises `DogsimError` if there is no image or it cannot be
        read.
        """
        from dogsim.figures.grid import result_grid

        if self.image is None:
            raise DogsimError("This answer has no image. Expected an answer of dogsim.classify.")
        file = file_of(self.image)
        truth = self.dataset.label_of_path(file) if file else None
        title = "; ".join(filter(None, [self.vote if self.trust else "", self.flag_text]))
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


def size_flags(size: tuple[int, int], resize: str) -> tuple[Flag, ...]:
    """Return the flags of an image of a width and height in pixels.

    `resize` is that of the recipe: only "squash" changes the aspect ratio.

    >>> size_flags((630, 330), "squash"), size_flags((80, 80), "squash")
    (('wide',), ('tiny',))
    """
    width, height = size
    flags: list[Flag] = []
    if min(size) < TINY_SIDE:
        flags.append("tiny")
    if resize == "squash" and width >= MAX_SQUASHED_RATIO * height:
        flags.append("wide")
    if resize == "squash" and height >= MAX_SQUASHED_RATIO * width:
        flags.append("tall")
    return tuple(flags)
