"""What can be learned from a dataset."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dogsim.cli.common import File, Json, Out, Weights, description, print_result
from dogsim.errors import DogsimError


def deep_ranking(
    file: File,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .keras file to write.")],
    negatives: Annotated[
        str, typer.Option(help="near: near ones count most. drawn: any, drawn beforehand.")
    ] = "near",
    gap: Annotated[
        float, typer.Option(help="By how much a breed's pictures shall be nearer than others.")
    ] = 0.2,
    width: Annotated[
        int | None, typer.Option(help="Length of the embedding.  [default: breeds less one]")
    ] = None,
    from_layer: Annotated[
        str | None,
        typer.Option(help="Fine-tune the network itself on the pictures, from this layer up."),
    ] = None,
    network: Annotated[
        str, typer.Option(help="same, or multiscale: two shallow paths beside it, on pictures.")
    ] = "same",
    augmented: Annotated[
        bool, typer.Option("--augment", help="Mirror pictures and crop them a little.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Triplets a step.  [default: 16]")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads that read pictures.  [default: one a processor]")
    ] = None,
    weights: Weights = None,
    start: Annotated[str, typer.Option(help="Of the head: discriminant or random.")] = (
        "discriminant"
    ),
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of Adam.  [default: 1e-3; with --from-layer 1e-5]"),
    ] = None,
    patience: Annotated[
        int, typer.Option(help="Stop when so many rounds of 25 steps brought nothing better.")
    ] = 4,
    max_steps: Annotated[int, typer.Option(help="Of training, at most.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    as_json: Json = False,
) -> None:
    """Learn from a dataset which features to weigh, and store that as a head for it.

    With `--from-layer` the network learns as well, and OUT is a network for `--weights`; with
    `--network multiscale` it is one for `--weights OUT --layer embedding`.

    Example: `dogsim deep-ranking dogs.h5 -o head.keras`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.deep_ranking import train_ranking
    from dogsim.learning.fine_tune import fine_tune
    from dogsim.networks.heads import check_model_name, save_model
    from dogsim.plumbing.files import check_output

    check_output(check_model_name(out))
    known = Dataset.open(file)
    common: dict[str, Any] = {
        "gap": gap,
        "max_steps": max_steps,
        "patience": patience,
        "seed": seed,
    }
    if from_layer or network != "same":
        trained = fine_tune(
            known,
            from_layer,
            weights,
            learning_rate=learning_rate,
            batch_size=16 if batch_size is None else batch_size,
            workers=workers,
            augmented=augmented,
            network=network,
            **common,
        )
    else:
        if batch_size or workers or augmented:
            raise DogsimError(
                "Received --batch-size, --workers or --augment for a head. Expected them with "
                "--from-layer or --network multiscale: a head learns from stored features."
            )
        rate = 1e-3 if learning_rate is None else learning_rate
        trained = train_ranking(
            known, negatives, width=width, learning_rate=rate, start=start, **common
        )
    save_model(trained.model, out)
    before, after = trained.history[0], trained.history[trained.best]
    text = (
        f"{out}: {trained.steps} steps\n"
        f"precision@{trained.k} of held-out pictures {after:.4f}, before {before:.4f}"
    )
    result = {"out": str(out), "steps": trained.steps, "k": trained.k}
    print_result({**result, "precision_before": before, "precision_after": after}, as_json, text)


def project(
    file: File,
    head: Annotated[Path, typer.Option(help="A head of dogsim deep-ranking.")],
    out: Out,
    as_json: Json = False,
) -> None:
    """Send a dataset's features, and all later queries of it, through a head.

    Example: `dogsim project dogs.h5 --head head.keras -o ranked.h5`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.project import project as through

    made = through(Dataset.open(file), head)
    made.save(out)
    text = f"{out}: {len(made)} pictures, {made.features.shape[1]} numbers each"
    print_result({"dataset": str(out), **description(made)}, as_json, text)


def train_classifier(
    file: File,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .keras file to write.")],
    max_epochs: Annotated[int, typer.Option(help="Rounds through the pictures, at most.")] = 100,
    learning_rate: Annotated[
        float | None, typer.Option(help="Of Adam.  [default: 0.6 / number of features]")
    ] = None,
    dropout: Annotated[float, typer.Option(help="Part of the features hidden in each step.")] = 0.5,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a softmax on a dataset's features, a classification layer of one's own.

    Example: `dogsim train-classifier train.h5 -o c.keras`, then
    `dogsim accuracy --dataset train.h5 --test test.h5 --classifier c.keras`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.classifier import train_classifier as train
    from dogsim.networks.heads import check_model_name
    from dogsim.plumbing.files import check_output

    check_output(check_model_name(out), [file])
    known = Dataset.open(file)
    made = train(known, dropout, learning_rate, max_epochs, seed=seed)
    made.save(out)
    text = f"{out}: names {len(made.breeds)} breeds by {known.features.shape[1]} features"
    print_result({"out": str(out), "breeds": made.breeds, "epochs": made.epochs}, as_json, text)
