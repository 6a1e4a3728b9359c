"""What a dataset says of one picture: in words, as a grid, and in a notebook."""

import os
import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.figures.thumbnails import html_figure
from dogsim.images import Source, file_of
from dogsim.plumbing.terminal import printable
from dogsim.trust.conformal import PredictionSet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMED = 8  # breeds of a set, at most, in words
NEAR = 3  # neighbours, at most, in words, where none has a breed
SHOWN = 11  # neighbours, at most, in a notebook
STYLE = (
    ".dogsim-answer figure {display: inline-block; margin: 4px; width: 128px; vertical-align: top}"
    ".dogsim-answer img {display: block; margin: auto; max-width: 100%}"
    ".dogsim-answer figcaption {font-size: 12px; overflow-wrap: anywhere; text-align: center}"
    ".dogsim-answer .asked figure {outline: 3px solid #8888}"
)


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
    features : (d,) float32
        Of the picture itself.
    dataset : Dataset
        The one that was asked.
    trust : PredictionSet, optional
        Where a confidence was asked for: the set of breeds that holds the picture's own as often as
        that, their p-values, and whether it is of none of them.
    runner_up : str
        The breed with most votes of the others, "" if there is none.
    runner_up_votes : int
    same : int, optional
        The row of the very same picture, where the dataset has it: it has no vote on itself.
    metric : str
        Of the distances.
    picture : path, array, PIL image or Cropped, optional
        What was asked; None where its features alone were.
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
    same: int | None = None
    metric: str = "euclidean"
    picture: Source | None = None

    @property
    def vote(self) -> str:
        """How was voted, in words, with what that promises."""
        second = f", {self.runner_up} {self.runner_up_votes}" if self.runner_up else ""
        vote = f"{self.breed} ({self.votes} of {len(self.indices)} votes{second})"
        if self.trust is None:
            return vote
        if self.trust.unknown:
            return f"unknown, none of the breeds (p = {self.trust.novelty_p:.3f}); nearest {vote}"
        named, more = self.trust.breeds[:NAMED], len(self.trust.breeds) - NAMED
        others = f" and {more} more" if more > 0 else ""
        return f"{{{', '.join(named)}{others}}}; vote {vote}"

    def __str__(self) -> str:
        """Tell it in a line; where no neighbour has a breed, the neighbours alone."""
        paths = [self.dataset.paths[row] for row in self.indices[:NEAR]]
        near = [f"{path} at {far:.3g}" for path, far in zip(paths, self.distances, strict=False)]
        if not self.votes and self.trust is None:
            return printable(f"nearest {', '.join(near)}; of unknown breed")
        return printable(f"{self.vote}, nearest {near[0]}")

    def __repr__(self) -> str:
        return f"<Answer: {self}>"

    def figure(self) -> "Figure":
        """Draw the picture beside its neighbours, as `dogsim.result_grid` does, under its promise.

        The breed that the picture's own file or folder names tells right from wrong. Raises
        `DogsimError` if the picture is not known or cannot be read.
        """
        from dogsim.figures.grid import result_grid

        if self.picture is None:
            raise DogsimError("This answer is to features alone. Expected one of dogsim.classify.")
        file = file_of(self.picture)
        truth = self.dataset.label_of_path(file) if file else None
        figure = result_grid(
            self.picture, self.dataset, self.indices, self.distances, truth, self.metric
        )
        if self.trust:
            width, height = figure.get_size_inches()
            told = textwrap.fill(self.vote, int(10 * width))
            figure.suptitle(told)
            figure.set_size_inches(width, height + 0.25 * (told.count("\n") + 1))
        return figure

    def show(self, save: str | os.PathLike[str] | None = None) -> list[Path]:
        """Show the grid, or save it as a PNG file, as `dogsim.show_or_save` does."""
        from dogsim.figures.display import show_or_save

        file = file_of(self.picture) if self.picture is not None else None
        name = file.stem if file else "answer"
        return show_or_save([(name, self.figure())], save, [file] if file else [])

    def _repr_html_(self) -> str:
        """What a notebook shows: the picture, and its nearest as far as they fit."""
        parts = [f"<style>{STYLE}</style><p>{escape(str(self))}</p>"]
        if self.picture is not None:
            file = file_of(self.picture)
            asked = html_figure(self.picture, f"asked: {file.name if file else 'a picture'}")
            parts.append(f'<span class="asked">{asked}</span>')
        shown = list(zip(self.indices, self.distances, strict=True))[:SHOWN]
        for rank, (row, distance) in enumerate(shown, 1):
            told = f"#{rank} {self.dataset.breed(row)}, {distance:#.3g}"
            parts.append(html_figure(self.dataset.source(row), told))
        if more := len(self.indices) - len(shown):
            parts.append(f"<p>and {more} more neighbours</p>")
        return f'<div class="dogsim-answer">{"".join(parts)}</div>'
