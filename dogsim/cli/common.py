"""Parsing, error handling, opening of datasets and printing, shared by the commands."""

import json
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from errno import EPIPE
from io import TextIOWrapper
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from dogsim.cli import option
from dogsim.errors import DogsimError, counted, reason
from dogsim.plumbing.signals import Terminated
from dogsim.plumbing.terminal import (
    discard_unwritten,
    note,
    open_missing_streams,
    printable,
    say,
    valid_unicode_in,
)

if TYPE_CHECKING:
    from dogsim.dataset import Dataset

EXIT_STATUS = {KeyboardInterrupt: 130, Terminated: 143}
OPEN_RESOURCES = ExitStack()  # closed when the command ends
MAX_LABELS_SHOWN = 10
CLUSTER_OPTION = "--cluster"


class OneLineErrors(TyperGroup):
    """A command group that reports errors in one line on stderr, with exit status 1."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line and run a command."""
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # a message of typer cannot be written
            discard_unwritten()
            raise SystemExit(1) from error

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with flags without a type."""
        for parameter in self.get_params(ctx):
            _hide_type_of_flag(parameter)
        super().format_help(ctx, formatter)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse the command line."""
        open_missing_streams()
        try:
            return super().make_context(*args, **kwargs)
        except OSError as error:  # the help cannot be written
            _end_with_one_line(error)

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        # Pillow also warns about unusual images that it can read.
        warnings.filterwarnings("ignore", module="PIL")
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # escape characters that the terminal lacks
                stream.reconfigure(errors="backslashreplace")
        try:
            with OPEN_RESOURCES:
                result = super().invoke(ctx)
            sys.stdout.flush()  # so that output that cannot be written, as on a full disk, fails
            return result
        except DogsimError as error:
            _report(" ".join(str(error).split()))
            raise typer.Exit(1) from error
        except OSError as error:  # such as a name that is too long
            _end_with_one_line(error)
        except KeyboardInterrupt as stop:
            _report(str(stop) or "Stopped.")
            raise typer.Exit(EXIT_STATUS[type(stop)]) from stop


def _end_with_one_line(error: OSError) -> NoReturn:
    if error.errno == EPIPE:  # the reader of a pipe has closed it: not an error
        raise error
    about = f"{printable(str(error.filename))}: " if error.filename else ""
    _report(f"{about}{reason(error)}.")
    raise typer.Exit(1) from error


def _report(message: str) -> None:
    with suppress(OSError):  # the exit status reports the error if stderr cannot be written
        note(f"dogsim: {message}")
    discard_unwritten()


class Command(TyperCommand):
    """A command whose help lists the values of options; ``--cluster`` and FILE have defaults."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the value of ``--cluster`` unless the next argument is an address."""
        from dogsim.cluster.connection import CLUSTER_ADDRESS, LOCAL

        args = self._with_dataset(ctx, args)
        for i in reversed([i for i, each in enumerate(args) if each == CLUSTER_OPTION]):
            if not (args[i + 1 :] and CLUSTER_ADDRESS.fullmatch(args[i + 1])):
                args.insert(i + 1, LOCAL)
        return super().parse_args(ctx, args)

    def _with_dataset(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the dataset of the environment if an output is given alone: export OUT."""
        arguments = [each for each in self.params if each.param_type_name == "argument"]
        dataset = os.environ.get(option.DATASET_VARIABLE)
        if not dataset or len(arguments) != 2 or arguments[0].envvar != option.DATASET_VARIABLE:
            return args
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        first, second = (isinstance(given.get(str(each.name)), str) for each in arguments)
        return [dataset, *args] if first and not second else args

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help in panels, with the values of each option and flags without a type."""
        panels = {name: panel for panel, names in option.PANELS.items() for name in names.split()}
        for parameter in self.get_params(ctx):
            _hide_type_of_flag(parameter)
            if isinstance(parameter, TyperOption):
                parameter.rich_help_panel = panels.get(str(parameter.name))
            text = getattr(parameter, "help", None)
            if parameter.name in option.OPTION_TABLES and text:
                values = option.values_text(parameter.name)
                parameter.help = text.replace(option.NAMES_PLACEHOLDER, values)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)


def _hide_type_of_flag(parameter: Any) -> None:
    if isinstance(parameter, TyperOption) and parameter.is_flag:
        parameter.metavar = ""


def refuse_others(
    context: typer.Context, option_name: str, allowed: Sequence[str], expected: str
) -> None:
    """Raise `DogsimError` if an option is given that has no meaning together with another one.

    `allowed` are the names of the parameters that have, and `expected` is the end of the message.
    """
    for each in context.command.params:
        source = context.get_parameter_source(str(each.name))
        given = source is not None and source.name == "COMMANDLINE"
        if given and each.name not in allowed:
            raise DogsimError(
                f"Received {option_name} with {each.opts[0]}. Expected only {expected}"
            )


def open_dataset(
    file: Path | None,
    weights: str | None,
    cluster: str | None = None,
    root: Path | None = None,
) -> "Dataset":
    """Open a dataset file, or the sample.

    With a cluster, it is searched there; `root` is the present folder of its images, if they have
    moved.
    """
    from dogsim.dataset import Dataset
    from dogsim.sources.sample import sample_dataset

    dataset = Dataset.open(file) if file else sample_dataset(weights)
    dataset = replace(dataset, root=str(root)) if root else dataset
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
    return f"{file}: {counted(len(dataset), 'image')} of {counted(len(dataset.breeds), 'breed')}"


def note_breeds(dataset: "Dataset") -> None:
    """Print the names of the first breeds, and how many more there are, on stderr."""
    names = ", ".join(map(printable, dataset.breeds[:MAX_LABELS_SHOWN]))
    more = len(dataset.breeds) - MAX_LABELS_SHOWN
    if names:
        note(f"Breeds: {names}" + (f", and {more} more." if more > 0 else "."))


def description(dataset: "Dataset") -> dict[str, Any]:
    """Return the size of a dataset, the number of images with a box, and its recipe, for JSON.

    The three numbers of images per breed are the smallest, the median and the largest.
    """
    import numpy as np

    sizes = dataset.breed_sizes.tolist()
    return {
        "images": len(dataset),
        "breeds": len(dataset.breeds),
        "images_per_breed": [min(sizes), median(sizes), max(sizes)] if sizes else None,
        "label_names": list(dataset.breeds[:MAX_LABELS_SHOWN]),
        "boxed": 0 if dataset.boxes is None else int(np.any(dataset.boxes, axis=1).sum()),
        "features": dataset.features.shape[1],
        "root": dataset.root,
        "scenes": None if dataset.scenes is None else len(set(dataset.scenes.tolist())),
        **(asdict(dataset.recipe) if dataset.recipe else {"recipe": None}),
    }


def print_result(result: Mapping[str, Any], as_json: bool, text: str) -> None:
    """Print a result on stdout: one JSON object, or text."""
    if as_json:
        print(json.dumps(valid_unicode_in(result)))
    elif text:
        for line in text.split("\n"):
            say(line)
