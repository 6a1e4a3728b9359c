"""Ctrl-C and deferred signals, in new processes because they may end them."""

import os
from pathlib import Path

import pytest
from commands import python

from dogsim import Dataset

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def test_a_signal_is_deferred_until_it_is_let_through() -> None:
    done = python("tests/stopping_itself.py")
    assert (done.stdout, done.returncode) == ("1 3 4 5 6\n", 0), done.stderr


@pytest.mark.parametrize("moment", [0, 2, 5, 9])
def test_ctrl_c_while_a_file_is_written(moment: int, tmp_path: Path, four: Dataset) -> None:
    """HDF5 calls Python to write, and replaces exceptions of this callback by its own."""
    four.save(tmp_path / "d.h5")
    done = python("tests/stopping_itself.py", tmp_path, moment)
    assert done.returncode == -2, done.stderr  # ended by SIGINT
    assert done.stderr.splitlines()[-1] == "KeyboardInterrupt"
    assert len(Dataset.open(tmp_path / "d.h5")) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"d.h5"}
