"""The error for every mistake that the user can fix, and the checks of arguments that raise it."""

import operator
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches
from errno import EBADF, ELOOP, ENOENT, ENOTDIR
from math import isfinite, nan
from numbers import Real
from pathlib import Path
from typing import Any

MAX_NAMES_LISTED = 30
URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.+)")  # of a Path: one slash
MAX_CHARACTERS_SHOWN = 60  # of a value in a message
MAX_INTEGER = 2**63 - 1  # of the arrays that count and index
FREE_PATH_ERRNOS = (ENOENT, ENOTDIR, EBADF, ELOOP)  # there is no file, but there could be one


class DogsimError(ValueError):
    """Raised for every mistake that the user can fix.

    The message is one line: what was received, what was expected, what to do.

    The command line prints the line and exits with status 1.

    >>> raise DogsimError("Received k=0. Expected a number from 1 up.")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received k=0. Expected a number from 1 up.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(message.replace("\n", "\\n"))  # such as that of a file name


def unknown(kind: str, received: str, known: Iterable[str]) -> DogsimError:
    """Return the error for a name that is not in a list, with the most similar name that is.

    Of a list of more than `MAX_NAMES_LISTED` names, the message shows the five most similar.

    >>> print(unknown("metric", "euclid", ["euclidean", "cosine"]))
    Unknown metric 'euclid'; did you mean 'euclidean'? Known: euclidean, cosine.
    """
    known = list(known)
    received = received[:MAX_CHARACTERS_SHOWN]
    near = get_close_matches(received, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    if len(known) <= MAX_NAMES_LISTED:
        return DogsimError(f"Unknown {kind} {received!r}{hint} Known: {', '.join(known)}.")
    nearest = ", ".join(get_close_matches(received, known, n=5, cutoff=0))
    return DogsimError(
        f"Unknown {kind} {received!r}{hint} Of {len(known)}, the nearest: {nearest}."
    )


def shown(value: object) -> str:
    """Return a value as text for a message: long texts are cut, arrays and objects only named.

    >>> shown(0.5), shown("a.jpg"), shown([1, 2])
    ('0.5', "'a.jpg'", 'a list')
    """
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return "a number of more than 64 bits"
    if value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        return text if len(text) <= MAX_CHARACTERS_SHOWN else f"{text[:MAX_CHARACTERS_SHOWN]}..."
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def as_path(what: str, value: object) -> Path:
    """Return a path that is given as text or `os.PathLike`, whether or not a file is there.

    Raises `DogsimError` for any other value, for a name that no file can have, and for a folder
    that may not be searched. `what` names the file in the message.

    >>> as_path("the dataset", "dogs.h5").name
    'dogs.h5'
    >>> as_path("the dataset", 7)
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received 7 as the dataset. Expected a path.
    """
    return Path(path_text(what, value))


def path_text(what: str, value: object) -> str:
    """Return what `as_path` returns as the text that was given, such as ``./dogs.h5``."""
    if not isinstance(value, str | os.PathLike):
        raise DogsimError(f"Received {shown(value)} as {what}. Expected a path.")
    name = os.fsdecode(value)
    try:
        Path(name).stat()
    except (OSError, ValueError) as error:  # ValueError: NUL, or a surrogate
        if not isinstance(error, OSError) or error.errno not in FREE_PATH_ERRNOS:
            message = f"Cannot use {shown(name)} as {what}: {reason(error)}."
            raise DogsimError(message) from error
    return name


def check_known(kind: str, received: object, known: Iterable[str]) -> None:
    """Raise `DogsimError` unless a text is one of the known names.

    >>> check_known("metric", "cosine", ["euclidean", "cosine"])
    """
    known = list(known)
    if not isinstance(received, str):
        expected = ", ".join(known) if len(known) <= MAX_NAMES_LISTED else "a text"
        raise DogsimError(f"Received {shown(received)} as {kind}. Expected {expected}.")
    if received not in known:
        raise unknown(kind, received, known)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, whose plural ends in s unless it is given.

    >>> counted(1, "image"), counted(2, "image"), counted(0, "query", "queries")
    ('1 image', '2 images', '0 queries')
    """
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def not_found(path: str | os.PathLike[str], message: str) -> DogsimError:
    """Return the error for a path that does not exist, with another message for a URL.

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


def as_texts(name: str, texts: Any) -> tuple[str, ...]:
    """Return a sequence of texts as a tuple; raise `DogsimError` for anything else.

    >>> as_texts("breeds", "pug")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received 'pug' as breeds. Expected a sequence of texts.
    """
    values = tuple(texts) if is_iterable(texts) else (None,)
    if not all(isinstance(value, str) for value in values):
        raise DogsimError(f"Received {shown(texts)} as {name}. Expected a sequence of texts.")
    return values


def is_iterable(value: object) -> bool:
    """Return whether a value has items; a text counts as one item, and so does a 0-d array.

    >>> is_iterable(["a"]), is_iterable("a"), is_iterable(1)
    (True, False, False)
    """
    try:
        iter(value)  # type: ignore[call-overload]
    except TypeError:
        return False
    return not isinstance(value, str | bytes)


def as_integer(
    name: str, value: Any, low: int = 1, high: int = MAX_INTEGER, meaning: str = ""
) -> int:
    """Return a whole number, of any integer type, as an `int` from `low` to `high`.

    Raises `DogsimError` for any other value; `meaning` says what `high` is.

    >>> as_integer("k", 0, high=3, meaning="the number of images")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received k=0. Expected 1 to 3, the number of images.
    """
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not low <= number <= high:
        limit = f"{low} or more" if high == MAX_INTEGER else f"{low} to {high}"
        limit += f", {meaning}" if meaning else ""
        kind = "a whole number, " if number is None else ""
        raise DogsimError(f"Received {name}={shown(value)}. Expected {kind}{limit}.")
    return number


def as_flag(name: str, value: Any) -> bool:
    """Return True or False, also of NumPy; raise `DogsimError` for any other value.

    >>> as_flag("strict", "no")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received strict='no'. Expected True or False.
    """
    if not (isinstance(value, bool) or type(value).__name__ in ("bool", "bool_")):  # NumPy's
        raise DogsimError(f"Received {name}={shown(value)}. Expected True or False.")
    return bool(value)


def as_number(name: str, value: Any, expected: str = "a finite number") -> float:
    """Return a finite number, of any numeric type, as a `float`.

    Raises `DogsimError` for any other value; `expected` says which numbers are valid.

    >>> as_number("margin", "wide", "a number from 0 up")
    Traceback (most recent call last):
    dogsim.errors.DogsimError: Received margin='wide'. Expected a number from 0 up.
    """
    try:
        real = isinstance(value, Real) and not isinstance(value, bool)
        number = float(value) if real else nan
    except OverflowError:
        number = nan
    if not isfinite(number):
        raise DogsimError(f"Received {name}={shown(value)}. Expected {expected}.")
    return number


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
