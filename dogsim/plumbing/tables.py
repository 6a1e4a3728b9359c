"""Results as text for the terminal, as HTML for a notebook, and as CSV."""

import csv
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from dogsim.plumbing.files import replacing
from dogsim.plumbing.terminal import printable

FORMULA = ("=", "+", "-", "@")  # what one begins with
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


def html_table(rows: Rows) -> str:
    """Lay rows out as a table of HTML, with the numbers of `table`; all text is escaped.

    >>> html_table([{"breed": "<pug>"}])
    '<table><tr><th>breed</th></tr><tr><td>&lt;pug&gt;</td></tr></table>'
    """
    lines = [[("th", name) for name in rows[0]]]
    lines += [[("td", _cell(value)) for value in row.values()] for row in rows]
    cells = ("".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in line) for line in lines)
    return f"<table>{''.join(f'<tr>{each}</tr>' for each in cells)}</table>"


def write_csv(path: Path, rows: Rows, columns: Sequence[str]) -> None:
    """Write rows to a CSV file, whole or not at all; raises `DogsimError` if it cannot be."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows({name: _harmless(value) for name, value in row.items()} for row in rows)


def has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Tell whether a file is a table of these columns, as `write_csv` writes it."""
    with path.open("rb") as file:
        return file.readline().strip() == ",".join(columns).encode()


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))


def _harmless(value: Any) -> Any:
    """Text that no spreadsheet takes for a formula, see OWASP, "CSV Injection"."""
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA) else text
