"""Convert a lesson, a script in cells, to a Jupyter notebook.

A cell of the script begins with ``# %%``, a cell of text with ``# %% [markdown]`` (the percent
format of jupytext). The body of ``main()`` has cells as well; they take the place of ``main()``.
Tags change the conversion: a cell with "script" is left out, one with "solution" is folded and ends
with a call of its function, and the text of one with "answer" is folded.
"""

import ast
import re
from collections.abc import Mapping
from typing import Any

from dogsim.plumbing.optional import require

EXTRA = "lessons"
PURPOSE = "A lesson as a notebook"
SITE = "https://dogsim.github.io/dogsim"
SOURCE_CODE = "https://github.com/dogsim/dogsim"
COLAB = "https://colab.research.google.com/github/dogsim/dogsim/blob/notebooks"
BADGE = "https://colab.research.google.com/assets/colab-badge.svg"
SETUP = f"""\
# On Google Colab this cell installs dogsim. Elsewhere it does nothing.
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "dogsim[lessons] @ git+{SOURCE_CODE}\""""
OPTIONS = "# The options of the lesson. Change them, then run all cells again."
FOLDED = {
    "cellView": "form",  # Google Colab
    "jupyter": {"source_hidden": True, "outputs_hidden": True},
    "tags": ["solution", "hide-cell"],  # hide-cell: MyST-NB
}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
LINK = re.compile(r"\]\((?:\.\./(?:docs|scripts)/)?(\w[\w-]*)\.(md|py)(#[\w-]+)?\)")


def notebook_of(text: str, file: str, files: Mapping[str, str], values: Mapping[str, Any]) -> Any:
    """Convert the text of a lesson to a notebook.

    Parameters
    ----------
    text : str
        The script: a docstring, cells, a function ``main`` with a docstring, more cells, a guard.
    file : str
        The name of the notebook's file.
    files : mapping
        For each lesson, the name of its script without suffix, the name of its notebook.
    values : mapping
        Values that replace the defaults of ``main``'s parameters.

    Returns
    -------
    nbformat.NotebookNode
        The notebook, without output. Equal texts give equal notebooks.

    Raises
    ------
    DogsimError
        If jupytext is not installed.
    """
    jupytext = require("jupytext", EXTRA, PURPOSE)
    new_code_cell = require("nbformat", EXTRA, PURPOSE).v4.new_code_cell
    tree = ast.parse(text)
    notebook = jupytext.reads(_in_cells(text, tree), fmt="py:percent")
    cells = [cell for cell in notebook.cells if "script" not in _tags(cell) and cell.source]
    for cell in cells:
        _convert(cell, files)
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    used = {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}
    for cell in cells:
        if cell.cell_type == "code":
            cell.source = _without_unused_imports(cell.source, used)
            cell.source = cell.source.replace(OPTIONS, _options(_main(tree), values, used))
    title, *rest = (cell for cell in cells if cell.source)
    heading, _, prose = title.source.partition("\n")
    title.source = f"{heading}\n\n[![Open in Colab]({BADGE})]({COLAB}/{file})\n\n{prose.strip()}"
    notebook.cells = [title, new_code_cell(SETUP), *rest]
    notebook.metadata = {"kernelspec": KERNEL}
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # not random: an unchanged lesson is an unchanged file
    return notebook


def linked_page(text: str, files: Mapping[str, str]) -> str:
    """Return a page of the documentation with links that are valid beside the notebooks.

    Links to lessons become links to their notebooks, and those to other pages and to the package
    have full addresses. `files` is that of `notebook_of`.
    """
    text = text.replace("](../dogsim/", f"]({SOURCE_CODE}/tree/main/dogsim/")
    return LINK.sub(lambda match: _link(match, files), text)


def _main(tree: ast.Module) -> ast.FunctionDef:
    return next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"
    )


def _in_cells(text: str, tree: ast.Module) -> str:
    """Return a script without its docstring and guard, with the cells of `main` in its place."""
    lines, main = text.splitlines(), _main(tree)
    start, end = main.lineno - 1, main.end_lineno or 0
    while end < len(lines) and (not lines[end] or lines[end].startswith(" ")):
        end += 1  # the comments after the last statement
    body = [line.removeprefix("    ") for line in lines[main.body[0].end_lineno or 0 : end]]
    first, guard = tree.body[0].end_lineno or 0, tree.body[-1].lineno - 1
    options = ['# %% tags=["parameters"]', OPTIONS, "", "# %%"]
    return "\n".join([*lines[first:start], *options, *body, "", *lines[end:guard]])


def _tags(cell: Any) -> list[str]:
    return list(cell.metadata.get("tags", []))


def _convert(cell: Any, files: Mapping[str, str]) -> None:
    """Fold solutions and answers, and convert links to those of a notebook."""
    tags = _tags(cell)
    cell.metadata = {"tags": tags} if tags else {}
    if cell.cell_type == "markdown":
        cell.source = LINK.sub(lambda match: _link(match, files), cell.source)
        if "answer" in tags:
            cell.source = f"<details><summary>Answer</summary>\n\n{cell.source}\n\n</details>"
    elif "solution" in tags:
        cell.metadata = FOLDED
        cell.source = f"# @title Solution\n{cell.source}{_call(cell.source)}"


def _call(source: str) -> str:
    """Return the call of the last function of a cell, by the names of its parameters."""
    last = ast.parse(source).body[-1]
    if not isinstance(last, ast.FunctionDef):
        return ""
    required = last.args.args[: len(last.args.args) - len(last.args.defaults)]
    return f"\n\n\n{last.name}({', '.join(each.arg for each in required)})"


def _link(match: re.Match[str], files: Mapping[str, str]) -> str:
    name, suffix, anchor = match.groups()
    if suffix == "py":
        return f"]({files.get(name, f'scripts/{name}.py')})"
    return f"]({SITE}/{name}.html{anchor or ''})"


def _options(main: ast.FunctionDef, values: Mapping[str, Any], used: set[str]) -> str:
    """Return the assignments of the parameters of `main` that the cells use, below a comment."""
    names = [each.arg for each in main.args.args]
    defaults = dict(zip(names, map(ast.unparse, main.args.defaults), strict=True))
    values = defaults | {name: repr(value) for name, value in values.items()}
    lines = [f"{name} = {values[name]}" for name in names if name in used]
    return "\n".join([OPTIONS, *lines]) if lines else ""


def _without_unused_imports(source: str, used: set[str]) -> str:
    """Remove the import statements whose names no cell uses, such as those of annotations."""
    lines: list[str | None] = [*source.splitlines()]
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {(each.asname or each.name).split(".")[0] for each in node.names}
            if not names & used:
                lines[node.lineno - 1 : node.end_lineno] = [None] * (
                    (node.end_lineno or 0) - node.lineno + 1
                )
    kept = "\n".join(line for line in lines if line is not None)
    return re.sub(r"\n{4,}", "\n\n\n", kept).strip()
