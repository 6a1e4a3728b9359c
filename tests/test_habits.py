"""What the project's habits repeat from elsewhere is the same there."""

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


def test_pre_commit_checks_what_contributing_tells() -> None:
    config = read(".pre-commit-config.yaml")
    checks = re.findall(r"^ +entry: (.+)$", config, re.MULTILINE)
    assert len(checks) == 3
    assert " && ".join(checks) in read("CONTRIBUTING.md")
    assert "rev:" not in config  # their versions stand in pyproject.toml alone
