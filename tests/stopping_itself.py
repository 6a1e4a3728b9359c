"""A process that interrupts itself like Ctrl-C, in `defer_signals` or while it writes a file.

python tests/stopping_itself.py                    # prints the numbers of the executed steps
python tests/stopping_itself.py FOLDER MOMENT      # while it overwrites FOLDER/d.h5
"""

import signal
import sys
from pathlib import Path

import numpy as np

from dogsim import Dataset
from dogsim.plumbing.signals import defer_signals
from dogsim.storage import hdf5


def wait() -> list[int]:
    """Return the executed steps of two blocks, interrupted before and after `let_through`."""
    done = []
    try:
        with defer_signals() as let_through:
            signal.raise_signal(signal.SIGINT)
            done.append(1)
            let_through()
            done.append(2)
    except KeyboardInterrupt:
        done.append(3)
    try:
        with defer_signals() as let_through:
            let_through()
            done.append(4)
            signal.raise_signal(signal.SIGINT)
            done.append(5)
    except KeyboardInterrupt:
        done.append(6)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    return done


def write(folder: Path, moment: int) -> None:
    """Overwrite a dataset; the write call of this number is interrupted."""
    left, write = [moment], hdf5._Sink.write

    def stopped(sink: hdf5._Sink, data: bytes) -> int:
        left[0] -= 1
        if left[0] == -1:
            signal.raise_signal(signal.SIGINT)
        return write(sink, data)

    setattr(hdf5._Sink, "write", stopped)  # noqa: B010
    fifty = np.eye(50, dtype=np.float32), np.zeros(50, np.int32), tuple(map(str, range(50)))
    Dataset(*fifty, ("pug",)).save(folder / "d.h5")


signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" ignores it
if sys.argv[1:]:
    write(Path(sys.argv[1]), int(sys.argv[2]))
else:
    print(*wait())
