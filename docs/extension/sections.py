"""The navigation: the pages that the page of each section lists."""

import re

from sphinx.application import Sphinx

from extension.links import PAGES_OF, SCRIPT_PAGES

# The page of each section lists its pages, one per line, under headings.
SECTIONS = ("lessons", "guides", "results", "project")
LISTED = re.compile(r"^## (?P<title>.+)$|^- \[[^\]]+\]\((?P<page>[\w/.-]+)\.md\)", re.M)
LESSON = re.compile(r"\(\.\./(scripts/\w+\.py)\)|\((lesson-\w+)\.md\)")


def navigation(text: str) -> str:
    """Return the hidden table of contents for a page that lists pages, with a part per heading."""
    parts: dict[str, list[str]] = {}
    title = ""
    for script, page in LESSON.findall(text):
        if page or script in SCRIPT_PAGES:
            parts.setdefault(title, []).append(page or SCRIPT_PAGES[script].removesuffix(".ipynb"))
    for line in LISTED.finditer(text):
        title = line["title"] or title
        if line["page"]:
            page = PAGES_OF.get(line["page"].removeprefix("../") + ".md", line["page"])
            parts.setdefault(title, []).append(page.removesuffix(".rst"))
    return "".join(
        "\n```{toctree}\n:hidden:\n"
        + (f":caption: {title}\n" if title and len(parts) > 1 else "")
        + "\n"
        + "\n".join(pages)
        + "\n```\n"
        for title, pages in parts.items()
    )


def add_navigation(app: Sphinx, page: str, source: list[str]) -> None:
    """Append the table of contents to the page of a section."""
    if page in SECTIONS:
        source[0] += navigation(source[0])


def setup(app: Sphinx) -> None:
    """Register the event."""
    app.connect("source-read", add_navigation, priority=400)  # before links are rewritten
