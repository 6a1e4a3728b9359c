"""The command line: parse, call one function, print.

One module for each thing a user may be about: `ask` of pictures, ask many in a `session`, compare
`pairs`, `judge` the answers, `examine` a dataset, make `datasets`, `learn` from them, `serve` a
page, `keep` what makes the next time quick. What loads slowly is imported inside the commands.
"""

from typing import Annotated

import typer

from dogsim import __version__
from dogsim.cli import ask, datasets, examine, judge, keep, learn, pairs, serve, session
from dogsim.cli.choices import Command
from dogsim.cli.common import OneLineErrors

COMMANDS = (
    *(ask.show, ask.classify, judge.accuracy, examine.audit, examine.tree),
    *(datasets.create_dataset, datasets.info),
    *(datasets.stanford_dogs, datasets.import_mat, datasets.export_mat, datasets.export),
    *(pairs.distance, pairs.explain, learn.deep_ranking, learn.project),
    *(learn.train_classifier, session.ask, serve.serve, keep.cache),
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
