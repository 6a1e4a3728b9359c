"""Being stopped, and when that has to wait."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from dogsim import Dataset
from dogsim.plumbing import hdf5
from dogsim.plumbing.signals import uninterrupted

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


def test_a_stop_waits_until_it_is_let_through() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), uninterrupted() as let_through:
        signal.raise_signal(signal.SIGINT)
        done.append(1)
        let_through()
        done.append(2)
    with pytest.raises(KeyboardInterrupt), uninterrupted() as let_through:
        let_through()
        done.append(3)
        signal.raise_signal(signal.SIGINT)
        done.append(4)
    assert done == [1, 3, 4]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("moment", [0, 2, 5, 9])
def test_a_stop_while_a_file_is_written(
    moment: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, four: Dataset
) -> None:
    """HDF5 calls back to write, and turns what is raised there into an error of its own."""
    left, write = [moment], hdf5._Sink.write

    def stopped(sink: hdf5._Sink, data: bytes) -> int:
        left[0] -= 1
        if left[0] == -1:
            signal.raise_signal(signal.SIGINT)
        return write(sink, data)

    four.save(tmp_path / "d.h5")
    monkeypatch.setattr(hdf5._Sink, "write", stopped)
    other = Dataset(
        np.eye(50, dtype=np.float32), np.zeros(50, np.int32), tuple(map(str, range(50))), ("pug",)
    )
    with pytest.raises(KeyboardInterrupt):
        other.save(tmp_path / "d.h5")
    assert len(Dataset.open(tmp_path / "d.h5")) == 4
    assert {path.name for path in tmp_path.iterdir()} == {"d.h5", ".d.h5.lock"}
