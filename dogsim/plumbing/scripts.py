"""Run a script: the parameters of its main function are the options of its command line."""

import sys
from collections.abc import Callable
from inspect import isfunction
from pathlib import Path
from typing import Any

import typer

from dogsim.errors import DogsimError, shown
from dogsim.plumbing.terminal import note


def run_script(main: Callable[..., Any]) -> None:
    """Call the main function of a script with the options of the command line.

    A parameter becomes an option of its name and type, as in `typer.run`: ``seed: int = 0``
    becomes ``--seed``, ``k: int = 5`` becomes ``-k`` and ``quick: bool = False`` becomes
    ``--quick``. The help begins with the first line of the script.

    Parameters
    ----------
    main : function
        The main function of the script; its parameters are annotated with types.

    Raises
    ------
    SystemExit
        Always, when the script has ended: 0 done, 1 after a `DogsimError`, whose message is
        printed as one line on stderr, 2 after a wrong option.
    DogsimError
        If `main` is not a function.

    Examples
    --------
    A script ends with::

        if __name__ == "__main__":
            dogsim.run_script(main)

    >>> run_script("main")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received 'main'. Expected the main function of a script.
    """
    if not isfunction(main):
        raise DogsimError(f"Received {shown(main)}. Expected the main function of a script.")
    text = sys.modules[main.__module__].__doc__ or main.__doc__ or ""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(help=text.split("\n")[0])(main)
    command = typer.main.get_command(app)
    for parameter in command.params:
        if len(str(parameter.name)) == 1:
            parameter.opts = [f"-{parameter.name}"]
        parameter.secondary_opts = []  # no --no-quick beside --quick
    try:
        command()
    except DogsimError as error:
        note(f"{Path(sys.argv[0]).name}: {error}")
        sys.exit(1)
