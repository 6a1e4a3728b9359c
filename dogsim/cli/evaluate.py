"""How good the answers are."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli.common import (
    Classifier,
    Cluster,
    Confidence,
    DatasetFile,
    Force,
    Json,
    Metric,
    Rank,
    Weights,
    open_dataset,
    print_result,
)
from dogsim.cli.option_values import one_of
from dogsim.errors import DogsimError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dogsim.accuracy import Accuracy, Judgement
    from dogsim.dataset import Dataset
    from dogsim.learning.classifier import Classifier as TrainedClassifier
    from dogsim.retrieval.evaluation import Neighbours

TABLES = ("results", "per_breed", "confusions", "coverage_per_breed")
CONFUSIONS_SHOWN, BREEDS_SHOWN = 20, 5


def accuracy(
    k: Annotated[
        list[int] | None, typer.Option("--k", "-k", help="How many neighbours.  [default: 20]")
    ] = None,
    dataset: DatasetFile = None,
    weights: Weights = None,
    n_test: Annotated[
        int | None, typer.Option(help="Draw that many queries.  [default: every picture]")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Dataset file with the queries.  [default: leave-one-out]")
    ] = None,
    metric: Metric = "euclidean",
    protocol: Annotated[
        str, one_of("protocol", "{}. matlab: the query is its own first neighbour.")
    ] = "honest",
    vote: Annotated[str, one_of("vote", "{}. distance: a vote weighs 1 / distance.")] = "uniform",
    seed: Annotated[int, typer.Option(help="For drawing the queries.")] = 0,
    with_map: Annotated[
        bool, typer.Option("--map-at-r", help="Mean average precision at R, too.")
    ] = False,
    with_breeds: Annotated[bool, typer.Option("--per-breed", help="Every breed by itself.")] = (
        False
    ),
    with_confusions: Annotated[
        bool, typer.Option("--confusions", help="The pairs of breeds most often confused.")
    ] = False,
    classifier: Classifier = None,
    confidence: Confidence = None,
    csv: Annotated[
        Path | None, typer.Option(help="Write the last table shown to this file.")
    ] = None,
    force: Force = False,
    figures: Annotated[
        Path | None, typer.Option(help="Save figures that show where it goes wrong here.")
    ] = None,
    rank: Rank = "plain",
    compare: Annotated[
        bool, typer.Option("--compare", help="Judge several ways to rank, each in a line.")
    ] = False,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Judge how good the k nearest are; give --k several times for several k.

    A picture's true breed is the name of the folder that it lay in when the dataset was made.

    Example: `dogsim accuracy --k 1 --k 20 --dataset dogs.h5 --confusions`
    """
    from dogsim.accuracy import compared, judge
    from dogsim.dataset import Dataset
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.plumbing.tables import write_csv
    from dogsim.plumbing.terminal import note
    from dogsim.retrieval.query_expansion import check_rank, ranking

    if dataset and weights:
        raise DogsimError(
            f"Received --weights {weights} with the dataset {dataset}, whose features are there "
            "already. Expected --weights for the sample only."
        )
    if compare and protocol == "matlab":
        raise DogsimError("Received --compare with --protocol matlab. Expected honest, all ways.")
    if csv:
        check_output(csv, [dataset, test])
        check_replaceable(csv, _is_our_table, force)
    plain, ks = open_dataset(dataset, weights, cluster), k or [20]
    testset = Dataset.open(test) if test else None
    check_rank(rank, metric, protocol)
    known = ranking(plain, rank)
    trained = _trained(classifier, test)
    asked = testset, n_test, metric, protocol, seed
    found = _searched(ks, known, *asked) if figures else None
    judged = judge(
        known,
        ks,
        *asked,
        vote,
        with_map=with_map,
        with_breeds=with_breeds,
        with_confusions=with_confusions,
        confidence=confidence,
        found=found,
    )
    for warning in _warnings(judged, known, testset):
        note(warning)
    shown = _shown(judged)
    if trained and testset:
        right, error = trained.evaluate(testset)
        shown |= {"classifier_accuracy": right, "classifier_calibration_error": error}
    ways = compared(plain, ks, testset, n_test, seed, vote) if compare else []
    if compare:
        shown["compare"] = [{"rank": name, **asdict(each)} for name, each in ways]
    if csv:
        last = [name for name in TABLES if name in shown][-1]
        write_csv(csv, shown[last], _columns_of(last))
    if figures:
        shown["figures"] = _drawn(figures, known, max(ks), *asked, vote, found)
    # With one k its numbers stand on the first level as well.
    flat = shown["results"][0] if len(judged.results) == 1 else {}
    print_result({**flat, **shown}, as_json, _text(judged.results, shown, ways))


def _warnings(judged: "Judgement", known: "Dataset", testset: "Dataset | None") -> "Iterator[str]":
    """Say what makes the judgement harder, or flatters it."""
    if testset and (known.boxes is None) != (testset.boxes is None):
        whole = "dataset" if known.boxes is None else "test set"
        yield f"The {whole} is of whole pictures, the other one of boxes: it is harder so."
    if judged.in_both:
        yield f"{judged.in_both} of the test pictures are in the dataset as well."
    if judged.trained_on:
        yield (
            f"{judged.trained_on} of {judged.results[0].queries} queries are pictures that the "
            "features were learned from: they flatter. Judge by others: --test."
        )


def _shown(judged: "Judgement") -> dict[str, Any]:
    """List what was judged, without what was not asked for; coverage stands on the first level."""
    shown = {name: value for name, value in asdict(judged).items() if value is not None}
    if covered := shown.pop("coverage", None):
        shown["coverage_per_breed"] = covered.pop("per_breed")
        shown |= covered
    return shown


def _trained(classifier: Path | None, test: Path | None) -> "TrainedClassifier | None":
    """Load the classifier that is to be judged, on pictures that it has not learned from."""
    from dogsim.learning.classifier import load_classifier

    if classifier and not test:
        raise DogsimError(
            "Received --classifier without --test. Expected pictures to judge it by that it has "
            "not learned from: --test FILE.h5."
        )
    return load_classifier(classifier) if classifier else None


def _searched(ks: list[int], *asked: Any) -> "Neighbours":
    """Search once for what is judged and what is drawn."""
    from dogsim.figures.evaluation import neighbours_to_draw
    from dogsim.retrieval.evaluation import Search

    search = Search(*asked)
    for k in ks:
        search.check_k(k)
    return neighbours_to_draw(search, max(ks))


def _drawn(folder: Path, *asked: Any) -> list[str]:
    from dogsim.figures.display import show_or_save
    from dogsim.figures.evaluation import accuracy_figures

    return [str(path) for path in show_or_save(accuracy_figures(*asked), folder)]


def _columns_of(name: str) -> list[str]:
    """Name the columns of a table, which may have no row."""
    from dogsim.accuracy import Accuracy
    from dogsim.retrieval.by_breed import BreedScore, Confusion
    from dogsim.trust.conformal import BreedCoverage

    kinds = {
        "results": Accuracy,
        "per_breed": BreedScore,
        "confusions": Confusion,
        "coverage_per_breed": BreedCoverage,
    }
    return [field.name for field in fields(kinds[name])]


def _is_our_table(file: Path) -> bool:
    from dogsim.plumbing.tables import has_csv_header

    return any(has_csv_header(file, _columns_of(name)) for name in TABLES)


def _text(
    results: "Sequence[Accuracy]",
    shown: Mapping[str, Any],
    compared: "Sequence[tuple[str, Accuracy]]",
) -> str:
    """Tell the results as a person reads them."""
    from dogsim.plumbing.tables import table

    parts = [results[0].heading, table([result.columns for result in results])]
    if "map_at_r" in shown:
        parts.append(f"MAP@R {shown['map_at_r']:.4f}")
    if "classifier_accuracy" in shown:
        parts.append(
            f"classifier {shown['classifier_accuracy']:.4f}, expected calibration error "
            f"{shown['classifier_calibration_error']:.4f}"
        )
    if "coverage" in shown:
        parts.append(
            f"Sets promised to hold the breed in {shown['confidence']:.4g} of all cases: held in "
            f"{shown['coverage']:.4f}, {shown['mean_set_size']:.2f} breeds in a set, "
            f"{shown['unknown_rate']:.4f} falsely unknown; the breeds least well held:"
        )
    for name, most in (
        ("coverage_per_breed", BREEDS_SHOWN),
        ("per_breed", None),
        ("confusions", CONFUSIONS_SHOWN),
    ):
        if shown.get(name):
            parts.append(table(shown[name][:most]))
    parts += shown.get("figures", [])
    if compared:
        parts.append(table([{"rank": name, **each.columns} for name, each in compared]))
    if shown.get("confusions") == ():
        parts.append("No breed is taken for another.")
    return "\n\n".join(parts)
