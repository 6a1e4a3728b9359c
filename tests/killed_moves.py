"""Move files by `dogsim apply`, and move them back, in processes that are killed at many moments.

Usage: killed_moves.py PHOTOS DATASET PLAN FOLDER DISKS KILLS. DISKS is "one", or "two" if files are
to be copied as to another disk. Each command runs in a fork, which counts the calls of C functions
while files are moved, and kills itself at one of them. After each kill every photo must be complete
in at least one of the two folders. In the end all photos are back, bit for bit. Prints the numbers
of kills, forth and back, and of moments.
"""

import errno
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from disks import contents

from dogsim.cli import app
from dogsim.folders import saved_copy  # noqa: F401 - imported once, not in each fork
from dogsim.plumbing import file_moves
from dogsim.trust import apply_plan, removed_files  # noqa: F401

PHOTOS, DATASET, PLAN, FOLDER = map(Path, sys.argv[1:5])
DISKS, KILLS = sys.argv[5], int(sys.argv[6])
UNDO = FOLDER / "undo.csv"
MOVE = ["apply", PLAN, DATASET, "-o", DATASET.with_name("new.h5"), "--move-to", FOLDER, "--yes"]
UNDO_MOVE = ["apply", UNDO, "--yes"]


def link(source: Path, target: Path, make: Callable[[Path, Path], None] = os.link) -> None:
    """Make a hard link, but not between the folders of two disks."""
    if DISKS == "two" and source.parent != target.parent:
        raise OSError(errno.EXDEV, "Invalid cross-device link")
    make(source, target)


class Moments:
    """Counts the moments of a command, and kills the process at one of them."""

    def __init__(self, last: int | None) -> None:
        self.count, self.last = 0, last

    def start(self, table: Path, remove: Callable[[Path], None]) -> None:
        """Begin to count when everything has been checked, and the first file is removed."""
        sys.setprofile(self._count)
        remove(table)

    def _count(self, frame: FrameType, event: str, called: Any) -> None:
        if event not in ("c_call", "c_return"):
            return
        self.count += 1
        if self.count == self.last:
            os.kill(os.getpid(), signal.SIGKILL)


def run(command: list[Any], last: int | None = None) -> int | None:
    """Run a command in a fork; return the number of its moments, None if it was killed."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        moments = Moments(last)
        removed_files._remove_remains = partial(moments.start, remove=removed_files._remove_remains)
        app([*map(str, command), "--json"], standalone_mode=False)
        sys.setprofile(None)
        os.write(writer, str(moments.count).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        count = pipe.read()
    status = os.waitpid(child, 0)[1]
    if last is None:
        assert status == 0, status
        return int(count)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return None


def check_complete(before: dict[str, Any]) -> None:
    """Check that every photo is complete in at least one folder; no other file has its name."""
    here, there = contents(PHOTOS), contents(FOLDER)
    for path, (content, *_) in before.items():
        found = [files[path][0] for files in (here, there) if path in files]
        assert found, path
        assert all(each == content for each in found), path


def check_back(before: dict[str, Any]) -> None:
    """Check that all photos are back, and that nothing else was left."""
    assert contents(PHOTOS) == before
    assert [*contents(FOLDER)] == ["undo.csv"]
    hidden = [path for folder in (PHOTOS, FOLDER) for path in folder.rglob(".*")]
    assert hidden == []


def main() -> None:
    file_moves.COPIED_BYTES = 500
    os.link = link  # type: ignore[assignment]
    # A bar is drawn at certain times, so that the number of moments would vary.
    setattr(file_moves, "track", lambda batches, *_: batches)  # noqa: B010
    before = contents(PHOTOS)
    moments, back = run(MOVE), run(UNDO_MOVE)
    assert moments
    assert back
    check_back(before)
    killed_back = 0
    for number in range(KILLS):
        UNDO.unlink()
        share = (number + 0.5) / KILLS
        run(MOVE, last=1 + int(moments * share))
        check_complete(before)
        if number % 2 or not UNDO.exists():  # continue; otherwise undo what was done
            run(MOVE)
            assert len(contents(FOLDER)) == 1 + len(before) - len(contents(PHOTOS))
            run(UNDO_MOVE, last=1 + int(back * share))
            killed_back += 1
            check_complete(before)
        run(UNDO_MOVE)
        check_back(before)
    print(KILLS, killed_back, moments, back)


main()
