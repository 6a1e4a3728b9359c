"""Make the site from the pages of the repository, which stay ordinary Markdown."""

from typing import Any

from sphinx.application import Sphinx

from extension import gallery, lessons, links, reference, sections


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the parts of the site with Sphinx."""
    app.add_config_value("source_code", "", "env", str, "The address of the repository")
    for part in (gallery, lessons, links, reference, sections):
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
