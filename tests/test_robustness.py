"""`scripts/robustness.py` changes images as it says."""

from pathlib import Path

import numpy as np
import pytest
from commands import lesson
from PIL import Image

import robustness
from dogsim import sample_dataset

WHITE = Image.new("RGB", (100, 50), "white")


def test_the_changes() -> None:
    changed = {name: change(WHITE) for name, change in robustness.CHANGES.items()}
    assert np.asarray(changed["brightness x 0.5"]).max() in (127, 128)
    assert changed["rotation by 90 degrees"].size == (50, 100)
    assert changed["rotation by 10 degrees"].size == (100, 50)
    for fraction in (0.1, 0.3):
        covered = np.asarray(changed[f"{fraction:.0%} covered".replace("%", " %")])
        assert (covered == 128).all(axis=-1).mean() == pytest.approx(fraction, abs=0.03)
    for percent in (80, 50):
        width, height = changed[f"crop to {percent} %"].size
        assert width * height == pytest.approx(50 * percent, rel=0.03)
    assert np.array_equal(np.asarray(changed["blur, 3 % of the width"]), np.asarray(WHITE))


def test_the_table(tmp_path: Path) -> None:
    for i, path in enumerate(sorted(Path(sample_dataset().root).glob("*/01.jpg"))[:4]):
        (tmp_path / f"{i}.jpg").symlink_to(path)
    lines = lesson("robustness", tmp_path, "--backbone", "efficientnet-lite2").splitlines()
    assert len(lines) == 1 + len(robustness.CHANGES)
    for line in lines[1:]:
        own, other, nearer = map(float, line.split()[-3:])
        assert 0 < own < 2
        assert 0 < other < 2
        assert 0 <= nearer <= 1
        assert own < other or nearer < 1
    darker = next(line for line in lines if line.startswith("brightness x 0.5"))
    assert float(darker.split()[-1]) == 1
