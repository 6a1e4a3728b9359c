"""Commands that compare images with each other: their distances and the explanation of these."""

import os
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from dogsim.cli import option
from dogsim.cli.common import images_or_sample, open_dataset, print_result
from dogsim.errors import DogsimError, counted

if TYPE_CHECKING:
    from dogsim.dataset import Dataset
    from dogsim.networks.extractor import NetworkOptions
    from dogsim.retrieval.decomposition import Explanation
    from dogsim.retrieval.query import Query

MATRIX_HEADER = "picture"  # the first column of a matrix of distances


class ExplainedPair(NamedTuple):
    """A query and another image with the explanation of their distance.

    `figure_name` names the figure; the images are opened to draw it.
    """

    figure_name: str
    query: "Query"
    other: "Query"
    explanation: "Explanation"


def distance(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE|DIR", help="Images or folders of images.")
    ],
    *,
    network: option.NetworkArguments,
    metric: option.Metric = "cosine",
    no_normalize: Annotated[
        bool, typer.Option("--no-normalize", help="Do not scale features to length 1.")
    ] = False,
    csv: Annotated[Path | None, typer.Option(help="Write the matrix to this file.")] = None,
    save: Annotated[
        Path | None, typer.Option(help="Draw the matrix as a PNG file in this folder.")
    ] = None,
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Compute the distance of two images, or the distances of all pairs of images.

    Example: `dogsim distance my_dog.jpg your_dog.jpg` or `dogsim distance photos --csv far.csv`
    """
    from dogsim.folders.listing import find_images
    from dogsim.image_distance import ImageDistance
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.plumbing.tables import write_csv_lines

    files = [file for path in images for file in find_images(path)]
    if len(files) < 2:
        raise DogsimError(
            f"Received {counted(len(files), 'image')}. Expected two or more, or a folder."
        )
    if csv:
        check_output(csv, files)
        check_replaceable(csv, _is_our_matrix, force)
    measure = ImageDistance(metric=metric, normalize=not no_normalize, **network.given)
    backbone = measure.extractor.recipe.backbone
    distances = measure.compute_batch(files).tolist()
    names = [str(path) for path in files]
    result = {"images": names, "distances": distances, "metric": metric, "backbone": backbone}
    if csv:
        rows = ([name, *row] for name, row in zip(names, distances, strict=True))
        write_csv_lines(csv, [[MATRIX_HEADER, *names], *rows])
    if save:
        from dogsim.figures.display import show_or_save
        from dogsim.figures.distances import distance_map

        figure = distance_map(files, distances, metric)
        result["figure"] = str(show_or_save([("distances", figure)], save)[0])
    if len(files) == 2:
        result["distance"] = distances[0][1]
    text = f"{distances[0][1]:.4f}" if len(files) == 2 else _matrix_text(names, distances)
    print_result(result, as_json, text)


def _matrix_text(names: list[str], distances: list[list[float]]) -> str:
    """Return a matrix of distances as a table, whose columns are numbered like its rows."""
    from dogsim.plumbing.tables import table

    rows = enumerate(zip(names, distances, strict=True), 1)
    return table(
        [
            {"": str(number), MATRIX_HEADER: name} | {str(i): x for i, x in enumerate(row, 1)}
            for number, (name, row) in rows
        ]
    )


def _is_our_matrix(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.readline().startswith(f"{MATRIX_HEADER},".encode())


def explain(
    images: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE|DIR", help="Two images, or queries to a dataset."),
    ],
    *,
    k: Annotated[int | None, option.neighbours(3)] = None,
    dataset: Annotated[
        Path | None,
        typer.Option(
            help="Explain the nearest neighbours of each image in this dataset file.  [default: "
            "two images are compared with each other; others with $DOGSIM_DATASET, then the "
            "sample]"
        ),
    ] = None,
    network: option.NetworkArguments,
    resize: option.Resize = None,
    metric: option.Metric = "euclidean",
    root: option.Root = None,
    boxes: option.Boxes = None,
    save: option.SaveFigures = None,
    as_json: option.Json = False,
) -> None:
    """Show how much each place of two images contributes to their distance.

    Example: `dogsim explain my_dog.jpg --dataset dogs.h5 -k 3 --save why`
    """
    from dogsim.networks.extractor import NetworkOptions
    from dogsim.retrieval.decomposition import check_explained

    check_explained(metric)
    files = images_or_sample(images)
    options = NetworkOptions(few=True, **network.given | {"resize": resize})
    if dataset is None and len(files) == 2:
        pairs = _explain_two(files, options, metric, boxes)
    else:
        _refuse_options_of_dataset(options)
        variable = os.environ.get(option.DATASET_VARIABLE)
        file = dataset or (Path(variable) if variable else None)
        gallery = open_dataset(file, network.weights, root=root)
        pairs = _explain_nearest(files, gallery, network.weights, k, metric, boxes)
    results = _draw(pairs, save, files)
    print_result({"pairs": results}, as_json, "\n".join(map(_explanation_text, results)))


def _refuse_options_of_dataset(options: "NetworkOptions") -> None:
    """Raise `DogsimError` if an option of the network is given with a dataset."""
    names = ("backbone", "layer", "resize", "mean", "std", "image_size")
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]
    if given:
        raise DogsimError(
            f"Received {' and '.join(given)} with a dataset, whose network is used. Expected two "
            "images without --dataset, or none of the options of the network."
        )


def _explain_two(
    files: list[Path], options: "NetworkOptions", metric: str, boxes: Path | None
) -> list[ExplainedPair]:
    from dogsim.explain import explain
    from dogsim.retrieval.query import Query, box_folder

    folder = box_folder(None, boxes)
    query, other = (Query.resolve(file, None, folder) for file in files)
    explanation = explain(query.content, other.content, options.load(), metric)
    return [ExplainedPair("-".join(file.stem for file in files), query, other, explanation)]


def _explain_nearest(
    files: list[Path],
    gallery: "Dataset",
    weights: str | None,
    k: int | None,
    metric: str,
    boxes: Path | None,
) -> list[ExplainedPair]:
    from dogsim.explain import explain_neighbours
    from dogsim.networks.extractor_for import extractor_for
    from dogsim.retrieval.query import Query, box_folder

    extractor = extractor_for(gallery.recipe, weights) if gallery.recipe else None
    folder = box_folder(gallery, boxes)
    queries = [Query.resolve(file, gallery, folder) for file in files]
    explained = explain_neighbours(queries, gallery, k, metric, extractor)
    return [
        ExplainedPair(f"{file.stem}-{rank}", query, Query(source, source, row), explanation)
        for file, query, neighbours in zip(files, queries, explained, strict=True)
        for rank, (row, explanation) in enumerate(neighbours, 1)
        for source in [gallery.source(row)]
    ]


def _draw(
    pairs: Sequence[ExplainedPair], save: Path | None, inputs: list[Path]
) -> list[dict[str, Any]]:
    """Show the figures of explained pairs, or save them; return the pairs as JSON objects."""
    from dogsim.figures.display import show_or_save
    from dogsim.figures.heat_maps import heat_maps

    figures = (
        (
            pair.figure_name,
            heat_maps(
                pair.query.content,
                pair.other.content,
                pair.explanation,
                [each.file.name if each.file else "" for each in (pair.query, pair.other)],
            ),
        )
        for pair in pairs
    )
    written = [str(path) for path in show_or_save(figures, save, inputs)]
    return [_explanation_payload(pair, figure) for pair, figure in zip_longest(pairs, written)]


def _explanation_payload(pair: ExplainedPair, figure: str | None) -> dict[str, Any]:
    """Return an explanation as a JSON object; `figure` is None if it was shown, not saved."""
    explanation = pair.explanation
    return {
        "query": str(pair.query.file),
        "other": str(pair.other.file),
        "metric": explanation.metric,
        "distance": explanation.distance,
        "sum": explanation.sum,
        "likeness": float(explanation.pairs.sum()),
        "best_pairs": explanation.best_pairs().tolist(),
        "figure": figure,
    }


def _explanation_text(result: dict[str, Any]) -> str:
    """Return a line on an explanation, and the name of its figure in a second line."""
    line = (
        f"{result['query']}, {result['other']}: {result['metric']} distance "
        f"{result['distance']:.4g}, its parts add up to {result['sum']:.4g}"
    )
    return "\n".join([line, *([result["figure"]] if result["figure"] else [])])
