"""What can be learned from a dataset."""

from pathlib import Path
from typing import Annotated

import typer

from dogsim.cli.common import File, Json, Out, Weights, description, print_result


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
    weights: Weights = None,
    max_steps: Annotated[int, typer.Option(help="Of training, at most.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    as_json: Json = False,
) -> None:
    """Learn from a dataset which features to weigh, and store that as a head for it.

    With `--from-layer` the network learns as well, and OUT is a network for `--weights`.

    Example: `dogsim deep-ranking dogs.h5 -o head.keras`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.deep_ranking import train_ranking
    from dogsim.learning.fine_tune import fine_tune
    from dogsim.networks.heads import check_model_name, save_model
    from dogsim.plumbing.files import check_output

    check_output(check_model_name(out))
    known = Dataset.open(file)
    if from_layer:
        trained = fine_tune(known, from_layer, weights, gap, max_steps=max_steps, seed=seed)
    else:
        trained = train_ranking(known, negatives, gap, width, max_steps=max_steps, seed=seed)
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
