"""Cells of CSV files that are restored exactly."""

import csv
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from dogsim.plumbing.tables import exact_cell, exact_text, has_csv_lines, write_csv_lines

# Every text that can name a file: also bytes that are not UTF-8.
TEXTS = st.text(st.characters(exclude_characters="\0") | st.sampled_from("'=+-@\\\udce9\n\r;,\""))


@given(TEXTS)
@example("'=1+1.jpg")
@example(r"C:\new\x41.jpg")
def test_an_exact_cell_is_restored_exactly(text: str) -> None:
    cell = exact_cell(text)
    assert exact_text(cell) == text
    assert cell.isprintable() or "\u200c" in cell or "\u200d" in cell
    assert cell[:1] not in ("=", "+", "-", "@")
    cell.encode()  # no surrogate


def test_a_backslash_that_escapes_nothing_stays() -> None:
    """As in a name that was typed by hand."""
    assert exact_text(r"a\b\400.jpg") == r"a\b\400.jpg"


def test_files_with_exactly_these_lines(tmp_path: Path) -> None:
    file, lines = tmp_path / "a.csv", [["path"], ["'=1"], ["a\nb"]]
    assert not has_csv_lines(file, lines)
    write_csv_lines(file, lines)
    assert has_csv_lines(file, lines)
    assert not has_csv_lines(file, lines[:2])
    file.write_bytes(b"\xff")
    assert not has_csv_lines(file, lines)
    with file.open("w", newline="") as opened:
        csv.writer(opened, delimiter=";").writerows([["path", "b"]])
    assert not has_csv_lines(file, [["path", "b"]])
