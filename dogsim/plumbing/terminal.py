"""Terminal output: printable text, results on stdout, notes and progress bars on stderr.

In a notebook notes are on stdout and progress is a line, because Jupyter shows stderr in red boxes
and cannot redraw a bar in them.
"""

import codecs
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from dogsim.errors import DogsimError, shown
from dogsim.plumbing.progress import reported

T = TypeVar("T", bound=Sized)
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)
BOM_ENCODINGS = {  # by the bytes with which such a text begins
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SECONDS_BETWEEN_LINES = 1  # of the progress in a notebook
JOINERS = "\u200c\u200d"  # zero-width characters within Persian words and emoji


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / (task.elapsed or 1):.1f}/s")


def printable(text: str) -> str:
    r"""Return text, such as the name of a file, as one line without control characters.

    Control characters, escape sequences, characters that change the writing direction, and bytes
    of a name that is not UTF-8 are written as escapes.

    >>> print(printable("two\nlines, \x1b[31mred"), printable("caf\udce9"))
    two\nlines, \x1b[31mred caf\xe9
    """
    if not isinstance(text, str):
        raise DogsimError(f"Received {shown(text)}. Expected a text.")
    return "".join(
        c if c.isprintable() or c in JOINERS else repr(c)[1:-1] for c in valid_unicode(text)
    )


def valid_unicode(text: str) -> str:
    r"""Return text in which surrogates, such as bytes of a name that are not UTF-8, are escaped.

    >>> print(valid_unicode("caf\udce9"))
    caf\xe9
    """
    return "".join(_escaped(c) if "\ud800" <= c <= "\udfff" else c for c in text)


def valid_unicode_in(value: Any) -> Any:
    r"""Apply `valid_unicode` to all text in a JSON value; tuples become lists.

    >>> print(valid_unicode_in({"paths": ("caf\udce9", 1)}))
    {'paths': ['caf\\xe9', 1]}
    """
    if isinstance(value, str):
        return valid_unicode(value)
    if isinstance(value, Mapping):
        return {name: valid_unicode_in(each) for name, each in value.items()}
    return [valid_unicode_in(each) for each in value] if isinstance(value, list | tuple) else value


def _escaped(surrogate: str) -> str:
    byte = ord(surrogate) - 0xDC00  # as Python decodes names: PEP 383
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else repr(surrogate)[1:-1]


def say(text: str) -> None:
    """Print a result as one line, see `printable`.

    Characters that the encoding of the terminal lacks, such as 犬 on Windows, are escaped too.
    """
    encoding = sys.stdout.encoding or "utf-8"
    print(printable(text).encode(encoding, "backslashreplace").decode(encoding))


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, not a terminal."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def note(text: str) -> None:
    """Print a message for the user as one line on stderr, in a notebook on stdout."""
    if in_notebook():
        say(text)
    elif sys.stderr:  # not closed: print would use stdout
        print(printable(text), file=sys.stderr, flush=True)


def open_missing_streams() -> None:
    """Open the null device for each standard stream that is closed, such as by ``>&-``.

    Otherwise a file that is opened later, such as a dataset, receives what C code prints.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest free file descriptor: that of the stream, as the earlier ones are open.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8"))


def discard_unwritten() -> None:
    """Discard output that cannot be written; Python would report it again when it ends."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with Path(os.devnull).open("w") as null:
                os.dup2(null.fileno(), stream.fileno())


def input_lines(prompt: str) -> Iterator[str]:
    """Yield the lines of stdin, stripped and without empty ones; prompt for them in a terminal.

    The tab key completes file names if Python has its module ``readline``. Text from a file or
    another program may be UTF-16 with a byte order mark, and may name files that are not UTF-8.
    """
    if not sys.stdin.isatty():
        _detect_encoding(sys.stdin)
        # Iterating over stdin ends in an EOFError under click 8.2's test runner.
        yield from filter(None, map(str.strip, iter(sys.stdin.readline, "")))
        return
    _complete_names()
    while True:
        try:
            if line := input(prompt).strip():
                yield line
        except EOFError:
            print(file=sys.stderr)
            return


def _detect_encoding(stream: TextIO) -> None:
    """Set the encoding of a stream by its byte order mark, if any; PEP 383 decodes other bytes."""
    if isinstance(stream, TextIOWrapper) and isinstance(stream.buffer, BufferedReader):
        start = stream.buffer.peek(3)
        found = [name for mark, name in BOM_ENCODINGS.items() if start.startswith(mark)]
        stream.reconfigure(encoding=found[0] if found else None, errors="surrogateescape")


def _complete_names() -> None:
    """Make the tab key complete names of files, as readline does without a completer."""
    try:
        import readline
    except ImportError:  # Windows
        return
    readline.set_completer_delims("\n")  # names may contain spaces
    by_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if by_libedit else "tab: complete")


@contextmanager
def hidden_progress() -> Iterator[None]:
    """Show no progress bars in the block, which is short."""
    token = _hidden.set(True)
    try:
        yield
    finally:
        _hidden.reset(token)


def track(
    batches: Iterable[T], total: int, what: str, done: int = 0, in_bytes: bool = False
) -> Iterator[T]:
    """Yield batches and show a progress bar that counts their items up to `total`.

    `done` items were finished before; `in_bytes` shows the count as megabytes. The progress is
    also reported to `watched`.

    >>> [len(batch) for batch in track([[1, 2], [3]], total=3, what="images")]
    [2, 1]
    """
    batches = reported(batches, total, what, done)
    if not total or _hidden.get() or sys.stderr is None:  # closed
        return (yield from batches)
    if in_notebook():
        return (yield from _track_in_notebook(batches, total, what, done))
    console = Console(file=sys.stderr, force_jupyter=False, force_terminal=sys.stderr.isatty())
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TransferSpeedColumn() if in_bytes else _Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(what, total=total, completed=done)
        for batch in batches:
            yield batch
            progress.advance(task, len(batch))


def _track_in_notebook(batches: Iterable[T], total: int, what: str, done: int) -> Iterator[T]:
    """Show the progress as a line below the cell, if it takes longer than a second."""
    from IPython import display

    handle, last = None, time.monotonic()
    for batch in batches:
        yield batch
        done += len(batch)
        if time.monotonic() - last > SECONDS_BETWEEN_LINES or (handle and done >= total):
            last = time.monotonic()
            line = {"text/plain": f"{what} {done}/{total}"}
            if handle:
                handle.update(line, raw=True)
            else:
                handle = display.display(line, raw=True, display_id=True)
