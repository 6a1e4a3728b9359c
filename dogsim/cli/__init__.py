"""The command line: parse, call one function, print."""

import json
import sys
import warnings
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
        # What Pillow finds odd in a picture that it reads all the same is no news to the user.
        warnings.filterwarnings("ignore", module="PIL")
        try:
            return super().invoke(ctx)
        except DogsimError as error:
            typer.echo(f"dogsim: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            typer.echo(f"dogsim: {stop or 'Stopped.'}", err=True)
            raise typer.Exit(130) from stop


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
Backbone = Annotated[str, typer.Option(help="The network.")]
NetworkWeights = Annotated[
    str, typer.Option(help="imagenet, or a file: .h5, .weights.h5 or .keras.")
]
Layer = Annotated[
    str | None, typer.Option(help="The layer that gives the features.  [default: avg_pool]")
]
Resize = Annotated[str, typer.Option(help="squash gives up the aspect ratio, crop the margins.")]
BatchSize = Annotated[int, typer.Option(help="Pictures through the network at once.")]
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
    from dogsim.figures.display import show_or_save
    from dogsim.figures.grid import result_grid

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
        str, typer.Option(help="honest, or matlab: the query is its own first neighbour.")
    ] = "honest",
    vote: Annotated[str, typer.Option(help="uniform, or distance: weighs 1 / distance.")] = (
        "uniform"
    ),
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
    table: Annotated[
        Path | None, typer.Option("--csv", help="Write the last table shown to this file.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge how good the k nearest are; give --k several times for several k.

    Example: `dogsim accuracy --k 1 --k 20 --dataset dogs.h5 --confusions`
    """
    from dogsim import tables
    from dogsim.accuracy import map_at_r, measure
    from dogsim.dataset import Dataset
    from dogsim.neighbours import evaluate
    from dogsim.plumbing.progress import note
    from dogsim.report import confusions, per_breed

    testset = Dataset.open(test) if test else None
    known, ks = _open(dataset, weights), k or [20]
    options = (testset, n_test, metric, protocol, seed)
    found = evaluate(known, max(ks) if min(ks) > 0 else min(ks), *options)
    if found.in_both:
        note(f"{found.in_both} of the test pictures are in the dataset as well.")
    results = [asdict(measure(found, each, vote)) for each in ks]
    shown: dict[str, Any] = {"results": results}
    if with_map:
        shown["map_at_r"] = map_at_r(evaluate(known, None, *options))
    if with_breeds:
        shown["per_breed"] = [asdict(score) for score in per_breed(found, max(ks))]
    if with_confusions:
        shown["confusions"] = [asdict(pair) for pair in confusions(found, max(ks))]
    if table:
        tables.write_csv(table, next(rows for rows in reversed(shown.values()) if rows != []))
    if testset:
        shown["in_both"] = found.in_both
    flat = {**results[0], **{name: value for name, value in shown.items() if name != "results"}}
    _print(flat if len(ks) == 1 else shown, as_json, tables.accuracy_text(shown))


@app.command()
def create_dataset(
    images_dir: Annotated[
        Path, typer.Argument(metavar="DIR", help="A folder with one folder of pictures a breed.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The dataset file to write.")],
    backbone: Backbone = "resnet50",
    weights: NetworkWeights = "imagenet",
    layer: Layer = None,
    resize: Resize = "squash",
    batch_size: BatchSize = 32,
    engine: Annotated[
        str, typer.Option(help="tensorflow, openvino, or auto: the faster one here.")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="float32, bfloat16, or auto: bfloat16 where the CPU has it.")
    ] = "auto",
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad file.")] = False,
    restart: Annotated[
        bool, typer.Option("--restart", help="Compute everything anew, whatever is there.")
    ] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Tell changed pictures by their content.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute the features of a folder of breed folders and store them.

    Run it again to go on after a stop, or to take in pictures that are new or have changed.

    Example: `dogsim create-dataset Images -o dogs.h5`
    """
    from dogsim.create_dataset import update_dataset
    from dogsim.folders.listing import report_skipped

    update = update_dataset(
        *(images_dir, out, backbone, weights, layer, resize),
        *(batch_size, engine, precision, strict, restart, verify),
    )
    report_skipped(update.skipped, out)
    made = update.dataset
    counts = {name: getattr(update, name) for name in ("new", "changed", "kept", "removed")}
    done = ", ".join(f"{count} {name}" for name, count in counts.items())
    text = f"{_summary(out, made)} ({done}, {len(update.skipped)} skipped)"
    skipped = [asdict(each) for each in update.skipped]
    result = {"dataset": str(out), **_description(made), **counts, "skipped": skipped}
    _print(result, as_json, text)


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
def stanford_dogs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where everything is put.")],
    archives: Annotated[
        Path | None,
        typer.Option("--from", help="Folder with images.tar and lists.tar.  [default: download]"),
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Fetch the bounding boxes too.")
    ] = False,
    backbone: Backbone = "resnet50",
    weights: NetworkWeights = "imagenet",
    layer: Layer = None,
    resize: Resize = "squash",
    batch_size: BatchSize = 32,
    as_json: Json = False,
) -> None:
    """Fetch Stanford Dogs and make datasets of its official train and test lists.

    Example: `dogsim stanford-dogs dogs`, then
    `dogsim accuracy --dataset dogs/train.h5 --test dogs/test.h5`
    """
    from dogsim.sources.stanford_dogs import stanford_dogs as fetch

    made = fetch(folder, archives, annotations, backbone, weights, layer, resize, batch_size)
    result = {
        split: {"dataset": str(folder / f"{split}.h5"), **_description(dataset)}
        for split, dataset in made.items()
    }
    lines = [_summary(folder / f"{split}.h5", dataset) for split, dataset in made.items()]
    _print(result, as_json, "\n".join(lines))


@app.command()
def import_mat(
    file: Annotated[Path, typer.Argument(metavar="FILE.mat", help="What MATLAB saved.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.h5", help="The dataset file to write.")],
    as_json: Json = False,
) -> None:
    """Make a dataset file of `features` and `paths` that MATLAB or Octave saved.

    Example: `dogsim import-mat data.mat dogs.h5`
    """
    from dogsim.sources.matlab import import_mat as read

    made = read(file)
    made.save(out)
    _print({"dataset": str(out), **_description(made)}, as_json, _summary(out, made))


@app.command()
def export_mat(
    file: Annotated[Path, typer.Argument(metavar="FILE.h5", help="A dataset file.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.mat", help="The file to write.")],
    as_json: Json = False,
) -> None:
    """Write `features`, `paths`, `labels` and `breeds` for MATLAB and Octave.

    Example: `dogsim export-mat dogs.h5 dogs.mat`
    """
    from dogsim.dataset import Dataset
    from dogsim.sources.matlab import export_mat as write

    dataset = Dataset.open(file)
    write(dataset, out)
    _print({"file": str(out), **_description(dataset)}, as_json, _summary(out, dataset))


@app.command()
def distance(
    image1: Annotated[Path, typer.Argument(metavar="A", help="A picture.")],
    image2: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    backbone: Backbone = "resnet50",
    weights: NetworkWeights = "imagenet",
    layer: Layer = None,
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
    from dogsim.learning.project import project as through

    made = through(Dataset.open(file), head)
    made.save(out)
    text = f"{out}: {len(made)} pictures, {made.features.shape[1]} numbers each"
    _print({"dataset": str(out), **_description(made)}, as_json, text)


def _summary(file: Path, dataset: "Dataset") -> str:
    return f"{file}: {len(dataset)} pictures of {len(dataset.breeds)} breeds"


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
    from dogsim.sources.sample import sample_dataset

    return Dataset.open(dataset) if dataset else sample_dataset(weights or "imagenet")


def _answers(
    pictures: list[Path], dataset: "Dataset", k: int, metric: str, weights: str | None
) -> list[Any]:
    from dogsim.classify import classify
    from dogsim.networks.backbones import extractor_for

    return classify(pictures, dataset, k, metric, extractor_for(dataset.recipe, weights))


def _pictures(images: list[Path] | None) -> list[Path]:
    from dogsim.images import find_pictures
    from dogsim.sources.sample import sample_queries

    return [file for path in images or () for file in find_pictures(path)] or sample_queries()


def _print(result: dict[str, Any], as_json: bool, text: str) -> None:
    if as_json:
        json.dump(result, sys.stdout)
        print()
    elif text:
        print(text)
