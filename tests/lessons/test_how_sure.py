"""Lesson 8: how sure."""

from pathlib import Path

import numpy as np
import pytest
from commands import lesson, stated_numbers

import how_sure
from dogsim import hold_out, sample_dataset


@pytest.mark.slow
def test_the_lesson(tmp_path: Path) -> None:
    out = lesson("how_sure", "--save", tmp_path)
    rows = [line.split() for line in out.splitlines() if line.startswith("0.")][:6]
    for confidence, coverage, _ in rows:
        assert float(coverage) > float(confidence) - 0.06  # 100 queries
    sizes = [float(size) for _, _, size in rows]
    assert sizes == sorted(sizes)
    assert "unknown    0.004  Dalmatian" in out
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_the_coverage_by_hand() -> None:
    gallery, queries = hold_out(sample_dataset(hard=True), 0.4, 0)
    found = how_sure.coverage_of(gallery, queries, 0.9)
    assert 0.8 < found.coverage <= 1
    assert 1 <= found.mean_set_size <= len(gallery.breeds)
    figure = how_sure.draw_coverages([found])
    assert np.allclose(np.asarray(figure.axes[0].lines[1].get_ydata(), float), [found.coverage])


@pytest.mark.slow
def test_the_numbers_of_the_exercises(capsys: pytest.CaptureFixture[str]) -> None:
    images = sample_dataset(hard=True)
    how_sure.ten_splits(images)
    how_sure.small_datasets(images)
    how_sure.unknown(images)
    printed = capsys.readouterr().out
    assert "0 of 5 are called unknown" in printed
    assert "2 of 7 are called unknown" in printed
    assert "20 of 20 are called unknown" in printed
    shown = [float(word.strip(",:")) for word in printed.split() if word[1:2] == "."]
    for number in stated_numbers("how_sure", "## Exercise 1", "## Talk"):
        assert min(abs(number - each) for each in shown) < 0.03, number
