"""Moves of files that lose and overwrite nothing."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from disks import names, read_only, small_disk

from dogsim.errors import DogsimError
from dogsim.plumbing import file_moves
from dogsim.plumbing.file_moves import FileMove, run_moves

CONTENT = bytes(range(256)) * 40


def failing(number: int) -> Callable[..., None]:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture(params=["one disk", "two disks", "no hard links", "no hard links, two disks"])
def disks(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def move(disks: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileMove:
    """A move within one file system or between two, with or without hard links."""
    made = FileMove(tmp_path / "photos" / "a.jpg", tmp_path / "other" / "pug" / "a.jpg")
    made.source.parent.mkdir()
    made.source.write_bytes(CONTENT)
    os.utime(made.source, ns=(10**18 + 1, 10**18 + 2))
    made.source.chmod(0o640)
    link, replace = os.link, Path.replace

    def link_within(source: Path, target: Path) -> None:
        if "two disks" in disks and source.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        if "no hard links" in disks:
            raise OSError(errno.EPERM, "Operation not permitted")
        link(source, target)

    def replace_within(source: Path, target: Path) -> Path:
        if "two disks" in disks and source.parent != target.parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(source, target)

    monkeypatch.setattr(os, "link", link_within)
    monkeypatch.setattr(Path, "replace", replace_within)
    return made


def check_moved(move: FileMove) -> None:
    assert not move.source.exists()
    assert move.target.read_bytes() == CONTENT
    status = move.target.stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (10**18 + 2, 0o640)
    assert names(move.target.parent) == ["a.jpg"]
    assert move.state == "done"


def check_unmoved(move: FileMove) -> None:
    assert move.source.read_bytes() == CONTENT
    assert move.source.stat().st_mtime_ns == 10**18 + 2
    assert names(move.source.parent) == ["a.jpg"]


def test_a_move(move: FileMove) -> None:
    assert move.state == "to do"
    move.run()
    check_moved(move)


def test_an_existing_file_is_never_overwritten(move: FileMove) -> None:
    """Not even if it appears after the state was read."""
    move.target.parent.mkdir(parents=True)
    move.target.write_bytes(CONTENT + b"!")
    assert move.state == "taken"
    with pytest.raises(FileExistsError):
        move.run()
    check_unmoved(move)
    assert move.target.read_bytes() == CONTENT + b"!"
    assert names(move.target.parent) == ["a.jpg"]


@pytest.mark.parametrize("kind", ["folder", "link", "broken link"])
def test_other_things_are_never_overwritten(move: FileMove, kind: str, tmp_path: Path) -> None:
    move.target.parent.mkdir(parents=True)
    if kind == "folder":
        move.target.mkdir()
    else:
        move.target.symlink_to(move.source if kind == "link" else tmp_path / "nothing")
    assert move.state == "taken"
    with pytest.raises(OSError, match="exists"):
        move.run()
    check_unmoved(move)


def test_no_file(move: FileMove) -> None:
    move.source.unlink()
    assert move.state == "missing"
    move.source.symlink_to("elsewhere.jpg")
    assert move.state == "missing"
    move.source.unlink()
    move.source.mkdir()
    assert move.state == "missing"


@pytest.mark.parametrize("content", [CONTENT, b""])
def test_a_move_that_was_begun_is_finished(move: FileMove, content: bytes) -> None:
    """A complete copy was made, or an empty file that reserves the name."""
    move.target.parent.mkdir(parents=True)
    move.target.write_bytes(content)
    if content:
        status = move.source.stat()
        os.utime(move.target, ns=(status.st_atime_ns, status.st_mtime_ns))
        move.target.chmod(0o640)
    assert move.state == "begun"
    move.run()
    check_moved(move)


def test_a_second_name_of_the_file_is_finished(tmp_path: Path) -> None:
    move = FileMove(tmp_path / "a.jpg", tmp_path / "b.jpg")
    move.source.write_bytes(CONTENT)
    os.link(move.source, move.target)
    assert move.state == "begun"
    move.run()
    assert (move.target.read_bytes(), names(tmp_path)) == (CONTENT, ["b.jpg"])


def test_one_name_with_two_paths_is_not_removed(tmp_path: Path) -> None:
    """Such as through a link to its folder: there is no second name."""
    photos, same = tmp_path / "photos", tmp_path / "same"
    photos.mkdir()
    same.symlink_to(photos)
    move = FileMove(photos / "a.jpg", same / "a.jpg")
    move.source.write_bytes(CONTENT)
    assert move.state == "taken"
    with pytest.raises(FileExistsError):
        move.run()
    assert move.source.read_bytes() == CONTENT


@pytest.mark.parametrize("disks", ["two disks", "no hard links, two disks"])
def test_a_file_that_changes_while_it_is_copied(
    move: FileMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = file_moves._copy_file

    def copy_and_change(source: Path, target: Path) -> Any:
        version = copy(source, target)
        source.write_bytes(CONTENT + b"more")
        return version

    monkeypatch.setattr(file_moves, "_copy_file", copy_and_change)
    with pytest.raises(OSError, match="it changed while it was copied"):
        move.run()
    assert move.source.read_bytes() == CONTENT + b"more"
    assert names(move.target.parent) == []


@pytest.mark.parametrize("disks", ["two disks", "no hard links, two disks"])
def test_a_copy_that_differs_is_refused(move: FileMove, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_moves, "file_sha256", lambda file: "0" * 64)
    with pytest.raises(OSError, match="differs"):
        move.run()
    check_unmoved(move)
    assert names(move.target.parent) == []


@pytest.mark.parametrize("disks", ["one disk", "two disks", "no hard links, two disks"])
def test_a_source_that_cannot_be_removed_stays_the_only_one(
    move: FileMove, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = Path.unlink

    def unlink_others(path: Path, missing_ok: bool = False) -> None:
        if path == move.source:
            raise PermissionError(errno.EACCES, "Permission denied")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", unlink_others)
    with pytest.raises(PermissionError):
        move.run()
    check_unmoved(move)
    assert names(move.target.parent) == []


def test_a_full_disk(tmp_path: Path) -> None:
    source = tmp_path / "a.jpg"
    source.write_bytes(os.urandom(200_000))
    with small_disk(tmp_path / "disk", 100_000) as disk:
        with pytest.raises(
            DogsimError, match=r"No space left .*0 of 1 files were moved\. Continue"
        ):
            run_moves([FileMove(source, disk / "pug" / "a.jpg")], "Continue.")
        assert [path for path in disk.rglob("*") if path.is_file()] == []
        assert source.stat().st_size == 200_000
        small = tmp_path / "small.jpg"
        small.write_bytes(CONTENT)
        run_moves([FileMove(small, disk / "pug" / "small.jpg")], "")
        assert (disk / "pug" / "small.jpg").read_bytes() == CONTENT


@pytest.fixture
def file_size_limit() -> Iterator[Callable[[int], None]]:
    """A function that limits the size of the files that this process writes."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_that_cannot_be_written_completely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file_size_limit: Callable[[int], None]
) -> None:
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    move = FileMove(tmp_path / "a.jpg", tmp_path / "other" / "a.jpg")
    move.source.write_bytes(CONTENT[:1000])
    file_size_limit(500)
    with pytest.raises(DogsimError, match="File too large"):
        run_moves([move], "")
    assert move.source.stat().st_size == 1000
    assert names(move.target.parent) == []


@pytest.mark.parametrize("which", ["source", "target"])
def test_a_read_only_folder(tmp_path: Path, which: str) -> None:
    move = FileMove(tmp_path / "photos" / "a.jpg", tmp_path / "other" / "a.jpg")
    for path in (move.source, move.target):
        path.parent.mkdir()
    move.source.write_bytes(CONTENT)
    with read_only(getattr(move, which).parent), pytest.raises(DogsimError, match="Read-only"):
        run_moves([move], "")
    assert move.source.read_bytes() == CONTENT
    assert names(move.target.parent) == []


def test_the_number_of_moved_files_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moves = [FileMove(tmp_path / f"{i}.jpg", tmp_path / "o" / f"{i}.jpg") for i in range(3)]
    for each in moves[:2]:
        each.source.write_bytes(CONTENT)
    with pytest.raises(DogsimError, match=r"Cannot move .*2\.jpg to .*: No such file .*2 of 3"):
        run_moves(moves, "")

    def stop(move: FileMove) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(FileMove, "run", stop)
    with pytest.raises(KeyboardInterrupt, match=r"Stopped\. 0 of 3 files were moved\. Again"):
        run_moves(moves, "Again.")
