"""Read CSV tables that their owner may have edited in a spreadsheet."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from dogsim.errors import DogsimError, not_found, reason, shown
from dogsim.plumbing.tables import exact_text
from dogsim.plumbing.terminal import BOM_ENCODINGS

DELIMITERS = ",;\t"  # European spreadsheets write semicolons, and tabs as Unicode text
SEPARATOR_LINE = "sep="  # a first line that tells Excel the delimiter


@dataclass(frozen=True)
class TableRow:
    """A row of a table.

    Attributes
    ----------
    file : Path
    line : int
        The line at which the row begins, from 1.
    cells : dict of str to str
        By the name of the column in lower case.
    """

    file: Path
    line: int
    cells: dict[str, str]

    def text(self, column: str) -> str:
        """Return the text that `dogsim.plumbing.tables.exact_cell` wrote; "" without the column."""
        return exact_text(self.cells.get(column, ""))

    def word(self, column: str) -> str:
        """Return a word in lower case without spaces around it; "" without the column."""
        return self.cells.get(column, "").strip().casefold()

    def error(self, message: str) -> DogsimError:
        """Return an error that names this row."""
        return DogsimError(f"Line {self.line} of {self.file}: {message}")


@dataclass(frozen=True)
class EditedTable:
    """A table of a file.

    Attributes
    ----------
    columns : tuple of str
        Names in lower case.
    rows : tuple of TableRow
    """

    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]


def read_table(file: Path, columns: Sequence[str]) -> EditedTable:
    """Read a CSV table that has at least these columns, in any order.

    Cells are separated by commas, semicolons or tabs. The text is UTF-8 or has a byte order mark.
    Names of columns may be in upper case; empty rows are skipped.

    Raises
    ------
    DogsimError
        If there is no such file, it is not such a table, or a row has more cells than the header.
    """
    lines = list(StringIO(_decoded(file), newline=""))
    skipped = int(bool(lines) and lines[0].lower().startswith(SEPARATOR_LINE))
    header = "".join(lines[skipped : skipped + 1]).strip()
    for delimiter in DELIMITERS:
        cells = next(csv.reader([header], delimiter=delimiter), [])
        names = [name.strip().casefold() for name in cells]
        if all(names.count(column) == 1 for column in columns):
            rows = _rows(file, lines, skipped, names, delimiter)
            return EditedTable(tuple(names), tuple(rows))
    raise DogsimError(
        f"Received {file} with the header {shown(header)}. Expected a CSV table with the columns "
        f"{', '.join(columns)}."
    )


def _rows(
    file: Path, lines: list[str], skipped: int, names: list[str], delimiter: str
) -> Iterator[TableRow]:
    reader, line = csv.reader(lines[skipped:], delimiter=delimiter, strict=True), skipped + 1
    try:
        for cells in reader:
            row = TableRow(file, line, dict(zip(names, cells, strict=False)))
            line = reader.line_num + skipped + 1  # of the next row
            if any(cells[len(names) :]):
                raise row.error(
                    f"Received {len(cells)} cells. Expected {len(names)}, as in the header: a cell "
                    "that contains the delimiter needs quotes."
                )
            if any(cell.strip() for cell in cells) and row.line > skipped + 1:
                yield row
    except csv.Error as error:
        raise DogsimError(f"Line {line} of {file} is not CSV: {reason(error)}.") from error


def _decoded(file: Path) -> str:
    try:
        content = file.read_bytes()
    except FileNotFoundError as error:
        raise not_found(file, f"There is no table {file}.") from error
    except OSError as error:
        raise DogsimError(f"Cannot read {file}: {reason(error)}.") from error
    marks = (mark for mark in BOM_ENCODINGS if content.startswith(mark))
    encoding = BOM_ENCODINGS.get(next(marks, b""), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DogsimError(
            f"Line {line} of {file} is not {encoding.upper()}. Save the table as CSV in UTF-8."
        ) from error
