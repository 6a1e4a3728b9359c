"""Write the findings of an audit as an HTML page with thumbnails, as a plan and as a table."""

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from dogsim.dataset import Dataset
from dogsim.errors import counted
from dogsim.figures.thumbnails import THUMBNAIL_SIZES, thumbnails
from dogsim.plumbing.files import make_folder, replacing
from dogsim.plumbing.javascript import bundle
from dogsim.plumbing.tables import has_csv_header, write_csv
from dogsim.plumbing.terminal import valid_unicode_in
from dogsim.trust.findings import Audit
from dogsim.trust.payload import ASSETS_FOLDER, Payload, findings_payload
from dogsim.trust.plan import save_plan

PAGE_NAME, TABLE_NAME = "audit.html", "audit.csv"
MAX_FINDINGS_WITH_THUMBNAILS = 200  # of each kind
MAX_THUMBNAILS_OF_FINDING = 12
TABLE_COLUMNS = ("finding", "path", "other", "breed", "suggested", "number")
PAGE_START = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>dogsim audit</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
)
STYLES = ("theme.css", "findings.css")
SCRIPT = "report.js"


def save_audit(
    found: Audit, dataset: Dataset, folder: str | os.PathLike[str], testset: Dataset | None = None
) -> list[Path]:
    """Write ``audit.html``, ``audit.csv`` and ``plan.csv`` to a folder, and return their paths.

    The folder is created if it does not exist; an earlier plan that differs is renamed, see
    `save_plan`. Raises `DogsimError` if a file cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    page, table = folder / PAGE_NAME, folder / TABLE_NAME
    payload = findings_payload(found, dataset, testset)
    add_thumbnails(payload, dataset, testset)
    add_links(payload, dataset, testset, folder)
    with replacing(page) as temporary:
        temporary.write_text("".join(_page(payload, dataset)), encoding="utf-8")
    write_csv(table, list(_rows(found)), TABLE_COLUMNS)
    return [page, table, save_plan(found, dataset, folder)]


def is_audit_file(file: Path) -> bool:
    """Return whether a file is the page or the table of an earlier audit."""
    with file.open("rb") as opened:
        is_page = opened.read(len(PAGE_START)) == PAGE_START.encode()
    return is_page or has_csv_header(file, TABLE_COLUMNS)


def add_thumbnails(payload: Payload, dataset: Dataset, testset: Dataset | None) -> None:
    """Add thumbnails to the images of the first findings of each kind, in base64.

    Those that cannot be read are marked as unread. The first `MAX_THUMBNAILS_OF_FINDING` images of
    the first `MAX_FINDINGS_WITH_THUMBNAILS` findings of each kind have one, so that a browser can
    open the report of any dataset.
    """
    files = payload["files"]
    wanted = {
        image["file"]
        for section in payload["sections"]
        for finding in section["findings"][:MAX_FINDINGS_WITH_THUMBNAILS]
        for image in finding["images"][:MAX_THUMBNAILS_OF_FINDING]
    }
    for of_test, gallery in ((False, dataset), (True, testset)):
        if gallery is None:
            continue
        chosen = [files[i] for i in sorted(wanted) if files[i]["test"] == of_test]
        content = thumbnails(gallery, [file["row"] for file in chosen], THUMBNAIL_SIZES[0])
        for file in chosen:
            thumbnail = content.get(file["row"])
            file["thumbnail"] = b64encode(thumbnail).decode() if thumbnail else None
            file["unread"] = thumbnail is None


def add_links(payload: Payload, dataset: Dataset, testset: Dataset | None, folder: Path) -> None:
    """Add the URL of each image file relative to the folder of the report, None if it has none."""
    for of_test, gallery in ((False, dataset), (True, testset)):
        root = _relative_root(gallery, folder) if gallery else None
        for file in payload["files"]:
            if file["test"] == of_test:
                file["link"] = (
                    None if root is None else f"{root}/{quote(os.fsencode(file['path']))}"
                )


def _relative_root(dataset: Dataset, folder: Path) -> str | None:
    """Return the URL of the folder of a dataset, None if it is not on this machine."""
    root = Path(dataset.root)
    if not root.is_dir():
        return None
    try:
        relative = Path(os.path.relpath(root.absolute(), folder.absolute()))
    except ValueError:  # on another drive of Windows
        return None
    return quote(os.fsencode(relative.as_posix()))


def _page(payload: Payload, dataset: Dataset) -> Iterator[str]:
    """Yield the parts of the page; it may use only its own script, style and thumbnails."""
    style = "".join((ASSETS_FOLDER / name).read_text(encoding="utf-8") for name in STYLES)
    script = bundle({file.name: file for file in ASSETS_FOLDER.glob("*.js")}, SCRIPT)
    policy = f"style-src {_source_of(style)}; script-src {_source_of(script)}; img-src data:"
    yield f'{PAGE_START}<meta http-equiv="content-security-policy" '
    yield f"content=\"default-src 'none'; base-uri 'none'; form-action 'none'; {policy}\">"
    yield f"<style>{style}</style></head><body><main><h1>Audit</h1>"
    yield f'<p class="introduction">{counted(len(dataset), "image")} of '
    yield f"{counted(len(dataset.breeds), 'breed')}. Nothing was deleted or relabelled. Decide "
    yield "here, download the plan, and apply it."
    yield " Images are cropped to their boxes." * (dataset.boxes is not None)
    yield f'</p><div id="findings"><noscript>This page needs JavaScript; {TABLE_NAME} has all '
    yield 'findings as a table.</noscript></div></main><script type="application/json" id="report">'
    yield json.dumps(valid_unicode_in(payload)).replace("<", "\\u003c")
    yield f'</script><script type="module">{script}</script></body></html>'


def _source_of(text: str) -> str:
    """Return the source expression of a content security policy that allows only this text."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _rows(found: Audit) -> Iterator[dict[str, object]]:
    """Yield the rows of the table.

    ``number`` is the score of a suspicious label, see `SuspiciousLabel`, or the p-value of an image
    that fits nowhere.
    """
    empty = dict.fromkeys(TABLE_COLUMNS, "")
    for group, kind in zip(found.duplicates, found.kinds, strict=True):
        for path in group[1:]:
            yield {**empty, "finding": f"duplicate, {kind}", "path": path, "other": group[0]}
    for known, query in found.leaks:
        yield {**empty, "finding": "leak", "path": query, "other": known}
    for shots in found.scenes:
        for path in shots[1:]:
            yield {**empty, "finding": "same scene", "path": path, "other": shots[0]}
    for known, query in found.shared_scenes:
        yield {**empty, "finding": "shared scene", "path": query, "other": known}
    for label in found.labels:
        row = {"path": label.path, "other": label.like, "number": round(label.score, 4)}
        breeds = {"breed": label.breed, "suggested": label.suggested}
        yield {**empty, **row, **breeds, "finding": "label"}
    for novel in found.novel:
        yield {**empty, "finding": "fits nowhere", "path": novel.path, "number": round(novel.p, 4)}
    for poor in found.poor:
        yield {**empty, "finding": poor.problem, "path": poor.path}
