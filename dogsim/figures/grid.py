"""Figures. They are made and handed back: showing or saving them is somebody else's job."""

import os
import textwrap
from pathlib import Path
from unicodedata import east_asian_width

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.figures.canvas import Drawing
from dogsim.images import Source, open_image
from dogsim.plumbing.terminal import printable
from dogsim.vote import count_votes, majority_vote

COLUMNS = 3
TILE_PIXELS = 400
SPACED = ConstrainedLayoutEngine(h_pad=0.1, w_pad=0.08)  # inches around every tile
# Right and wrong differ by mark, line and colour (Okabe and Ito's, safe for the colour-blind).
RIGHT, WRONG, NEUTRAL = ("✓", "-", "#009e73"), ("✗", "--", "#d55e00"), ("", "-", "#444444")


def result_grid(
    query: Source,
    dataset: Dataset,
    indices: NDArray[np.integer],
    distances: NDArray[np.floating],
    truth: str | None = None,
) -> Figure:
    """Draw a query and its nearest pictures, three in a row, as MATLAB's ``main.m`` shows them.

    Parameters
    ----------
    query : path, array or PIL image
        The picture that was asked about.
    dataset : Dataset
        The one that was asked; its picture files are read.
    indices : (k,) int
        Rows of the neighbours in the dataset, nearest first.
    distances : (k,) float
        Their distances.
    truth : str, optional
        The query's breed. Where it is given, right and wrong answers are marked.

    Returns
    -------
    matplotlib.figure.Figure
        1 + k tiles. A neighbour's title is its breed; below stand its distance and how many of
        the k votes its breed has. A picture that is gone leaves a tile that says so.

    Raises
    ------
    DogsimError
        If the query cannot be read.
    """
    k = len(indices)
    rows = -(-(k + 1) // COLUMNS)
    figure = Drawing(figsize=(COLUMNS * 2.6, rows * 2.95), layout=SPACED)
    tiles = list(figure.subplots(rows, COLUMNS, squeeze=False).flat)
    labels = dataset.labels[indices][None]
    votes = count_votes(labels)[0]
    winner = dataset.breed_of_label(majority_vote(labels)[0])
    below = f"vote: {winner}, {votes.max()} of {k}" + ("" if truth is None else f"\ntruth: {truth}")
    _tile(tiles[0], open_image(query), f"query: {_name(query)}", below, winner, truth)
    for tile, row, distance, count in zip(tiles[1:], indices, distances, votes, strict=False):
        breed = dataset.breed(row)
        below = f"distance {distance:#.3g}, {count} of {k} votes"
        try:
            picture = open_image(dataset.picture(row))
        except DogsimError:
            picture = None
            text = f"not found:\n{_fill(dataset.paths[row], 22)}"
            tile.text(0.5, 0.5, text, ha="center", va="center", fontsize=9, in_layout=False)
        _tile(tile, picture, breed, below, breed, truth)
    for tile in tiles[k + 1 :]:
        tile.set_axis_off()
    return figure


def _fill(text: str, width: int = 28) -> str:
    """Break a name that is too long for a tile into lines, three at most."""
    if any(east_asian_width(letter) in "WF" for letter in text):
        width //= 2
    return textwrap.fill(printable(text), width, max_lines=3, placeholder="…")


def _name(query: Source) -> str:
    return Path(query).name if isinstance(query, str | os.PathLike) else "a picture"


def _tile(
    tile: Axes, picture: Image.Image | None, title: str, below: str, breed: str, truth: str | None
) -> None:
    mark, line, colour = NEUTRAL if truth is None else RIGHT if breed == truth else WRONG
    tile.set_title(f"{_fill(title)} {mark}".rstrip(), fontsize=11, color=colour)
    tile.set_xlabel("\n".join(_fill(line, 36) for line in below.split("\n")), fontsize=9)
    tile.set_xticks([])
    tile.set_yticks([])
    tile.set_box_aspect(1)
    tile.set_facecolor("#f2f2f2")
    for side in tile.spines.values():
        side.set(linestyle=line, color=colour, linewidth=2)
    if picture is not None:
        picture.thumbnail((TILE_PIXELS, TILE_PIXELS))
        tile.imshow(picture)
        _centre(tile, *picture.size)


def _centre(tile: Axes, width: int, height: int) -> None:
    """Show a picture of any shape whole, in the middle of a square."""
    half = max(width, height) / 2
    x, y = (width - 1) / 2, (height - 1) / 2
    tile.set_xlim(x - half, x + half)
    tile.set_ylim(y + half, y - half)
