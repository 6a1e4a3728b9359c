"""The citation, the workflow and the pre-commit hooks agree with the files that they repeat."""

import re

from conftest import REPOSITORY

import dogsim


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def test_the_citation_is_of_this_version() -> None:
    versions = re.findall(r"^version: (.+)$", read("CITATION.cff"), re.MULTILINE)
    assert versions == [dogsim.__version__]


def test_the_workflow_runs_the_two_commands_of_the_readme() -> None:
    block = read("README.md").partition("## Try it")[2].split("```")[1]
    commands = re.findall(r"^ +- run: (.+)$", read(".github/workflows/tests.yml"), re.MULTILINE)
    assert commands == block.strip().splitlines()
    assert len(commands) == 2


def test_the_versions_of_python_are_those_of_pyproject() -> None:
    """The workflow tests the oldest and the newest one."""
    bounds = re.search(r'^requires-python = ">=3\.(\d+),<3\.(\d+)"', read("pyproject.toml"), re.M)
    assert bounds
    oldest, newest = f"3.{bounds[1]}", f"3.{int(bounds[2]) - 1}"
    assert f"Python {oldest} to {newest}" in read("README.md")
    assert f'python: ["{oldest}", "{newest}"]' in read(".github/workflows/tests.yml")
    assert f"for newest in python{newest} " in read(".ci/release")
    assert f"DOGSIM_OLDEST_PYTHON:-python{oldest}" in read(".ci/oldest")


def test_every_extra_is_named_where_it_is_needed() -> None:
    table = read("pyproject.toml").partition("[project.optional-dependencies]")[2]
    extras = re.findall(r"^([a-z0-9-]+) = \[", table.partition("\n[")[0], re.MULTILINE)
    assert len(extras) > 10
    folders = ("dogsim", "docs", "scripts")
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.[mp][dy]")]
    text = "".join(path.read_text("utf-8") for path in files)
    text += read("README.md") + read("CONTRIBUTING.md") + read(".ci/run")
    for extra in extras:
        assert re.search(rf'\[([\w,-]+,)?{extra}(,[\w,-]+)?\]"?|"{extra}"', text), extra


def test_pre_commit_runs_the_checks_of_contributing() -> None:
    config = read(".pre-commit-config.yaml")
    checks = re.findall(r"^ +entry: (.+)$", config, re.MULTILINE)
    assert len(checks) == 3
    assert " && ".join(checks) in read("CONTRIBUTING.md")
    assert "rev:" not in config  # only pyproject.toml pins their versions
