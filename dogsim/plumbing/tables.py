"""Results as text for the terminal, and as CSV."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dogsim.plumbing.files import replacing

Rows = Sequence[Mapping[str, Any]]
CONFUSIONS_SHOWN = 20


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


def accuracy_text(shown: Mapping[str, Any]) -> str:
    """Tell the results of `dogsim accuracy` as a person reads them."""
    first = shown["results"][0]
    parts = [
        f"{first['queries']} queries, {first['gallery']} pictures to choose from, "
        f"{first['metric']} distance; a neighbour by chance is right with {first['chance']:.4f}",
        table([_columns(result) for result in shown["results"]]),
    ]
    if "map_at_r" in shown:
        parts.append(f"MAP@R {shown['map_at_r']:.4f}")
    for name in ("per_breed", "confusions"):
        if shown.get(name):
            parts.append(table(shown[name][: CONFUSIONS_SHOWN if name == "confusions" else None]))
    return "\n\n".join(parts)


def write_csv(path: Path, rows: Rows) -> None:
    """Write rows to a CSV file, whole or not at all; raises `DogsimError` if it cannot be."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _columns(result: Mapping[str, Any]) -> dict[str, Any]:
    low, high = result["vote_accuracy_ci95"]
    return {
        "k": result["k"],
        "precision@k": result["precision_at_k"],
        "recall@k": result["recall_at_k"],
        "F1@k": result["f1_at_k"],
        "vote accuracy": result["vote_accuracy"],
        "its 95 % interval": f"{low:.4f} to {high:.4f}",
    }


def _cell(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
