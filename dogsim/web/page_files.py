"""The files of the page, for the server and for a static copy.

The saved report of an audit shares some of them.
"""

import re
from pathlib import Path

from dogsim.plumbing.javascript import bundle
from dogsim.trust.payload import ASSETS_FOLDER

INDEX = "index.html"
EXPORTED_DATA, SERVED_DATA = "static_data.js", "data.js"  # modules with the same functions
FOLDER = Path(__file__).parent / "page"
PAGE_FILES = {
    INDEX: FOLDER / INDEX,
    **{file.name: file for file in sorted([*FOLDER.glob("*.css"), *FOLDER.glob("*.js")])},
    **{name: ASSETS_FOLDER / name for name in ("theme.css", "findings.css")},
    **{name: ASSETS_FOLDER / name for name in ("dom.js", "plan.js", "findings.js")},
}
EXPORTED_FILE = PAGE_FILES.pop(EXPORTED_DATA)
EXPORT_MARK = '<meta name="generator" content="dogsim serve --export">'
# A page from a file has no origin: 'self' alone would allow nothing.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; "
    "img-src 'self' file:; base-uri 'none'; form-action 'none'"
)


def write_static_page(folder: Path) -> None:
    """Write the page to a folder, with one script in place of the modules."""
    modules = PAGE_FILES | {SERVED_DATA: EXPORTED_FILE}
    parts = folder / "page"
    parts.mkdir()
    script = f'(() => {{\n"use strict";\n{bundle(modules, "page.js")}}})();\n'
    (parts / "page.js").write_text(script, encoding="utf-8")
    for name, file in PAGE_FILES.items():
        if file.suffix == ".css":
            (parts / name).write_bytes(file.read_bytes())
    text = PAGE_FILES[INDEX].read_text(encoding="utf-8")
    text = re.sub(r'(href|src)="(\w+\.(?:css|js))"', r'\1="page/\2"', text)
    text = text.replace(' type="module"', " defer")
    policy = f'<meta http-equiv="content-security-policy" content="{POLICY}">'
    text = text.replace("<title>", f"{EXPORT_MARK}\n  {policy}\n  <title>")
    (folder / INDEX).write_text(text, encoding="utf-8")
