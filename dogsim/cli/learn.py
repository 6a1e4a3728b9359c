"""What can be learned from a dataset."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from dogsim.errors import DogsimError

if TYPE_CHECKING:
    from dogsim.dataset import Dataset
    from dogsim.learning.training import Ranking


def deep_ranking(
    file: File,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .keras file to write.")],
    negatives: Annotated[
        str | None,
        typer.Option(
            help="near: near ones count most. drawn: any, drawn beforehand.  [default: near]"
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
    weights: Weights = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Where the pictures lie, if they have moved, for --from-layer."),
    ] = None,
    max_steps: Annotated[int, typer.Option(help="Of training, at most.")] = 500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same result.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Learn from a dataset which features to weigh, and store that as a head for it.

    With `--from-layer` the network learns as well, and OUT is a network for `--weights`.

    Example: `dogsim deep-ranking dogs.h5 -o head.keras`
    """
    from dogsim.dataset import Dataset
    from dogsim.networks.heads import check_model_name, save_model
    from dogsim.networks.trained_on import has_memory
    from dogsim.plumbing.files import check_output, check_replaceable

    _check_options(from_layer, negatives=negatives, width=width, weights=weights, root=root)
    check_output(check_model_name(out), [file, Path(weights) if weights else None])
    check_replaceable(out, has_memory, force)
    known = Dataset.open(file)
    if from_layer:
        from dogsim.learning.fine_tune import fine_tune

        known = replace(known, root=str(root)) if root else known
        _check_not_read(out, known)
        trained = fine_tune(known, from_layer, weights, gap, max_steps=max_steps, seed=seed)
    else:
        from dogsim.learning.deep_ranking import train_ranking

        trained = train_ranking(
            known, negatives or "near", gap, width, max_steps=max_steps, seed=seed
        )
    save_model(trained.model, out)
    _print_ranking(trained, out, as_json)


def _check_options(from_layer: str | None, **given: object) -> None:
    """Raise `DogsimError` for an option that would do nothing."""
    of_a_head = ("negatives", "width")
    for name, value in given.items():
        if value is not None and (name in of_a_head) is (from_layer is not None):
            raise DogsimError(
                f"Received --{name} {value} with{'' if from_layer else 'out'} --from-layer. "
                f"It is for {'heads' if name in of_a_head else 'networks'} only."
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
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Send a dataset's features, and all later queries of it, through a head.

    Example: `dogsim project dogs.h5 --head head.keras -o ranked.h5`
    """
    from dogsim.dataset import Dataset
    from dogsim.learning.project import project as through

    check_dataset_output(out, [file, head], "project", force)
    made = through(Dataset.open(file), head)
    made.save(out, "project")
    text = f"{out}: {len(made)} pictures, {made.features.shape[1]} numbers each"
    print_result({"dataset": str(out), **description(made)}, as_json, text)
