"""Lessons as notebooks: the conversion by hand, the written files, and their execution."""

import ast
import re
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import nbformat
import pytest
from commands import dogsim, dogsim_json, refusal
from conftest import REPOSITORY

from dogsim.sources import lesson_checks, lessons
from dogsim.sources.installed_files import lesson_script
from dogsim.sources.lessons import FILES, LESSONS, TINY, lesson_notebook
from dogsim.sources.notebooks import OPTIONS, SETUP, SITE, notebook_of

MAX_WORDS = 1000  # with answers

LESSON = '''
"""How long is a word?

python scripts/words.py
"""

# %% [markdown]
# # 3. Words
#
# 5 minutes, after [lesson 1](main.py#first). See the [glossary](../docs/glossary.md#k).

# %%
from pathlib import Path

import numpy as np


# %%
def length(word: str) -> int:
    """Return the length of a word."""
    return len(word)


def main(word: str = "pug", times: int = 2, save: Path | None = None, quick: bool = False) -> None:
    """Print a length."""
    # %% [markdown]
    # ## The first
    #
    #     indented

    # %%
    words = [word] * times
    for each in words:
        print(length(each))

    # %% tags=["script"]
    if save or quick:
        print(save)


# %% [markdown]
# ## Exercise 1

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def empty() -> int:
    """Return the length of no word."""
    return 0


def double(words: list[str], number: int = 2) -> None:
    """Print all words."""
    print(np.repeat(words, number))


# %% [markdown] tags=["answer"]
# They are **twice**.

if __name__ == "__main__":
    run_script(main)
'''
CELLS = [
    "# 3. Words\n\n[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/dogsim/dogsim/blob/notebooks/3-words.ipynb)\n\n"
    "5 minutes, after [lesson 1](1-main.ipynb). "
    "See the [glossary](https://dogsim.github.io/dogsim/glossary.html#k).",
    SETUP,
    "import numpy as np",
    'def length(word: str) -> int:\n    """Return the length of a word."""\n    return len(word)',
    f'{OPTIONS}\nword = "cat"\ntimes = 2',
    "## The first\n\n    indented",
    "words = [word] * times\nfor each in words:\n    print(length(each))",
    "## Exercise 1",
    "# Your code",
    '# @title Solution\ndef empty() -> int:\n    """Return the length of no word."""\n'
    "    return 0\n\n\n"
    'def double(words: list[str], number: int = 2) -> None:\n    """Print all words."""\n'
    "    print(np.repeat(words, number))\n\n\ndouble(words)",
    "<details><summary>Answer</summary>\n\nThey are **twice**.\n\n</details>",
]


def convert(text: str = LESSON, **values: Any) -> Any:
    return notebook_of(text.lstrip(), "3-words.ipynb", {"main": "1-main.ipynb"}, values)


def test_a_lesson_by_hand() -> None:
    notebook = convert(word="cat")
    sources = [cell.source.replace("'cat'", '"cat"') for cell in notebook.cells]
    assert sources == CELLS
    solution = notebook.cells[-2].metadata
    assert solution.jupyter == {"source_hidden": True, "outputs_hidden": True}
    assert (solution.cellView, solution.tags) == ("form", ["solution", "hide-cell"])
    nbformat.validate(notebook)
    assert nbformat.writes(notebook) == nbformat.writes(convert(word="cat"))


def test_a_lesson_without_options() -> None:
    text = LESSON.replace("[word] * times", '["a"]').replace("len(word)", "1")
    assert not [cell for cell in convert(text).cells if OPTIONS in cell.source]


@pytest.mark.parametrize("name", LESSONS)
def test_the_parts_of_a_lesson(name: str) -> None:
    """Title with number and minutes, a figure, three exercises with solutions, and few words."""
    notebook, text = lesson_notebook(name), lesson_script(name).read_text("utf-8")
    title = notebook.cells[0].source
    assert re.match(rf"# {FILES[name].partition('-')[0]}\. \w", title)
    assert re.search(r"^\d+ minutes", title, re.MULTILINE)
    assert text.rstrip().endswith("dogsim.run_script(main)")
    assert "sys.path" not in text
    assert "Your turn" in text
    assert "show_or_save" in text
    tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
    assert tags.count("exercise") >= 3
    assert tags.count("solution") >= 3
    assert tags.count("answer") >= 3
    prose = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    assert len(" ".join(prose).split()) <= MAX_WORDS
    for link in re.findall(r"\]\((?!http)([^)#]+)", "\n".join(prose)):
        assert link in {*FILES.values(), f"scripts/{TINY}.py"}, link
    for page in re.findall(rf"{SITE}/([\w-]+)\.html", "\n".join(prose)):
        assert (REPOSITORY / "docs" / f"{page}.md").is_file(), page


@pytest.mark.parametrize("name", LESSONS)
def test_a_solution_is_called_with_names_of_the_notebook(name: str) -> None:
    code = [cell for cell in lesson_notebook(name).cells if cell.cell_type == "code"]
    defined: set[str] = set()
    for cell in code[1:]:  # the first one has a magic command
        tree = ast.parse(cell.source)
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        if "solution" in cell.metadata.get("tags", []):
            called = {node.id for node in ast.walk(tree.body[-1]) if isinstance(node, ast.Name)}
            functions = {each.name for each in tree.body if isinstance(each, ast.FunctionDef)}
            assert called <= defined | functions
        defined |= {node.id for node in names if isinstance(node.ctx, ast.Store)}


@pytest.fixture
def two_lessons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two lessons: the words, and one whose cell fails."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    (scripts / "words.py").write_text(LESSON.lstrip())
    (scripts / "fails.py").write_text(LESSON.lstrip())
    (scripts / "tiny.py").write_text("# lesson 0")
    monkeypatch.setattr(lessons, "lesson_script", lambda name: scripts / f"{name}.py")
    monkeypatch.setattr(lessons, "LESSONS", {"words": {"times": 3}})
    monkeypatch.setattr(
        lessons, "FILES", {**FILES, "words": "1-words.ipynb", "fails": "2-fails.ipynb"}
    )
    return tmp_path


def test_the_files_of_a_course(two_lessons: Path) -> None:
    folder = two_lessons / "course"
    assert dogsim("lessons", folder).stdout == f"{folder / '1-words.ipynb'}\n"
    assert (folder / "scripts" / "tiny.py").read_text() == "# lesson 0"
    assert (folder / "data" / "sample_queries" / "beagle.jpg").is_file()
    page = (folder / "0-tiny.md").read_text("utf-8")
    assert page.startswith("# Lesson 0")
    for link in re.findall(r"\]\((?!https://)([^)#]+)", page):
        assert link == "scripts/tiny.py" or link in lessons.FILES.values(), link
    assert len([*(folder / "data" / "hard_dogs").glob("*/*.webp")]) == 250
    assert (folder / "data" / "hard_dogs" / "key.csv").is_file()
    assert (folder / "data" / "sample_dogs").is_dir()
    first = (folder / "1-words.ipynb").read_bytes()
    assert dogsim_json("lessons", folder)["lessons"][0]["notebook"] == str(folder / "1-words.ipynb")
    assert (folder / "1-words.ipynb").read_bytes() == first
    (folder / "1-words.ipynb").write_bytes(first.replace(b"times = 3", b"times = 4"))
    assert "If you edited it, name another folder" in refusal("lessons", folder)
    dogsim("lessons", folder, "--force")
    assert (folder / "1-words.ipynb").read_bytes() == first
    (folder / "0-tiny.md").write_text("edited")
    assert "0-tiny.md" in refusal("lessons", folder)
    assert "Expected dogsim lessons DIR, or --check" in refusal("lessons")
    (two_lessons / "file").touch()
    assert "Cannot create the folder" in refusal("lessons", two_lessons / "file")


def test_executed_notebooks(two_lessons: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = two_lessons / "course"
    assert " s\n" in dogsim("lessons", folder, "--run").stdout
    notebook = nbformat.read(folder / "1-words.ipynb", 4)
    outputs = [cell.get("outputs", []) for cell in notebook.cells]
    printed = ["".join(each.get("text", "") for each in cell) for cell in outputs]
    assert "3\n3\n3\n" in printed
    assert "['pug' 'pug' 'pug' 'pug' 'pug' 'pug']\n" in printed  # the solution
    dogsim("lessons", folder)  # an executed notebook is not an edited one
    monkeypatch.setattr(lessons, "LESSONS", {"fails": {"times": "x"}})
    line = refusal("lessons", folder, "--run")
    assert line.startswith("dogsim: 2-fails.ipynb cannot be executed: ")
    assert "TypeError" in line
    assert (folder / "2-fails.ipynb").is_file()


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("dogsim.plumbing.optional.find_spec", lambda name: None)
    line = refusal("lessons", tmp_path / "course")
    assert 'Run: pip install "dogsim[lessons]"' in line
    assert not (tmp_path / "course").exists()


def test_a_machine_that_is_ready(monkeypatch: pytest.MonkeyPatch, two_lessons: Path) -> None:
    monkeypatch.setattr(lesson_checks, "lesson_notebook", lambda name: convert())
    done = dogsim_json("lessons", "--check")
    assert done["ready"]
    assert [each["what"] for each in done["checks"]][-1] == "notebook"
    assert all(line.startswith("ok ") for line in dogsim("lessons", "--check").stdout.splitlines())


def test_a_machine_that_lacks_things(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(lesson_checks, "version", fail)
    monkeypatch.setattr(lesson_checks, "DRAWINGS", {"hard_dogs": 251, "gone": 3})
    monkeypatch.setattr(lesson_checks, "MIN_DISK_BYTES", 10**18)
    monkeypatch.setattr(lesson_checks, "MIN_MEMORY_BYTES", 10**18)
    done = dogsim("lessons", "--check", code=1)
    missing = [line for line in done.stdout.splitlines() if line.startswith("missing ")]
    assert len(missing) == len(lesson_checks.PACKAGES) + 4
    assert 'missing  jupyterlab: not installed. pip install "dogsim[lessons]"' in missing
    assert "missing  hard_dogs: 250 of 251 drawings" in done.stdout
    assert done.stderr.startswith("dogsim: Not ready for the lessons: jupytext, ")


def test_the_wheel_contains_the_lessons() -> None:
    project = (REPOSITORY / "pyproject.toml").read_text()
    included = re.findall(r'^"scripts/(\w+)\.py" = "dogsim/data/lessons/\1\.py"$', project, re.M)
    assert included == [TINY, *LESSONS]


def test_the_table_of_the_lessons() -> None:
    """docs/lessons.md lists number, minutes and script of each lesson."""
    table = (REPOSITORY / "docs" / "lessons.md").read_text()
    rows = re.findall(r"^\| (\d)\. .*?\| (\d+) \|.*?/(\w+)\.py\)", table, re.MULTILINE)
    assert [name for _, _, name in rows] == [TINY, *LESSONS]
    for number, minutes, name in rows[1:]:
        assert FILES[name].startswith(f"{number}-")
        title = lesson_notebook(name).cells[0].source
        assert re.search(rf"^{minutes} minutes", title, re.MULTILINE)
