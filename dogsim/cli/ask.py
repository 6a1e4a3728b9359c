"""Questions about pictures: which ones look most like them, and what they are then."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli.answers import Asked
from dogsim.cli.common import (
    Boxes,
    Classifier,
    Cluster,
    Confidence,
    DatasetFile,
    Force,
    Head,
    Images,
    Json,
    K,
    KeepSelf,
    Metric,
    Rank,
    Root,
    Weights,
    open_dataset,
    print_result,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from dogsim.dataset import Dataset
    from dogsim.learning.classifier import Classifier as TrainedClassifier


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
    from dogsim.figures.display import show_or_save
    from dogsim.plumbing.terminal import note
    from dogsim.retrieval.query_expansion import check_rank, ranking

    check_rank(rank, metric)
    known = open_dataset(dataset, weights)
    known = ranking(replace(known, root=str(root)) if root else known, rank)
    asked = Asked(images, known, k, metric, weights, head, confidence, keep_self, boxes)
    lost: set[int] = set()

    def grids() -> "Iterator[tuple[str, Figure]]":
        for path, answer in asked:
            lost.update(r for r in answer.indices.tolist() if not known.image_file(r).is_file())
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
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.plumbing.tables import has_csv_header, write_csv
    from dogsim.retrieval.query_expansion import check_rank, ranking

    if csv:
        files = (Path(each) for each in (weights, head) if each)
        check_output(csv, [dataset, *(images or ()), *files])
        check_replaceable(csv, lambda there: has_csv_header(there, COLUMNS), force)
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
    from dogsim.retrieval.query_expansion import rank_of

    results = []
    for path, found in asked:
        result, text = told(path, found), f"{path}: {found}"
        if trained:
            result["classifier"] = learned = trained.as_json(found.features)
            text += f"; classifier: {learned['breed']} ({learned['probability']:.2f})"
        results.append(result)
        if not as_json:
            print_result({}, False, text)
    if results:
        how = {"k": asked.k, "metric": asked.metric, "rank": rank_of(asked.dataset)}
        print_result({**how, "results": results}, as_json, "")
    return results


def _classifier(file: Path, dataset: "Dataset") -> "TrainedClassifier":
    """Load a classifier that answers for a dataset's features."""
    from dogsim.learning.classifier import load_classifier

    trained = load_classifier(file)
    trained.require_same_features(dataset.recipe)
    return trained
