"""Optional packages, which `pip install "dogsim[EXTRA]"` installs."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from dogsim.errors import DogsimError, reason


def check_installed(package: str, extra: str, purpose: str) -> None:
    """Raise `DogsimError` if an optional package is not installed, without importing it.

    Parameters
    ----------
    package : str
        The name by which Python imports it.
    extra : str
        The extra of dogsim that installs it.
    purpose : str
        The feature that needs the package; the message begins with it.

    >>> check_installed("no_such_package", "web", "The page")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: The page needs no_such_package, which is not installed. \
Run: pip install "dogsim[web]"
    """
    if find_spec(package) is None:
        raise DogsimError(
            f'{purpose} needs {package}, which is not installed. Run: pip install "dogsim[{extra}]"'
        )


def require(package: str, extra: str, purpose: str) -> Any:
    """Import an optional package and return it; raise `DogsimError` as `check_installed` does."""
    check_installed(package, extra, purpose)
    try:
        return import_module(package)
    except Exception as error:  # of its dependencies, or of a user without a home folder
        raise DogsimError(
            f"{purpose} needs {package}, which cannot be imported ({reason(error)}). "
            f'Run: pip install "dogsim[{extra}]"'
        ) from error
