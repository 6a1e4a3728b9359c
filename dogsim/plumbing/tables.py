"""Tables as text for the terminal, as HTML for a notebook, and as CSV."""

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from dogsim.plumbing.files import replacing
from dogsim.plumbing.terminal import JOINERS, printable

FORMULA_PREFIXES = ("=", "+", "-", "@")
FORMULA = re.compile("'*[=+@-]")  # also after the apostrophes that `exact_cell` writes
ESCAPE = re.compile(r"\\(\\|[nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")
ESCAPED_LETTERS = {"\\": "\\", "n": "\n", "r": "\r", "t": "\t"}
Rows = Sequence[Mapping[str, Any]]


def table(rows: Rows) -> str:
    """Return rows as an aligned text table; floats have four decimals.

    >>> print(table([{"breed": "pug", "rate": 0.5}, {"breed": "borzoi", "rate": 1.0}]))
    breed   rate
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
    """Return rows as an HTML table with the number format of `table`; text is escaped.

    >>> html_table([{"breed": "<pug>"}])
    '<table><tr><th>breed</th></tr><tr><td>&lt;pug&gt;</td></tr></table>'
    """
    lines = [[("th", name) for name in rows[0]]]
    lines += [[("td", _cell(value)) for value in row.values()] for row in rows]
    cells = ("".join(f"<{tag}>{escape(text)}</{tag}>" for tag, text in line) for line in lines)
    return f"<table>{''.join(f'<tr>{each}</tr>' for each in cells)}</table>"


def write_csv(path: Path, rows: Rows, columns: Sequence[str]) -> None:
    """Write rows to a CSV file, see `write_csv_lines`."""
    write_csv_lines(path, [columns, *([row[name] for name in columns] for row in rows)])


def write_csv_lines(path: Path, lines: Iterable[Sequence[Any]]) -> None:
    """Write lines of cells to a CSV file atomically; raise `DogsimError` if that fails.

    A spreadsheet evaluates no cell, and a sequence becomes a text with semicolons.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([_csv_cell(value) for value in line] for line in lines)


def exact_cell(text: str) -> str:
    r"""Return a text as a cell from which `exact_text` restores it exactly.

    Characters that are not printable, bytes of a name that are not UTF-8, and the backslash are
    written as escapes of Python. An apostrophe is put before a formula, as by `write_csv`.

    >>> print(exact_cell("two\nlines"), exact_cell("=1+1.jpg"), exact_cell("caf\udce9"))
    two\nlines '=1+1.jpg caf\udce9
    """
    escaped = "".join(
        c if c != "\\" and (c.isprintable() or c in JOINERS) else repr(c)[1:-1] for c in text
    )
    return f"'{escaped}" if FORMULA.match(escaped) else escaped


def exact_text(cell: str) -> str:
    """Return the text that `exact_cell` wrote as this cell.

    >>> exact_text(exact_cell("=1+1.jpg"))
    '=1+1.jpg'
    """

    def character(escaped: re.Match[str]) -> str:
        code = escaped[1]
        return ESCAPED_LETTERS[code] if code in ESCAPED_LETTERS else chr(int(code[1:], 16))

    escaped = cell[1:] if cell[:1] == "'" and FORMULA.match(cell) else cell
    return ESCAPE.sub(character, escaped)


def has_csv_header(path: Path, columns: Sequence[str]) -> bool:
    """Return whether a file begins with the header that `write_csv` writes for these columns."""
    with path.open("rb") as file:
        return file.readline().strip() == ",".join(columns).encode()


def has_csv_lines(path: Path, lines: Sequence[Sequence[str]]) -> bool:
    """Return whether a file contains exactly these lines of cells, as `write_csv_lines` does."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.reader(file)) == [list(map(_csv_cell, line)) for line in lines]
    except (OSError, ValueError, csv.Error):
        return False


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else printable(str(value))


def _csv_cell(value: Any) -> Any:
    """Return a value that no spreadsheet evaluates as a formula, see OWASP, "CSV Injection"."""
    if isinstance(value, tuple | list):
        value = "; ".join(map(str, value))
    if not isinstance(value, str):
        return value
    text = printable(value)
    return f"'{text}" if text.startswith(FORMULA_PREFIXES) else text
