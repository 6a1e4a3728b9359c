"""Optional packages are imported, or the message names the pip command."""

import math
from pathlib import Path

import pytest

from dogsim import DogsimError
from dogsim.plumbing.optional import check_installed, require


def test_an_installed_package_is_returned() -> None:
    assert require("math", "web", "The page") is math


def test_a_missing_package_is_reported_with_the_pip_command() -> None:
    expected = r'The page needs nothing_here.*Run: pip install "dogsim\[web\]"'
    for call in (check_installed, require):
        with pytest.raises(DogsimError, match=expected):
            call("nothing_here", "web", "The page")


def test_a_package_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "no_home.py").write_text(
        "raise RuntimeError('Could not determine home directory.')"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DogsimError, match=r"cannot be imported \(Could not determine home"):
        require("no_home", "hub", "This network")
