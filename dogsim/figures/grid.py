"""Result grids: a query beside its nearest neighbours."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from unicodedata import east_asian_width

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from PIL import Image

from dogsim.dataset import Dataset, as_dataset
from dogsim.dist_calc import check_metric
from dogsim.errors import DogsimError, as_texts, counted, shown
from dogsim.figures.canvas import Drawing
from dogsim.images import Source, file_of, open_image
from dogsim.plumbing.arrays import as_numbers, as_row_indices
from dogsim.plumbing.terminal import printable
from dogsim.retrieval.own_neighbours import own_nearest
from dogsim.vote import count_votes, majority_vote

TILE_INCHES, TEXT_INCHES = 1.75, 0.75  # a neighbour's square, and the lines above and below it
LINE_INCHES = 0.16  # a second line of text
QUERY_INCHES, QUERY_TEXT_INCHES = 2.7, 1.3  # the query's column, and the text above and below it
BAR_INCHES, MAX_BARS = 0.3, 6
TITLE_SIZE = 24, 2  # letters and lines
MAX_TILE_PIXELS = 400
# Right and wrong differ by mark and colour (after Okabe and Ito, safe for the colour-blind). All
# text is dark on white.
RIGHT, WRONG, NEUTRAL = ("✓", "#007a5e"), ("✗", "#c44e00"), ("", "#444444")
DARK, CAPTION_GREY = "#1a1a1a", "#5a5a5a"
LEGEND = "rank · distance · fraction of gallery images whose own nearest neighbour is nearer"
Found: TypeAlias = tuple[Dataset, NDArray[np.integer], NDArray[np.floating]]


def result_grid(
    query: Source,
    dataset: Dataset,
    indices: NDArray[np.integer],
    distances: NDArray[np.floating],
    truth: str | None = None,
    metric: str = "euclidean",
    images: Sequence[Source] | None = None,
    title: str = "",
) -> Figure:
    """Draw a query beside its nearest neighbours, as MATLAB's ``main.m`` shows them.

    Parameters
    ----------
    query : path, array or PIL image
    dataset : Dataset
        The gallery. Its image files are read, and cropped as their features were computed.
    indices : (k,) int
        Rows of the neighbours in the dataset, nearest first.
    distances : (k,) float
        Their distances.
    truth : str, optional
        The query's breed. With it, the neighbours are marked right or wrong.
    metric : str
        Metric of the distances.
    images : sequence of k paths, arrays or PIL images, optional
        The neighbours, if the dataset has no files.
    title : str, optional
        A text above the grid.

    Returns
    -------
    matplotlib.figure.Figure
        1 + k tiles, with the votes as bars below the query. A neighbour's title is its breed. Below
        it are its rank, its distance, the fraction of gallery images whose nearest neighbour is
        nearer than that, and the name of the file. The tile of a missing file says so.

    Raises
    ------
    DogsimError
        If the query cannot be read.
    """
    answer = _checked((dataset, indices, distances), truth, metric, title)
    figure = _figure(query, [("", answer)], truth, metric, images)
    if title:
        width, height = figure.get_size_inches()
        lines = textwrap.wrap(title, int(10 * width))
        figure.suptitle("\n".join(lines))
        figure.set_size_inches(width, height + 0.25 * len(lines))
    return figure


def result_grids(
    query: Source, found: Mapping[str, Found], truth: str | None = None, metric: str = "euclidean"
) -> Figure:
    """Draw several result grids of one query below each other, such as before and after training.

    Parameters
    ----------
    query, truth, metric
        As for `result_grid`, which raises the same errors.
    found : mapping of str to (Dataset, (k,) int, (k,) float)
        For each title the dataset, and the rows and distances of the neighbours.
    """
    if not isinstance(found, Mapping) or not found:
        raise DogsimError(f"Received {shown(found)}. Expected neighbours by their titles.")
    grids = [(each, _checked(answer, truth, metric, each)) for each, answer in found.items()]
    return _figure(query, grids, truth, metric)


def _figure(
    query: Source,
    found: Sequence[tuple[str, Found]],
    truth: str | None,
    metric: str,
    images: Sequence[Source] | None = None,
) -> Figure:
    image = open_image(query)
    shapes = [_shape(len(indices)) for _, (_, indices, _) in found]
    votes = [_votes(dataset, dataset.labels[indices]) for _, (dataset, indices, _) in found]
    columns = max(columns for _, columns in shapes)
    query_height = QUERY_INCHES + QUERY_TEXT_INCHES
    heights = [
        max(_tiles_height(dataset, indices, shape), query_height + _bars_height(counts))
        for (_, (dataset, indices, _)), shape, counts in zip(found, shapes, votes, strict=True)
    ]
    widths = [QUERY_INCHES + 0.4, columns * (TILE_INCHES + 0.1)]
    spaced = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.06)
    figure = Drawing(figsize=(sum(widths), sum(heights)), layout=spaced)
    if len(own_nearest(found[0][1][0], metric)):
        figure.supxlabel(textwrap.fill(LEGEND, 24 * (columns + 1)), fontsize=8, color=CAPTION_GREY)
    parts = figure.subfigures(len(found), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (title, answer), shape, counts, height in zip(
        parts, found, shapes, votes, heights, strict=True
    ):
        if title:
            part.suptitle(title, x=0.01, ha="left", fontsize=13, color=DARK)
        left, right = part.subfigures(1, 2, width_ratios=widths)
        _draw_query(left, image, file_of(query), counts, truth, height)
        tiles = list(right.subplots(shape[0], columns, squeeze=False).flat)
        _draw_neighbours(tiles, answer, truth, metric, images)
    return figure


def _checked(answer: Found, truth: str | None, metric: str, title: str = "") -> Found:
    """Return a dataset, rows (k,) and distances (k,); raise `DogsimError` for anything else."""
    check_metric(metric)
    as_texts("truth and title", ["" if truth is None else truth, title])
    if not isinstance(answer, tuple | list) or len(answer) != 3:
        raise DogsimError(f"Received {shown(answer)}. Expected a dataset, rows and distances.")
    dataset = as_dataset(answer[0])
    rows = as_row_indices("indices", answer[1], len(dataset))
    values = as_numbers("distances", answer[2], ndim=1)
    if not 0 < len(rows) == len(values):
        raise DogsimError(f"Received {len(rows)} indices and {len(values)} distances.")
    return dataset, rows, values


def _tiles_height(dataset: Dataset, indices: NDArray[np.integer], shape: tuple[int, int]) -> float:
    """Return the height of the neighbours in inches; a row with a title of two lines is higher."""
    rows = [indices[i : i + shape[1]] for i in range(0, len(indices), shape[1])]
    long = sum(any("\n" in _fill(dataset.breed(i), *TITLE_SIZE) for i in row) for row in rows)
    return shape[0] * (TILE_INCHES + TEXT_INCHES) + long * LINE_INCHES


def _draw_neighbours(
    tiles: Sequence[Axes],
    answer: Found,
    truth: str | None,
    metric: str,
    images: Sequence[Source] | None,
) -> None:
    dataset, indices, distances = answer
    own = own_nearest(dataset, metric)
    sources = [dataset.source(row) for row in indices] if images is None else images
    if not isinstance(sources, Sequence) or len(sources) != len(indices):
        raise DogsimError(
            f"Received {shown(sources)}. Expected a list of {counted(len(indices), 'image')}."
        )
    for tile in tiles:
        tile.set_axis_off()
    for i, (row, distance) in enumerate(zip(indices, distances, strict=True)):
        _draw_neighbour(tiles[i], sources[i], dataset.paths[row], dataset.breed(row), truth)
        fraction = f" · {np.searchsorted(own, distance) / len(own):.0%}" if len(own) else ""
        caption = f"#{i + 1} · {distance:#.3g}{fraction}"
        tiles[i].set_xlabel(caption, fontsize=8.5, color=DARK, labelpad=2)


def _shape(k: int) -> tuple[int, int]:
    """Return the rows and columns for k tiles, so that the figure is somewhat wider than high."""
    columns = max(1, round((1.5 * k) ** 0.5))
    return -(-k // columns), columns


def _votes(dataset: Dataset, labels: NDArray[np.int32]) -> dict[str, int]:
    """Return the votes of each breed, the winner first."""
    counts = count_votes(labels[None])[0]
    votes = {dataset.breed_of_label(int(majority_vote(labels[None])[0])): int(counts.max())}
    for i in np.argsort(-counts, kind="stable"):
        if counts[i]:
            votes.setdefault(dataset.breed_of_label(int(labels[i])), int(counts[i]))
    return votes


def _draw_query(
    part: Any,
    image: Image.Image,
    file: Path | None,
    votes: Mapping[str, int],
    truth: str | None,
    height: float,
) -> None:
    """Draw the query in a thick neutral frame, and the votes below it."""
    bars = _bars_height(votes)
    rest = max(height - QUERY_INCHES - bars - QUERY_TEXT_INCHES, 0.01)
    tile, chart, empty = part.subplots(3, 1, height_ratios=[QUERY_INCHES, bars, rest])
    empty.set_axis_off()
    name = file.name if file else "an image"
    tile.set_title(_fill(f"query: {name}", 34), fontsize=10, color=DARK)
    _draw_image(tile, image, NEUTRAL[1], 4)
    first, *others = votes.items()
    counts = ", ".join(f"{breed} {count}" for breed, count in [first, *others[:2]])
    more = ", ..." if len(others) > 2 else ""
    lines = [_fill(f"breed: {truth}", 38)] if truth is not None else []
    lines.append(_fill(f"votes: {counts}{more}", 38))
    if any(count == first[1] for _, count in others):
        lines.append("tie: the nearest neighbour decides")
    tile.set_xlabel("\n".join(lines), fontsize=9, color=DARK)
    _draw_bars(chart, list(votes.items())[:MAX_BARS], truth)


def _bars_height(votes: Mapping[str, int]) -> float:
    return BAR_INCHES * min(len(votes), MAX_BARS) + 0.2


def _draw_bars(chart: Axes, votes: Sequence[tuple[str, int]], truth: str | None) -> None:
    positions = np.arange(len(votes))
    counts = [count for _, count in votes]
    colours = [_mark(breed, truth)[1] for breed, _ in votes]
    chart.barh(positions, counts, height=0.4, color=colours)
    for position, (breed, count) in zip(positions, votes, strict=True):
        chart.text(0, position - 0.27, _fill(f"{breed} {count}", 34, 1), fontsize=8, color=DARK)
    chart.set(ylim=(len(votes) - 0.5, -0.9), xlim=(0, max(*counts, 1)))
    chart.set_axis_off()


def _draw_neighbour(tile: Axes, source: Source, path: str, breed: str, truth: str | None) -> None:
    """Draw a neighbour with its breed, the name of its file, and a mark for right or wrong."""
    mark, colour = _mark(breed, truth)
    try:
        image = open_image(source)
    except DogsimError:
        image = None
        text = f"not found:\n{_fill(path, 22)}\n\nIf it has moved:\n--root FOLDER"
        tile.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, in_layout=False)
    tile.set_axis_on()
    _draw_image(tile, image, colour, 2.5)
    tile.set_title(_fill(breed, *TITLE_SIZE), fontsize=9.5, color=DARK)
    below: dict[str, Any] = {"transform": tile.transAxes, "ha": "center", "va": "top"}
    tile.text(0.5, -0.14, _fill(Path(path).name, 30, 1), fontsize=6.5, color=CAPTION_GREY, **below)
    if mark:
        badge = {"boxstyle": "circle,pad=0.2", "fc": colour, "ec": "white"}
        corner: dict[str, Any] = {"transform": tile.transAxes, "ha": "center", "va": "center"}
        tile.text(0.92, 0.92, mark, fontsize=9, color="white", bbox=badge, **corner)


def _mark(breed: str, truth: str | None) -> tuple[str, str]:
    return NEUTRAL if truth is None else RIGHT if breed == truth else WRONG


def _fill(text: str, width: int, lines: int = 3) -> str:
    """Wrap a text to at most `lines` lines of `width` letters, and cut off the rest."""
    if any(east_asian_width(letter) in "WF" for letter in text):
        width //= 2
    return textwrap.fill(printable(text), width, max_lines=lines, placeholder="…")


def _draw_image(tile: Axes, image: Image.Image | None, colour: str, width: float) -> None:
    """Draw an image of any shape, whole, in the middle of a framed square."""
    tile.set(xticks=[], yticks=[], facecolor="#f2f2f2")
    tile.set_box_aspect(1)
    for side in tile.spines.values():
        side.set(color=colour, linewidth=width)
    if image is not None:
        small = image.copy()
        small.thumbnail((MAX_TILE_PIXELS, MAX_TILE_PIXELS))
        tile.imshow(small)
        half, x, y = max(small.size) / 2, (small.width - 1) / 2, (small.height - 1) / 2
        tile.set(xlim=(x - half, x + half), ylim=(y + half, y - half))
