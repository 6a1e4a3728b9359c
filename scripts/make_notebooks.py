"""Convert the lessons to Jupyter notebooks.

    python scripts/make_notebooks.py            # into notebooks/, which is not committed
    python scripts/make_notebooks.py FOLDER --run

A lesson is a script in cells, and its notebook is always generated from it. --run executes each
notebook and stores its output; a failing cell, or a lesson that takes longer than three minutes,
is an error. Needs jupytext, nbclient and ipykernel: pip install ".[lessons]"
"""

import argparse
import os
import time
from pathlib import Path

import jupytext
import nbclient
import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

SCRIPTS = Path(__file__).resolve().parent
LITE = ("--backbone", "efficientnet-lite2")
# The lessons in order, with command-line options that avoid downloads.
LESSONS: dict[str, tuple[str, ...]] = {
    "main": (),
    "judging": (),
    "why_near": (),
    "caltech101": (),
    "fashion_mnist": ("--images", "digits", "--sample-size", "900", *LITE),
    "deep_ranking": (),
    "look_inside": (),
    "how_sure": (),
    "background": LITE,
}
TIMEOUT_SECONDS = 180


def notebook_of(number: int, name: str, folder: Path) -> nbformat.NotebookNode:
    """Convert a script to a notebook; its docstring and the titles of its cells become text."""
    notebook = jupytext.read(SCRIPTS / f"{name}.py")
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    docstring, *cells = notebook.cells
    lines = [line for line in docstring.source.strip('"').split("\n") if "python " not in line]
    text = "\n".join([f"# {number}. {lines[0]}", *lines[1:]])
    notebook.cells = [new_markdown_cell(text.strip()), setup(name, folder)]
    for cell in cells:
        if heading := cell.metadata.pop("title", ""):
            notebook.cells.append(new_markdown_cell(f"## {heading}"))
        notebook.cells.append(cell)
    return notebook


def setup(name: str, folder: Path) -> nbformat.NotebookNode:
    """Make the first cell: the path of the scripts, and the options, which can be changed."""
    words = [f"{name}.py", *LESSONS[name]]
    return new_code_cell(
        f"import sys\n\nsys.path.insert(0, {os.path.relpath(SCRIPTS, folder)!r})\n"
        f"sys.argv = {words}  # the command line"
    )


def main(args: argparse.Namespace) -> None:
    """Write the notebooks."""
    args.folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(LESSONS, 1):
        file = args.folder / f"{number}-{name}.ipynb"
        notebook = notebook_of(number, name, args.folder)
        start = time.monotonic()
        try:
            if args.run:
                nbclient.execute(notebook, cwd=args.folder, timeout=TIMEOUT_SECONDS)
        finally:
            jupytext.write(notebook, file, fmt="ipynb")
        print(f"{file}, {time.monotonic() - start:.0f} s" if args.run else file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("notebooks"))
    parser.add_argument("--run", action="store_true", help="execute the notebooks")
    main(parser.parse_args())
