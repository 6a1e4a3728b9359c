"""The examples in docstrings run, and the public names are those of `__init__.pyi`."""

import doctest
import importlib
import pkgutil
import re

import pytest
from conftest import REPOSITORY

import dogsim

WEB_MODULES = {
    "web.uploads",
    "web.service",
    "web.security",
    "web.routes",
    "web.server",
}  # they import an extra
FOUND = list(pkgutil.walk_packages(dogsim.__path__, "dogsim."))
MODULES = [module.name.removeprefix("dogsim.") for module in FOUND]
PUBLIC = {
    name: module.removeprefix("dogsim.")
    for module, name in re.findall(
        r"^from (\S+) import (\w+)", (REPOSITORY / "dogsim" / "__init__.pyi").read_text(), re.M
    )
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.extra) if name in WEB_MODULES else name
        for name in MODULES
    ],
)
def test_examples_in_docstrings(name: str) -> None:
    if name in WEB_MODULES:
        pytest.importorskip("starlette", reason='needs pip install "dogsim[web]"')
        pytest.importorskip("uvicorn", reason='needs pip install "dogsim[web]"')
        pytest.importorskip("cachetools", reason='needs pip install "dogsim[web]"')
    module = importlib.import_module(f"dogsim.{name}")
    names = {"np": importlib.import_module("numpy")}
    result = doctest.testmod(module, extraglobs=names, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_public_names() -> None:
    assert set(PUBLIC) == set(dir(dogsim)) - {"__version__"}
    for name, module in PUBLIC.items():
        public = getattr(importlib.import_module(f"dogsim.{module}"), name)
        assert getattr(dogsim, name) is public
        assert public.__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        dogsim.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_the_docstring_of_the_package_lists_all_names() -> None:
    lines = re.findall(r"^    ([\w, ]+): ", str(dogsim.__doc__), re.MULTILINE)
    names = [name for line in lines for name in line.split(", ")]
    assert sorted(names) == sorted(PUBLIC)


def test_a_module_of_that_name_does_not_hide_the_function() -> None:
    """Even after the module of the same name was imported."""
    for name, module in PUBLIC.items():
        if name == module.rpartition(".")[2]:
            importlib.import_module(f"dogsim.{module}")
            assert callable(getattr(dogsim, name)), name
