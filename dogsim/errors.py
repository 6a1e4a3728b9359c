"""The one error that a user can mend, and one way to tell anybody else's."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST = 30  # names in a list that is told whole


class DogsimError(ValueError):
    """Wrong input, told in one line: what was received, what was expected, what to do.

    The command line prints the line and exits with status 1.

    >>> raise DogsimError("Received k=0. Expected a number from 1 up.")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received k=0. Expected a number from 1 up.
    """


def unknown(kind: str, received: str, known: Iterable[str]) -> DogsimError:
    """Make the error for a name that is not in a list, with the nearest one that is.

    Of a list of more than `MOST` names the five nearest ones are told.

    >>> print(unknown("metric", "euclid", ["euclidean", "cosine"]))
    Unknown metric 'euclid'; did you mean 'euclidean'? Known: euclidean, cosine.
    """
    known = list(known)
    near = get_close_matches(received, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    if len(known) <= MOST:
        return DogsimError(f"Unknown {kind} {received!r}{hint} Known: {', '.join(known)}.")
    nearest = ", ".join(get_close_matches(received, known, n=5, cutoff=0))
    return DogsimError(
        f"Unknown {kind} {received!r}{hint} Of {len(known)}, the nearest: {nearest}."
    )


def reason(error: BaseException) -> str:
    r"""Tell an exception of another library or the system in one line, without its full stop.

    >>> reason(FileNotFoundError(2, "No such file or directory", "a.jpg"))
    'No such file or directory'
    >>> reason(ValueError("Shapes differ.\n  Received (3,)."))
    'Shapes differ. Received (3,)'
    """
    told = getattr(error, "reason", None)  # by urllib: a text, or the exception that it wraps
    if isinstance(told, BaseException):
        return reason(told)
    text = getattr(error, "strerror", None) or told or str(error) or repr(error)
    return " ".join(str(text).split()).removesuffix(".")
