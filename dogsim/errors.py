"""The error for every mistake that the user can fix, and one-line texts of other exceptions."""

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

MAX_NAMES_LISTED = 30
URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.+)")  # of a Path: one slash


class DogsimError(ValueError):
    """Raised for every mistake that the user can fix.

    The message is one line: what was received, what was expected, what to do.

    The command line prints the line and exits with status 1.

    >>> raise DogsimError("Received k=0. Expected a number from 1 up.")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received k=0. Expected a number from 1 up.
    """


def unknown(kind: str, received: str, known: Iterable[str]) -> DogsimError:
    """Return the error for a name that is not in a list, with the most similar name that is.

    Of a list of more than `MAX_NAMES_LISTED` names, the message shows the five most similar.

    >>> print(unknown("metric", "euclid", ["euclidean", "cosine"]))
    Unknown metric 'euclid'; did you mean 'euclidean'? Known: euclidean, cosine.
    """
    known = list(known)
    near = get_close_matches(received, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    if len(known) <= MAX_NAMES_LISTED:
        return DogsimError(f"Unknown {kind} {received!r}{hint} Known: {', '.join(known)}.")
    nearest = ", ".join(get_close_matches(received, known, n=5, cutoff=0))
    return DogsimError(
        f"Unknown {kind} {received!r}{hint} Of {len(known)}, the nearest: {nearest}."
    )


def check_known(kind: str, received: str, known: Iterable[str]) -> None:
    """Raise the error of `unknown` if a name is not in a list."""
    known = list(known)
    if received not in known:
        raise unknown(kind, received, known)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, whose plural ends in s unless it is given.

    >>> counted(1, "image"), counted(2, "image"), counted(0, "query", "queries")
    ('1 image', '2 images', '0 queries')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def not_found(path: str | os.PathLike[str], message: str) -> DogsimError:
    """Return the error for a path that does not exist: the message, or that it is a URL.

    >>> print(not_found("https:/x.org/pug.jpg", "There is no image."))
    Received the URL https://x.org/pug.jpg. Expected the path of a file or folder on this machine.
    """
    url = URL.fullmatch(os.fspath(path).replace(os.sep, "/"))
    if url is None:
        return DogsimError(message)
    return DogsimError(
        f"Received the URL {url['scheme']}://{url['rest']}. Expected the path of a file or folder "
        "on this machine."
    )


def reason(error: BaseException) -> str:
    r"""Return the message of any exception in one line, without its full stop.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.jpg"))
    'No such file or directory'
    >>> reason(ValueError("Shapes differ.\n  Received (3,)."))
    'Shapes differ. Received (3,)'
    """
    cause = getattr(error, "reason", None)  # of urllib: a text, or the wrapped exception
    if isinstance(cause, BaseException):
        return reason(cause)
    text = getattr(error, "strerror", None) or cause or str(error) or repr(error)
    return " ".join(str(text).split()).removesuffix(".")
