"""The command line: each command parses its options, calls one function and prints the result.

One module for each group of commands: `ask` compares images with a dataset, `repl` line by line,
`compare` compares images with each other, `evaluate` measures accuracy, `inspect` audits a dataset,
`apply` applies the plan of an audit, `datasets` creates and converts datasets, `learn` trains,
`serve` starts the web page, `lessons` writes notebooks, `cache` lists the cache. `option` declares
the shared options. Modules that load slowly are imported inside the commands.
"""

from collections.abc import Callable
from typing import Annotated

import typer

from dogsim import __version__
from dogsim.cli import (
    apply,
    ask,
    cache,
    compare,
    datasets,
    evaluate,
    inspect,
    learn,
    lessons,
    repl,
    serve,
)
from dogsim.cli.common import Command, OneLineErrors
from dogsim.cli.option import with_separate_options

COMMANDS: dict[str, tuple[Callable[..., None], ...]] = {  # by their panels in the help
    "Answers": (ask.classify, ask.show, repl.ask, serve.serve, evaluate.accuracy),
    "Datasets": (datasets.create_dataset, datasets.info, inspect.audit, apply.apply, inspect.tree),
    "Comparisons of images": (compare.distance, compare.explain),
    "Training": (learn.deep_ranking, learn.project, learn.train_classifier),
    "Downloads and other formats": (
        *(datasets.stanford_dogs, datasets.caltech101),
        *(datasets.export, datasets.import_mat, datasets.export_mat),
    ),
    "Lessons and cache": (lessons.lessons, cache.cache),
}

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(cls=Command, rich_help_panel=panel)(with_separate_options(command))


def print_version(wanted: bool) -> None:
    """Print the version and end, if the option is given."""
    if wanted:
        typer.echo(__version__)
        raise typer.Exit()


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Which of the images I know look most like this one?"""
