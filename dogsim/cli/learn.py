"""What can be learned from a dataset."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogsim.cli.common import (
    File,
    Force,
    Json,
    Out,
    Weights,
    check_dataset_output,
    description,
    print_result,
)
from dogsim.cli.option_values import one_of
from dogsim.errors import DogsimError

if TYPE_CHECKING:
    from dogsim.dataset import Dataset
    from dogsim.learning.training import Ranking


def deep_ranking(
    file: File,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .keras file to write.")],
    negatives: Annotated[
        str | None,
        one_of(
            "negatives",
            "{}. proxies: a stand-in for each breed; near: near pictures count most; "
            "drawn: any pictures.  [default: proxies]",
        ),
    ] = None,
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
        str, one_of("network", "{}. multiscale: two shallow paths beside it, on pictures.")
    ] = "same",
    augmented: Annotated[
        bool, typer.Option("--augment", help="Mirror pictures and crop them a little.")
    ] = False,
    batch_size: Annotated[int | None, typer.Option(help="Triplets a step.  [default: 16]")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Threads that read pictures.  [default: one a processor]")
    ] = None,
    weights: Weights = None,
    start: Annotated[
        str | None,
        one_of("start", "Of the head: {}.  [default: discriminant]"),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of Adam.  [default: 3e-3; with triplets 1e-3, with --from-layer 1e-5]"),
    ] = None,
    patience: Annotated[
        int, typer.Option(help="Stop when so many rounds of 25 steps brought nothing better.")
    ] = 4,
    root: Annotated[
        Path | None,
        typer.Option(help="Where the pictures lie, if they have moved, for --from-layer."),
    ] = None,
    hold_back: Annotated[
        float | None,
        typer.Option(
            help="Part of each breed's pictures not to learn from, as 0.2: by these the result can "
            "promise something (--confidence)."
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(help="Of training, at most.  [default: 500; with proxies 760]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Learn from a dataset which features to weigh, and store that as a head for it.

    With `--from-layer` the network learns as well, and OUT is a network for `--weights`; with
    `--network multiscale` it is one for `--weights OUT --layer embedding`.

    Example: `dogsim deep-ranking dogs.h5 -o head.keras`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.hold_out import hold_out
    from dogsim.networks.heads import check_model_name, save_model
    from dogsim.networks.training_record import has_memory
    from dogsim.plumbing.files import check_output, check_replaceable

    on_pictures = from_layer is not None or network != "same"
    of_a_head = {"negatives": negatives, "width": width, "start": start}
    of_pictures = {"weights": weights, "root": root, "batch-size": batch_size, "workers": workers}
    of_pictures["augment"] = augmented or None
    _check_options(on_pictures, of_pictures if not on_pictures else of_a_head)
    check_output(check_model_name(out), [file, Path(weights) if weights else None])
    check_replaceable(out, has_memory, force)
    known = Dataset.open(file)
    if hold_back is not None:
        known, _ = hold_out(known, hold_back, seed, least=1)
    common: dict[str, Any] = {
        "gap": gap,
        **({} if max_steps is None else {"max_steps": max_steps}),
        "patience": patience,
        "seed": seed,
    }
    if on_pictures:
        from dogsim.learning.fine_tune import fine_tune

        known = replace(known, root=str(root)) if root else known
        _check_not_read(out, known)
        trained = fine_tune(
            known,
            from_layer,
            weights,
            learning_rate=learning_rate,
            batch_size=16 if batch_size is None else batch_size,
            workers=workers,
            augmented=bool(augmented),
            network=network,
            **common,
        )
    else:
        from dogsim.learning.deep_ranking import train_ranking

        trained = train_ranking(
            known,
            negatives or "proxies",
            width=width,
            learning_rate=learning_rate,
            start=start or "discriminant",
            **common,
        )
    save_model(trained.model, out)
    _print_ranking(trained, out, as_json)


def _check_options(on_pictures: bool, useless: dict[str, Any]) -> None:
    """Raise `DogsimError` for an option that would do nothing."""
    use = "heads only: leave out" if on_pictures else "networks only: add one of"
    for name, value in useless.items():
        if value is not None:
            raise DogsimError(
                f"Received --{name} {value}. It is for {use} --from-layer and --network."
            )


def _check_not_read(out: Path, known: "Dataset") -> None:
    """Raise `DogsimError` if the output is the network that the dataset needs."""
    from dogsim.plumbing.files import check_output

    check_output(out, [Path(known.recipe.weights)] if known.recipe else [])


def _print_ranking(trained: "Ranking", out: Path, as_json: bool) -> None:
    start, learned = trained.history[0], trained.history[trained.best]
    text = (
        f"{out}: {trained.steps} steps\n"
        f"precision@{trained.k} of held-out pictures: {trained.raw:.4f} raw, "
        f"{start:.4f} at the start, {learned:.4f} learned"
    )
    precisions = {
        "precision_raw": trained.raw,
        "precision_before": start,
        "precision_after": learned,
    }
    result = {"out": str(out), "steps": trained.steps, "k": trained.k}
    print_result({**result, **precisions}, as_json, text)


def project(
    file: File,
    head: Annotated[Path, typer.Option(help="A head of dogsim deep-ranking.")],
    out: Out,
    layer: Annotated[
        str | None,
        typer.Option(
            help="Where the head ends: general, or an empty text for its last layer.  [default: "
            "the last, if it has learned all of the dataset's breeds]"
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Send a dataset's features, and all later queries of it, through a head.

    Example: `dogsim project dogs.h5 --head head.keras -o ranked.h5`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.apply_head import project as through

    check_dataset_output(out, [file, head], "project", force)
    made = through(Dataset.open(file), head, layer)
    made.save(out, "project")
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
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Train a softmax on a dataset's features, a classification layer of one's own.

    Example: `dogsim train-classifier train.h5 -o c.keras`, then
    `dogsim accuracy --dataset train.h5 --test test.h5 --classifier c.keras`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.classifier import is_classifier
    from dogsim.learning.classifier import train_classifier as train
    from dogsim.networks.heads import check_model_name
    from dogsim.plumbing.files import check_output, check_replaceable

    check_output(check_model_name(out), [file])
    check_replaceable(out, is_classifier, force)
    known = Dataset.open(file)
    made = train(known, dropout, learning_rate, max_epochs, seed=seed)
    made.save(out)
    text = f"{out}: names {len(made.breeds)} breeds by {known.features.shape[1]} features"
    print_result({"out": str(out), "breeds": made.breeds, "epochs": made.epochs}, as_json, text)
