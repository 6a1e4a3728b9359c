"""The package structure and its language: import order and depth, sizes, one name for one thing."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

import pytest
from conftest import REPOSITORY

# A module imports from its own subpackage and from those before it.
IMPORT_ORDER = (
    *("errors", "recipe", "plumbing", "image_files", "vote", "images", "engines", "networks"),
    *("storage", "feature_extract", "dataset", "exact", "dist_calc", "retrieval", "figures"),
    *("trust", "folders", "create_dataset", "classify", "accuracy", "explain", "image_distance"),
    *("sources", "learning", "estimators", "cluster", "web", "cli", "__main__"),
)
MAX_IMPORT_DEPTH = 10
MAX_TOP_LEVEL_MODULES = 15
MAX_IMPORTS_IN_FUNCTIONS = 5  # outside cli
MAX_MODULE_LINES = 300
MAX_BODY_LINES = 25
MAX_COMMAND_LINES = 35

# The first words of a docstring and the words that the vocabulary of the field replaces; URLs of
# the HTTP API keep theirs.
RETIRED_VERBS = re.compile(r"(Tell|Give|Say|Let|Have|Take|Bring)s?\b")
RETIRED_WORDS = re.compile(
    r"\b\w*(told|whoever|desk(?!top)|shelf|(?<!/)picture(?!s?\.com))\w*|\b(house|door|sample_pen|rooms?)\b",
    re.IGNORECASE,
)

# Names in files that programs read, which therefore keep their word.
ALLOWED_LITERALS = {
    "dogsim/cli/compare.py": 'MATRIX_HEADER = "picture"',  # the header of a CSV file
    "tests/cli/test_ask.py": '["picture", *',
    # A column of the key of the harder sample.
    "scripts/draw_hard_dogs.py": '("picture", "what", "of")',
    "scripts/judging.py": '["picture"]',
    "tests/sources/test_sample.py": 'row["picture"]',
}

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
FILES = {
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((REPOSITORY / "dogsim").rglob("*.py"))
}
SUBPACKAGES = [name for name, path in FILES.items() if path.stem == "__init__" and "." in name]
PUBLIC = {
    name: module
    for module, name in re.findall(
        r"^from (\S+) import (\w+)", (REPOSITORY / "dogsim" / "__init__.pyi").read_text(), re.M
    )
}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


def imported_by(nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yield the modules of dogsim that these statements import in any form."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in FILES)
        elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "dogsim":
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                if node.module == "dogsim" and alias.name in PUBLIC:
                    yield PUBLIC[alias.name]
                elif name in FILES or node.module != "dogsim":
                    yield name if name in FILES else str(node.module)


def in_functions(module: str) -> list[ast.ImportFrom]:
    return [
        node
        for function in functions_of(module)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "dogsim"
    ]


def functions_of(module: str) -> Iterator[Function]:
    return (node for node in ast.walk(tree_of(module)) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    """Return the number of lines of a function's body without its docstring."""
    first = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - first[0].lineno + 1 if first else 0


def group_of(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("module", [name for name in FILES if "." in name])
def test_a_module_imports_only_from_those_before_it(module: str) -> None:
    """Imports in functions and for types count as well."""
    before = {*IMPORT_ORDER[: IMPORT_ORDER.index(group_of(module)) + 1]}
    imported = {name for name in imported_by(ast.walk(tree_of(module))) if "." in name}
    assert {name for name in imported if group_of(name) not in before} == set()


def test_every_form_of_import_is_found() -> None:
    for form in ("from dogsim.vote import VOTES", "from dogsim import vote", "import dogsim.vote"):
        assert list(imported_by(ast.walk(ast.parse(form)))) == ["dogsim.vote"], form
    inside = ast.parse("def f():\n    from dogsim.networks import weights")
    assert list(imported_by(ast.walk(inside))) == ["dogsim.networks.weights"]
    public = ast.parse("from dogsim import mink, __version__")
    assert list(imported_by(ast.walk(public))) == ["dogsim.dist_calc"]


def test_import_depth_and_no_cycle() -> None:
    """The longest chain of imports that loading a module follows; a cycle would not end."""

    @cache
    def depth(module: str, above: tuple[str, ...] = ()) -> int:
        assert module not in above, " > ".join([*above, module])
        used = {*imported_by(iter(tree_of(module).body))} - {"dogsim", module}
        return 1 + max((depth(each, (*above, module)) for each in used), default=0)

    depths = {module: depth(module) for module in FILES if module != "dogsim"}
    deepest = [module for module, each in depths.items() if each > MAX_IMPORT_DEPTH]
    assert deepest == []


def test_sizes() -> None:
    top = [name for name in FILES if name.count(".") == 1 and name not in SUBPACKAGES]
    assert len([name for name in top if name != "dogsim.__main__"]) <= MAX_TOP_LEVEL_MODULES
    hidden = [
        node for name in FILES if group_of(f"{name}.") != "cli" for node in in_functions(name)
    ]
    assert len(hidden) <= MAX_IMPORTS_IN_FUNCTIONS
    lines = {name: len(path.read_text().splitlines()) for name, path in FILES.items()}
    assert {name: n for name, n in lines.items() if n > MAX_MODULE_LINES} == {}


@pytest.mark.parametrize("module", FILES)
def test_functions_are_short(module: str) -> None:
    limit = MAX_COMMAND_LINES if module.startswith("dogsim.cli") else MAX_BODY_LINES
    long = {f"{module}.{f.name}" for f in functions_of(module) if body_lines(f) > limit}
    assert long == set()


def test_subpackages_are_documented_and_empty() -> None:
    for name in SUBPACKAGES:
        assert ast.get_docstring(tree_of(name)), name
        assert len(tree_of(name).body) == 1 or name == "dogsim.cli", name


def test_nothing_imports_the_command_line() -> None:
    for module in FILES:
        if module != "dogsim.__main__" and not module.startswith("dogsim.cli"):
            imported = {*imported_by(ast.walk(tree_of(module)))}
            assert not {name for name in imported if name.startswith("dogsim.cli")}, module


@pytest.mark.parametrize("module", FILES)
def test_docstrings_begin_with_a_usual_verb(module: str) -> None:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(tree_of(module)) if isinstance(node, kinds)]
    docstrings = [ast.get_docstring(node) or "" for node in nodes]
    assert [text.split("\n")[0] for text in docstrings if RETIRED_VERBS.match(text)] == []


PAGE_SUFFIXES = (".py", ".pyi", ".js", ".html", ".css")


def pages() -> list[str]:
    """List the files whose words are checked, relative to the repository."""
    below = [path for path in (REPOSITORY / "dogsim").rglob("*") if path.suffix in PAGE_SUFFIXES]
    paths = [*below, *(REPOSITORY / "docs").glob("*.md"), REPOSITORY / "README.md"]
    scripts = [*(REPOSITORY / "scripts").glob("*.py"), *(REPOSITORY / "tests").rglob("*.py")]
    paths += [path for path in scripts if path != Path(__file__)]  # this file lists the words
    return sorted(path.relative_to(REPOSITORY).as_posix() for path in paths)


@pytest.mark.parametrize("path", pages())
def test_no_retired_word(path: str) -> None:
    text = (REPOSITORY / path).read_text("utf-8")
    if path in ALLOWED_LITERALS:
        assert ALLOWED_LITERALS[path] in text
        text = text.replace(ALLOWED_LITERALS[path], "")
    assert [match[0] for match in RETIRED_WORDS.finditer(text)] == []


def test_a_name_means_one_thing() -> None:
    """No constant or class of one name in two modules."""
    homes: dict[str, list[str]] = {}
    for module in FILES:
        for name in names_of(tree_of(module)):
            homes.setdefault(name, []).append(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def names_of(tree: ast.Module) -> set[str]:
    """Return the names of the constants and classes that a module defines."""
    names = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            flat = [each for target in targets for each in ast.walk(target)]
            names |= {n.id for n in flat if isinstance(n, ast.Name) and n.id.isupper()}
    return {name for name in names if len(name) > 1}
