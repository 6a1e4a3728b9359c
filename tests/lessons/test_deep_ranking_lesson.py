"""Lesson 6: learning features."""

from pathlib import Path

import numpy as np
import pytest
from commands import lesson, python, stated_numbers

import deep_ranking
from dogsim import Dataset, hold_out, sample_dataset


def six_classes() -> Dataset:
    """Six classes, without image files."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 20).astype(np.int32)
    features = np.eye(6)[labels].repeat(4, axis=1) * 2 + rng.normal(0, 1, (120, 24))
    names = tuple(f"{label}/{i}.jpg" for i, label in enumerate(labels))
    return Dataset(features.astype(np.float32), labels, names, tuple("abcdef"))


@pytest.mark.slow
def test_the_lesson(tmp_path: Path) -> None:
    classes = tmp_path / "classes.h5"
    six_classes().save(classes)
    out = lesson("deep_ranking", "--dataset", classes, "--save", tmp_path / "figures")
    before, after = (
        [float(x) for x in line.split()[1:]]
        for line in out.splitlines()
        if line.startswith(("before  ", "after  "))
    )
    assert after[2] > before[2] + 0.05  # precision@20 of held-out images
    assert (tmp_path / "figures" / "precision.png").is_file()
    assert (tmp_path / "figures" / "learning.png").is_file()
    start, best = (
        float(line.split(" held-out images ")[1].split()[place])
        for line in out.splitlines()
        if " held-out images " in line
        for place in (0, 4)
    )
    assert best > start + 0.1


def test_a_mistake_ends_a_lesson_in_one_line() -> None:
    done = python("scripts/deep_ranking.py", "--dataset", "\x1b[2J.h5")
    assert done.returncode == 1
    assert done.stderr.startswith(r"deep_ranking.py: There is no dataset file \x1b[2J.h5.")
    assert len(done.stderr.splitlines()) == 1


def test_the_losses_by_hand() -> None:
    features = np.array([[1, 0], [0, 2], [3, 0]], np.float32)  # lengths do not count
    known = Dataset(features, np.array([0, 0, 1], np.int32), ("a", "b", "c"), ("x", "y"))
    found = deep_ranking.losses(known, np.array([[0, 1, 2], [0, 2, 1]]), 0.2)
    assert found == pytest.approx([0.2 + 2, 0]) or found == pytest.approx([0.2 + 2**0.5, 0])


@pytest.mark.slow
def test_the_numbers_of_the_exercises(capsys: pytest.CaptureFixture[str]) -> None:
    gallery, queries = hold_out(sample_dataset(hard=True), 0.2, 0, least=1)
    deep_ranking.starts(gallery, queries)
    deep_ranking.margins(gallery, queries)
    deep_ranking.new_breeds()
    shown = [float(word) for word in capsys.readouterr().out.split() if word[:2] == "0."]
    for number in stated_numbers("deep_ranking", "## Exercise 1", "## Talk"):
        assert min(abs(number - each) for each in shown) < 0.05, number
