"""Lesson 2: correct evaluation."""

from pathlib import Path

import numpy as np
import pytest
from commands import lesson, stated_numbers

import judging
from dogsim import accuracy, sample_dataset


def test_missed_intervals_are_those_of_accuracy() -> None:
    known = sample_dataset(hard=True)
    figure, missed = judging.intervals(known, 20, 25, 6)
    overall, drawn = (
        accuracy(known, 20).vote_accuracy,
        [accuracy(known, 20, n_test=25, seed=seed).vote_accuracy_ci95 for seed in range(6)],
    )
    assert missed == sum(not low <= overall <= high for low, high in drawn)
    bars = [np.asarray(line.get_ydata(), float) for line in figure.axes[0].lines[:12:2]]
    assert np.allclose(bars, drawn)


@pytest.mark.slow
def test_the_numbers_of_the_exercises(capsys: pytest.CaptureFixture[str]) -> None:
    known = sample_dataset(hard=True)
    judging.twice(known)
    judging.draws(known)
    judging.cleaned(known)
    shown = [float(word.strip(",")) for word in capsys.readouterr().out.split() if word[:2] == "0."]
    shown += [float(np.sqrt(0.82 * 0.18 / n)) for n in (25, 50, 100, 200)]
    for number in stated_numbers("judging", "### Exercise 1", "## Talk"):
        assert min(abs(number - each) for each in shown) == pytest.approx(0, abs=0.01), number


@pytest.mark.slow
def test_the_lesson(tmp_path: Path) -> None:
    out = lesson("judging", "--save", tmp_path)
    assert "8 of 8 planted duplicates are found, and 0 pairs" in out
    assert "7 of 8 planted wrong labels are found" in out
    assert "8 groups of copies; the split separates 3 of them" in out
    known, new = (
        float(line.split()[-1]) for line in out.splitlines() if line.startswith("a head, on")
    )
    assert known > 0.98 > new > 0.85
    assert (tmp_path / "intervals.png").is_file()
