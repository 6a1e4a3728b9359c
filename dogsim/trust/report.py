"""An audit as a page to look at, one HTML file with its thumbnails inside, and as a table."""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TypeAlias

from dogsim.dataset import Dataset
from dogsim.figures.thumbnails import html_figure
from dogsim.images import Cropped, file_of
from dogsim.plumbing.files import make_folder, replacing
from dogsim.plumbing.tables import write_csv
from dogsim.plumbing.terminal import printable
from dogsim.trust.audit import Audit, Suspect

Picture: TypeAlias = Path | Cropped
PAGE, TABLE = "audit.html", "audit.csv"
SHOWN = 200  # findings of a kind on the page; the table has all
COLUMNS = ("finding", "path", "other", "breed", "suggested", "number")
PAGE_START = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>dogsim audit</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
)
STYLE = """
:root { color-scheme: light dark }
body { font: 15px/1.4 system-ui, sans-serif; margin: 1.5em auto; max-width: 72em; padding: 0 1em }
h1 { margin: 0 }
nav { margin: 1em 0; display: flex; flex-wrap: wrap; gap: .4em 1.2em }
.findings { display: flex; flex-wrap: wrap; gap: 8px; align-items: flex-start }
.findings div { padding: 6px; border: 1px solid #8888; border-radius: 6px }
figure { display: inline-block; margin: 2px; width: 128px; vertical-align: top }
img { display: block; margin: 0 auto; max-width: 100% }
figcaption { font-size: 12px; overflow-wrap: anywhere }
p { margin: 2px 0; max-width: 40em }
.findings p { max-width: 264px; font-weight: 600 }
"""
# Title, and what it means; in the order of the page.
DUPLICATES = "Duplicates", "The same picture more than once. Keep one of each."
LEAKS = (
    "Leaks",
    "In the dataset, left, and in the test set, right: they make an accuracy look better.",
)
LABELS = (
    "Suspicious labels",
    "The neighbours vote for another breed, of which the nearest picture stands at the right; the "
    "likeliest mistakes first. Many are right as they are: breeds that look alike, two dogs in a "
    "photo. Decide by looking.",
)
NOVEL = "Fits nowhere", "The one picture in a hundred that is farthest from all others."
POOR = "Poor pictures", "Nearly one colour, tiny, blurred, or unreadable."


def save_audit(
    found: Audit, dataset: Dataset, folder: Path, testset: Dataset | None = None
) -> list[Path]:
    """Write ``audit.html`` and ``audit.csv`` to a folder, made if need be, and name them.

    Raises `DogsimError` if they cannot be written.
    """
    make_folder(folder)
    page, table = folder / PAGE, folder / TABLE
    with replacing(page) as temporary:
        temporary.write_text("".join(_page(found, dataset, testset)), encoding="utf-8")
    write_csv(table, list(_rows(found)), COLUMNS)
    return [page, table]


def is_ours(file: Path) -> bool:
    """Tell whether a file is the page or the table of an earlier audit."""
    with file.open("rb") as opened:
        start = opened.read(len(PAGE_START))
    return start.startswith((PAGE_START.encode(), ",".join(COLUMNS).encode()))


def _rows(found: Audit) -> Iterator[dict[str, object]]:
    empty = dict.fromkeys(COLUMNS, "")
    for group, kind in zip(found.duplicates, found.kinds, strict=True):
        for path in group[1:]:
            yield {**empty, "finding": f"duplicate, {kind}", "path": path, "other": group[0]}
    for known, asked in found.leaks:
        yield {**empty, "finding": "leak", "path": asked, "other": known}
    for each in found.labels:
        told = {"path": each.path, "other": each.like, "breed": each.breed}
        told["suggested"] = each.suggested
        yield {**empty, **told, "finding": "label", "number": round(each.score, 4)}
    for novel in found.novel:
        yield {**empty, "finding": "fits nowhere", "path": novel.path, "number": round(novel.p, 4)}
    for poor in found.poor:
        yield {**empty, "finding": poor.problem, "path": poor.path}


def _page(found: Audit, dataset: Dataset, testset: Dataset | None) -> Iterator[str]:
    here, there = _sources(dataset), _sources(testset) if testset else {}
    groups = [
        (f"{kind}, {len(group)} times", [here[path] for path in group])
        for group, kind in zip(found.duplicates, found.kinds, strict=True)
    ]
    sections = [
        (DUPLICATES, groups),
        (LEAKS, [("in both", [here[known], there[asked]]) for known, asked in found.leaks]),
        (LABELS, [(_doubt(x), [here[y] for y in (x.path, x.like) if y]) for x in found.labels]),
        (NOVEL, [(f"p = {each.p:.4f}", [here[each.path]]) for each in found.novel]),
        (POOR, [(each.problem, [here[each.path]]) for each in found.poor]),
    ]
    if testset is None:
        del sections[1]
    yield f"{PAGE_START}<style>{STYLE}</style><h1>Audit</h1>"
    yield f"<p>{len(dataset)} pictures of {len(dataset.breeds)} breeds. "
    yield f"Nothing was deleted or relabelled; {TABLE} has all findings as a table."
    yield " Pictures are shown as they were seen, by their boxes." * (dataset.boxes is not None)
    yield "</p><nav>"
    for number, ((title, _), findings) in enumerate(sections):
        yield f'<a href="#s{number}">{title}: {len(findings)}</a>'
    yield "</nav>"
    for number, ((title, meaning), findings) in enumerate(sections):
        yield f'<section id="s{number}"><h2>{title}: {len(findings)}</h2><p>{meaning}</p>'
        yield from _shown(findings)
        yield "</section>"


def _sources(dataset: Dataset) -> dict[str, Picture]:
    """What the network saw of each picture, by its path."""
    return dict(zip(dataset.paths, map(dataset.source, range(len(dataset))), strict=True))


def _doubt(label: Suspect) -> str:
    return f"{label.breed}, or {label.suggested}? Chance {label.chance:.2f}"


def _shown(findings: list[tuple[str, list[Picture]]]) -> Iterator[str]:
    if len(findings) > SHOWN:
        yield f"<p>The first {SHOWN}:</p>"
    yield '<div class="findings">'
    for told, files in findings[:SHOWN]:
        yield f"<div><p>{escape(printable(told))}</p>{''.join(map(_figure, files))}</div>"
    yield "</div>"


def _figure(picture: Picture) -> str:
    file = file_of(picture) or Path()
    return html_figure(picture, f"{file.parent.name}/{file.name}")
