"""Options that take one of some names: which, in the help and for the tabulator.

The names stand where they are used, in tables of modules that load slowly. They are looked up when
somebody asks for them, so that no command waits for them and no second list can go wrong.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

TABLES = {  # of each such option: the module, and its table there
    "backbone": ("networks.backbones", "NAMES"),
    "resize": ("images", "RESIZES"),
    "engine": ("engines.choose", "ENGINES"),
    "precision": ("engines.choose", "PRECISIONS"),
    "metric": ("dist_calc", "METRICS"),
    "protocol": ("retrieval.evaluation", "PROTOCOLS"),
    "vote": ("vote", "VOTES"),
    "rank": ("retrieval.query_expansion", "RANKS"),
    "negatives": ("learning.deep_ranking", "NEGATIVES"),
    "start": ("learning.deep_ranking", "STARTS"),
    "network": ("learning.fine_tune", "NETWORKS"),
}
# Of a table that is too long for a help text: a function beside it that tells it in short.
IN_SHORT = {"backbone": "families"}
CLUSTER = "--cluster"
PLACE = "{}"  # of the names in a help text


def choices(name: str) -> list[str]:
    """List the names that fit an option.

    >>> choices("vote")
    ['uniform', 'distance']
    """
    module, table = TABLES[name]
    return list(getattr(import_module(f"dogsim.{module}"), table))


def listed(name: str) -> str:
    """Tell the names that fit an option, for its help."""
    if name not in IN_SHORT:
        return ", ".join(choices(name))
    return str(getattr(import_module(f"dogsim.{TABLES[name][0]}"), IN_SHORT[name])())


def one_of(name: str, text: str) -> Any:
    """Declare an option that takes one of the names of `TABLES`; `text` is its help."""
    return typer.Option(help=text, autocompletion=_completing(name))


def _completing(name: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [each for each in choices(name) if each.startswith(incomplete)]

    return complete


class Command(TyperCommand):
    """A command whose help lists the names that fit its options, and whose cluster needs none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let ``--cluster`` stand alone: what follows is its value only if it is an address."""
        from dogsim.cluster.connection import CLUSTER_ADDRESS, LOCAL

        for i in reversed([i for i, each in enumerate(args) if each == CLUSTER]):
            if not (args[i + 1 :] and CLUSTER_ADDRESS.fullmatch(args[i + 1])):
                args.insert(i + 1, LOCAL)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        for parameter in self.params:
            told = getattr(parameter, "help", None)
            if parameter.name in TABLES and told:
                names = listed(parameter.name)
                parameter.help = told.replace(PLACE, names)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)
