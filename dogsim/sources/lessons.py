"""The lessons as Jupyter notebooks, and the files that they use."""

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from dogsim.errors import DogsimError, reason
from dogsim.plumbing.files import check_replaceable, make_folder, replacing, temporary_path
from dogsim.plumbing.optional import require
from dogsim.sources.installed_files import (
    HARD_FOLDER,
    QUERY_FOLDER,
    SAMPLE_FOLDER,
    data_folder,
    lesson_page,
    lesson_script,
)
from dogsim.sources.notebooks import EXTRA, PURPOSE, linked_page, notebook_of

LITE = {"backbone": "efficientnet-lite2"}
# The lessons in order, from number 1, with values of options that avoid downloads.
LESSONS: dict[str, dict[str, Any]] = {
    "main": LITE,
    "judging": {},
    "why_near": {},
    "caltech101": {},
    "fashion_mnist": {"images": "digits", "sample_size": 900, **LITE},
    "deep_ranking": {},
    "look_inside": {},
    "how_sure": {},
    "background": LITE,
}
FILES = {name: f"{number}-{name}.ipynb" for number, name in enumerate(LESSONS, 1)}
EDITED_REMEDY = "If you edited it, name another folder; to replace it, give --force."
TINY, TINY_PAGE = "tiny", "0-tiny.md"  # lesson 0, a script without cells and a page
MAX_CELL_SECONDS = 600
QUIET = ["--log-level=ERROR"]  # of the kernel, whose warnings are not about the lesson


def lesson_notebook(name: str) -> Any:
    """Convert a lesson to a notebook without output, see `notebook_of`."""
    text = lesson_script(name).read_text(encoding="utf-8")
    return notebook_of(text, FILES[name], FILES, LESSONS[name])


def write_lessons(folder: Path, run: bool = False, force: bool = False) -> Iterator[Path]:
    """Write the notebooks and the files that they use; yield the path of each notebook.

    Parameters
    ----------
    folder : Path
        Receives the notebooks, the page of lesson 0, its script in ``scripts/``, and in ``data/``
        the drawings.
    run : bool
        Whether to execute each notebook and store its output.
    force : bool
        Whether to replace notebooks, or the page, that were edited.

    Raises
    ------
    DogsimError
        If a package is not installed, a notebook or the page was edited, a file cannot be written,
        or a cell fails or takes longer than `MAX_CELL_SECONDS`.
    """
    require("nbclient", EXTRA, PURPOSE)
    notebooks = {folder / FILES[name]: lesson_notebook(name) for name in LESSONS}
    page = linked_page(lesson_page().read_text(encoding="utf-8"), FILES)
    for path, notebook in notebooks.items():
        check_replaceable(path, partial(_has_cells_of, notebook), force, EDITED_REMEDY)
    check_replaceable(folder / TINY_PAGE, partial(_has_text, page), force, EDITED_REMEDY)
    make_folder(folder / "scripts")
    make_folder(folder / "data")
    _copy(lesson_script(TINY), folder / "scripts")
    with replacing(folder / TINY_PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")
    for name in (SAMPLE_FOLDER, HARD_FOLDER, QUERY_FOLDER):
        _copy(data_folder(name), folder / "data")
    for path, notebook in notebooks.items():
        _write(path, notebook, run)
        yield path


def _has_cells_of(notebook: Any, path: Path) -> bool:
    """Return whether a file is the notebook, with or without output."""
    try:
        cells = nbformat_of().read(path, 4).cells
    except Exception:  # no notebook
        return False
    return [cell.source for cell in cells] == [cell.source for cell in notebook.cells]


def _has_text(text: str, path: Path) -> bool:
    return path.read_text(encoding="utf-8", errors="replace") == text


def _write(path: Path, notebook: Any, run: bool) -> None:
    """Write a notebook, and its output if it is executed; also if a cell fails."""
    try:
        if run:
            execute(notebook, path.parent)
    except Exception as error:
        raise DogsimError(f"{path.name} cannot be executed: {reason(error)}.") from error
    finally:
        with replacing(path) as temporary:
            nbformat_of().write(notebook, temporary)


def execute(notebook: Any, folder: Path) -> None:
    """Execute a notebook in a folder and store its output in it; raise if a cell fails."""
    client = require("nbclient", EXTRA, PURPOSE)
    require("ipykernel", EXTRA, PURPOSE)
    client.execute(
        notebook, cwd=folder, timeout=MAX_CELL_SECONDS, kernel_name="python3", extra_arguments=QUIET
    )


def nbformat_of() -> Any:
    """Import the package that reads and writes notebooks."""
    return require("nbformat", EXTRA, PURPOSE)


def _copy(source: Path, folder: Path) -> None:
    """Copy a file or folder into a folder, unless it is there; no incomplete copy is left."""
    if (folder / source.name).exists():
        return
    temporary = temporary_path(folder / source.name)
    try:
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, temporary)
        temporary.rename(folder / source.name)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.unlink(missing_ok=True)
        raise DogsimError(f"Cannot write {folder / source.name}: {reason(error)}.") from error
