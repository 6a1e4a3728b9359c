"""What the documentation says is true: examples run, names and layers are as promised."""

import ast
import doctest
import importlib
import pkgutil

import pytest
from conftest import REPOSITORY

import dogsim

MODULES = [module.name for module in pkgutil.iter_modules(dogsim.__path__)]
# A module imports only from those before it.
ORDER = [
    *("errors", "files", "tables", "progress", "prefetch", "recipe", "images", "_keras"),
    *("download", "unpack"),
    *("weights", "efficientnet_lite0", "engines", "backbones", "feature_extract"),
    *("dataset", "matfile", "matsave", "matlab"),
    *("listing", "pipeline", "partial", "create_dataset", "stanford_dogs"),
    *("exact", "dist_calc", "classify", "evaluation", "accuracy", "report"),
    *("sample", "plots", "display", "cli"),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name: str) -> None:
    module = importlib.import_module(f"dogsim.{name}")
    flags = doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
    names = {"np": importlib.import_module("numpy")}
    result = doctest.testmod(module, extraglobs=names, optionflags=flags)
    assert result.failed == 0


def test_public_names() -> None:
    stub = ast.parse((REPOSITORY / "dogsim" / "__init__.pyi").read_text())
    typed = {
        alias.name: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(typed) == set(dir(dogsim)) - {"__version__"}
    for name, module in typed.items():
        promised = getattr(importlib.import_module(str(module)), name)
        assert getattr(dogsim, name) is promised
        assert promised.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dogsim.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_data_flows_one_way() -> None:
    assert sorted(ORDER) == sorted(MODULES)
    for name in ORDER:
        source = ast.parse((REPOSITORY / "dogsim" / f"{name}.py").read_text())
        imported = {
            str(node.module).removeprefix("dogsim.")
            for node in ast.walk(source)
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("dogsim.")
        }
        assert imported <= set(ORDER[: ORDER.index(name)]), name
