from pathlib import Path

import pytest
from commands import dogsim, dogsim_json, refusal
from filelock import FileLock

from dogsim.plumbing.cache import cache_folder, cached, clear_cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two of our files, a lock, what a kill has left, and a file of somebody else."""
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", lambda name: tmp_path / name)
    folder = cache_folder()
    (folder / ".network-x").mkdir(parents=True)
    (folder / ".network-x" / "network.bin").write_bytes(bytes(300))
    (folder / "network-vgg16-0.zip").write_bytes(bytes(2000))
    (folder / "sample-vgg16-0.h5").write_bytes(bytes(1000))
    (folder / ".sample-vgg16-0.h5.lock").touch()
    (folder / "holiday.jpg").write_bytes(b"photo")
    return folder


def test_the_cache_is_told_and_emptied(folder: Path) -> None:
    told = dogsim_json("cache")
    assert told["folder"] == str(folder)
    assert told["bytes"] == sum(entry["bytes"] for entry in told["entries"])
    assert [(entry["name"], entry["what"]) for entry in told["entries"]] == [
        ("network-vgg16-0.zip", "a network, ready to run"),
        ("sample-vgg16-0.h5", "features of the sample"),
        (".network-x", "left by a run that was stopped"),
    ]
    assert "network-vgg16-0.zip" in dogsim("cache").stdout
    assert "Removed 3" in dogsim("cache", "--clear").stdout
    assert [path.name for path in folder.iterdir()] == ["holiday.jpg"]  # it is not ours
    assert dogsim_json("cache", "--clear") == {"folder": str(folder), "bytes": 0, "entries": []}


def test_a_cache_that_was_never_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", lambda name: tmp_path / name)
    assert cached() == clear_cache() == []
    assert not cache_folder().exists()


def test_what_another_process_is_making_stays(folder: Path) -> None:
    with FileLock(folder / ".sample-vgg16-0.h5.lock"):
        assert "sample-vgg16-0.h5" in [kept.name for kept in clear_cache()]
    assert not (folder / "network-vgg16-0.zip").exists()
    assert clear_cache() == []


def test_what_cannot_be_removed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert "Cannot remove" in refusal("cache", "--clear")
