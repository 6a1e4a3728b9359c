"""Write the findings of an audit as an HTML page with thumbnails, and as a CSV table."""

import os
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TypeAlias

from dogsim.dataset import Dataset
from dogsim.errors import counted
from dogsim.figures.thumbnails import html_figure
from dogsim.images import Cropped, file_of
from dogsim.plumbing.files import make_folder, replacing
from dogsim.plumbing.tables import has_csv_header, write_csv
from dogsim.plumbing.terminal import printable
from dogsim.trust.findings import Audit

PAGE_NAME, TABLE_NAME = "audit.html", "audit.csv"
MAX_FINDINGS_SHOWN = 200  # in a section of the page; the table has all
TABLE_COLUMNS = ("finding", "path", "other", "breed", "suggested", "number")
PAGE_START = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>dogsim audit</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
)
PAGE_STYLE = """
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
DUPLICATES_TEXT = "The same image more than once. Keep one of each group."
LEAKS_TEXT = "In the dataset (left) and in the test set (right). They make an accuracy look better."
LABELS_TEXT = (
    "The neighbours vote for another breed; the nearest image of that breed is on the right. The "
    "likeliest mistakes come first. Many of these labels are correct: breeds that look alike, two "
    "dogs in a photo. Look at each before you decide."
)
NOVEL_TEXT = "The one image in a hundred that is farthest from all others."
POOR_TEXT = "Nearly one colour, tiny, blurred, or unreadable."

# A section of the page: title, explanation, and a caption and images for each finding.
Section: TypeAlias = tuple[str, str, list[tuple[str, list[Path | Cropped]]]]


def save_audit(
    found: Audit, dataset: Dataset, folder: str | os.PathLike[str], testset: Dataset | None = None
) -> list[Path]:
    """Write ``audit.html`` and ``audit.csv`` to a folder, and return their paths.

    The folder is created if it does not exist. Raises `DogsimError` if a file cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    page, table = folder / PAGE_NAME, folder / TABLE_NAME
    with replacing(page) as temporary:
        temporary.write_text("".join(_page(found, dataset, testset)), encoding="utf-8")
    write_csv(table, list(_rows(found)), TABLE_COLUMNS)
    return [page, table]


def is_audit_file(file: Path) -> bool:
    """Return whether a file is the page or the table of an earlier audit."""
    with file.open("rb") as opened:
        is_page = opened.read(len(PAGE_START)) == PAGE_START.encode()
    return is_page or has_csv_header(file, TABLE_COLUMNS)


def _rows(found: Audit) -> Iterator[dict[str, object]]:
    """Yield the rows of the table."""
    empty = dict.fromkeys(TABLE_COLUMNS, "")
    for group, kind in zip(found.duplicates, found.kinds, strict=True):
        for path in group[1:]:
            yield {**empty, "finding": f"duplicate, {kind}", "path": path, "other": group[0]}
    for known, query in found.leaks:
        yield {**empty, "finding": "leak", "path": query, "other": known}
    for label in found.labels:
        row = {"path": label.path, "other": label.like, "number": round(label.score, 4)}
        breeds = {"breed": label.breed, "suggested": label.suggested}
        yield {**empty, **row, **breeds, "finding": "label"}
    for novel in found.novel:
        yield {**empty, "finding": "fits nowhere", "path": novel.path, "number": round(novel.p, 4)}
    for poor in found.poor:
        yield {**empty, "finding": poor.problem, "path": poor.path}


def _page(found: Audit, dataset: Dataset, testset: Dataset | None) -> Iterator[str]:
    sections = list(enumerate(_sections(found, dataset, testset)))
    yield f"{PAGE_START}<style>{PAGE_STYLE}</style><h1>Audit</h1>"
    yield f"<p>{counted(len(dataset), 'image')} of {counted(len(dataset.breeds), 'breed')}. "
    yield f"Nothing was deleted or relabelled; {TABLE_NAME} has all findings as a table."
    yield " Images are cropped to their boxes." * (dataset.boxes is not None)
    yield "</p><nav>"
    for number, (title, _, findings) in sections:
        yield f'<a href="#s{number}">{title}: {len(findings)}</a>'
    yield "</nav>"
    for number, (title, text, findings) in sections:
        yield f'<section id="s{number}"><h2>{title}: {len(findings)}</h2><p>{text}</p>'
        if len(findings) > MAX_FINDINGS_SHOWN:
            yield f"<p>The first {MAX_FINDINGS_SHOWN}:</p>"
        yield '<div class="findings">'
        for caption, images in findings[:MAX_FINDINGS_SHOWN]:
            yield f"<div><p>{escape(printable(caption))}</p>{''.join(map(_figure, images))}</div>"
        yield "</div></section>"


def _sections(found: Audit, dataset: Dataset, testset: Dataset | None) -> Iterator[Section]:
    """Yield the sections of the page in order; leaks only with a test set."""
    images = _images(dataset)
    groups = zip(found.duplicates, found.kinds, strict=True)
    duplicates = [(f"{kind}, {len(x)} times", [images[path] for path in x]) for x, kind in groups]
    yield "Duplicates", DUPLICATES_TEXT, duplicates
    if testset is not None:
        others = _images(testset)
        leaks = [("in both", [images[known], others[query]]) for known, query in found.leaks]
        yield "Leaks", LEAKS_TEXT, leaks
    questions = [f"{x.breed}, or {x.suggested}? Chance {x.chance:.2f}" for x in found.labels]
    compared = ([images[path] for path in (x.path, x.like) if path] for x in found.labels)
    labels = list(zip(questions, compared, strict=True))
    yield "Suspicious labels", LABELS_TEXT, labels
    novel = [(f"p = {each.p:.4f}", [images[each.path]]) for each in found.novel]
    yield "Fits nowhere", NOVEL_TEXT, novel
    poor = [(each.problem, [images[each.path]]) for each in found.poor]
    yield "Poor images", POOR_TEXT, poor


def _images(dataset: Dataset) -> dict[str, Path | Cropped]:
    """Map each path to the image that the network received."""
    return dict(zip(dataset.paths, map(dataset.source, range(len(dataset))), strict=True))


def _figure(image: Path | Cropped) -> str:
    file = file_of(image) or Path()
    return html_figure(image, f"{file.parent.name}/{file.name}")
