"""Drawings and lessons: in an installed package in ``dogsim/data``, in a source tree beside it."""

from pathlib import Path

from dogsim.errors import DogsimError

SAMPLE_FOLDER, HARD_FOLDER, QUERY_FOLDER = "sample_dogs", "hard_dogs", "sample_queries"
PACKAGE = Path(__file__).resolve().parent.parent


def data_folder(name: str) -> Path:
    """Return a folder of drawings; raise `DogsimError` if it is missing."""
    return _first(f"The folder {name} of the sample", "data", "data", name)


def lesson_script(name: str) -> Path:
    """Return the script of a lesson; raise `DogsimError` if it is missing."""
    return _first(f"The lesson {name}", "data/lessons", "scripts", f"{name}.py")


def lesson_page() -> Path:
    """Return the page of lesson 0; raise `DogsimError` if it is missing."""
    return _first("The page of lesson 0", "data/lessons", "docs", "lesson-tiny.md")


def _first(what: str, installed: str, source: str, name: str) -> Path:
    for path in (PACKAGE / installed / name, PACKAGE.parent / source / name):
        if path.exists():
            return path
    raise DogsimError(f"{what} is missing. Install dogsim again.")
