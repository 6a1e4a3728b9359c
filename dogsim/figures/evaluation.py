"""Figures of an evaluation: curves over k, confusion matrix, distances and worst mistakes."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import dist_calc, nearest
from dogsim.errors import counted
from dogsim.figures.canvas import BLUE, GREEN, GREY, VERMILION, Drawing
from dogsim.figures.distances import tree_order
from dogsim.figures.grid import result_grid
from dogsim.retrieval.evaluation import Evaluation
from dogsim.retrieval.query_expansion import as_ranked
from dogsim.retrieval.scores import Accuracy, Neighbours, confusions, measure

CURVES = (  # name, attribute of Accuracy, colour, line style
    ("precision@k", "precision_at_k", BLUE, "-"),
    ("recall@k", "recall_at_k", VERMILION, "--"),
    ("vote accuracy", "vote_accuracy", GREEN, "-."),
)
MAX_CURVE_K = 100
MAX_NUMBERED_BREEDS = 40  # a larger confusion matrix has no numbers in its cells
MAX_LABELLED_BREEDS = 60  # of more breeds, every second or third is labelled
MAX_PAIRS_LISTED = 10
HISTOGRAM_IMAGES = 200
MAX_HISTOGRAM_ROWS = 20_000  # that they are compared with, drawn at random


def accuracy_figures(
    dataset: DatasetOrFile,
    k: int | None = None,
    testset: DatasetOrFile | None = None,
    n_test: int | None = None,
    metric: str = "euclidean",
    protocol: str = "honest",
    seed: int = 0,
    vote: str = "uniform",
) -> Iterator[tuple[str, Figure]]:
    """Draw all figures of this module from one search.

    Parameters and errors are those of `dogsim.accuracy`. Yields a name for each figure, and the
    figure.
    """
    evaluation = Evaluation(
        as_dataset(dataset),
        None if testset is None else as_dataset(testset),
        n_test=n_test,
        metric=metric,
        protocol=protocol,
        seed=seed,
        vote=vote,
    )
    return evaluation_figures(evaluation, k)


def evaluation_figures(evaluation: Evaluation, k: int | None) -> Iterator[tuple[str, Figure]]:
    """Draw all figures of this module as `accuracy_figures` does, for the votes of k neighbours."""
    k = evaluation.check_k(k)
    found = evaluation.neighbours(min(max(k, MAX_CURVE_K), evaluation.max_k))
    dataset, metric = evaluation.dataset, evaluation.metric
    yield "curves", curves_over_k(found)
    yield "confusions", confusion_matrix(found.first(k), tree_order(dataset, metric))
    yield "distances", distance_histogram(dataset, metric, seed=evaluation.seed)
    yield from worst_mistakes(found.first(k), dataset, evaluation.testset)


def curves_over_k(found: Neighbours) -> Figure:
    """Draw precision@k, recall@k and vote accuracy for every k up to that of the neighbours.

    They are labelled lines from 0 to 1, with the chance level, the 95 % interval of the vote
    accuracy and the number of queries.
    """
    return draw_curves(measure_each_k(found))


def measure_each_k(found: Neighbours) -> list[Accuracy]:
    """Compute the scores for every k up to that of the neighbours."""
    least = 2 if found.protocol == "matlab" else 1
    return [measure(found.first(k)) for k in range(least, found.k + 1)]


def draw_curves(results: Sequence[Accuracy]) -> Figure:
    """Draw the result of `measure_each_k` as `curves_over_k` does."""
    ks, chance = [result.k for result in results], results[0].chance
    figure = Drawing((7, 4.2), layout="constrained")
    axes = figure.subplots()
    ends = [(chance, "chance", GREY)]
    for name, attribute, colour, style in CURVES:
        values = [getattr(result, attribute) for result in results]
        axes.plot(ks, values, style, color=colour, lw=2, marker="" if len(ks) > 1 else "o")
        ends.append((values[-1], name, colour))
    low, high = zip(*(result.vote_accuracy_ci95 for result in results), strict=True)
    axes.fill_between(ks, low, high, color=GREEN, alpha=0.15, lw=0)
    axes.axhline(chance, color=GREY, lw=1, ls=":")
    _label_lines(axes, ks[-1], ends)
    axes.set(xlabel="k, neighbours", ylim=(0, 1), xlim=(ks[0] - (len(ks) == 1), ks[-1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    queries = counted(results[0].queries, "query", "queries")
    text = f"{queries}, gallery of {counted(results[0].gallery, 'image')}, {results[0].metric}"
    axes.set_title(text, fontsize=10, loc="left")
    return figure


def _label_lines(axes: Axes, x: int, ends: list[tuple[float, str, str]]) -> None:
    """Write the names of lines at their ends, without overlap."""
    height = -1.0
    for value, name, colour in sorted(ends):
        height = max(value, height + 0.06)
        axes.annotate(
            f"{name} {value:.3f}", (x, height), (6, 0), textcoords="offset points", color=colour,
            va="center", fontsize=9, annotation_clip=False,
        )  # fmt: skip


def confusion_matrix(found: Neighbours, order: NDArray[np.integer]) -> Figure:
    """Draw the confusion matrix of the vote, and list the most frequent confusions beside it.

    Row: the breed; column: the breed that won the vote. Each row adds up to 1. Breeds without
    queries have no row. `order`, (c,) int, has the labels in the order of rows and columns. With
    `tree_order`, similar breeds are adjacent and their confusions are near the diagonal.
    """
    predictions = found.predictions
    rows = [label for label in order if (found.truth == label).any()]
    columns = [label for label in order if label in rows or (predictions == label).any()]
    matrix = np.array(
        [[np.mean(predictions[found.truth == i] == j) for j in columns] for i in rows]
    )  # (rows, columns)
    side = float(np.clip(0.32 * len(columns), 5, 11))
    figure = Drawing((side + 4.2, side + 1.5), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    axes, beside = figure.subplots(1, 2, width_ratios=[side, 3.2])
    axes.imshow(matrix, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    step = -(-len(columns) // MAX_LABELLED_BREEDS)
    font = {"fontsize": 9 if len(columns) <= MAX_NUMBERED_BREEDS else 7}
    for set_ticks, labels, turn in ((axes.set_xticks, columns, 90), (axes.set_yticks, rows, 0)):
        names = [found.breeds[label] for label in labels[::step]]
        set_ticks(range(0, len(labels), step), names, rotation=turn, **font)
    axes.set(xlabel="voted", ylabel="breed")
    if len(columns) <= MAX_NUMBERED_BREEDS:
        _write_percentages(axes, matrix)
    correct, k = float((predictions == found.truth).mean()), found.labels.shape[1]
    title = f"vote of {k}: {correct:.1%} of {len(predictions)} correct"
    axes.set_title(title, fontsize=11, loc="left")
    _list_confusions(beside, found)
    return figure


def _write_percentages(axes: Axes, matrix: NDArray[np.float64]) -> None:
    size = 8 if matrix.shape[1] <= 15 else 6
    for row, column in np.argwhere(matrix >= 0.005):
        value = matrix[row, column]
        colour = "white" if value > 0.5 else "black"
        axes.text(column, row, f"{100 * value:.0f}", ha="center", va="center", size=size, c=colour)


def _list_confusions(axes: Axes, found: Neighbours) -> None:
    axes.set_axis_off()
    pairs = confusions(found)[:MAX_PAIRS_LISTED]
    lines = [
        f"{pair.count} of {round(pair.count / pair.part)}  {pair.breed}\n      → {pair.taken_for}"
        for pair in pairs
    ]
    text = "\n".join(lines) or "No breed is confused with another."
    title = "most often confused\n\n" if pairs else ""
    axes.text(0, 1, title + text, va="top", size=9, transform=axes.transAxes)


def worst_mistakes(
    found: Neighbours, dataset: Dataset, testset: Dataset | None = None, n: int = 6
) -> Iterator[tuple[str, Figure]]:
    """Draw the wrongly predicted queries with the most votes, as result grids.

    Yields a name for each of at most n grids, and the grid. `dataset` and `testset` are those of
    the search. Queries whose image file is missing are left out.
    """
    source = dataset if testset is None else testset
    predictions = found.predictions
    votes = (found.labels == predictions[:, None]).sum(axis=1)  # (n,)
    wrong = np.flatnonzero((predictions != found.truth) & (predictions >= 0))
    worst = wrong[np.argsort(-votes[wrong], kind="stable")]
    readable = (i for i in worst if source.image_file(found.rows[i]).is_file())
    for number, i in zip(range(1, n + 1), readable, strict=False):
        row = int(found.rows[i])
        grid = result_grid(
            source.source(row),
            dataset,
            found.indices[i],
            found.distances[i],
            truth=source.breed(row),
            metric=found.metric,
        )
        yield f"mistake-{number}", grid


def distance_histogram(
    dataset: Dataset,
    metric: str = "euclidean",
    nearest: NDArray[np.floating] | None = None,
    seed: int = 0,
) -> Figure:
    """Draw histograms of distances within breeds, between breeds, and to the nearest image.

    The histograms have area 1. Up to `HISTOGRAM_IMAGES` images, drawn at random with `seed`, are
    compared with the others, at most `MAX_HISTOGRAM_ROWS` of them; the nearest is that of all.
    `nearest`, (k,) float, are distances of a query's neighbours, marked below the curves. Raises as
    `dogsim.dist_calc` does.
    """
    own, others, first = sampled_distances(as_ranked(dataset), metric, seed)
    marks = np.empty(0) if nearest is None else nearest
    values = np.concatenate([own, others, first, marks])
    bins = np.linspace(float(values.min(initial=0)), float(values.max(initial=1)), 80).tolist()
    figure = Drawing((7, 3.8), layout="constrained")
    axes = figure.subplots()
    for distances, name, colour, style in (
        (others, "other breeds", VERMILION, "--"),
        (own, "own breed", BLUE, "-"),
        (first, "nearest image", GREY, ":"),
    ):
        if len(distances):
            axes.hist(distances, bins, density=True, histtype="step", color=colour, ls=style,
                      lw=1.8, label=f"{name}: median {np.median(distances):.3g}")  # fmt: skip
    if len(marks):
        label = "neighbours of this query"
        axes.plot(marks, np.zeros(len(marks)), "^k", ms=7, clip_on=False, label=label)
    axes.set(xlabel=f"{metric} distance", yticks=[])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title("Distances of an image to ...", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=9)
    return figure


def sampled_distances(
    dataset: Dataset, metric: str, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Compute distances of some images to their own breed, to others and to their nearest image."""
    known = np.flatnonzero(dataset.labels >= 0)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(known, min(HISTOGRAM_IMAGES, len(known)), replace=False))
    others = np.arange(len(dataset))
    if len(others) > MAX_HISTOGRAM_ROWS:
        others = np.sort(rng.choice(others, MAX_HISTOGRAM_ROWS, replace=False))
    queries = dataset.features[rows]
    distances = dist_calc(dataset.features[others], queries, metric)  # (m, n)
    same_breed = dataset.labels[rows][:, None] == dataset.labels[others]  # (m, n)
    itself = others == rows[:, None]  # (m, n)
    alone = len(dataset) == 1
    first = np.empty(0) if alone else nearest(dataset, queries, 1, metric, rows)[0].ravel()  # (m,)
    return distances[same_breed & ~itself], distances[~same_breed], first
