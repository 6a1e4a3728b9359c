"""Lesson 1: the method."""

from pathlib import Path

import numpy as np
import pytest
from commands import python, stated_numbers

import main
from dogsim import sample_dataset, sample_queries

QUERIES = [str(path) for path in sample_queries()[:2]]


def test_the_command_line(tmp_path: Path) -> None:
    done = python("scripts/main.py", *QUERIES, "-k", "8", "--save", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.png"))) == 2
    lines = done.stdout.splitlines()
    assert lines[0] == "Dalmatian.jpg: Dalmatian"
    assert lines[-1] == str(tmp_path / f"{Path(QUERIES[1]).stem}.png")
    assert "WARNING" not in done.stderr
    assert "oneDNN" not in done.stderr


def test_queries_of_one_name_have_a_grid_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = Path(sample_dataset().root)
    main.main([root / "pug" / "01.jpg", root / "beagle" / "01.jpg"], k=2, save=tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert "100.00% of 4 neighbours" in capsys.readouterr().out  # each is its own neighbour


def test_an_error_is_one_line() -> None:
    gone = python("scripts/main.py", "\x1b[2J犬.png", PYTHONIOENCODING="cp1252")
    assert gone.returncode == 1
    assert gone.stderr.splitlines()[-1] == (
        r"main.py: There is no image or folder \x1b[2J\u72ac.png."
    )


def test_the_dataset_of_the_environment() -> None:
    done = python("scripts/main.py", DOGSIM_DATASET="gone.h5")
    assert "There is no dataset file gone.h5" in done.stderr


def test_other_features_are_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    known = sample_dataset().take(np.arange(50))  # two breeds
    main.evaluate("labels", known, known.labels[:, None], k=24)
    assert capsys.readouterr().out.split() == ["labels", "P@24", "1.000", "vote", "1.000"]


def test_the_numbers_of_the_exercises(capsys: pytest.CaptureFixture[str]) -> None:
    known = sample_dataset()
    main.pixels(known)
    main.many_neighbours(known)
    printed = capsys.readouterr().out
    assert "beagle               3 of 15 are right" in printed
    assert sum(line.endswith("25 of 25 are right") for line in printed.splitlines()) == 11
    shown = [float(word) for word in printed.split() if word[1:2] == "."]
    for number in stated_numbers("main", "### Exercise 1", "### Exercise 3"):
        assert min(abs(number - each) for each in shown) == pytest.approx(0, abs=0.01), number


@pytest.mark.slow
def test_the_numbers_of_the_layers(capsys: pytest.CaptureFixture[str]) -> None:
    main.layers(sample_dataset())
    shown = [float(word.strip(",")) for word in capsys.readouterr().out.split() if word[:2] == "0."]
    assert shown[::2] == pytest.approx(
        stated_numbers("main", "### Exercise 3", "## Talk"), abs=0.01
    )
