"""Questions about pictures: what they look like, and how far apart they are."""

import os
import textwrap
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli.common import (
    DATASET,
    Backbone,
    BackboneOfFile,
    Confidence,
    DatasetFile,
    Head,
    Images,
    Json,
    K,
    Layer,
    LayerOfFile,
    Metric,
    NetworkWeights,
    ResizeOfFile,
    Root,
    Weights,
    WeightsOfFile,
    open_dataset,
    pictures_or_sample,
    print_result,
)
from dogsim.errors import DogsimError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from dogsim.classify import Answer
    from dogsim.dataset import Dataset
    from dogsim.explain import Explanation
    from dogsim.networks.extractor import Wanted

    Pair = tuple[str, Path, Path, Explanation]  # a figure's name, query, other, and why


NAMED = 8  # breeds of a set, at most, in a line of text


def show(
    images: Images = None,
    k: K = 8,
    dataset: DatasetFile = None,
    weights: Weights = None,
    head: Head = None,
    metric: Metric = "euclidean",
    root: Root = None,
    save: Annotated[
        Path | None, typer.Option(help="Save the grids as PNG files in this folder.")
    ] = None,
    confidence: Confidence = None,
    as_json: Json = False,
) -> None:
    """Show each picture with its k nearest; without a display, save the grids to results/.

    Example: `dogsim show my_dog.jpg --dataset dogs.h5 --save grids`
    """
    from dogsim.figures.display import show_or_save

    known = open_dataset(dataset, weights)
    known = replace(known, root=str(root)) if root else known
    pictures = pictures_or_sample(images)
    answers = _answers(pictures, known, k, metric, weights, head, confidence)
    grids = (
        (path.stem, _grid(path, known, answer))
        for path, answer in zip(pictures, answers, strict=True)
    )
    written = [str(path) for path in show_or_save(grids, save, pictures)]
    print_result({"grids": written}, as_json, "\n".join(written))


def classify(
    images: Images = None,
    k: K = 20,
    dataset: DatasetFile = None,
    weights: Weights = None,
    head: Head = None,
    metric: Metric = "euclidean",
    confidence: Confidence = None,
    as_json: Json = False,
) -> None:
    """Name the breed of each picture by the vote of its k nearest.

    Example: `dogsim classify my_dog.jpg holiday/ -k 20 --dataset dogs.h5`
    """
    known = open_dataset(dataset, weights)
    pictures = pictures_or_sample(images)
    answers = _answers(pictures, known, k, metric, weights, head, confidence)
    results = [
        {
            "image": str(path),
            "breed": answer.breed,
            "votes": answer.votes,
            "neighbours": [
                {"path": known.paths[row], "breed": known.breed(row), "distance": float(distance)}
                for row, distance in zip(answer.indices, answer.distances, strict=True)
            ],
            **_trusted(answer),
        }
        for path, answer in zip(pictures, answers, strict=True)
    ]
    lines = (f"{path}: {_told(answer, k)}" for path, answer in zip(pictures, answers, strict=True))
    print_result({"k": k, "metric": metric, "results": results}, as_json, "\n".join(lines))


def distance(
    image1: Annotated[Path, typer.Argument(metavar="A", help="A picture.")],
    image2: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    backbone: Backbone = "resnet50",
    weights: NetworkWeights = "imagenet",
    layer: Layer = None,
    metric: Metric = "cosine",
    as_json: Json = False,
) -> None:
    """Tell how far two pictures are apart, as a network sees them.

    Example: `dogsim distance my_dog.jpg your_dog.jpg`
    """
    from dogsim.image_distance import ImageDistance

    apart = ImageDistance(backbone, metric, layer, weights=weights).compute(image1, image2)
    result = {"distance": apart, "metric": metric, "backbone": backbone}
    print_result(result, as_json, f"{apart:.4f}")


def explain(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="A B | [IMAGE|DIR]...", help="Two pictures, or any number."),
    ],
    k: K = 3,
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Explain each picture's nearest in this dataset file.  [default: two pictures are "
            "explained to each other; for others $DOGSIM_DATASET, then the sample]"
        ),
    ] = None,
    backbone: BackboneOfFile = None,
    weights: WeightsOfFile = None,
    layer: LayerOfFile = None,
    resize: ResizeOfFile = None,
    metric: Metric = "euclidean",
    root: Root = None,
    save: Annotated[
        Path | None, typer.Option(help="Save the figures as PNG files in this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which parts of two pictures bring them together, and which apart.

    Example: `dogsim explain my_dog.jpg --dataset dogs.h5 -k 3 --save why`
    """
    from dogsim.explain import check_explained
    from dogsim.figures.display import show_or_save
    from dogsim.figures.heat_maps import heat_maps
    from dogsim.networks.extractor import Wanted

    check_explained(metric)
    pictures = pictures_or_sample(images)
    wanted = Wanted(backbone, weights, layer, resize)
    if dataset is None and len(pictures) == 2:
        pairs = _to_each_other(pictures, wanted, metric)
    else:
        file = dataset or (Path(os.environ[DATASET]) if os.environ.get(DATASET) else None)
        known = open_dataset(file, weights)
        known = replace(known, root=str(root)) if root else known
        pairs = _to_their_nearest(pictures, known, wanted, k, metric)
    figures = ((name, heat_maps(a, b, why, (a.name, b.name))) for name, a, b, why in pairs)
    written = [str(path) for path in show_or_save(figures, save)]
    results = [
        {
            "query": str(query),
            "other": str(other),
            "metric": metric,
            "distance": why.distance,
            "sum": why.sum,
            "likeness": float(why.pairs.sum()),
            "best_pairs": why.best_pairs().tolist(),
            "figure": figure,  # None where it was shown
        }
        for (_, query, other, why), figure in zip_longest(pairs, written)
    ]
    lines = (
        f"{r['query']}, {r['other']}: {metric} distance {r['distance']:.4g}, its parts add up to "
        f"{r['sum']:.4g}" + (f"\n{r['figure']}" if r["figure"] else "")
        for r in results
    )
    print_result({"pairs": results}, as_json, "\n".join(lines))


def _to_each_other(pictures: list[Path], wanted: "Wanted", metric: str) -> "list[Pair]":
    from dogsim.explain import explain

    a, b = pictures
    return [(f"{a.stem}-{b.stem}", a, b, explain(a, b, wanted.load(), metric))]


def _to_their_nearest(
    pictures: list[Path], known: "Dataset", wanted: "Wanted", k: int, metric: str
) -> "list[Pair]":
    from dogsim.explain import explain_neighbours
    from dogsim.networks.extractor import extractor_for

    given = [f"--{name}" for name in ("backbone", "layer", "resize") if getattr(wanted, name)]
    if given:
        raise DogsimError(
            f"Received {' and '.join(given)}, but the dataset decides that. Leave it out, or give "
            "two pictures without --dataset."
        )
    extractor = extractor_for(known.recipe, wanted.weights) if known.recipe else None
    explained = explain_neighbours(pictures, known, k, metric, extractor)
    return [
        (f"{picture.stem}-{rank}", picture, known.picture(row), why)
        for picture, neighbours in zip(pictures, explained, strict=True)
        for rank, (row, why) in enumerate(neighbours, 1)
    ]


def _answers(
    pictures: list[Path],
    dataset: "Dataset",
    k: int,
    metric: str,
    weights: str | None,
    head: str | None,
    confidence: float | None,
) -> "list[Answer]":
    from dogsim.classify import classify, loaded_extractor
    from dogsim.dist_calc import check_k, check_metric
    from dogsim.trust.confidence import calibration_for

    check_k(k, len(dataset))
    check_metric(metric)
    if confidence is not None:
        calibration_for(dataset, confidence)
    extractor = loaded_extractor(dataset.recipe, weights, head)
    return classify(pictures, dataset, k, metric, extractor, confidence)


def _grid(path: Path, dataset: "Dataset", answer: "Answer") -> "Figure":
    from dogsim.figures.grid import result_grid

    truth = dataset.breed_told_by(path)
    figure = result_grid(path, dataset, answer.indices, answer.distances, truth)
    if answer.trust:
        figure.suptitle(textwrap.fill(_told(answer, len(answer.indices)), 80))
    return figure


def _told(answer: "Answer", k: int) -> str:
    """Tell an answer in a line."""
    vote = f"{answer.breed} ({answer.votes} of {k} votes)"
    if answer.trust is None:
        return vote
    if answer.trust.unknown:
        return f"unknown, none of the breeds (p = {answer.trust.novelty_p:.3f}); nearest {vote}"
    named, more = answer.trust.breeds[:NAMED], len(answer.trust.breeds) - NAMED
    others = f" and {more} more" if more > 0 else ""
    return f"{{{', '.join(named)}{others}}}; vote {vote}"


def _trusted(answer: "Answer") -> dict[str, Any]:
    """Tell for JSON how far an answer can be trusted."""
    if answer.trust is None:
        return {}
    told = {name: value for name, value in vars(answer.trust).items() if name != "p_values"}
    return {**told, "p_values": answer.trust.p_values.tolist()}
