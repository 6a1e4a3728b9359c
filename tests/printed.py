"""Compare printed text with the text that a page or a lesson shows."""

import re

import pytest
from conftest import REPOSITORY

# The last digits depend on the processor (with AMX, without, and without OpenVINO), even more on
# the harder sample, where many distances are nearly equal, and after training.
TOLERANCE, ON_LESSONS = 0.02, 0.1


def same(printed: str, shown: str, tolerance: float = TOLERANCE) -> None:
    """Raise unless the words are equal and the numbers approximately equal."""
    words, expected = printed.split(), shown.split()
    assert len(words) == len(expected), printed
    for word, wanted in zip(words, expected, strict=True):
        number = wanted.strip(",:()")
        # All images are about equally far from an image without a dog: a vote may change.
        votes = 1 if number.isdigit() and "unknown" in shown else None
        try:
            assert float(word.strip(",:()")) == pytest.approx(float(number), tolerance, votes)
        except ValueError:
            assert word == wanted, printed


def answers(lesson: str) -> list[str]:
    """Return the `text` blocks of a lesson: the output of its solutions, in their order."""
    script = (REPOSITORY / "scripts" / f"{lesson}.py").read_text(encoding="utf-8")
    blocks = re.findall(r"^# ```text\n(.*?)^# ```$", script, re.DOTALL | re.MULTILINE)
    return [re.sub(r"^# ?", "", block, flags=re.MULTILINE) for block in blocks]
