import sys
from pathlib import Path

import platformdirs
import pytest
from commands import dogsim, dogsim_json, refusal
from filelock import FileLock

from dogsim.networks.keras_hub import cache_home, weights_file
from dogsim.networks.weights import _keras_home
from dogsim.plumbing.cache import cache_folder, cached, clear_cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with two entries, a lock, the remains of a killed process, and a foreign file."""
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", lambda name: tmp_path / name)
    folder = cache_folder()
    (folder / ".network-x").mkdir(parents=True)
    (folder / ".network-x" / "network.bin").write_bytes(bytes(300))
    (folder / "network-vgg16-0.zip").write_bytes(bytes(2000))
    (folder / "sample-vgg16-0.h5").write_bytes(bytes(1000))
    (folder / ".sample-vgg16-0.h5.lock").touch()
    (folder / "holiday.jpg").write_bytes(b"photo")
    return folder


def test_the_cache_is_listed_and_cleared(folder: Path) -> None:
    listing = dogsim_json("cache")
    assert listing["folder"] == str(folder)
    assert listing["bytes"] == sum(entry["bytes"] for entry in listing["entries"])
    assert [(entry["name"], entry["what"]) for entry in listing["entries"]] == [
        ("network-vgg16-0.zip", "a converted network"),
        ("sample-vgg16-0.h5", "features of the sample"),
        (".network-x", "left by a run that was stopped"),
    ]
    assert "network-vgg16-0.zip" in dogsim("cache").stdout
    assert "Removed 3" in dogsim("cache", "--clear").stdout
    assert [path.name for path in folder.iterdir()] == ["holiday.jpg"]  # it is not ours
    assert dogsim_json("cache", "--clear") == {"folder": str(folder), "bytes": 0, "entries": []}


def test_a_cache_that_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", lambda name: tmp_path / name)
    assert cached() == clear_cache() == []
    assert not cache_folder().exists()


def test_an_entry_that_another_process_writes_stays(folder: Path) -> None:
    with FileLock(folder / ".sample-vgg16-0.h5.lock"):
        assert "sample-vgg16-0.h5" in [entry.name for entry in clear_cache()]
    assert not (folder / "network-vgg16-0.zip").exists()
    assert clear_cache() == []


def test_an_entry_that_cannot_be_removed_is_reported(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert "Cannot remove" in refusal("cache", "--clear")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other cache folders")
def test_a_user_without_a_home_folder(
    stored: Path, breeds_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that runs with any number as its user: no HOME, no entry in passwd."""

    def no_entry(*_: object) -> None:
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "KERAS_HOME", "KAGGLEHUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", no_entry)
    monkeypatch.setattr("pwd.getpwnam", no_entry)
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", platformdirs.user_cache_path)
    assert "Set HOME" in refusal("cache")
    assert "Set HOME" in refusal("classify", breeds_dir)  # the sample is in the cache
    result = dogsim("classify", breeds_dir, "-k", 2, "--confidence", 0.5, "--dataset", stored)
    assert result.stdout.count("votes)") == 6
    assert _keras_home() == Path("/tmp/.keras")
    assert weights_file("resnet_18_imagenet") is None
    assert cache_home() == Path("~/.cache/kagglehub")
