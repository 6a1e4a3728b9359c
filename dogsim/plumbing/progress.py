"""What a user sees while waiting, on stderr: notes, and a bar with rate and time left."""

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

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


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.completed / (task.elapsed or 1):.1f}/s")


def note(text: str) -> None:
    """Tell the user something in one line."""
    print(text, file=sys.stderr)


def track(
    batches: Iterable[T], total: int, what: str, done: int = 0, in_bytes: bool = False
) -> Iterator[T]:
    """Pass batches on and show how many of `total` things have gone by.

    `done` of them went by before; `in_bytes` shows bytes as megabytes.

    >>> [len(batch) for batch in track([[1, 2], [3]], total=3, what="pictures")]
    [2, 1]
    """
    console = Console(file=sys.stderr)
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
