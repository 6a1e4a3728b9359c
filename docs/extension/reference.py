"""The API reference: the public names, in the groups of the docstring of the package."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.pycode import ModuleAnalyzer
from sphinx.roles import XRefRole

import dogsim
from dogsim import estimators
from extension.links import REPOSITORY


def groups(package: ModuleType) -> dict[str, list[str]]:
    """Return the public names of each group, as the docstring of the package lists them."""
    found: dict[str, list[str]] = {}
    for line in str(package.__doc__).splitlines()[1:]:
        if listed := re.match(r"    ([\w, ]+): ", line):
            found[list(found)[-1]] += listed[1].split(", ")
        elif re.fullmatch(r"[A-Z][\w ]+", line):
            found[line] = []
    return found


def file_names(package: ModuleType) -> dict[str, str]:
    """Return file names for classes whose name is that of a function in other letters.

    Some file systems do not distinguish ``Accuracy.html`` from ``accuracy.html``.
    """
    names = {name for group in groups(package).values() for name in group}
    return {
        f"dogsim.{name}": f"dogsim.{name}-class"
        for name in names
        if name != name.lower() and name.lower() in names
    }


def page_of(package: ModuleType) -> str:
    """Return the page that lists the public names, in reStructuredText."""
    lines = ["API reference", "=============", "", str(package.__doc__).splitlines()[0], ""]
    lines += ["Every name can be imported from ``dogsim``.", ""]
    for title, names in groups(package).items():
        lines += table(title, "dogsim", names)
    own = [name for name, each in vars(estimators).items() if defines(estimators, each)]
    lines += table("Estimators for scikit-learn", "dogsim.estimators", own)
    return "\n".join(lines)


def defines(module: ModuleType, value: object) -> bool:
    """Return whether a value is a public class that this module defines."""
    public = isinstance(value, type) and not value.__name__.startswith("_")
    return public and value.__module__ == module.__name__


def table(title: str, module: str, names: list[str]) -> list[str]:
    """Return a section with a table of names, each with its own page."""
    head = [title, "-" * len(title), "", f".. currentmodule:: {module}", "", ".. autosummary::"]
    options = ["   :toctree: .", f"   :caption: {title}", "   :nosignatures:"]
    return [*head, *options, "", *(f"   {name}" for name in names), ""]


def write(app: Sphinx, _: object) -> None:
    """Write the page, before autosummary writes those of the names."""
    file = Path(app.srcdir) / "api" / "index.rst"
    file.parent.mkdir(exist_ok=True)
    text = page_of(dogsim)
    if not file.exists() or file.read_text("utf-8") != text:
        file.write_text(text, "utf-8")


def improve(
    app: Sphinx, kind: str, name: str, value: object, options: object, lines: list[str]
) -> None:
    """Mark the examples of a docstring as a section; describe a constant by its comment.

    Its docstring would be that of ``tuple`` or ``dict``.
    """
    if kind == "data":
        lines[:] = comment_of(name.rpartition(".")[2])
    examples = [number for number, line in enumerate(lines) if line.startswith(">>>")]
    if examples:
        lines[examples[0] : examples[0]] = ["Examples", "--------"]


def comment_of(name: str) -> list[str]:
    """Return the comment ``#:`` above a public constant, in the module that defines it."""
    stub = (REPOSITORY / "dogsim" / "__init__.pyi").read_text("utf-8")
    module = re.findall(rf"^from (\S+) import {name} ", stub, re.MULTILINE)[0]
    return ModuleAnalyzer.for_module(module).find_attr_docs()["", name]


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Node | None:
    """Link names of the package without its name; other text in backticks and types stay text.

    A name that begins with ``dogsim.`` has to be public or in a module, whose file is linked.
    """
    if node["reftype"] not in ("public", "class"):
        return None
    domain, name = env.domains.python_domain, node["reftarget"]
    target = name if name.startswith("dogsim.") else f"dogsim.{name}"
    if target in domain.objects:
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", target, node, content)
    file = next((path for path in files(name) if path.exists()), None)
    if target == name and file:
        path = file.relative_to(REPOSITORY).as_posix()
        return nodes.reference("", "", content, refuri=f"{app.config.source_code}/blob/main/{path}")
    return None if target == name else content


def files(name: str) -> Iterator[Path]:
    """Yield the file of a module with this name, or of the module that defines the name."""
    for module in (name, name.rpartition(".")[0]):
        yield (REPOSITORY / module.replace(".", "/")).with_suffix(".py")


def setup(app: Sphinx) -> None:
    """Register the events and the role of text in single backticks."""
    app.add_role("public", XRefRole(innernodeclass=nodes.literal))
    app.connect("config-inited", write)
    app.connect("autodoc-process-docstring", improve, priority=400)  # before napoleon
    app.connect("missing-reference", resolve)
