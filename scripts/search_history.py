"""A file of the ratios that `benchmark.py history` measured, and its figure."""

import json
import subprocess
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

MARKERS = "os^vDP*X"  # one for each kind of processor, then again from the first
LINES = ("-", "--", ":")
MAX_PROCESSOR_NAME = 40


def commit() -> str:
    """Return the commit of this repository, with "+" if files differ from it; "" without git."""
    folder = Path(__file__).parent
    revision = _git(folder, "rev-parse", "--short", "HEAD")
    return revision + "+" * bool(revision and _git(folder, "status", "--porcelain", "-uno"))


def append(file: Path, entry: dict[str, Any]) -> None:
    """Append an entry to a file as one line of JSON."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")


def plot(file: Path) -> Path:
    """Draw the ratios of all entries of a file, a line for each run; return the path of the PNG."""
    entries = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    figure = Figure(figsize=(max(8.0, 4 + 0.6 * len(entries)), 6), layout="constrained")
    axes = figure.subplots()
    runs = list(dict.fromkeys(run for entry in entries for run in entry["ratios"]))
    for number, run in enumerate(runs):
        places = [i for i, entry in enumerate(entries) if run in entry["ratios"]]
        ratios = [entries[i]["ratios"][run] for i in places]
        line = LINES[number // 10 % len(LINES)]  # there are ten colours
        axes.plot(places, ratios, line, color=f"C{number % 10}", label=run)
        for i, ratio in zip(places, ratios, strict=True):
            axes.plot(i, ratio, _marker(entries, i), color=f"C{number % 10}")
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_xticks(range(len(entries)), [_name(entry) for entry in entries], rotation=90)
    axes.set_ylabel(f"time, relative to {entries[-1]['ratio_to']}")
    axes.set_title("Search of dogsim; a marker for each kind of processor")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    path = Path(f"{file}.png")
    figure.savefig(path)
    return path


def _name(entry: dict[str, Any]) -> str:
    processor = entry["processor"]["name"][:MAX_PROCESSOR_NAME]
    return f"{entry['commit']} {entry['date'][:10]}\n{processor}"


def _marker(entries: list[dict[str, Any]], i: int) -> str:
    kinds = list(dict.fromkeys(json.dumps(entry["processor"]) for entry in entries))
    return MARKERS[kinds.index(json.dumps(entries[i]["processor"])) % len(MARKERS)]


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
