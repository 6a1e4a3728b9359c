"""The lessons: notebooks that were made from their scripts, with output if they were executed."""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from dogsim.sources.lessons import FILES, write_lessons
from extension.links import SCRIPT_PAGES

BADGE = re.compile(r"\[!\[([^\]]+)\]\([^)]+\)\]")  # an image on another server


def write(app: Sphinx, _: object) -> None:
    """Copy the notebooks to lessons/, or convert the lessons without output."""
    with tempfile.TemporaryDirectory() as work:
        given = app.config.notebooks
        source = Path(given or work)
        if not given:
            list(write_lessons(source))
        copy(source, Path(app.srcdir) / "lessons")
    SCRIPT_PAGES.update({f"scripts/{name}.py": f"lessons/{file}" for name, file in FILES.items()})


def copy(source: Path, folder: Path) -> None:
    """Copy notebooks, if they have changed, and remove those that the source lacks."""
    folder.mkdir(exist_ok=True)
    notebooks = {file.name: file for file in source.glob("*.ipynb")}
    for old in folder.iterdir():
        if old.name not in notebooks:
            old.unlink()
    for name, file in notebooks.items():
        if not (folder / name).exists() or (folder / name).read_bytes() != file.read_bytes():
            shutil.copy(file, folder / name)


def on_the_site(text: str, site: str, source_code: str) -> str:
    """Return the JSON of a notebook with links to pages of the site, and without remote images."""
    text = BADGE.sub(r"[\1]", text)
    text = re.sub(rf"\]\({re.escape(site)}([\w-]+)\.html", r"](../\1.md", text)
    return text.replace("](scripts/", f"]({source_code}/blob/main/scripts/")


def rewrite(app: Sphinx, page: str, source: list[str]) -> None:
    """Rewrite the links of a notebook before it is parsed."""
    if app.env.doc2path(page).suffix == ".ipynb":
        source[0] = on_the_site(source[0], app.config.html_baseurl, app.config.source_code)


def label_by_text(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Remove the label of folded cells, which hides their text from screen readers."""
    if "body" in context:
        context["body"] = context["body"].replace(' aria-label="Toggle hidden content"', "")


def setup(app: Sphinx) -> None:
    """Register the events and the folder of executed notebooks."""
    app.add_config_value("notebooks", "", "env", str, "A folder that `dogsim lessons` has written")
    app.connect("config-inited", write)
    app.connect("source-read", rewrite)
    app.connect("html-page-context", label_by_text)
