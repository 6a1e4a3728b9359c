"""The one error that a user can mend."""

from collections.abc import Iterable
from difflib import get_close_matches


class DogsimError(ValueError):
    """Wrong input, told in one line: what was received, what was expected, what to do.

    The command line prints the line and exits with status 1.

    >>> raise DogsimError("Received k=0. Expected a number from 1 up.")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received k=0. Expected a number from 1 up.
    """


def unknown(kind: str, received: str, known: Iterable[str]) -> DogsimError:
    """Make the error for a name that is not in a list, with the nearest one that is.

    >>> print(unknown("metric", "euclid", ["euclidean", "cosine"]))
    Unknown metric 'euclid'; did you mean 'euclidean'? Known: euclidean, cosine.
    """
    known = list(known)
    near = get_close_matches(received, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return DogsimError(f"Unknown {kind} {received!r}{hint} Known: {', '.join(known)}.")
