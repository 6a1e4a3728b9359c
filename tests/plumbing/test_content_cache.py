"""Values are found again, the oldest are removed, and a broken file costs only time."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dogsim.plumbing import content_cache
from dogsim.plumbing.cache import cached, clear_cache
from dogsim.plumbing.content_cache import ContentCache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", lambda name: tmp_path / "cache")
    return tmp_path / "cache"


def test_values_are_found_by_their_keys(folder: Path) -> None:
    cache = ContentCache("thumbnails-test", 10_000_000)
    assert cache.read(["a"]) == {}
    cache.write({"a": b"1", "b": b"\0" * 50_000})
    assert ContentCache("thumbnails-test", 10_000_000).read(["b", "c", "a"]) == {
        "a": b"1",
        "b": b"\0" * 50_000,
    }
    cache.write({"a": b"2"})
    assert cache.read(["a"]) == {"a": b"2"}
    assert [entry.what for entry in cached()] == ["thumbnails of images"]
    assert clear_cache() == []
    assert cache.read(["a"]) == {}


def test_the_least_recently_used_are_removed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, now = ContentCache("thumbnails-test", 1_000_000), 0
    monkeypatch.setattr(time, "time", lambda: now)
    for number in range(100):
        now = number * 2 * content_cache.USED_SECONDS
        cache.write({str(number): b"x" * 40_000})
        assert cache.read(["0"])  # used again and again
    assert (folder / "thumbnails-test.sqlite").stat().st_size < 1_500_000
    left = [int(key) for key in cache.read(map(str, range(100)))]
    assert left[0] == 0
    assert left[1:] == list(range(100 - len(left) + 1, 100))
    assert 12 <= len(left) <= 24
    cache.write({"huge": b"x" * 2_000_000})  # larger than the cache
    assert cache.read(["huge", "0"]) == {}


def test_a_broken_or_locked_file_costs_only_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, file = ContentCache("thumbnails-test", 10_000_000), folder / "thumbnails-test.sqlite"
    cache.write({"a": b"1"})
    file.write_bytes(b"no database" * 1000)
    assert cache.read(["a"]) == {}
    assert not file.exists()
    cache.write({"a": b"2"})
    monkeypatch.setattr(content_cache, "BUSY_SECONDS", 0.01)
    with sqlite3.connect(file) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert cache.read(["a"]) == {}
        cache.write({"b": b"3"})
    other.close()
    assert cache.read(["a", "b"]) == {"a": b"2"}
    monkeypatch.setattr("dogsim.plumbing.cache.user_cache_path", lambda name: file / "below a file")
    cache.write({"c": b"4"})
    assert cache.read(["a", "c"]) == {}


def test_threads_share_a_file(folder: Path) -> None:
    def use(number: int) -> dict[str, bytes]:
        cache = ContentCache("thumbnails-test", 10_000_000)
        cache.write({f"{number}-{i}": bytes([number]) for i in range(20)})
        return cache.read([f"{number}-{i}" for i in range(20)])

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(use, range(16)))
    assert [len(each) for each in found] == [20] * 16
