"""Random labels and layouts: tables of labels, and the options of create-dataset."""

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

layouts = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.sampled_from(
            (
                *("top", "parent", "parent", "labels.csv", "labels.csv", r"(?P<label>[^.\d_]+)"),
                *(r"^(?P<label>-?\d)", "(?P<label>.+?)[._]|plain", "tops", "(?P<label>", "(.+)_"),
            )
        ),
        "names": st.sampled_from(("names.csv", "names.csv", "", "gone.csv")),
        "exclude": st.sampled_from(
            (
                *(("*.gif",), ("Pug", "deep/er"), ("[0-9].*", "plain"), ("",), ("",), ("*",)),
                *(("caf\u00e9", "photo.png"), ("pug/1.*", "train"), ("a\nb",)),
            )
        ),
    },
)
labels = st.sampled_from(
    (
        *("pug", "Pug", "1", "-1", "T-shirt", "T shirt", "", "n02012849-crane"),
        *("n03126707-crane", "n02012849", "_", "=1+1", "two\nlines"),
    )
)
forms = st.sampled_from(("{path}", "{path}", "{stem}", "{name}", "set/{path}", "set\\{stem}"))
headers = st.sampled_from((("path", "label"), ("id", "breed")))
faults = st.sampled_from(("", "", "", "", "gone", "short", "one column", "bytes", "twice"))


def options_of(layout: Mapping[str, Any]) -> list[str]:
    """Return the options of a layout as arguments; a value that is a tuple is several options."""
    pairs = (
        (name, each)
        for name, value in layout.items()
        for each in (value if isinstance(value, tuple) else (value,))
    )
    return [word for name, value in pairs for word in (f"--{name}", str(value))]


def label_row(path: str, form: str, label: str) -> tuple[str, str]:
    """Return the row of a table for an image, whose path is written in one of `forms`."""
    stem = path.rsplit(".", 1)[0]
    return form.format(path=path, stem=stem, name=path.split("/")[-1]), label


def write_labels(
    table: Path, header: tuple[str, str], rows: Iterable[tuple[str, str]], fault: str = ""
) -> None:
    """Write a table of labels with one of the faults that people make."""
    wrong: dict[str, list[tuple[str, ...]]]
    wrong = {"short": [("x",)], "twice": [("x", "a"), ("x", "b")]}
    lines: list[tuple[str, ...]] = [*rows, *wrong.get(fault, [])]
    with table.open("w", newline="", encoding="utf-8", errors="replace") as file:
        csv.writer(file).writerows([header[:1] if fault == "one column" else header, *lines])
    if fault == "gone":
        table.unlink()
    elif fault == "bytes":
        table.write_bytes(table.read_bytes() + b"caf\xe9,pug\n")
