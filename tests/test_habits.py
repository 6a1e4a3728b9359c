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


def test_pre_commit_runs_the_checks_of_contributing() -> None:
    config = read(".pre-commit-config.yaml")
    checks = re.findall(r"^ +entry: (.+)$", config, re.MULTILINE)
    assert len(checks) == 3
    assert " && ".join(checks) in read("CONTRIBUTING.md")
    assert "rev:" not in config  # only pyproject.toml pins their versions
