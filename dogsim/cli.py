"""The command line: parse, call one function, print."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dogsim import __version__
from dogsim.errors import DogsimError

if TYPE_CHECKING:
    from dogsim.dataset import Dataset


class _OneLineErrors(TyperGroup):
    """Turns what a user can mend into one line on stderr and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except DogsimError as error:
            typer.echo(f"dogsim: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from error


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


Images = Annotated[
    list[Path] | None, typer.Argument(metavar="[IMAGE|DIR]...", help="Pictures or folders of them.")
]
K = Annotated[int, typer.Option("--k", "-k", help="How many neighbours.")]
DatasetFile = Annotated[
    Path | None,
    typer.Option("--dataset", envvar="DOGSIM_DATASET", help="Dataset file.  [default: the sample]"),
]
Weights = Annotated[
    str | None,
    typer.Option(help="Weight file of the dataset's network, where it is not found by itself."),
]
Metric = Annotated[str, typer.Option(help="Distance, as scipy names them.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Which of the pictures I know look most like this one?"""
    if version:
        typer.echo(__version__)
        raise typer.Exit()


@app.command()
def show(
    images: Images = None,
    k: K = 8,
    dataset: DatasetFile = None,
    weights: Weights = None,
    metric: Metric = "euclidean",
    root: Annotated[
        Path | None, typer.Option(help="Where the dataset's pictures lie, if they have moved.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Save the grids as PNG files in this folder.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show each picture with its k nearest; without a display, save the grids to results/.

    Example: `dogsim show my_dog.jpg --dataset dogs.h5 --save grids`
    """
    from dogsim.display import show_or_save
    from dogsim.plots import result_grid

    known = _open(dataset, weights)
    known = replace(known, root=str(root)) if root else known
    pictures = _pictures(images)
    answers = _answers(pictures, known, k, metric, weights)
    grids = (
        (path.stem, result_grid(path, known, a.indices, a.distances, known.breed_told_by(path)))
        for path, a in zip(pictures, answers, strict=True)
    )
    written = [str(path) for path in show_or_save(grids, save)]
    _print({"grids": written}, as_json, "\n".join(written))


@app.command()
def classify(
    images: Images = None,
    k: K = 20,
    dataset: DatasetFile = None,
    weights: Weights = None,
    metric: Metric = "euclidean",
    as_json: Json = False,
) -> None:
    """Name the breed of each picture by the vote of its k nearest.

    Example: `dogsim classify my_dog.jpg holiday/ -k 20 --dataset dogs.h5`
    """
    known = _open(dataset, weights)
    pictures = _pictures(images)
    answers = _answers(pictures, known, k, metric, weights)
    results = [
        {
            "image": str(path),
            "breed": answer.breed,
            "votes": answer.votes,
            "neighbours": [
                {"path": known.paths[row], "breed": known.breed(row), "distance": float(distance)}
                for row, distance in zip(answer.indices, answer.distances, strict=True)
            ],
        }
        for path, answer in zip(pictures, answers, strict=True)
    ]
    lines = (f"{r['image']}: {r['breed']} ({r['votes']} of {k} votes)" for r in results)
    _print({"k": k, "metric": metric, "results": results}, as_json, "\n".join(lines))


@app.command()
def accuracy(
    k: K = 20,
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
        str, typer.Option(help="honest, or matlab: the query is its own first neighbour.")
    ] = "honest",
    seed: Annotated[int, typer.Option(help="For drawing the queries.")] = 0,
    as_json: Json = False,
) -> None:
    """Judge how good the k nearest are.

    Example: `dogsim accuracy --k 20 --dataset dogs.h5`
    """
    from dogsim.accuracy import accuracy as judge
    from dogsim.dataset import Dataset

    testset = Dataset.open(test) if test else None
    known = _open(dataset, weights)
    result = judge(known, k, testset, n_test, metric, protocol, seed)
    low, high = result.vote_accuracy_ci95
    text = (
        f"{result.queries} queries, {result.gallery} pictures to choose from, {metric} distance\n"
        f"precision@{k}   {result.precision_at_k:.4f}   (by chance {result.chance:.4f})\n"
        f"recall@{k}      {result.recall_at_k:.4f}\n"
        f"F1@{k}          {result.f1_at_k:.4f}\n"
        f"vote accuracy  {result.vote_accuracy:.4f}   (95 % interval {low:.4f} to {high:.4f})"
    )
    _print(asdict(result), as_json, text)


@app.command()
def create_dataset(
    images_dir: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with one folder of pictures a breed.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The dataset file to write.")],
    backbone: Annotated[str, typer.Option(help="The network.")] = "resnet50",
    weights: Annotated[
        str, typer.Option(help="imagenet, or a file: .h5, .weights.h5 or .keras.")
    ] = "imagenet",
    layer: Annotated[
        str | None, typer.Option(help="The layer that gives the features.  [default: avg_pool]")
    ] = None,
    resize: Annotated[
        str, typer.Option(help="squash gives up the aspect ratio, crop the margins.")
    ] = "squash",
    batch_size: Annotated[int, typer.Option(help="Pictures through the network at once.")] = 32,
    as_json: Json = False,
) -> None:
    """Compute the features of a folder of breed folders and store them.

    Example: `dogsim create-dataset Images -o dogs.h5`
    """
    from dogsim.create_dataset import create_dataset as create

    made = create(images_dir, out, backbone, weights, layer, resize, batch_size)
    text = f"{out}: {len(made)} pictures of {len(made.breeds)} breeds"
    _print({"dataset": str(out), **_description(made)}, as_json, text)


@app.command()
def info(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A dataset file.")],
    as_json: Json = False,
) -> None:
    """Tell what is in a dataset file.

    Example: `dogsim info dogs.h5`
    """
    from dogsim.dataset import Dataset

    description = _description(Dataset.open(file))
    text = "\n".join(f"{name:<15} {value}" for name, value in description.items())
    _print({"dataset": str(file), **description}, as_json, text)


@app.command()
def distance(
    image1: Annotated[Path, typer.Argument(metavar="A", help="A picture.")],
    image2: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    backbone: Annotated[str, typer.Option(help="The network.")] = "resnet50",
    weights: Annotated[
        str, typer.Option(help="imagenet, or a file: .h5, .weights.h5 or .keras.")
    ] = "imagenet",
    layer: Annotated[
        str | None, typer.Option(help="The layer that gives the features.  [default: avg_pool]")
    ] = None,
    metric: Metric = "cosine",
    as_json: Json = False,
) -> None:
    """Tell how far two pictures are apart, as a network sees them.

    Example: `dogsim distance my_dog.jpg your_dog.jpg`
    """
    from dogsim.image_distance import ImageDistance

    apart = ImageDistance(backbone, metric, layer, weights=weights).compute(image1, image2)
    result = {"distance": apart, "metric": metric, "backbone": backbone}
    _print(result, as_json, f"{apart:.4f}")


@app.command()
def deep_ranking(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A dataset file.")],
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
    from dogsim.deep_ranking import train_ranking
    from dogsim.files import check_output
    from dogsim.fine_tune import fine_tune
    from dogsim.heads import check_model_name, save_model

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
    _print({**result, "precision_before": before, "precision_after": after}, as_json, text)


@app.command()
def project(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A dataset file.")],
    head: Annotated[Path, typer.Option(help="A head of dogsim deep-ranking.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The dataset file to write.")],
    as_json: Json = False,
) -> None:
    """Send a dataset's features, and all later queries of it, through a head.

    Example: `dogsim project dogs.h5 --head head.keras -o ranked.h5`
    """
    from dogsim.dataset import Dataset
    from dogsim.project import project as through

    made = through(Dataset.open(file), head)
    made.save(out)
    text = f"{out}: {len(made)} pictures, {made.features.shape[1]} numbers each"
    _print({"dataset": str(out), **_description(made)}, as_json, text)


def _description(dataset: "Dataset") -> dict[str, Any]:
    return {
        "pictures": len(dataset),
        "breeds": len(dataset.breeds),
        "features": dataset.features.shape[1],
        "root": dataset.root,
        **(asdict(dataset.recipe) if dataset.recipe else {"recipe": None}),
    }


def _open(dataset: Path | None, weights: str | None) -> "Dataset":
    from dogsim.dataset import Dataset
    from dogsim.sample import sample_dataset

    return Dataset.open(dataset) if dataset else sample_dataset(weights or "imagenet")


def _answers(
    pictures: list[Path], dataset: "Dataset", k: int, metric: str, weights: str | None
) -> list[Any]:
    from dogsim.backbones import extractor_for
    from dogsim.classify import classify

    return classify(pictures, dataset, k, metric, extractor_for(dataset.recipe, weights))


def _pictures(images: list[Path] | None) -> list[Path]:
    from dogsim.images import find_pictures
    from dogsim.sample import sample_queries

    return [file for path in images or () for file in find_pictures(path)] or sample_queries()


def _print(result: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        json.dump(result, sys.stdout)
        print()
    elif text:
        print(text)
