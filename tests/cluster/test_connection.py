"""Test the checks and errors before Ray is started; no test needs Ray."""

import sys
from importlib import metadata
from pathlib import Path

import pytest
from commands import dogsim_json, refusal

from dogsim import DogsimError
from dogsim.cluster import connection
from dogsim.cluster.connection import LOCAL, check_cluster, connected


def versions(monkeypatch: pytest.MonkeyPatch, found: str | None) -> None:
    def version(name: str) -> str:
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(connection, "version", version)


def test_a_missing_ray_is_reported(
    monkeypatch: pytest.MonkeyPatch, breeds_dir: Path, tmp_path: Path
) -> None:
    versions(monkeypatch, None)
    message = refusal("create-dataset", breeds_dir, "-o", tmp_path / "d.h5", "--cluster")
    assert 'pip install "dogsim[cluster]"' in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("found", ["2.51.1", "1.13.0"])
def test_an_unsafe_ray_is_rejected(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    versions(monkeypatch, found)
    with pytest.raises(DogsimError, match=rf"Received Ray {found}\. Expected 2\.52 or newer"):
        check_cluster(LOCAL)


@pytest.mark.parametrize("found", ["2.52.0", "2.100.0.dev0", "3.0.0rc1"])
def test_a_new_ray_is_accepted(monkeypatch: pytest.MonkeyPatch, found: str) -> None:
    versions(monkeypatch, found)
    for address in (LOCAL, "auto", "10.0.0.1:6379", "head-node:6379"):
        check_cluster(address)


def test_windows_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(DogsimError, match="not supported on Windows"):
        check_cluster(LOCAL)


def test_an_address_without_a_cluster(
    monkeypatch: pytest.MonkeyPatch, breeds_dir: Path, colours: str, tmp_path: Path
) -> None:
    versions(monkeypatch, "2.60.0")
    out = ("-o", tmp_path / "d.h5", "--weights", colours)
    message = refusal("create-dataset", breeds_dir, *out, "--cluster", "127.0.0.1:9")
    assert "No cluster answers at 127.0.0.1:9" in message
    assert list(tmp_path.glob("d.h5*")) == []
    message = refusal("create-dataset", breeds_dir, *out, "--cluster=ray://127.0.0.1:10001")
    assert "Expected HOST:PORT" in message


def test_no_cluster_is_started_without_work(
    monkeypatch: pytest.MonkeyPatch, breeds_dir: Path, colours: str, tmp_path: Path
) -> None:
    versions(monkeypatch, "2.60.0")
    out = ("-o", tmp_path / "d.h5")
    dogsim_json("create-dataset", breeds_dir, *out, "--weights", colours)
    made = dogsim_json("create-dataset", "--cluster", breeds_dir, *out)  # DIR is no address
    assert (made["new"], made["kept"]) == (0, 6)


def test_errors_of_ray_become_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ray:
        shut = False

        @staticmethod
        def init(*_: object, **__: object) -> None:
            raise Exception("The current node\ntimed out")

        @classmethod
        def shutdown(cls) -> None:
            cls.shut = True

    versions(monkeypatch, "2.60.0")
    monkeypatch.setitem(sys.modules, "ray", Ray)
    monkeypatch.setattr("os.environ", {})
    message = "Cannot connect to the cluster local: The current node timed out"
    with pytest.raises(DogsimError, match=message), connected(LOCAL):
        pass
    assert Ray.shut
