"""Downloads that fail, stop, resume, or receive wrong content."""

import socket
import time
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pytest
from archives import names
from server import Answer, Server, redirect, refuse, serving, stall

from dogsim import DogsimError
from dogsim.plumbing import download

CONTENT = np.random.default_rng(0).bytes(300_000)


def send_chunks(request: BaseHTTPRequestHandler) -> None:
    request.protocol_version = "HTTP/1.1"
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for part in (CONTENT[:1000], CONTENT[1000:], b""):
        request.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        server.files["/file"] = CONTENT
        yield server


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "file"


def fetch(server: Server, out: Path) -> None:
    download.download(server.address + "file", out, len(CONTENT), sha256(CONTENT).hexdigest())


def check_fetched(out: Path) -> None:
    assert out.read_bytes() == CONTENT
    assert names(out.parent) == [out.name]


def check_failure(server: Server, out: Path, reason: str, kept: int | None = None) -> None:
    start = time.monotonic()
    with pytest.raises(download.DownloadError, match=reason) as caught:
        fetch(server, out)
    assert time.monotonic() - start < 2.5
    assert "\n" not in str(caught.value)
    assert not out.exists()
    part = out.with_name("file.part")
    assert (part.read_bytes() if part.exists() else None) == (
        None if kept is None else CONTENT[:kept]
    )


def test_dropped_connections_are_resumed(server: Server, out: Path) -> None:
    server.script = [server.serve(limit=100_000), server.serve(limit=50_000)]
    fetch(server, out)
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    check_fetched(out)


def test_a_later_run_resumes(server: Server, out: Path) -> None:
    server.script = [server.serve(limit=100_000), server.serve(limit=0)]
    check_failure(server, out, r"broke off at 100,000 of 300,000 bytes", kept=100_000)
    server.script = [redirect]
    fetch(server, out)
    assert server.ranges[2:] == ["bytes=100000-", "bytes=100000-"]  # a redirection keeps it
    check_fetched(out)


@pytest.mark.parametrize("way", ["no ranges", "416", "another part", "206 without the range"])
def test_a_server_without_ranges_starts_over(server: Server, out: Path, way: str) -> None:
    out.with_name("file.part").write_bytes(CONTENT[:100_000])
    server.script = {
        "no ranges": [server.serve(ranges=False)],
        "416": [refuse(416)],
        "another part": [server.serve(shift=7)],
        "206 without the range": [server.serve(Content_Range=None)],
    }[way]
    fetch(server, out)
    check_fetched(out)


def test_a_server_without_ranges_that_drops(server: Server, out: Path) -> None:
    server.script = [server.serve(limit=100_000), server.serve(ranges=False, limit=90_000)]
    check_failure(server, out, r"broke off at 90,000 of 300,000", kept=90_000)


@pytest.mark.parametrize("claimed", [10, 299_999, 300_001])
def test_a_wrong_length_is_refused(server: Server, out: Path, claimed: int) -> None:
    server.script = [server.serve(Content_Length=str(claimed))]
    check_failure(server, out, rf"has {claimed:,} bytes. Expected 300,000")


def test_no_length_or_chunks(server: Server, out: Path) -> None:
    for answer in (server.serve(Content_Length=None), send_chunks):
        server.script = [answer]
        fetch(server, out)
        check_fetched(out)
        out.unlink()


def test_no_more_than_expected_is_written(server: Server, out: Path) -> None:
    server.files["/file"] = CONTENT + b"more"
    server.script = [server.serve(Content_Length=None)]
    fetch(server, out)
    check_fetched(out)


def test_wrong_content_is_deleted(server: Server, out: Path) -> None:
    server.files["/file"] = bytes(300_000)
    check_failure(server, out, r"sent a wrong file: .*SHA-256 .*Expected .*deleted")
    server.files["/file"] = CONTENT
    out.with_name("file.part").write_bytes(bytes(5))
    check_failure(server, out, r"sent a wrong file")
    out.with_name("file.part").write_bytes(bytes(400_000))
    check_failure(server, out, r"400,000 bytes. Expected 300,000")
    fetch(server, out)
    check_fetched(out)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([refuse(404)], "the server answered 404 Not Found"),
        ([refuse(503)], "the server answered 503"),
        ([redirect] * 20, "redirect"),
        ([stall()], "no answer|timed out"),
    ],
)
def test_errors_of_the_server(
    server: Server, out: Path, monkeypatch: pytest.MonkeyPatch, script: list[Answer], reason: str
) -> None:
    monkeypatch.setattr(download, "DOWNLOAD_TIMEOUT_SECONDS", 0.5)
    server.script = script
    check_failure(server, out, reason)


def test_a_server_that_stops_sending(
    server: Server, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "DOWNLOAD_TIMEOUT_SECONDS", 0.5)
    server.script = [stall(server.serve(limit=70_000))]
    check_failure(server, out, "timed out", kept=70_000)
    fetch(server, out)
    check_fetched(out)


def test_no_server(server: Server, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "DOWNLOAD_TIMEOUT_SECONDS", 0.5)
    server.address = "http://127.0.0.1:9/"
    check_failure(server, out, "refused")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, but never answers
        server.address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        check_failure(server, out, "no answer|timed out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
def test_full_disk(server: Server, out: Path) -> None:
    out.with_name("file.part").symlink_to("/dev/full")
    with pytest.raises(DogsimError, match=r"Cannot write .*file.part: No space left"):
        fetch(server, out)
