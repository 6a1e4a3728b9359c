"""The command `accuracy`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dogsim.cli import option
from dogsim.cli.accuracy_report import Sections, report_on, table_columns, warnings
from dogsim.cli.common import open_dataset, print_result, refuse_others
from dogsim.errors import DogsimError

EXPECTED_AS_PUBLISHED = (
    "--dataset, --weights, --seed, --cluster and --json: the protocol of the MATLAB project sets "
    "the others."
)
OPTIONS_AS_PUBLISHED = ("as_published", "dataset", "weights", "seed", "cluster", "as_json")


def accuracy(
    k: Annotated[list[int] | None, option.neighbours(20)] = None,
    *,
    context: typer.Context,
    dataset: option.DatasetFile = None,
    weights: option.Weights = None,
    n_test: Annotated[
        int | None, typer.Option(help="Number of queries to draw.  [default: all images]")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(help="Dataset file with the queries.  [default: leave-one-out]")
    ] = None,
    metric: option.Metric = "euclidean",
    protocol: Annotated[
        str, option.one_of("protocol", "{}. matlab: the query is its own first neighbour.")
    ] = "honest",
    vote: Annotated[
        str, option.one_of("vote", "{}. distance: votes have weight 1 / distance.")
    ] = "uniform",
    seed: Annotated[int, typer.Option(help="Random seed for drawing the queries.")] = 0,
    as_published: Annotated[
        bool,
        typer.Option(
            "--as-published",
            help="Measure as the MATLAB project did: 1,000 draws of 50 queries, k = 20, protocol "
            "matlab.",
        ),
    ] = False,
    sections: Sections,
    csv: Annotated[Path | None, typer.Option(help="Write the last table to this file.")] = None,
    force: option.Force = False,
    rank: option.Rank = "plain",
    cluster: option.Cluster = None,
    as_json: option.Json = False,
) -> None:
    """Evaluate the k nearest neighbours; repeat --k for several k.

    The true breed of an image is the name of its folder when the dataset was made.

    Example: `dogsim accuracy --k 1 --k 20 --dataset dogs.h5 --confusions`
    """
    from dogsim.accuracy import published_accuracy
    from dogsim.dataset import Dataset
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.plumbing.tables import has_csv_header, write_csv
    from dogsim.plumbing.terminal import note
    from dogsim.retrieval.evaluation import Evaluation
    from dogsim.retrieval.query_expansion import check_rank, ranking

    _check_options(dataset, weights, test, protocol, sections)
    if as_published:
        refuse_others(context, "--as-published", OPTIONS_AS_PUBLISHED, EXPECTED_AS_PUBLISHED)
        result = published_accuracy(open_dataset(dataset, weights, cluster), seed)
        print_result(asdict(result), as_json, str(result))
        return
    if csv:
        headers = table_columns().values()
        check_output(csv, [dataset, test])
        check_replaceable(csv, lambda it: any(has_csv_header(it, each) for each in headers), force)
    check_rank(rank, metric, protocol)
    gallery = ranking(open_dataset(dataset, weights, cluster), rank)
    testset = Dataset.open(test) if test else None
    evaluation = Evaluation(
        gallery, testset, n_test=n_test, metric=metric, protocol=protocol, seed=seed, vote=vote
    )
    report = report_on(evaluation, k, sections)
    for warning in warnings(evaluation, report):
        note(warning)
    if csv:
        name = list(report.tables)[-1]
        write_csv(csv, report.tables[name], table_columns()[name])
    print_result(report.payload(), as_json, report.text())


def _check_options(
    dataset: Path | None,
    weights: str | None,
    test: Path | None,
    protocol: str,
    sections: Sections,
) -> None:
    """Raise `DogsimError` for options that exclude each other."""
    from dogsim.trust.conformal import check_confidence, check_coverage

    check_coverage(sections.coverage)
    if sections.confidence is not None:
        check_confidence(sections.confidence)
    if dataset and weights:
        raise DogsimError(
            f"Received --weights {weights} with the dataset {dataset}, which already has its "
            "features. Expected --weights for the sample only."
        )
    if sections.compare and protocol == "matlab":
        raise DogsimError("Received --compare with --protocol matlab. Expected --protocol honest.")
    if sections.classifier and not test:
        raise DogsimError(
            "Received --classifier without --test. Expected images that it was not trained on: "
            "--test FILE.h5."
        )
