"""Result grids: a query beside its nearest neighbours."""

import textwrap
from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from dogsim.dataset import Dataset, as_dataset
from dogsim.dist_calc import check_metric
from dogsim.errors import DogsimError, as_texts, counted, shown
from dogsim.figures.canvas import Drawing
from dogsim.figures.tiles import (
    CAPTION_GREY,
    DARK,
    TITLE_SIZE,
    Mark,
    bars_height,
    breed_marks,
    draw_bars,
    draw_neighbour,
    draw_query,
    wrapped,
)
from dogsim.images import Source, file_of, open_image
from dogsim.plumbing.arrays import as_numbers, as_row_indices
from dogsim.retrieval.pair_distances import closer_text, fraction_farther, pair_distances
from dogsim.vote import count_votes, majority_vote

TILE_INCHES, TEXT_INCHES = 1.75, 0.75  # a neighbour's square, and the lines above and below it
CAPTION_SIZE = 7.5  # the longest usual caption, "#20 · 14.6 · closer than 99.9 %", fits into a tile
LINE_INCHES = 0.16  # a second line of text
QUERY_INCHES, QUERY_TEXT_INCHES = 2.0, 0.95  # the query's column, and the text above and below it
BARS_WIDTH_INCHES = 1.6  # of the votes beside the query, if the neighbours fill one row only
MAX_ROW = 5  # neighbours in a single row
LEGEND = (
    'Below each image are its rank and its distance to the query. "Closer than 90 %" means that '
    "of all pairs of images of the gallery, 90 % are farther apart than this image and the query."
)
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
        The query's breed. With it, the neighbours are marked right or wrong. Without it, the
        frame of a neighbour has the colour of its breed's votes.
    metric : str
        Metric of the distances.
    images : sequence of k paths, arrays or PIL images, optional
        The neighbours, if the dataset has no files.
    title : str, optional
        A text above the grid.

    Returns
    -------
    matplotlib.figure.Figure
        1 + k tiles, with the votes as bars below or beside the query. A neighbour's title is its
        breed. Below it are its rank, its distance, the percentage of the pairs of gallery images
        that are farther apart than that, as "closer than 90 %", and the name of the file. The tile
        of a missing file says so. Below the query is the breed that wins the vote.

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
    shapes = [_shape(len(indices)) for _, (_, indices, _) in found]
    votes = [_votes(dataset, dataset.labels[indices]) for _, (dataset, indices, _) in found]
    columns = max(columns for _, columns in shapes)
    beside = max(rows for rows, _ in shapes) == 1  # the votes, which are below it otherwise
    heights = [
        _height(answer, shape, 0 if beside else bars_height(counts))
        for (_, answer), shape, counts in zip(found, shapes, votes, strict=True)
    ]
    widths = [
        QUERY_INCHES + 0.2 + beside * BARS_WIDTH_INCHES,
        columns * (TILE_INCHES + 0.1),
    ]
    figure = _empty_figure(widths, heights, bool(len(pair_distances(found[0][1][0], metric))))
    parts = figure.subfigures(len(found), 1, height_ratios=heights, squeeze=False)[:, 0]
    for part, (title, answer), shape, counts, height in zip(
        parts, found, shapes, votes, heights, strict=True
    ):
        if title:
            part.suptitle(title, x=0.01, ha="left", fontsize=13, color=DARK)
        left, right = part.subfigures(1, 2, width_ratios=widths)
        marks = breed_marks(counts, truth)
        _draw_query_column(left, query, counts, truth, marks, height, beside)
        tiles = right.subplots(shape[0], columns, squeeze=False)
        _draw_neighbours(list(tiles.flat), answer, marks, metric, images)
    return figure


def _empty_figure(widths: Sequence[float], heights: Sequence[float], legend: bool) -> Figure:
    spaced = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.06)
    figure = Drawing(figsize=(sum(widths), sum(heights)), layout=spaced)
    if legend:
        lines = textwrap.fill(LEGEND, int(13 * sum(widths)))
        figure.supxlabel(lines, fontsize=8, color=CAPTION_GREY)
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


def _height(answer: Found, shape: tuple[int, int], bars: float) -> float:
    """Return the height in inches: of the neighbours, or of the query with the bars below it.

    A row with a title of two lines is higher.
    """
    dataset, indices, _ = answer
    rows = [indices[i : i + shape[1]] for i in range(0, len(indices), shape[1])]
    long = sum(any("\n" in wrapped(dataset.breed(i), *TITLE_SIZE) for i in row) for row in rows)
    tiles = shape[0] * (TILE_INCHES + TEXT_INCHES) + long * LINE_INCHES
    return max(tiles, QUERY_INCHES + QUERY_TEXT_INCHES + bars)


def _draw_neighbours(
    tiles: Sequence[Axes],
    answer: Found,
    marks: Mapping[str, Mark],
    metric: str,
    images: Sequence[Source] | None,
) -> None:
    dataset, indices, distances = answer
    farther = fraction_farther(dataset, distances, metric)  # (k,)
    sources = [dataset.source(row) for row in indices] if images is None else images
    if not isinstance(sources, Sequence) or len(sources) != len(indices):
        raise DogsimError(
            f"Received {shown(sources)}. Expected a list of {counted(len(indices), 'image')}."
        )
    for tile in tiles:
        tile.set_axis_off()
    for i, (row, distance) in enumerate(zip(indices, distances, strict=True)):
        breed = dataset.breed(row)
        draw_neighbour(tiles[i], sources[i], dataset.paths[row], breed, marks[breed])
        closer = f" · {closer_text(farther[i])}" if farther is not None else ""
        caption = f"#{i + 1} · {distance:#.3g}{closer}"
        tiles[i].set_xlabel(caption, fontsize=CAPTION_SIZE, color=DARK, labelpad=2)


def _shape(k: int) -> tuple[int, int]:
    """Return the rows and columns for k tiles.

    Of the numbers of columns that make the figure wider than high, the one that leaves the fewest
    tiles empty.
    """
    if k <= MAX_ROW:
        return 1, k
    columns = min(
        range(isqrt(k), isqrt(4 * k) + 1),
        key=lambda columns: (-k % columns, abs(columns - (1.5 * k) ** 0.5)),
    )
    return -(-k // columns), columns


def _votes(dataset: Dataset, labels: NDArray[np.int32]) -> dict[str, int]:
    """Return the votes of each breed, the winner first."""
    counts = count_votes(labels[None])[0]
    votes = {dataset.breed_of_label(int(majority_vote(labels[None])[0])): int(counts.max())}
    for i in np.argsort(-counts, kind="stable"):
        if counts[i]:
            votes.setdefault(dataset.breed_of_label(int(labels[i])), int(counts[i]))
    return votes


def _draw_query_column(
    part: Any,
    query: Source,
    votes: Mapping[str, int],
    truth: str | None,
    marks: Mapping[str, Mark],
    height: float,
    beside: bool,
) -> None:
    """Draw the query and its votes, which are below or beside it."""
    if beside:
        tile, chart = part.subplots(1, 2, width_ratios=[QUERY_INCHES, BARS_WIDTH_INCHES])
    else:
        bars = bars_height(votes)
        rest = max(height - QUERY_INCHES - bars - QUERY_TEXT_INCHES, 0.01)
        tile, chart, empty = part.subplots(3, 1, height_ratios=[QUERY_INCHES, bars, rest])
        empty.set_axis_off()
    draw_query(tile, open_image(query), file_of(query), votes, truth)
    draw_bars(chart, votes, marks, MAX_ROW if beside else 0)
