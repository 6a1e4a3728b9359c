"""What reaches a terminal: any text made harmless; notes and a bar with rate and time left."""

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sized
from pathlib import Path
from typing import Any, TypeVar

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

T = TypeVar("T", bound=Sized)
JOINERS = "\u200c\u200d"  # of Persian words, and of emoji


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / (task.elapsed or 1):.1f}/s")


def printable(text: str) -> str:
    r"""Write any text, such as the name of a file, in one line that a terminal only shows.

    Control characters, escape sequences and those that turn the direction of writing become
    escapes, and so do bytes of a name that is not UTF-8.

    >>> print(printable("two\nlines, \x1b[31mred"), printable("caf\udce9"))
    two\nlines, \x1b[31mred caf\xe9
    """
    return "".join(c if c.isprintable() or c in JOINERS else repr(c)[1:-1] for c in valid(text))


def valid(text: str) -> str:
    r"""Write bytes of a name that are not UTF-8, and half characters, as escapes.

    >>> print(valid("caf\udce9"))
    caf\xe9
    """
    return "".join(_escaped(c) if "\ud800" <= c <= "\udfff" else c for c in text)


def valid_in(value: Any) -> Any:
    r"""Make all text in a value of JSON's types `valid`; tuples become lists.

    >>> print(valid_in({"paths": ("caf\udce9", 1)}))
    {'paths': ['caf\\xe9', 1]}
    """
    if isinstance(value, str):
        return valid(value)
    if isinstance(value, Mapping):
        return {name: valid_in(each) for name, each in value.items()}
    return [valid_in(each) for each in value] if isinstance(value, list | tuple) else value


def _escaped(half: str) -> str:
    byte = ord(half) - 0xDC00  # as Python decodes names: PEP 383
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else repr(half)[1:-1]


def say(text: str) -> None:
    """Print a result in one line, as `printable` writes it.

    What the terminal has no letter for, as one of Windows has none for 犬, becomes an escape too.
    """
    letters = sys.stdout.encoding or "utf-8"
    print(printable(text).encode(letters, "backslashreplace").decode(letters))


def note(text: str) -> None:
    """Tell the user something in one line on stderr, which Python lets escape by itself."""
    print(printable(text), file=sys.stderr, flush=True)


def asked_lines(prompt: str) -> Iterator[str]:
    """Yield what is written line by line, without blanks around it; in a terminal after a prompt.

    There the tabulator completes names of files, where Python has its module ``readline``.
    """
    if not sys.stdin.isatty():
        # Not by iteration, whose end is an EOFError where click 8.2 stands in for stdin.
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


def names_that_begin(text: str) -> list[str]:
    """Complete the name of a file; that of a folder ends in its separator."""
    typed = Path(text).expanduser()
    folder, start = (
        (typed.parent, typed.name) if text[-1:] not in ("", "/", os.sep) else (typed, "")
    )
    try:
        found = sorted(path for path in folder.iterdir() if path.name.startswith(start))
    except OSError:  # no such folder, or a closed one
        return []
    return [f"{path}{os.sep if path.is_dir() else ''}" for path in found]


def _complete_names() -> None:
    try:
        import readline
    except ImportError:  # on Windows, whose terminal has a history of its own
        return
    readline.set_completer_delims("\n")  # names may have blanks
    readline.set_completer(lambda text, n: [*names_that_begin(text), None][n])
    by_libedit = "libedit" in (readline.__doc__ or "")
    readline.parse_and_bind("bind ^I rl_complete" if by_libedit else "tab: complete")


def track(
    batches: Iterable[T], total: int, what: str, done: int = 0, in_bytes: bool = False
) -> Iterator[T]:
    """Pass batches on and show how many of `total` things have gone by.

    `done` of them went by before; `in_bytes` shows bytes as megabytes.

    >>> [len(batch) for batch in track([[1, 2], [3]], total=3, what="pictures")]
    [2, 1]
    """
    if not total:  # nothing is to be waited for
        return (yield from batches)
    # A notebook, which claims to be a terminal, has but stderr, where a bar that moves is a mess.
    moves = sys.stderr.isatty()
    console = Console(file=sys.stderr, force_jupyter=False, force_terminal=moves)
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
