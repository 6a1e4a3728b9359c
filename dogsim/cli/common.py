"""What commands share: options, error handling and printing."""

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

OPEN_RESOURCES = ExitStack()  # closed when the command ends
DATASET_VARIABLE = "DOGSIM_DATASET"  # of the environment
RESIZE_HELP = "{}. squash gives up the aspect ratio, crop cuts off the margins."
VIEWS_HELP = (
    "none; flip: mean of the image and its mirror; flip,crops: mean of 12 views, 12 times slower."
)
ONNX_ONLY = "Only for --backbone onnx:"
ONNX_DEFAULT = "[default: from the network's file or a file beside it]"

Images = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="IMAGE|DIR", help="Images or folders of images.  [default: the sample's queries]"
    ),
]
K = Annotated[int, typer.Option("--k", "-k", help="Number of neighbours.")]
DatasetFile = Annotated[
    Path | None,
    typer.Option(
        "--dataset", envvar=DATASET_VARIABLE, help="Dataset file or folder.  [default: the sample]"
    ),
]
Root = Annotated[
    Path | None, typer.Option(help="Folder of the dataset's images, if they have moved.")
]
Weights = Annotated[
    str | None,
    typer.Option(help="Weight file of the dataset's network, if it has moved."),
]
Head = Annotated[str | None, typer.Option(help="The dataset's head, if it has moved.")]
Backbone = Annotated[str, one_of("backbone", "Network: {}.")]
NetworkWeights = Annotated[
    str, typer.Option(help="imagenet, or a file: .h5, .weights.h5, .keras or .onnx.")
]
Layer = Annotated[
    str | None, typer.Option(help="Layer whose output is the features.  [default: avg_pool]")
]
Resize = Annotated[str, one_of("resize", RESIZE_HELP)]
BatchSize = Annotated[int, typer.Option(help="Number of images through the network at once.")]
Metric = Annotated[str, one_of("metric", "Distance: {}.")]
Rank = Annotated[
    str, one_of("rank", "{}. expand: move each query towards its nearest neighbours first.")
]
Confidence = Annotated[
    float | None,
    typer.Option(
        help="Also return a set of breeds that contains the true one with this probability, such "
        "as 0.9."
    ),
]
SaveFigures = Annotated[
    Path | None, typer.Option(help="Save the figures as PNG files in this folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Engine = Annotated[str, one_of("engine", "Inference engine: {}; auto is the faster one here.")]
Precision = Annotated[
    str,
    one_of(
        "precision",
        "Number format: {}; auto is bfloat16 if the CPU supports it, int8 is calibrated on your "
        "images.",
    ),
]
BackboneOfFile = Annotated[
    str | None, one_of("backbone", "Network: {}.  [default: the file's, else resnet50]")
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
    typer.Option(help="Layer whose output is the features.  [default: the file's, else avg_pool]"),
]
ResizeOfFile = Annotated[
    str | None, one_of("resize", f"{RESIZE_HELP}  [default: the file's, else squash]")
]
Mean = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B",
        help=f"{ONNX_ONLY} subtracted from the colours, where 1 is white.  {ONNX_DEFAULT}",
    ),
]
Std = Annotated[
    str | None,
    typer.Option(
        metavar="R,G,B", help=f"{ONNX_ONLY} divides the colours after --mean.  {ONNX_DEFAULT}"
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(help=f"{ONNX_ONLY} height and width of the images, pixels.  {ONNX_DEFAULT}"),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Crop an image to its box if this folder has a box file for it."
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        help="Fraction of its width and height added to each side of a box.  "
        "[default: the file's, else 0]"
    ),
]
Views = Annotated[str, typer.Option(help=VIEWS_HELP)]
ViewsOfFile = Annotated[
    str | None, typer.Option(help=f"{VIEWS_HELP}  [default: the file's, else none]")
]
Classifier = Annotated[
    Path | None,
    typer.Option(help="A file of dogsim train-classifier, whose answer is added to the vote."),
]
KeepSelf = Annotated[
    bool, typer.Option("--keep-self", help="Let an image of the dataset vote on itself.")
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace a file that this command did not make.")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:PORT]",
        help="Compute on the Ray cluster at this address, or without one on this machine alone.",
    ),
]
Strict = Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable file.")]
Restart = Annotated[
    bool, typer.Option("--restart", help="Compute everything again, whatever there is.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A dataset file, or folder of shards.")]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="The dataset file to write; NAME.dogsim is a folder of shards."
    ),
]


class OneLineErrors(TyperGroup):
    """A command group that reports errors in one line on stderr, with exit status 1."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        # Pillow warns of odd images that it can read: no news to the user.
        warnings.filterwarnings("ignore", module="PIL")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # escapes what a terminal cannot show
                stream.reconfigure(errors="backslashreplace")
        try:
            with OPEN_RESOURCES:
                return super().invoke(ctx)
        except DogsimError as error:
            note(f"dogsim: {' '.join(str(error).split())}")
            raise typer.Exit(1) from error
        except OSError as error:  # such as a name that is too long
            if error.errno == EPIPE:  # the reader of a pipe has closed it: no mistake
                raise
            about = f"{printable(str(error.filename))}: " if error.filename else ""
            note(f"dogsim: {about}{reason(error)}.")
            raise typer.Exit(1) from error
        except KeyboardInterrupt as stop:
            note(f"dogsim: {str(stop) or 'Stopped.'}")
            raise typer.Exit(143 if isinstance(stop, Terminated) else 130) from stop


def open_dataset(file: Path | None, weights: str | None, cluster: str | None = None) -> "Dataset":
    """Open a dataset file, or the sample; with a cluster, it is searched there."""
    from dogsim.dataset import Dataset
    from dogsim.networks.weights import IMAGENET
    from dogsim.sources.sample import sample_dataset

    dataset = Dataset.open(file) if file else sample_dataset(weights or IMAGENET)
    if cluster is None:
        return dataset
    from dogsim.cluster.search import search_on

    return OPEN_RESOURCES.enter_context(search_on(dataset, cluster))


def check_dataset_output(out: Path, inputs: list[Path], command: str, force: bool) -> None:
    """Raise `DogsimError` if `command` may not write a dataset file there."""
    from dogsim.plumbing.files import check_output, check_replaceable
    from dogsim.storage.dataset_file import made_by

    check_output(out, inputs)
    check_replaceable(out, lambda there: made_by(there) == command, force)


def images_or_sample(images: list[Path] | None) -> list[Path]:
    """List the image files in these files and folders; by default the sample's queries."""
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
