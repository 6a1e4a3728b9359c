"""What the commands share: their options, how they fail, and how they print."""

import json
import sys
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict
from errno import EPIPE
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from dogsim.cli.option_values import one_of
from dogsim.errors import DogsimError, reason
from dogsim.plumbing.signals import Terminated
from dogsim.plumbing.terminal import note, printable, say, valid_unicode_in

if TYPE_CHECKING:
    from dogsim.dataset import Dataset

Images = Annotated[
    list[Path] | None, typer.Argument(metavar="IMAGE|DIR", help="Pictures or folders of them.")
]
K = Annotated[int, typer.Option("--k", "-k", help="How many neighbours.")]
HELD = ExitStack()  # what a command holds until it ends
DATASET_VARIABLE = "DOGSIM_DATASET"  # of the environment
DatasetFile = Annotated[
    Path | None,
    typer.Option(
        "--dataset", envvar=DATASET_VARIABLE, help="Dataset file or folder.  [default: the sample]"
    ),
]
Root = Annotated[
    Path | None, typer.Option(help="Where the dataset's pictures lie, if they have moved.")
]
Weights = Annotated[
    str | None,
    typer.Option(help="Weight file of the dataset's network, where it is not found by itself."),
]
Head = Annotated[
    str | None, typer.Option(help="The dataset's head, where it is not found by itself.")
]
Backbone = Annotated[str, one_of("backbone", "The network: {}.")]
NetworkWeights = Annotated[
    str, typer.Option(help="imagenet, or a file: .h5, .weights.h5, .keras or .onnx.")
]
Layer = Annotated[
    str | None, typer.Option(help="The layer that gives the features.  [default: avg_pool]")
]
SQUARE = "{}. squash gives up the aspect ratio, crop the margins."
Resize = Annotated[str, one_of("resize", SQUARE)]
BatchSize = Annotated[int, typer.Option(help="Pictures through the network at once.")]
Metric = Annotated[str, one_of("metric", "Distance: {}.")]
Rank = Annotated[
    str, one_of("rank", "{}. expand: each picture is moved towards its nearest first.")
]
Confidence = Annotated[
    float | None,
    typer.Option(help="Name a set of breeds that holds the true one in so many cases, as 0.9."),
]
SaveFigures = Annotated[
    Path | None, typer.Option(help="Save the figures as PNG files in this folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Engine = Annotated[str, one_of("engine", "What computes: {}; auto takes the faster one here.")]
Precision = Annotated[
    str,
    one_of(
        "precision",
        "Of the numbers: {}; auto takes bfloat16 where the CPU has it, int8 is made with your "
        "pictures.",
    ),
]
BackboneOfFile = Annotated[
    str | None, one_of("backbone", "The network: {}.  [default: the file's, else resnet50]")
]
WeightsOfFile = Annotated[
    str | None,
    typer.Option(
        help="imagenet, or a file: .h5, .weights.h5, .keras or .onnx.  "
        "[default: the file's, else imagenet]"
    ),
]
LayerOfFile = Annotated[
    str | None,
    typer.Option(help="The layer that gives the features.  [default: the file's, else avg_pool]"),
]
ResizeOfFile = Annotated[
    str | None, one_of("resize", f"{SQUARE}  [default: the file's, else squash]")
]
OF_ONNX = "For --backbone onnx:"
TOLD = "[default: as the network's file or one beside it tells]"
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B", help=f"{OF_ONNX} what is taken off the colours; white is 1.  {TOLD}"
    ),
]
Std = Annotated[
    str | None,
    typer.Option(metavar="R,G,B", help=f"{OF_ONNX} what they are then divided by.  {TOLD}"),
]
ImageSize = Annotated[
    int | None, typer.Option(help=f"{OF_ONNX} height and width of the pictures.  {TOLD}")
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="See of a picture its box, where this folder has a file of it."
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        help="Part of its sides by which a box is made wider.  [default: the file's, or 0]"
    ),
]
VIEWS = (
    "none, flip: the mean of a picture's features and its mirror's, or flip,crops: of 12 views, in "
    "12 times the time."
)
Views = Annotated[str, typer.Option(help=VIEWS)]
ViewsOfFile = Annotated[str | None, typer.Option(help=f"{VIEWS}  [default: the file's, else none]")]
Classifier = Annotated[
    Path | None,
    typer.Option(help="A file of dogsim train-classifier: its answer beside the vote."),
]
KeepSelf = Annotated[
    bool, typer.Option("--keep-self", help="Let a picture of the dataset vote on itself.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace a file that this command did not make.")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:PORT]",
        help="Let a Ray cluster work: the one at that address, else one of this machine alone.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first bad file.")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Compute everything anew, whatever is there.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A dataset file, or folder of shards.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="The dataset file to write; NAME.dogsim is a folder of shards."
    ),
]


class OneLineErrors(TyperGroup):
    """Turns what a user can mend into one line on stderr and exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        # What Pillow finds odd in a picture that it reads all the same is no news to the user.
        warnings.filterwarnings("ignore", module="PIL")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # what a terminal has no letter for is escaped
                stream.reconfigure(errors="backslashreplace")
        try:
            with HELD:
                return super().invoke(ctx)
        except DogsimError as error:
            note(f"dogsim: {' '.join(str(error).split())}")
            raise typer.Exit(1) from error
        except OSError as error:  # a name that is too long, say: what the system says to anybody
            if error.errno == EPIPE:  # who reads what is printed has gone: no mistake
                raise
            about = f"{printable(str(error.filename))}: " if error.filename else ""
            note(f"dogsim: {about}{reason(error)}.")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            note(f"dogsim: {str(stop) or 'Stopped.'}")
            raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from stop


def open_dataset(file: Path | None, weights: str | None, cluster: str | None = None) -> "Dataset":
    """Open a dataset file, or the sample; a cluster searches it until the command ends."""
    from dogsim.dataset import Dataset
    from dogsim.networks.weights import IMAGENET
    from dogsim.sources.sample import sample_dataset

    dataset = Dataset.open(file) if file else sample_dataset(weights or IMAGENET)
    if cluster is None:
        return dataset
    from dogsim.cluster.search import search_on

    return HELD.enter_context(search_on(dataset, cluster))


def check_dataset_output(out: Path, inputs: list[Path], command: str, force: bool) -> None:
    """Raise `DogsimError` if `command` may not write a dataset file there."""
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.storage.dataset_file import made_by

    check_output(out, inputs)
    check_replaceable(out, lambda there: made_by(there) == command, force)


def images_or_sample(images: list[Path] | None) -> list[Path]:
    """List the pictures that were named, or the sample's queries."""
    from dogsim.folders.listing import find_images
    from dogsim.sources.sample import sample_queries

    return [file for path in images or () for file in find_images(path)] or sample_queries()


def summary(file: Path, dataset: "Dataset") -> str:
    """Return the numbers of images and breeds in a dataset as a line of text."""
    return f"{file}: {len(dataset)} images of {len(dataset.breeds)} breeds"


def description(dataset: "Dataset") -> dict[str, Any]:
    """Return the size of a dataset and its recipe, for JSON."""
    return {
        "images": len(dataset),
        "breeds": len(dataset.breeds),
        "features": dataset.features.shape[1],
        "root": dataset.root,
        **(asdict(dataset.recipe) if dataset.recipe else {"recipe": None}),
    }


def print_result(result: Mapping[str, Any], as_json: bool, text: str) -> None:
    """Print a result on stdout: one JSON object, or text."""
    if as_json:
        print(json.dumps(valid_unicode_in(result)))
    elif text:
        for line in text.split("\n"):
            say(line)
