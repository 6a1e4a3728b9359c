"""The command that writes the lessons as notebooks, and checks a machine for them."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from dogsim.cli import option
from dogsim.cli.common import print_result
from dogsim.errors import DogsimError
from dogsim.plumbing.terminal import note, say


def lessons(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="The folder to write the notebooks to.")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run", help="Execute each notebook and store its output.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="Check this machine before a lesson; DIR is not needed."),
    ] = False,
    force: option.Force = False,
    as_json: option.Json = False,
) -> None:
    """Write the lessons as Jupyter notebooks, with lesson 0 and the drawings that they use.

    Needs `pip install "dogsim[lessons]"`.

    Example: `dogsim lessons course`
    """
    if check:
        return _print_checks(as_json)
    if folder is None:
        raise DogsimError("Received no folder. Expected dogsim lessons DIR, or --check.")
    from dogsim.sources.lessons import TINY_PAGE, write_lessons

    written, start = [], time.monotonic()
    for path in write_lessons(folder, run, force):
        seconds = round(time.monotonic() - start, 1)
        written.append({"notebook": str(path), "seconds": seconds})
        if not as_json:
            say(f"{path}, {seconds:.0f} s" if run else str(path))
        start = time.monotonic()
    if as_json:
        print_result({"folder": str(folder), "lessons": written}, as_json, "")
    note(f"Lesson 0 is {TINY_PAGE}; the drawings are in data. Open all: jupyter lab {folder}")
    return None


def _print_checks(as_json: bool) -> None:
    """Print a line for each check; exit with status 1 if something is missing."""
    from dogsim.sources.lesson_checks import check_machine

    checks = []
    for each in check_machine():
        checks.append(each)
        state = "missing" if each.remedy else "ok"
        text = f"{state:<8} {each.what}: {each.found}" + (f". {each.remedy}" if each.remedy else "")
        if not as_json:
            say(text)
    missing = [each.what for each in checks if each.remedy]
    if as_json:
        print_result({"ready": not missing, "checks": [asdict(each) for each in checks]}, True, "")
    if missing:
        raise DogsimError(f"Not ready for the lessons: {', '.join(missing)}. See the lines above.")
