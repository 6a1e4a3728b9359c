"""An audit as a page to look at, one HTML file with its thumbnails inside, and as a table."""

import base64
import io
from collections.abc import Iterator
from html import escape
from pathlib import Path

from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.images import Cropped, file_of, open_image
from dogsim.plumbing.files import make_folder, replacing
from dogsim.plumbing.tables import write_csv
from dogsim.plumbing.terminal import printable
from dogsim.trust.audit import Audit

PAGE, TABLE = "audit.html", "audit.csv"
SHOWN = 200  # findings of a kind on the page; the table has all
THUMBNAIL = 128  # pixels
COLUMNS = ("finding", "path", "other", "breed", "suggested", "number")
PAGE_START = '<!doctype html><html lang="en"><meta charset="utf-8"><title>dogsim audit</title>'
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em }
section div { display: inline-block; vertical-align: top; margin: 4px; padding: 4px;
  border: 1px solid #bbb; border-radius: 4px }
figure { display: inline-block; margin: 2px; width: 128px; vertical-align: top }
figcaption { font-size: 11px; overflow-wrap: anywhere }
p { margin: 2px; max-width: 30em }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } }
"""


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
        told = {"path": each.path, "breed": each.breed, "suggested": each.suggested}
        yield {**empty, **told, "finding": "label", "number": round(each.score, 4)}
    for novel in found.novel:
        yield {**empty, "finding": "fits nowhere", "path": novel.path, "number": round(novel.p, 4)}
    for poor in found.poor:
        yield {**empty, "finding": poor.problem, "path": poor.path}


def _page(found: Audit, dataset: Dataset, testset: Dataset | None) -> Iterator[str]:
    yield f"{PAGE_START}<style>{STYLE}</style>"
    shown = " Pictures are shown as they were seen, by their boxes." * (dataset.boxes is not None)
    yield f"<h1>Audit</h1><p>Nothing was deleted or relabelled.{shown}</p>"
    here = dict(zip(dataset.paths, map(dataset.source, range(len(dataset))), strict=True))
    groups = (
        (kind, [here[path] for path in group])
        for group, kind in zip(found.duplicates, found.kinds, strict=True)
    )
    yield from _section("Duplicates", len(found.duplicates), groups)
    leaks = (
        ("in both", [here[known], testset.source(testset.paths.index(asked))])
        for known, asked in found.leaks
        if testset
    )
    yield from _section("Leaks", len(found.leaks), leaks)
    labels = (
        (f"{x.breed}, or {x.suggested}? Chance {x.chance:.2f}", [here[x.path]])
        for x in found.labels
    )
    yield from _section("Suspicious labels", len(found.labels), labels)
    novel = ((f"p = {each.p:.4f}", [here[each.path]]) for each in found.novel)
    yield from _section("Fits nowhere", len(found.novel), novel)
    poor = ((each.problem, [here[each.path]]) for each in found.poor)
    yield from _section("Poor pictures", len(found.poor), poor)


def _section(
    title: str, number: int, findings: Iterator[tuple[str, list[Path | Cropped]]]
) -> Iterator[str]:
    shown = f", {SHOWN} of them shown" if number > SHOWN else ""
    yield f"<section><h2>{title}: {number}{shown}</h2>"
    for _, (told, files) in zip(range(SHOWN), findings, strict=False):
        yield f"<div><p>{escape(printable(told))}</p>{''.join(map(_figure, files))}</div>"
    yield "</section>"


def _figure(picture: Path | Cropped) -> str:
    file = file_of(picture) or Path()
    name = escape(printable(f"{file.parent.name}/{file.name}"))
    try:
        image = open_image(picture)
    except DogsimError:
        return f"<figure><figcaption>not found: {name}</figcaption></figure>"
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    content = io.BytesIO()
    image.save(content, "JPEG", quality=80)
    data = base64.b64encode(content.getvalue()).decode()
    source = f"data:image/jpeg;base64,{data}"
    return f'<figure><img src="{source}" alt=""><figcaption>{name}</figcaption></figure>'
