"""The command line: parse, call one function, print.

One module for each thing a user may be about: `ask` of pictures, ask many in a `session`, compare
`pairs`, `judge` the answers, `examine` a dataset, make `datasets`, `learn` from them, `serve` a
page, `keep` what makes the next time quick. What loads slowly is imported inside the commands.
"""

from typing import Annotated

import typer

from dogsim import __version__
from dogsim.cli import ask, cache, compare, datasets, evaluate, inspect, learn, repl, serve
from dogsim.cli.common import OneLineErrors
from dogsim.cli.option_values import Command

COMMANDS = (
    *(ask.show, ask.classify, evaluate.accuracy, inspect.audit, inspect.tree),
    *(datasets.create_dataset, datasets.info),
    *(datasets.stanford_dogs, datasets.import_mat, datasets.export_mat, datasets.export),
    *(compare.distance, compare.explain, learn.deep_ranking, learn.project),
    *(learn.train_classifier, repl.ask, serve.serve, cache.cache),
)

app = typer.Typer(
    cls=OneLineErrors,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for command in COMMANDS:
    app.command(cls=Command)(command)


@app.callback()
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Which of the pictures I know look most like this one?"""
    if version:
        typer.echo(__version__)
        raise typer.Exit()
