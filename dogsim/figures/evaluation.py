"""How good the answers are, and where they go wrong, as figures."""

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

from dogsim.accuracy import measure
from dogsim.dataset import Dataset, DatasetOrFile, as_dataset
from dogsim.dist_calc import dist_calc
from dogsim.figures.canvas import Drawing
from dogsim.figures.grid import result_grid
from dogsim.figures.tree import tree_order
from dogsim.retrieval.by_breed import confusions
from dogsim.retrieval.evaluation import Neighbours, Search
from dogsim.retrieval.query_expansion import as_ranked
from dogsim.vote import check_vote

CURVES = (  # name, attribute of Accuracy, Okabe and Ito's colour, style
    ("precision@k", "precision_at_k", "#0072b2", "-"),
    ("recall@k", "recall_at_k", "#d55e00", "--"),
    ("vote accuracy", "vote_accuracy", "#007a5e", "-."),
)
MOST_K = 100  # of the curves
FEW = 40  # breeds up to which a matrix has its numbers
WORST = 10  # pairs that are named
ASKED = 200  # pictures whose distances a histogram takes


def accuracy_figures(
    dataset: DatasetOrFile,
    k: int = 20,
    testset: DatasetOrFile | None = None,
    n_test: int | None = None,
    metric: str = "euclidean",
    protocol: str = "honest",
    seed: int = 0,
    vote: str = "uniform",
    found: Neighbours | None = None,
) -> Iterator[tuple[str, Figure]]:
    """Draw all that is below, by one search.

    Takes and raises what `dogsim.accuracy` does. `found` is what
    `neighbours_to_draw` gives, where that has been done already.

    Yields
    ------
    str, matplotlib.figure.Figure
        A name for each figure, and the figure.
    """
    dataset = as_dataset(dataset)
    testset = None if testset is None else as_dataset(testset)
    check_vote(vote)
    if found is None:
        found = neighbours_to_draw(Search(dataset, testset, n_test, metric, protocol, seed), k)
    yield "curves", curves_over_k(found)
    counted = k - (protocol == "matlab")
    yield "confusions", confusion_matrix(found, counted, tree_order(dataset, metric), vote)
    yield "distances", distance_histogram(dataset, metric, seed=seed)
    yield from worst_mistakes(found, dataset, counted, testset, vote)


def neighbours_to_draw(search: Search, k: int) -> Neighbours:
    """Find k neighbours, and as many as the curves show; raises `DogsimError` for a wrong k."""
    search.check_k(k)
    return search.neighbours(min(max(k, MOST_K), search.most))


def curves_over_k(found: Neighbours) -> Figure:
    """Draw precision@k, recall@k and vote accuracy for all k that were found.

    Parameters
    ----------
    found : Neighbours
        By one search, of the largest k.

    Returns
    -------
    matplotlib.figure.Figure
        Lines from 0 to 1 that bear their names, with the line of chance, the vote's 95 % interval
        and the number of queries.
    """
    first = 2 if found.protocol == "matlab" else 1
    results = [measure(found, k) for k in range(first, found.labels.shape[1] + 1)]
    ks = [result.k for result in results]
    figure = Drawing((7, 4.2), layout="constrained")
    axes = figure.subplots()
    ends = []
    for name, attribute, colour, style in CURVES:
        values = [getattr(result, attribute) for result in results]
        axes.plot(ks, values, style, color=colour, lw=2, marker="" if len(ks) > 1 else "o")
        ends.append((values[-1], name, colour))
    low, high = zip(*(result.vote_accuracy_ci95 for result in results), strict=True)
    axes.fill_between(ks, low, high, color=CURVES[2][2], alpha=0.15, lw=0)
    axes.axhline(results[0].chance, color="#555555", lw=1, ls=":")
    ends.append((results[0].chance, "chance", "#555555"))
    _name_lines(axes, ks[-1], ends)
    axes.set(xlabel="k, neighbours", ylim=(0, 1), xlim=(ks[0] - (len(ks) == 1), ks[-1]))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    text = f"{results[0].queries} queries, {found.gallery} pictures to choose from, {found.metric}"
    axes.set_title(text, fontsize=10, loc="left")
    return figure


def _name_lines(axes: Axes, x: int, ends: list[tuple[float, str, str]]) -> None:
    """Write names at the ends of lines, none over another."""
    height = -1.0
    for value, name, colour in sorted(ends):
        height = max(value, height + 0.06)
        axes.annotate(
            f"{name} {value:.3f}", (x, height), (6, 0), textcoords="offset points", color=colour,
            va="center", fontsize=9, annotation_clip=False,
        )  # fmt: skip


def confusion_matrix(
    found: Neighbours, k: int, order: NDArray[np.integer], vote: str = "uniform"
) -> Figure:
    """Draw for which breed the vote takes each breed, and name the ten worst pairs beside it.

    Parameters
    ----------
    found : Neighbours
    k : int
        How many of the neighbours vote.
    order : (c,) int
        The labels in the order of rows and columns, such as `tree_order` gives: breeds that look
        alike lie together, and mistakes near the diagonal.
    vote : {"uniform", "distance"}

    Returns
    -------
    matplotlib.figure.Figure
        Row: the breed; column: what it was taken for. Each row adds up to 1. Breeds without
        queries have no row.
    """
    answers = found.answers(k, vote)
    rows = [label for label in order if (found.truth == label).any()]
    columns = [label for label in order if label in rows or (answers == label).any()]
    parts = np.array([[np.mean(answers[found.truth == i] == j) for j in columns] for i in rows])
    side = float(np.clip(0.32 * len(columns), 5, 11))
    figure = Drawing((side + 4.2, side + 1.5), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    axes, beside = figure.subplots(1, 2, width_ratios=[side, 3.2])
    axes.imshow(parts, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    step = -(-len(columns) // 60)  # labels thin out: so many fit beside each other
    names = [found.breeds[label] for label in columns]
    size = 9 if len(columns) <= FEW else 7
    axes.set_xticks(range(0, len(names), step), names[::step], rotation=90, fontsize=size)
    own = [found.breeds[label] for label in rows]
    axes.set_yticks(range(0, len(own), step), own[::step], fontsize=size)
    axes.set_xlabel("taken for")
    axes.set_ylabel("breed")
    right = float((answers == found.truth).mean())
    axes.set_title(f"vote of {k}: {right:.1%} of {len(answers)} right", fontsize=11, loc="left")
    if len(columns) <= FEW:
        _numbers(axes, parts)
    _worst_pairs(beside, found, k, vote)
    return figure


def _numbers(axes: Axes, parts: NDArray[np.float64]) -> None:
    size = 8 if parts.shape[1] <= 15 else 6
    for row, column in np.argwhere(parts >= 0.005):
        part = parts[row, column]
        colour = "white" if part > 0.5 else "black"
        axes.text(column, row, f"{100 * part:.0f}", ha="center", va="center", size=size, c=colour)


def _worst_pairs(axes: Axes, found: Neighbours, k: int, vote: str) -> None:
    axes.set_axis_off()
    worst = confusions(found, k, vote)[:WORST]
    lines = [
        f"{c.count} of {round(c.count / c.part)}  {c.breed}\n      → {c.taken_for}" for c in worst
    ]
    text = "\n".join(lines) or "No breed is taken for another."
    title = "most often confused\n\n" if worst else ""
    axes.text(0, 1, title + text, va="top", size=9, transform=axes.transAxes)


def worst_mistakes(
    found: Neighbours,
    dataset: Dataset,
    k: int,
    queries: Dataset | None = None,
    vote: str = "uniform",
    n: int = 6,
) -> Iterator[tuple[str, Figure]]:
    """Draw the queries that were voted wrong with the most votes, as result grids.

    Parameters
    ----------
    found : Neighbours
        Of `queries` in `dataset`.
    k, vote
        As for `confusion_matrix`.
    queries : Dataset, optional
        By default the dataset's own pictures were asked.
    n : int
        How many, at most. Queries whose pictures are gone are left out.

    Yields
    ------
    str, matplotlib.figure.Figure
        A name for each, and its grid.
    """
    asked = dataset if queries is None else queries
    answers = found.answers(k, vote)
    votes = (found.labels[:, :k] == answers[:, None]).sum(axis=1)
    wrong = np.flatnonzero((answers != found.truth) & (answers >= 0))
    worst = wrong[np.argsort(-votes[wrong], kind="stable")]
    there = (i for i in worst if asked.image_file(found.rows[i]).is_file())
    for number, i in zip(range(1, n + 1), there, strict=False):
        row = int(found.rows[i])
        indices, distances = found.indices[i, :k], found.distances[i, :k]
        yield (
            f"mistake-{number}",
            result_grid(
                asked.source(row), dataset, indices, distances, asked.breed(row), found.metric
            ),
        )


def distance_histogram(
    dataset: Dataset,
    metric: str = "euclidean",
    nearest: NDArray[np.floating] | None = None,
    seed: int = 0,
) -> Figure:
    """Draw how far pictures are from those of their own breed, and from others.

    Parameters
    ----------
    dataset : Dataset
        Up to 200 of its pictures, drawn at random, are measured against all, as it ranks them.
    metric : str
        One of `dogsim.METRICS`.
    nearest : (k,) float, optional
        The distances of a query's nearest, marked below the curves.
    seed : int
        For drawing the pictures.

    Returns
    -------
    matplotlib.figure.Figure
        Three histograms of area 1: to the own breed, to other breeds, and to the one nearest
        picture.

    Raises
    ------
    DogsimError
        As `dogsim.dist_calc` does.
    """
    own, others, first = _distances(as_ranked(dataset), metric, seed)
    figure = Drawing((7, 3.8), layout="constrained")
    axes = figure.subplots()
    every = np.concatenate([own, others, first, [] if nearest is None else nearest])
    bins = np.linspace(float(every.min(initial=0)), float(every.max(initial=1)), 80).tolist()
    for values, name, colour, style in (
        (others, "other breeds", "#d55e00", "--"),
        (own, "its own breed", "#0072b2", "-"),
        (first, "the nearest of all", "#555555", ":"),
    ):
        if len(values):
            axes.hist(values, bins, density=True, histtype="step", color=colour, ls=style, lw=1.8,
                      label=f"{name}: half are within {np.median(values):.3g}")  # fmt: skip
    if nearest is not None:
        axes.plot(
            nearest, np.zeros(len(nearest)), "^k", ms=7, clip_on=False, label="this query's nearest"
        )
    axes.set(xlabel=f"{metric} distance", yticks=[])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title("How far a picture is from ...", fontsize=10, loc="left")
    axes.legend(frameon=False, fontsize=9)
    return figure


def _distances(
    dataset: Dataset, metric: str, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Distances of some pictures to their own breed, to others, and to their nearest."""
    known = np.flatnonzero(dataset.labels >= 0)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(known, min(ASKED, len(known)), replace=False))
    distances = dist_calc(dataset, dataset.features[rows], metric)
    same = dataset.labels[rows][:, None] == dataset.labels
    itself = np.arange(len(dataset)) == rows[:, None]
    first = np.where(itself, np.inf, distances).min(axis=1, initial=np.inf)
    return distances[same & ~itself], distances[~same], first[np.isfinite(first)]
