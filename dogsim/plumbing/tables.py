"""Results as text for the terminal, and as CSV."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dogsim.plumbing.files import replacing

Rows = Sequence[Mapping[str, Any]]


def table(rows: Rows) -> str:
    """Lay rows out in columns; numbers have four decimals.

    >>> print(table([{"breed": "pug", "part": 0.5}, {"breed": "borzoi", "part": 1.0}]))
    breed   part
    pug     0.5000
    borzoi  1.0000
    """
    lines = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
    return "\n".join(padded)


def write_csv(path: Path, rows: Rows) -> None:
    """Write rows to a CSV file, whole or not at all; raises `DogsimError` if it cannot be."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def printable(path: str) -> str:
    r"""Write any file name in one line of valid text.

    >>> print(printable("two\\nlines"))
    two\nlines
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
