"""Options whose values are names of a fixed set: in the help and in shell completion.

The names are defined where they are used, in modules that load slowly. They are looked up only for
a help text or a completion, so that no command waits for them and no second list exists.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand

OPTION_TABLES = {  # for each such option the module and the table in it
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
# For a table that is too long for a help text: the function of that module that summarises it.
SUMMARY_FUNCTIONS = {"backbone": "families"}
CLUSTER_OPTION = "--cluster"
NAMES_PLACEHOLDER = "{}"  # in a help text


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
    return typer.Option(help=text, autocompletion=_completion(option))


def _completion(option: str) -> Callable[[str], list[str]]:
    def complete(incomplete: str) -> list[str]:
        return [value for value in option_values(option) if value.startswith(incomplete)]

    return complete


class Command(TyperCommand):
    """A command whose help lists the values of its options; ``--cluster`` needs no value."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Insert the value of ``--cluster`` unless the next argument is an address."""
        from dogsim.cluster.connection import CLUSTER_ADDRESS, LOCAL

        for i in reversed([i for i, each in enumerate(args) if each == CLUSTER_OPTION]):
            if not (args[i + 1 :] and CLUSTER_ADDRESS.fullmatch(args[i + 1])):
                args.insert(i + 1, LOCAL)
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, with the values of each option."""
        for parameter in self.params:
            text = getattr(parameter, "help", None)
            if parameter.name in OPTION_TABLES and text:
                values = values_text(parameter.name)
                parameter.help = text.replace(NAMES_PLACEHOLDER, values)  # type: ignore[attr-defined]
        super().format_help(ctx, formatter)
