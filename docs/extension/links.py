"""Links of pages in the repository, which also have to work on the site."""

import os
import re
from pathlib import Path, PurePosixPath

from docutils import nodes
from docutils.utils import new_document
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

REPOSITORY = Path(__file__).resolve().parent.parent.parent
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
# Pages of the site that are files outside of docs/.
PAGES_OF = {
    "README.md": "index.rst",
    "CHANGELOG.md": "changelog.rst",
    "CONTRIBUTING.md": "contributing.rst",
}
# The README names files by their addresses, so that the package index renders it. On the site they
# are files, which work without a network.
ADDRESS = re.compile(
    r"(?<=\]\()https://(?:raw\.githubusercontent\.com/dogsim/dogsim/main"
    r"|github\.com/dogsim/dogsim/blob/main|dogsim\.github\.io/dogsim)/([\w./-]+)(?=\))"
)
SCRIPT_PAGES: dict[str, str] = {}  # the page of each lesson, by its script; see lessons.py


def on_the_site(text: str, file: str, page: str, source_code: str) -> str:
    """Return Markdown with its relative links rewritten.

    Parameters
    ----------
    text : str
        Markdown.
    file : str
        The file of the text, relative to the repository; its links are relative to it.
    page : str
        The page of the site that shows the text, relative to docs/.
    source_code : str
        The address of the repository, for files that the site does not contain.
    """

    def target(link: re.Match[str]) -> str:
        path = os.path.normpath(PurePosixPath(file).parent / link[1])
        anchor = link[2] or ""
        if path in PAGES_OF or (path.startswith("docs" + os.sep) and path.endswith(".md")):
            path = f"docs/{PAGES_OF[path]}" if path in PAGES_OF else path
        elif path in SCRIPT_PAGES:
            path = f"docs/{SCRIPT_PAGES[path]}"
        elif not path.endswith((".png", ".jpg", ".webp")):
            kind = "tree" if (REPOSITORY / path).is_dir() else "blob"
            return f"{source_code}/{kind}/main/{PurePosixPath(path)}{anchor}"
        return Path(os.path.relpath(path, PurePosixPath("docs", page).parent)).as_posix() + anchor

    return LINK.sub(target, text)


def with_files(text: str) -> str:
    """Return the README with paths in the repository instead of addresses."""

    def path(address: re.Match[str]) -> str:
        page = f"docs/{address[1].removesuffix('.html')}.md"
        return next(
            (each for each in (address[1], page) if (REPOSITORY / each).is_file()), address[0]
        )

    return ADDRESS.sub(path, text)


def rewrite(app: Sphinx, page: str, source: list[str]) -> None:
    """Rewrite the links of a Markdown page before it is parsed."""
    path = app.env.doc2path(page)
    if path.suffix == ".md":
        file = path.relative_to(REPOSITORY).as_posix()
        source[0] = on_the_site(source[0], file, page, app.config.source_code)


class RepositoryFile(SphinxDirective):
    """The text of a Markdown file outside of docs/, such as the README."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Parse the file."""
        path = REPOSITORY / self.arguments[0]
        self.env.note_dependency(str(path))
        document = new_document(str(path), self.state.document.settings)
        text = on_the_site(
            with_files(path.read_text("utf-8")),
            self.arguments[0],
            self.env.docname,
            self.config.source_code,
        )
        MystParser().parse(text, document)
        parsed: list[nodes.Node] = document.children
        return parsed


def setup(app: Sphinx) -> None:
    """Register the event and the directive."""
    app.connect("source-read", rewrite)
    app.add_directive("repository-file", RepositoryFile)
