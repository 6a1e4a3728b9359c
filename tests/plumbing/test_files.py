import os
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from dogsim.errors import DogsimError
from dogsim.plumbing.files import (
    check_output,
    check_replaceable,
    locked,
    remove_temporary_files,
    replacing,
    replacing_folder,
)


def test_only_temporary_files_of_this_file_are_removed(tmp_path: Path) -> None:
    others = (".dogs.h5.bak.123.tmp", ".dogs.h5.tmp", ".dogs.h5.12a.tmp", "dogs.h5.123.tmp")
    for name in (*others, ".dogs.h5.123.tmp"):
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path / "dogs.h5")
    assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_a_folder_is_replaced_as_a_whole_and_remains_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    (tmp_path / ".page.123.tmp" / "data").mkdir(parents=True)  # of a killed process
    for name in ("first", "second"):
        with replacing_folder(folder) as new:
            (new / name).touch()
        assert [path.name for path in folder.iterdir()] == [name]
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_folder(tmp_path: Path, error: BaseException) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    (folder / "old").touch()
    expected = DogsimError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected), replacing_folder(folder) as new:
        (new / "half").touch()
        raise error
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_one_process_writes_a_folder(tmp_path: Path) -> None:
    folder, message = tmp_path / "page", "Another run is writing"
    with (
        replacing_folder(folder),
        pytest.raises(DogsimError, match=message),
        replacing_folder(folder),
    ):
        pass


@pytest.mark.parametrize("name", ["a" * 250, "\N{DOG FACE}" * 60])
def test_long_names(name: str, tmp_path: Path) -> None:
    with replacing(tmp_path / name) as temporary:
        temporary.write_text("whole")
        temporary.with_name(re.sub(r"\d+(?=\.tmp$)", "1", temporary.name)).touch()
    remove_temporary_files(tmp_path / name)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {name: "whole"}


def test_two_writers_of_one_file_each_write_it_completely(tmp_path: Path) -> None:
    path = tmp_path / "dogs.csv"
    with replacing(path) as first:
        first.write_text("first")
        with replacing(path) as second:
            second.write_text("second")
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_permissions_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "private.csv"
    path.touch(mode=0o600)
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.name != "posix", reason="devices of POSIX")
def test_invalid_outputs(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "loop", tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(DogsimError, match="not a regular file"):
            check_output(path)
    (tmp_path / "read").touch()
    (tmp_path / "link").symlink_to(tmp_path / "read")
    for path in (tmp_path / "read", tmp_path / "link", tmp_path / "x" / ".." / "read"):
        (tmp_path / "x").mkdir(exist_ok=True)
        with pytest.raises(DogsimError, match="is also read by this command"):
            check_output(path, [None, tmp_path / "read"])


def test_a_file_of_another_command_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    check_replaceable(path, lambda _: False, force=False)  # there is no file yet
    path.touch()
    for force, ours in ((True, False), (False, True)):
        check_replaceable(path, lambda _, ours=ours: ours, force)  # type: ignore[misc]
    with pytest.raises(DogsimError, match="give --force"):
        check_replaceable(path, lambda _: False, force=False)


def test_a_lock_is_held_by_one_and_leaves_no_file(tmp_path: Path) -> None:
    """Also while others open the lock file at the moment at which it is removed."""
    path, held = tmp_path / "dogs.h5", tmp_path / "held"

    def hold(_: int) -> int:
        done = 0
        for _ in range(150):
            with suppress(DogsimError), locked(path):  # "Another run is writing"
                held.touch(exist_ok=False)  # raises if another thread is here
                held.unlink()
                done += 1
        return done

    with ThreadPoolExecutor(4) as pool:
        assert min(pool.map(hold, range(4))) > 0
    with locked(path), locked(tmp_path / "other.h5"):
        assert len(list(tmp_path.iterdir())) == 2
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / ".dogs.h5.lock").touch()
    path, another = tmp_path / "dogs.h5", pytest.raises(DogsimError, match="Another run")
    with locked(path), another, locked(path):
        pass
    assert list(tmp_path.iterdir()) == []
