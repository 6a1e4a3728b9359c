"""Questions about two pictures: how far they are apart, and why."""

import os
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli.common import (
    DATASET,
    Backbone,
    BackboneOfFile,
    Boxes,
    Force,
    ImageSize,
    Json,
    K,
    Layer,
    LayerOfFile,
    Mean,
    Metric,
    NetworkWeights,
    ResizeOfFile,
    Root,
    Std,
    WeightsOfFile,
    open_dataset,
    pictures_or_sample,
    print_result,
)
from dogsim.errors import DogsimError

if TYPE_CHECKING:
    from dogsim.dataset import Dataset
    from dogsim.images import Source
    from dogsim.networks.extractor import NetworkOptions
    from dogsim.retrieval.decomposition import Explanation

    Pair = tuple[str, Source, Source, Explanation]  # a figure's name, query, other, and why

FIRST = "picture"  # the first column of a matrix of distances


def distance(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|DIR", help="Pictures or folders of them.")
    ],
    backbone: Backbone = "resnet50",
    weights: NetworkWeights = "imagenet",
    layer: Layer = None,
    mean: Mean = None,
    std: Std = None,
    image_size: ImageSize = None,
    metric: Metric = "cosine",
    no_normalize: Annotated[
        bool, typer.Option("--no-normalize", help="Leave features as long as they are.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the matrix to this file.")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Draw the matrix as a PNG file in this folder.")
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Tell how far pictures are apart, as a network sees them: two, or each from each.

    Example: `dogsim distance my_dog.jpg your_dog.jpg` or `dogsim distance photos --csv far.csv`
    """
    from dogsim.folders.listing import find_images
    from dogsim.image_distance import ImageDistance
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.plumbing.tables import table, write_csv

    pictures = [file for path in images for file in find_images(path)]
    if len(pictures) < 2:
        raise DogsimError(f"Received {len(pictures)} picture. Expected two or more, or a folder.")
    if csv:
        check_output(csv, pictures)
        check_replaceable(csv, _is_our_matrix, force)
    told = mean, std, image_size
    measure = ImageDistance(backbone, metric, layer, not no_normalize, weights, *told)
    distances = measure.compute_batch(pictures).tolist()
    names = [str(path) for path in pictures]
    result = {"images": names, "distances": distances, "metric": metric, "backbone": backbone}
    if csv:
        write_csv(csv, _rows(names, names, distances), [FIRST, *names])
    if save:
        from dogsim.figures.display import show_or_save
        from dogsim.figures.distance_matrix import distance_map

        figure = distance_map(pictures, distances, metric)
        result["figure"] = str(show_or_save([("distances", figure)], save)[0])
    if len(pictures) == 2:
        result["distance"] = distances[0][1]
        print_result(result, as_json, f"{distances[0][1]:.4f}")
        return
    numbers = [str(number) for number in range(1, len(names) + 1)]
    numbered = zip(numbers, _rows(names, numbers, distances), strict=True)
    print_result(result, as_json, table([{"": number} | row for number, row in numbered]))


def _rows(
    names: list[str], columns: list[str], distances: list[list[float]]
) -> list[dict[str, Any]]:
    """Make rows of a table of a matrix: each picture's name first, then its distances."""
    return [
        {FIRST: name, **dict(zip(columns, row, strict=True))}
        for name, row in zip(names, distances, strict=True)
    ]


def _is_our_matrix(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.readline().startswith(f"{FIRST},".encode())


def explain(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE|DIR", help="Two pictures, or any number that a dataset answers."
        ),
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
    mean: Mean = None,
    std: Std = None,
    image_size: ImageSize = None,
    metric: Metric = "euclidean",
    root: Root = None,
    boxes: Boxes = None,
    save: Annotated[
        Path | None, typer.Option(help="Save the figures as PNG files in this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which parts of two pictures bring them together, and which apart.

    Example: `dogsim explain my_dog.jpg --dataset dogs.h5 -k 3 --save why`
    """
    from dogsim.figures.display import show_or_save
    from dogsim.figures.heat_maps import heat_maps
    from dogsim.images import file_of
    from dogsim.networks.extractor import NetworkOptions
    from dogsim.retrieval.decomposition import check_explained

    check_explained(metric)
    pictures = pictures_or_sample(images)
    options = NetworkOptions(
        backbone=backbone,
        weights=weights,
        layer=layer,
        resize=resize,
        mean=mean,
        std=std,
        image_size=image_size,
        few=True,
    )
    if dataset is None and len(pictures) == 2:
        pairs = _to_each_other(pictures, options, metric, boxes)
    else:
        file = dataset or (Path(os.environ[DATASET]) if os.environ.get(DATASET) else None)
        known = open_dataset(file, weights)
        known = replace(known, root=str(root)) if root else known
        pairs = _to_their_nearest(pictures, known, options, k, metric, boxes)
    figures = (
        (name, heat_maps(a, b, why, [getattr(file_of(each), "name", "") for each in (a, b)]))
        for name, a, b, why in pairs
    )
    written = [str(path) for path in show_or_save(figures, save, pictures)]
    results = [
        _told(query, other, why, figure)
        for (_, query, other, why), figure in zip_longest(pairs, written)
    ]
    print_result({"pairs": results}, as_json, "\n".join(_said(each) for each in results))


def _to_each_other(
    pictures: list[Path], options: "NetworkOptions", metric: str, boxes: Path | None
) -> "list[Pair]":
    from dogsim.explain import explain
    from dogsim.retrieval.identity import boxes_for, seen

    a, b = (seen(picture, None, boxes_for(None, boxes)) for picture in pictures)
    name = "-".join(picture.stem for picture in pictures)
    return [(name, a, b, explain(a, b, options.load(), metric))]


def _to_their_nearest(
    pictures: list[Path],
    known: "Dataset",
    options: "NetworkOptions",
    k: int,
    metric: str,
    boxes: Path | None,
) -> "list[Pair]":
    from dogsim.explain import explain_neighbours
    from dogsim.networks.extractor_for import extractor_for
    from dogsim.retrieval.identity import boxes_for, seen

    names = ("backbone", "layer", "resize", "mean", "std", "image_size")
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]
    if given:
        raise DogsimError(
            f"Received {' and '.join(given)}, but the dataset decides that. Leave it out, or give "
            "two pictures without --dataset."
        )
    extractor = extractor_for(known.recipe, options.weights) if known.recipe else None
    cropping = boxes_for(known, boxes)
    asked = [seen(picture, known, cropping) for picture in pictures]
    explained = explain_neighbours(asked, known, k, metric, extractor)
    return [
        (f"{picture.stem}-{rank}", query, known.source(row), why)
        for picture, query, neighbours in zip(pictures, asked, explained, strict=True)
        for rank, (row, why) in enumerate(neighbours, 1)
    ]


def _told(
    query: "Source", other: "Source", why: "Explanation", figure: str | None
) -> dict[str, Any]:
    """Tell an explanation for JSON; `figure` is None where it was shown, and not written."""
    from dogsim.images import file_of

    return {
        "query": str(file_of(query)),
        "other": str(file_of(other)),
        "metric": why.metric,
        "distance": why.distance,
        "sum": why.sum,
        "likeness": float(why.pairs.sum()),
        "best_pairs": why.best_pairs().tolist(),
        "figure": figure,
    }


def _said(told: dict[str, Any]) -> str:
    """Say an explanation, as `_told` tells it, in a line, and where its figure lies."""
    line = (
        f"{told['query']}, {told['other']}: {told['metric']} distance {told['distance']:.4g}, "
        f"its parts add up to {told['sum']:.4g}"
    )
    return "\n".join([line, *([told["figure"]] if told["figure"] else [])])
