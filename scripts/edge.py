"""Options, figures and errors of the lessons, for scripts and notebooks alike."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from matplotlib.figure import Figure

import dogsim


def parser_of(doc: str | None, dataset: bool = False) -> argparse.ArgumentParser:
    """Return a parser with the options of all lessons; `doc` is the lesson's docstring."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    if dataset:
        parser.add_argument("--dataset", help="dataset file (default: the harder sample)")
        parser.add_argument("--weights", help="weight file of ResNet-50, for the sample")
    parser.add_argument("--save", metavar="DIR", help="save the figures as PNG in this folder")
    parser.add_argument("--seed", type=int, default=0, help="random seed (default: 0)")
    return parser


def options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the command line; a notebook uses the defaults.

    From here on a `DogsimError` ends the lesson with a message of one line.
    """
    sys.excepthook = _print_error
    jupyter = Path(sys.argv[0]).stem == "ipykernel_launcher"
    return parser.parse_args([] if jupyter else None)


def dataset_of(args: argparse.Namespace) -> dogsim.Dataset:
    """Open the dataset of --dataset, or the harder sample."""
    if args.dataset:
        return dogsim.Dataset.open(args.dataset)
    return dogsim.sample_dataset(args.weights, hard=True)


def show(name: str, figure: Figure, args: argparse.Namespace) -> None:
    """Show a figure, or save it in the folder of --save and print its path."""
    for path in dogsim.show_or_save([(name, figure)], args.save):
        dogsim.say(str(path))


def run_named(doc: str | None, *exercises: Callable[[], None]) -> None:
    """Run the exercises that are named on the command line, by default all."""
    parser = argparse.ArgumentParser(description=(doc or "").split("\n")[0])
    known = {exercise.__name__: exercise for exercise in exercises}
    parser.add_argument("names", nargs="*", help=", ".join(known))
    names = options(parser).names
    if unknown := set(names) - set(known):
        parser.error(f"there is no {', '.join(unknown)}: expected some of {', '.join(known)}")
    for name in names or known:
        known[name]()


def _print_error(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    if not isinstance(error, dogsim.DogsimError):
        return sys.__excepthook__(kind, error, trace)
    return print(dogsim.printable(f"{Path(sys.argv[0]).name}: {error}"), file=sys.stderr)
