"""Tables that were edited in a spreadsheet."""

import codecs
from pathlib import Path

import pytest

from dogsim.errors import DogsimError
from dogsim.plumbing.edited_tables import read_table

ROWS = [["path", "decision"], ["a;b,c.jpg", "keep"], ['"d".jpg', "Remove"]]


def written(rows: list[list[str]], delimiter: str = ",", end: str = "\n") -> str:
    cells = (['"' + cell.replace('"', '""') + '"' for cell in row] for row in rows)
    return end.join([delimiter.join(row) for row in cells] + [""])


def read(file: Path, content: bytes) -> list[tuple[int, str, str]]:
    file.write_bytes(content)
    rows = read_table(file, ("path", "decision")).rows
    return [(row.line, row.text("path"), row.word("decision")) for row in rows]


EXPECTED = [(2, "a;b,c.jpg", "keep"), (3, '"d".jpg', "remove")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
    ],
)
def test_what_spreadsheets_save(
    tmp_path: Path, delimiter: str, end: str, encoding: str, mark: bytes
) -> None:
    content = mark + written(ROWS, delimiter, end).encode(encoding)
    assert read(tmp_path / "a.csv", content) == EXPECTED


def test_other_orders_more_columns_upper_case_and_empty_rows(tmp_path: Path) -> None:
    text = "sep=;\nnote; DECISION ;Path;;\n;;;;\nmine;keep;a.jpg;;\n\n ;REMOVE;'=b.jpg\n"
    assert read(tmp_path / "a.csv", text.encode()) == [
        (4, "a.jpg", "keep"),
        (6, "=b.jpg", "remove"),
    ]


def test_the_line_is_that_at_which_a_row_begins(tmp_path: Path) -> None:
    text = 'path,decision,reason\na.jpg,keep,"two\nlines"\nb.jpg,keep,\n'
    assert [row[0] for row in read(tmp_path / "a.csv", text.encode())] == [2, 4]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header ''"),
        (b"path;label\n", "header 'path;label'"),
        (b"path,path,decision\n", "header"),
        (b"path,decision\na.jpg,keep\nb,c.jpg,keep\n", "Line 3 of .*Received 3 cells"),
        (b'path,decision\n"a"b.jpg,keep\n', "Line 2 of .* is not CSV"),
        (b'path,decision\na.jpg,keep\n"b.jpg,keep\n', "Line 3 of .* is not CSV"),
        (b"path,decision\na.jpg,keep\ncaf\xe9.jpg,keep\n", "Line 3 of .* is not UTF-8"),
        (b"PK\x03\x04\xff", "Line 1 of .* is not UTF-8"),
        (codecs.BOM_UTF16_LE + b"p\x00a", "is not UTF-16"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DogsimError, match=message):
        read(tmp_path / "a.csv", content)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(DogsimError, match="There is no table"):
        read_table(tmp_path / "a.csv", ("path",))
    with pytest.raises(DogsimError, match="Cannot read"):
        read_table(tmp_path, ("path",))
