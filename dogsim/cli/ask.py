"""Questions about pictures: what they look like, and how far apart they are."""

import os
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli.answers import Asked
from dogsim.cli.common import (
    DATASET,
    Backbone,
    BackboneOfFile,
    Boxes,
    Classifier,
    Cluster,
    Confidence,
    DatasetFile,
    Force,
    Head,
    Images,
    ImageSize,
    Json,
    K,
    KeepSelf,
    Layer,
    LayerOfFile,
    Mean,
    Metric,
    NetworkWeights,
    Rank,
    ResizeOfFile,
    Root,
    Std,
    Weights,
    WeightsOfFile,
    open_dataset,
    pictures_or_sample,
    print_result,
)
from dogsim.errors import DogsimError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from dogsim.dataset import Dataset
    from dogsim.explain import Explanation
    from dogsim.images import Source
    from dogsim.learning.classifier import Classifier as TrainedClassifier
    from dogsim.networks.extractor import Wanted

    Pair = tuple[str, Source, Source, Explanation]  # a figure's name, query, other, and why

FIRST = "picture"  # the first column of a matrix of distances


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
    keep_self: KeepSelf = False,
    boxes: Boxes = None,
    rank: Rank = "plain",
    as_json: Json = False,
) -> None:
    """Show each picture with its k nearest; without a display, save the grids to results/.

    A picture's true breed, by which answers are marked right or wrong, is the one that its folder
    or its own name tells: pug/1.jpg and pug.jpg are pugs.

    Example: `dogsim show my_dog.jpg --dataset dogs.h5 --save grids`
    """
    from dogsim.expand import check_rank, ranking
    from dogsim.figures.display import show_or_save
    from dogsim.plumbing.terminal import note

    check_rank(rank, metric)
    known = open_dataset(dataset, weights)
    known = ranking(replace(known, root=str(root)) if root else known, rank)
    asked = Asked(images, known, k, metric, weights, head, confidence, keep_self, boxes)
    lost: set[int] = set()

    def grids() -> "Iterator[tuple[str, Figure]]":
        for path, answer in asked:
            lost.update(r for r in answer.indices.tolist() if not known.picture(r).is_file())
            yield path.stem, answer.figure()

    written = [str(path) for path in show_or_save(grids(), save, asked.pictures)]
    if asked.answered:
        print_result({"grids": written}, as_json, "\n".join(written))
    if lost:
        note(
            f"{len(lost)} of the pictures are not in {known.root or 'this folder'}. "
            "If they have moved, tell where they lie now: --root FOLDER."
        )
    asked.finish()


def classify(
    images: Images = None,
    k: K = 20,
    dataset: DatasetFile = None,
    weights: Weights = None,
    head: Head = None,
    metric: Metric = "euclidean",
    classifier: Classifier = None,
    confidence: Confidence = None,
    keep_self: KeepSelf = False,
    boxes: Boxes = None,
    rank: Rank = "plain",
    csv: Annotated[Path | None, typer.Option(help="Write the answers to this CSV file.")] = None,
    force: Force = False,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Name the breed of each picture by the vote of its k nearest.

    A neighbour's breed is the name of the folder that it lay in when the dataset was made. What the
    picture itself is called has no say. Where no neighbour has a breed, the nearest are told.

    Example: `dogsim classify my_dog.jpg holiday/ -k 20 --dataset dogs.h5`
    """
    from dogsim.cli.answers import COLUMNS, row
    from dogsim.expand import check_rank, ranking
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.plumbing.tables import has_columns, write_csv

    if csv:
        files = (Path(each) for each in (weights, head) if each)
        check_output(csv, [dataset, *(images or ()), *files])
        check_replaceable(csv, lambda there: has_columns(there, COLUMNS), force)
    check_rank(rank, metric)
    known = ranking(open_dataset(dataset, weights, cluster), rank)
    trained = _classifier(classifier, known) if classifier else None
    asked = Asked(images, known, k, metric, weights, head, confidence, keep_self, boxes)
    results = answer(asked, as_json, trained)
    if results and csv:
        write_csv(csv, [row(each) for each in results], COLUMNS)
    asked.finish()


def answer(
    asked: Asked, as_json: bool, trained: "TrainedClassifier | None" = None
) -> list[dict[str, Any]]:
    """Print each answer as it comes, or with `as_json` all of them, and return what JSON tells."""
    from dogsim.cli.answers import told
    from dogsim.expand import rank_of

    results = []
    for path, found in asked:
        result, text = told(path, found), f"{path}: {found}"
        if trained:
            result["classifier"] = learned = trained.told(found.features)
            text += f"; classifier: {learned['breed']} ({learned['probability']:.2f})"
        results.append(result)
        if not as_json:
            print_result({}, False, text)
    if results:
        how = {"k": asked.k, "metric": asked.metric, "rank": rank_of(asked.dataset)}
        print_result({**how, "results": results}, as_json, "")
    return results


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
    from dogsim.folders.listing import find_pictures
    from dogsim.image_distance import ImageDistance
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.plumbing.tables import table, write_csv

    pictures = [file for path in images for file in find_pictures(path)]
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
    two = len(pictures) == 2
    if csv:
        columns = [FIRST, *names]
        rows = [
            dict(zip(columns, [name, *row], strict=True))
            for name, row in zip(names, distances, strict=True)
        ]
        write_csv(csv, rows, columns)
    if save:
        from dogsim.figures.display import show_or_save
        from dogsim.figures.distances import distance_map

        figure = distance_map(pictures, distances, metric)
        result["figure"] = str(show_or_save([("distances", figure)], save)[0])
    numbered = [
        {"": number, FIRST: name, **{str(i): far for i, far in enumerate(row, 1)}}
        for number, (name, row) in enumerate(zip(names, distances, strict=True), 1)
    ]
    text = f"{distances[0][1]:.4f}" if two else table(numbered)
    print_result({**result, **({"distance": distances[0][1]} if two else {})}, as_json, text)


def _is_our_matrix(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.readline().startswith(f"{FIRST},".encode())


def _classifier(file: Path, dataset: "Dataset") -> "TrainedClassifier":
    """Load a classifier that answers for a dataset's features."""
    from dogsim.learning.classifier import load_classifier

    trained = load_classifier(file)
    trained.require_same_features(dataset.recipe)
    return trained


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
    from dogsim.explain import check_explained
    from dogsim.figures.display import show_or_save
    from dogsim.figures.heat_maps import heat_maps
    from dogsim.images import file_of
    from dogsim.networks.extractor import Wanted

    check_explained(metric)
    pictures = pictures_or_sample(images)
    network = backbone, weights, layer
    wanted = Wanted(*network, resize, mean=mean, std=std, image_size=image_size, few=True)
    if dataset is None and len(pictures) == 2:
        pairs = _to_each_other(pictures, wanted, metric, boxes)
    else:
        file = dataset or (Path(os.environ[DATASET]) if os.environ.get(DATASET) else None)
        known = open_dataset(file, weights)
        known = replace(known, root=str(root)) if root else known
        pairs = _to_their_nearest(pictures, known, wanted, k, metric, boxes)
    figures = (
        (name, heat_maps(a, b, why, [getattr(file_of(each), "name", "") for each in (a, b)]))
        for name, a, b, why in pairs
    )
    written = [str(path) for path in show_or_save(figures, save, pictures)]
    results = [
        {
            "query": str(file_of(query)),
            "other": str(file_of(other)),
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


def _to_each_other(
    pictures: list[Path], wanted: "Wanted", metric: str, boxes: Path | None
) -> "list[Pair]":
    from dogsim.explain import explain
    from dogsim.sameness import boxes_for, seen

    a, b = (seen(picture, None, boxes_for(None, boxes)) for picture in pictures)
    name = "-".join(picture.stem for picture in pictures)
    return [(name, a, b, explain(a, b, wanted.load(), metric))]


def _to_their_nearest(
    pictures: list[Path],
    known: "Dataset",
    wanted: "Wanted",
    k: int,
    metric: str,
    boxes: Path | None,
) -> "list[Pair]":
    from dogsim.classify import loaded_extractor
    from dogsim.explain import explain_neighbours
    from dogsim.networks.extractor import Extractor
    from dogsim.networks.extractor_for import check_own_weights
    from dogsim.sameness import boxes_for, seen

    names = ("backbone", "layer", "resize", "mean", "std", "image_size")
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(wanted, name)]
    if given:
        raise DogsimError(
            f"Received {' and '.join(given)}, but the dataset decides that. Leave it out, or give "
            "two pictures without --dataset."
        )
    extractor = None
    if recipe := known.recipe:
        lies = check_own_weights(recipe, wanted.weights).weights or recipe.weights
        # Pictures of the dataset have their features already: no network may be needed for them.
        extractor = Extractor(
            replace(recipe, weights=lies),
            lambda images: loaded_extractor(recipe, wanted.weights)(images),
        )
    cropping = boxes_for(known, boxes)
    asked = [seen(picture, known, cropping) for picture in pictures]
    explained = explain_neighbours(asked, known, k, metric, extractor)
    return [
        (f"{picture.stem}-{rank}", query, known.source(row), why)
        for picture, query, neighbours in zip(pictures, asked, explained, strict=True)
        for rank, (row, why) in enumerate(neighbours, 1)
    ]
