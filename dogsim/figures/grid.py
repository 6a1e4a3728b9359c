"""A query and its nearest pictures. Figures are made and handed back: `display` shows or saves."""

import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias
from unicodedata import east_asian_width

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset
from dogsim.dist_calc import nearest
from dogsim.errors import DogsimError
from dogsim.figures.canvas import Drawing
from dogsim.images import Source, file_of, open_image
from dogsim.plumbing.terminal import printable
from dogsim.vote import count_votes, majority_vote

TILE, TEXT = 1.75, 0.75  # inches: a neighbour's square, and the lines above and below it
LINE_INCHES = 0.16  # of one more line of text
QUERY, BELOW = 2.7, 1.3  # inches: the query's column, and what stands below and above its picture
BAR, BARS = 0.3, 6  # inches of a breed's bar, and how many breeds have one
TILE_PIXELS = 400
ASKED = 200  # pictures whose nearest tell what is near in a gallery
# Right and wrong differ by mark and colour (after Okabe and Ito, safe for the colour-blind). All
# text is dark on white.
RIGHT, WRONG, NEUTRAL = ("✓", "#007a5e"), ("✗", "#c44e00"), ("", "#444444")
DARK, CAPTION_GREY = "#1a1a1a", "#5a5a5a"
LEGEND = "rank · distance · part of the gallery whose own nearest picture is nearer than that"
Found: TypeAlias = tuple[Dataset, NDArray[np.integer], NDArray[np.floating]]


def result_grid(
    query: Source,
    dataset: Dataset,
    indices: NDArray[np.integer],
    distances: NDArray[np.floating],
    truth: str | None = None,
    metric: str = "euclidean",
    pictures: Sequence[Source] | None = None,
    title: str = "",
) -> Figure:
    """Draw a query beside its nearest pictures, as MATLAB's ``main.m`` shows them.

    Parameters
    ----------
    query : path, array or PIL image
        The picture that was asked about.
    dataset : Dataset
        The one that was asked; its picture files are read, and shown as far as its network saw
        them.
    indices : (k,) int
        Rows of the neighbours in the dataset, nearest first.
    distances : (k,) float
        Their distances.
    truth : str, optional
        The query's breed. Where it is given, right and wrong answers are marked.
    metric : str
        Of the distances.
    pictures : sequence of k paths, arrays or PIL images, optional
        The neighbours themselves, where the dataset names no files.
    title : str, optional
        A text above all.

    Returns
    -------
    matplotlib.figure.Figure
        1 + k tiles, and the votes as bars below the query. A neighbour's title is its breed; below
        stand its rank and distance, what part of the gallery has its own nearest picture nearer
        than that, and the file's name. A picture that is gone leaves a tile that says so.

    Raises
    ------
    DogsimError
        If the query cannot be read.
    """
    figure = _figure(query, [("", (dataset, indices, distances))], truth, metric, pictures)
    if title:
        width, height = figure.get_size_inches()
        lines = textwrap.wrap(title, int(10 * width))
        figure.suptitle("\n".join(lines))
        figure.set_size_inches(width, height + 0.25 * len(lines))
    return figure


def result_grids(
    query: Source, found: Mapping[str, Found], truth: str | None = None, metric: str = "euclidean"
) -> Figure:
    """Draw several answers to one query below each other, such as before and after training.

    Parameters
    ----------
    query, truth, metric
        As for `result_grid`.
    found : mapping of str to (Dataset, (k,) int, (k,) float)
        For each name the dataset, the neighbours' rows and their distances.

    Returns
    -------
    matplotlib.figure.Figure
        As `result_grid` draws it, under each name.

    Raises
    ------
    DogsimError
        If the query cannot be read.
    """
    return _figure(query, list(found.items()), truth, metric)


@lru_cache(maxsize=4)
def own_nearest(dataset: Dataset, metric: str) -> NDArray[np.float64]:
    """How far pictures of a dataset are from their nearest other one, ascending; up to 200 of them.

    Without this, 4, 9 or 0.06 say nothing about how near a picture is.
    """
    if len(dataset) < 2:
        return np.empty(0)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(dataset), min(ASKED, len(dataset)), replace=False))
    features = np.asarray(dataset.features[rows])
    try:
        return np.sort(nearest(dataset, features, 1, metric, rows)[0].ravel())
    except DogsimError:  # features that this metric cannot measure
        return np.empty(0)


def _figure(
    query: Source,
    found: Sequence[tuple[str, Found]],
    truth: str | None,
    metric: str,
    pictures: Sequence[Source] | None = None,
) -> Figure:
    picture = open_image(query)
    shapes = [_shape(len(indices)) for _, (_, indices, _) in found]
    votes = [_votes(dataset, dataset.labels[indices]) for _, (dataset, indices, _) in found]
    columns = max(columns for _, columns in shapes)
    heights = [
        max(_height(dataset, indices, shape), QUERY + BELOW + _bars_height(counts))
        for (_, (dataset, indices, _)), shape, counts in zip(found, shapes, votes, strict=True)
    ]
    spaced = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.06)
    figure = Drawing(figsize=(QUERY + 0.4 + columns * (TILE + 0.1), sum(heights)), layout=spaced)
    if len(own_nearest(found[0][1][0], metric)):
        figure.supxlabel(textwrap.fill(LEGEND, 24 * (columns + 1)), fontsize=8, color=CAPTION_GREY)
    parts = figure.subfigures(len(found), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (name, answer), shape, counts, height in zip(
        parts, found, shapes, votes, heights, strict=True
    ):
        if name:
            part.suptitle(name, x=0.01, ha="left", fontsize=13, color=DARK)
        left, right = part.subfigures(1, 2, width_ratios=[QUERY + 0.4, columns * (TILE + 0.1)])
        _query(left, picture, _name(query), counts, truth, height)
        tiles = list(right.subplots(shape[0], columns, squeeze=False).flat)
        _neighbours(tiles, answer, truth, metric, pictures)
    return figure


def _height(dataset: Dataset, indices: NDArray[np.integer], shape: tuple[int, int]) -> float:
    """Inches of the neighbours' rows; one whose names take two lines is higher."""
    rows = [indices[i : i + shape[1]] for i in range(0, len(indices), shape[1])]
    long = sum(any("\n" in _title(dataset.breed(i)) for i in row) for row in rows)
    return shape[0] * (TILE + TEXT) + long * LINE_INCHES


def _neighbours(
    tiles: Sequence[Axes],
    answer: Found,
    truth: str | None,
    metric: str,
    pictures: Sequence[Source] | None,
) -> None:
    dataset, indices, distances = answer
    own = own_nearest(dataset, metric)
    shown = [dataset.source(row) for row in indices] if pictures is None else pictures
    for tile in tiles:
        tile.set_axis_off()
    for rank, (row, distance) in enumerate(zip(indices, distances, strict=True), 1):
        tile = tiles[rank - 1]
        _picture(tile, shown[rank - 1], dataset.paths[row], dataset.breed(row), truth)
        part = f" · {np.searchsorted(own, distance) / len(own):.0%}" if len(own) else ""
        told = f"#{rank} · {distance:#.3g}{part}"
        tile.set_xlabel(told, fontsize=8.5, color=DARK, labelpad=2)


def _shape(k: int) -> tuple[int, int]:
    """Rows and columns for k tiles: somewhat wider than high."""
    columns = max(1, round((1.5 * k) ** 0.5))
    return -(-k // columns), columns


def _votes(dataset: Dataset, labels: NDArray[np.int32]) -> dict[str, int]:
    """How many votes each breed has, the winner first."""
    counts = count_votes(labels[None])[0]
    votes = {dataset.breed_of_label(int(majority_vote(labels[None])[0])): int(counts.max())}
    for i in np.argsort(-counts, kind="stable"):
        if counts[i]:
            votes.setdefault(dataset.breed_of_label(int(labels[i])), int(counts[i]))
    return votes


def _query(
    part: Any,
    picture: Image.Image,
    name: str,
    votes: Mapping[str, int],
    truth: str | None,
    height: float,
) -> None:
    """Set the query apart: its picture in a thick neutral frame, and below it how was voted."""
    bars = _bars_height(votes)
    rest = max(height - QUERY - bars - BELOW, 0.01)
    tile, chart, empty = part.subplots(3, 1, height_ratios=[QUERY, bars, rest])
    empty.set_axis_off()
    tile.set_title(_fill(f"query: {name}", 34), fontsize=10, color=DARK)
    _show(tile, picture, NEUTRAL[1], 4)
    first, *others = votes.items()
    tie = any(count == first[1] for _, count in others) and "\ntie: the nearest of them decides"
    told = ", ".join(f"{breed} {count}" for breed, count in [first, *others[:2]])
    more = ", ..." if len(others) > 2 else ""
    lines = [_fill(f"is: {truth}", 38)] * (truth is not None) + [_fill(f"voted: {told}{more}", 38)]
    tile.set_xlabel("\n".join(lines) + (tie or ""), fontsize=9, color=DARK)
    _bars(chart, list(votes.items())[:BARS], truth)


def _bars_height(votes: Mapping[str, int]) -> float:
    return BAR * min(len(votes), BARS) + 0.2


def _bars(chart: Axes, votes: Sequence[tuple[str, int]], truth: str | None) -> None:
    places = np.arange(len(votes))
    counts = [count for _, count in votes]
    colours = [_look(breed, truth)[1] for breed, _ in votes]
    chart.barh(places, counts, height=0.4, color=colours)
    for place, (breed, count) in zip(places, votes, strict=True):
        chart.text(0, place - 0.27, _fill(f"{breed} {count}", 34, 1), fontsize=8, color=DARK)
    chart.set(ylim=(len(votes) - 0.5, -0.9), xlim=(0, max(*counts, 1)))
    chart.set_axis_off()


def _picture(tile: Axes, source: Source, path: str, breed: str, truth: str | None) -> None:
    """Show a neighbour under its breed, with its file's name and whether it is right."""
    mark, colour = _look(breed, truth)
    try:
        picture = open_image(source)
    except DogsimError:
        picture = None
        text = f"not found:\n{_fill(path, 22)}\n\nIf it has moved:\n--root FOLDER"
        tile.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, in_layout=False)
    tile.set_axis_on()
    _show(tile, picture, colour, 2.5)
    tile.set_title(_title(breed), fontsize=9.5, color=DARK)
    below: dict[str, Any] = {"transform": tile.transAxes, "ha": "center", "va": "top"}
    tile.text(0.5, -0.14, _fill(Path(path).name, 30, 1), fontsize=6.5, color=CAPTION_GREY, **below)
    if mark:
        badge = {"boxstyle": "circle,pad=0.2", "fc": colour, "ec": "white"}
        place: dict[str, Any] = {"transform": tile.transAxes, "ha": "center", "va": "center"}
        tile.text(0.92, 0.92, mark, fontsize=9, color="white", bbox=badge, **place)


def _title(breed: str) -> str:
    return _fill(breed, 24, 2)


def _look(breed: str, truth: str | None) -> tuple[str, str]:
    return NEUTRAL if truth is None else RIGHT if breed == truth else WRONG


def _fill(text: str, width: int, lines: int = 3) -> str:
    """Break a name that is too long for its place into lines, and cut it off after some."""
    if any(east_asian_width(letter) in "WF" for letter in text):
        width //= 2
    return textwrap.fill(printable(text), width, max_lines=lines, placeholder="…")


def _name(query: Source) -> str:
    file = file_of(query)
    return file.name if file else "a picture"


def _show(tile: Axes, picture: Image.Image | None, colour: str, width: float) -> None:
    """Show a picture of any shape whole, in the middle of a framed square."""
    tile.set(xticks=[], yticks=[], facecolor="#f2f2f2")
    tile.set_box_aspect(1)
    for side in tile.spines.values():
        side.set(color=colour, linewidth=width)
    if picture is not None:
        small = picture.copy()
        small.thumbnail((TILE_PIXELS, TILE_PIXELS))
        tile.imshow(small)
        half, x, y = max(small.size) / 2, (small.width - 1) / 2, (small.height - 1) / 2
        tile.set(xlim=(x - half, x + half), ylim=(y + half, y - half))
