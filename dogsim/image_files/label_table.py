"""Tables of labels or scenes: CSV files with a row for each image, or for each code of a class."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from dogsim.errors import DogsimError, reason


class LabelTable:
    """The labels, or the scenes, of images in a CSV file.

    A row names its image with or without the suffix, and with any number of its folders.

    Parameters
    ----------
    file : Path
    rows : mapping of str to str
        Path of an image, POSIX style, to its label.
    column : str
        The name of the labels in the header of the file.
    """

    def __init__(self, file: Path, rows: Mapping[str, str], column: str = "label") -> None:
        self.file, self.rows, self.column = file, rows, column
        self._ends = defaultdict(set)  # of paths in the table that are longer than those of images
        for path in rows:
            for end in _ends(path):
                self._ends[end].add(path)

    @classmethod
    def read(cls, file: Path, column: str = "label") -> "LabelTable":
        """Read a CSV file; raise `DogsimError` if it is not CSV or has two labels for a path."""
        rows: dict[str, str] = {}
        for path, label in two_columns(file, ("path", column)):
            path = PurePath(path.replace("\\", "/")).as_posix()
            if rows.setdefault(path, label) != label:
                raise DogsimError(
                    f"{file} has two {column}s for {path}: {rows[path]} and {label}. Expected one."
                )
        return cls(file, rows, column)

    def row(self, path: str) -> str | None:
        """Return the path in the table that stands for an image, None if there is none."""
        for end in _ends(path):
            for name in (end, _without_suffix(end)):
                if name in self.rows:
                    return name
        for name in (path, _without_suffix(path)):
            if len(longer := self._ends.get(name, ())) == 1:
                return next(iter(longer))
        return None

    def label(self, path: str) -> str:
        """Return the label of an image, "" if it has no row."""
        row = self.row(path)
        return "" if row is None else self.rows[row]

    def notes(self, paths: Sequence[str]) -> Iterator[str]:
        """Yield the numbers of images without a row, and of rows without an image."""
        rows = [self.row(path) for path in paths]
        if missing := [path for path, row in zip(paths, rows, strict=True) if row is None]:
            yield (
                f"{len(missing)} of {len(paths)} images have no row in {self.file} and stay "
                f"without a {self.column}, such as {missing[0]}."
            )
        if unused := sorted({*self.rows}.difference(row for row in rows if row is not None)):
            yield (
                f"{len(unused)} of {len(self.rows)} rows in {self.file} have no image, such as "
                f"{unused[0]}."
            )


def _ends(path: str) -> list[str]:
    """List a path and its ends, each without another leading folder, the longest first."""
    parts = PurePath(path).parts
    return ["/".join(parts[i:]) for i in range(len(parts))]


def _without_suffix(path: str) -> str:
    return PurePath(path).with_suffix("").as_posix()


def check_pattern(option: str, pattern: str, group: str, expected: str) -> None:
    """Raise `DogsimError` unless the pattern of an option is a regular expression with a group."""
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise DogsimError(f"Received {option}={pattern!r}: {reason(error)}. {expected}") from error
    if group not in groups:
        raise DogsimError(f"Received {option}={pattern!r}. {expected}")


def two_columns(file: Path, names: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Yield two columns of a CSV file: those of these names, or else the first two.

    Raises `DogsimError` if there is no such file, or a row is shorter.
    """
    expected = f"Expected a CSV file with the columns {','.join(names)} and a header."
    try:
        with file.open(newline="", encoding="utf-8-sig") as opened:
            rows = csv.reader(opened)
            header = next(rows, [])
            columns = [header.index(name) for name in names] if {*names} <= {*header} else [0, 1]
            if len(header) < 2:
                raise DogsimError(
                    f"Received {file} with the header {','.join(header)!r}. {expected}"
                )
            for number, row in enumerate(rows, 2):
                if row and len(row) <= max(columns):
                    raise DogsimError(f"Row {number} of {file} has {len(row)} columns. {expected}")
                if row:
                    yield row[columns[0]].strip(), row[columns[1]].strip()
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, DogsimError):
            raise
        raise DogsimError(
            f"Cannot read the {names[1]}s in {file}: {reason(error)}. {expected}"
        ) from error
