"""The command line of a script."""

from pathlib import Path

import pytest
from commands import loaded_after, python

SCRIPT = '''
"""Count to a number.

More text.
"""

from pathlib import Path

import dogsim


def main(
    names: list[str], k: int = 5, seed: int = 0, quick: bool = False, save: Path | None = None
) -> None:
    """Run it."""
    if seed < 0:
        raise dogsim.DogsimError("Received the seed -1. Expected 0 or more.")
    print(names, k, seed, quick, save)


if __name__ == "__main__":
    dogsim.run_script(main)
'''


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("scripts") / "count.py"
    file.write_text(SCRIPT.lstrip())
    return file


def test_the_options_are_the_parameters(script: Path) -> None:
    assert python(script, "a", "b").stdout == "['a', 'b'] 5 0 False None\n"
    done = python(script, "a", "-k", 3, "--seed", 1, "--quick", "--save", "x")
    assert done.stdout == f"['a'] 3 1 True {Path('x')}\n"
    text = python(script, "--help", NO_COLOR="1").stdout
    assert "Count to a number." in text
    assert "More text" not in text
    assert "--no-quick" not in text
    assert "--k " not in text


def test_errors_are_one_line(script: Path) -> None:
    done = python(script, "a", "--seed", -1)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "count.py: Received the seed -1. Expected 0 or more.\n"
    assert python(script, "a", "--no-such-option").returncode == 2


def test_it_loads_no_network_library() -> None:
    assert loaded_after("from dogsim import run_script") == set()
