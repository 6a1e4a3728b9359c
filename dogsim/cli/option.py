"""Declarations of the options that commands share.

Values that are names of a fixed set are defined where they are used, in modules that load slowly.
They are looked up only for a help text or a completion, so that no command waits for them and no
second list exists.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from dogsim.recipe import with_channel_numbers

OPTION_TABLES = {  # for each such option the module and the table in it
    "backbone": ("networks.backbones", "NAMES"),
    "resize": ("image_files.square", "RESIZES"),
    "engine": ("engines.choose", "ENGINES"),
    "precision": ("engines.choose", "PRECISIONS"),
    "metric": ("dist_calc", "METRICS"),
    "protocol": ("retrieval.evaluation", "PROTOCOLS"),
    "vote": ("vote", "VOTES"),
    "rank": ("retrieval.query_expansion", "RANKS"),
    "coverage": ("trust.conformal", "COVERAGES"),
    "negatives": ("learning.deep_ranking", "NEGATIVES"),
    "start": ("learning.deep_ranking", "STARTS"),
    "network": ("learning.fine_tune", "NETWORKS"),
}
PANELS = {  # of the help; all other options are in the first one
    "Network": "backbone weights layer image_size resize mean std views head engine precision",
    "Advanced": "metric rank cluster seed keep_self batch_size workers strict restart verify "
    "margin force no_scene_check forget_edits root learning_rate max_steps max_epochs patience "
    "dropout gap width start host port token name",
}
# For a table that is too long for a help text: the function of that module that summarises it.
SUMMARY_FUNCTIONS = {"backbone": "families"}
NAMES_PLACEHOLDER = "{}"  # in a help text
DATASET_VARIABLE = "DOGSIM_DATASET"  # of the environment
ONNX_ONLY = "Only for --backbone onnx:"
ONNX_DEFAULT = "[default: from the network's file or a file beside it]"


def option_values(option: str) -> list[str]:
    """List the values of an option.

    >>> option_values("vote")
    ['uniform', 'distance']
    """
    module, table = OPTION_TABLES[option]
    return list(getattr(import_module(f"dogsim.{module}"), table))


def values_text(option: str) -> str:
    """Return the values of an option as text for its help."""
    if option not in SUMMARY_FUNCTIONS:
        return ", ".join(option_values(option))
    module = import_module(f"dogsim.{OPTION_TABLES[option][0]}")
    return str(getattr(module, SUMMARY_FUNCTIONS[option])())


def one_of(option: str, text: str) -> Any:
    """Declare an option of `OPTION_TABLES`; `text` is its help, with {} for the values."""

    def complete(incomplete: str) -> list[str]:
        return [value for value in option_values(option) if value.startswith(incomplete)]

    return typer.Option(help=text, autocompletion=complete)


def neighbours(default: int) -> Any:
    """Declare the number of neighbours; if it is not given, `k_or_default` limits the default."""
    text = f"Number of neighbours.  [default: {default}, at most all]"
    return typer.Option("--k", "-k", help=text)


Images = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="IMAGE|DIR", help="Images or folders of images.  [default: the sample's queries]"
    ),
]
File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", envvar=DATASET_VARIABLE, help="A dataset file, or folder of shards."
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out", "-o", help="The dataset file to write; NAME.dogsim is a folder of shards."
    ),
]
KerasOut = Annotated[Path, typer.Option("--out", "-o", help="The .keras file to write.")]
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
    str | None, typer.Option(help="Weight file of the dataset's network, if it has moved.")
]
Head = Annotated[str | None, typer.Option(help="The dataset's head, if it has moved.")]
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
Coverage = Annotated[
    str,
    one_of("coverage", "{}: whether --confidence holds for every breed, or only on average."),
]
Classifier = Annotated[
    Path | None,
    typer.Option(help="File of dogsim train-classifier; its answer is shown beside the vote."),
]
Resize = Annotated[
    str | None,
    one_of(
        "resize",
        "{}. squash gives up the aspect ratio, crop cuts off the margins, pad adds grey margins.  "
        "[default: squash]",
    ),
]
Boxes = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", help="Crop an image to its box if this folder has a box file for it."
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="top|parent|FILE.csv|REGEX",
        help="What labels an image: the top folder, the innermost folder, a table with the columns "
        "path,label, or the group `(?P<label>...)` in its name.  [default: as in the file, "
        "else top]",
    ),
]
SaveFigures = Annotated[
    Path | None, typer.Option(help="Save the figures as PNG files in this folder.")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="[HOST:PORT]",
        help="Compute on the Ray cluster at this address; without an address, on this machine.",
    ),
]
Seed = Annotated[int, typer.Option(help="The same seed gives the same result.")]
Force = Annotated[
    bool, typer.Option("--force", help="Replace a file that this command did not make.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@dataclass(frozen=True, kw_only=True)
class QueryArguments:
    """Options of the commands that search a dataset for images, see `dogsim.classify`."""

    dataset: DatasetFile = None
    weights: Weights = None
    head: Head = None
    metric: Metric = "euclidean"
    confidence: Confidence = None
    coverage: Coverage = "breed"
    keep_self: Annotated[
        bool, typer.Option("--keep-self", help="Let an image of the dataset vote on itself.")
    ] = False
    boxes: Boxes = None
    rank: Rank = "plain"


@dataclass(frozen=True, kw_only=True)
class NetworkArguments:
    """Options that choose a network, see `dogsim.load_extractor`; None if they are not given."""

    backbone: Annotated[
        str | None,
        one_of(
            "backbone",
            "Network.  [default: resnet50; if its weights cannot be downloaded, "
            "efficientnet-lite2]  One of:\n{}",
        ),
    ] = None
    weights: Annotated[
        str | None,
        typer.Option(
            help="imagenet, or a file: .h5, .weights.h5, .keras or .onnx.  [default: imagenet]"
        ),
    ] = None
    layer: Annotated[
        str | None, typer.Option(help="Layer whose output is the features.  [default: avg_pool]")
    ] = None
    mean: Annotated[
        str | None,
        typer.Option(
            metavar="R,G,B",
            help=f"{ONNX_ONLY} subtracted from the colours, where 1 is white.  {ONNX_DEFAULT}",
        ),
    ] = None
    std: Annotated[
        str | None,
        typer.Option(
            metavar="R,G,B", help=f"{ONNX_ONLY} divides the colours after --mean.  {ONNX_DEFAULT}"
        ),
    ] = None
    image_size: Annotated[
        int | None,
        typer.Option(help=f"{ONNX_ONLY} height and width of the images, pixels.  {ONNX_DEFAULT}"),
    ] = None

    @property
    def given(self) -> dict[str, Any]:
        """The options that the user gave, and those with a default, as keyword arguments."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return with_channel_numbers(given)


@dataclass(frozen=True, kw_only=True)
class ExtractionArguments(NetworkArguments):
    """Options of the commands that create a dataset of images, see `dogsim.create_dataset`."""

    resize: Resize = None
    batch_size: Annotated[
        int, typer.Option(help="Number of images that the network computes at once.")
    ] = 32
    engine: Annotated[
        str, one_of("engine", "Inference engine: {}; auto is the faster one on this machine.")
    ] = "auto"
    precision: Annotated[
        str,
        one_of(
            "precision",
            "Number format: {}; auto is bfloat16 if the CPU supports it, int8 is quantized on "
            "your images.",
        ),
    ] = "auto"
    views: Annotated[
        str | None,
        typer.Option(
            help="none; flip: mean of the image and its mirror; flip,crops: mean of 12 views, 12 "
            "times slower.  [default: none]"
        ),
    ] = None
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first unreadable file.")] = (
        False
    )
    restart: Annotated[bool, typer.Option("--restart", help="Compute all features again.")] = False
    margin: Annotated[
        float | None,
        typer.Option(
            help="Fraction of its width and height added to each side of a box.  [default: 0]"
        ),
    ] = None


def with_separate_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that has an option for each field of its parameters that are dataclasses."""
    signature = inspect.signature(command)
    groups: dict[str, Any] = {
        name: parameter.annotation
        for name, parameter in signature.parameters.items()
        if is_dataclass(parameter.annotation)
    }

    @wraps(command)
    def run(**values: Any) -> None:
        for name, group in groups.items():
            given = {field.name: values.pop(field.name) for field in fields(group)}
            values[name] = group(**given)
        command(**values)

    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        group = groups.get(name)
        parameters += inspect.signature(group).parameters.values() if group else [parameter]
    keywords = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in parameters]
    run.__signature__ = signature.replace(parameters=keywords)  # type: ignore[attr-defined]
    return run
