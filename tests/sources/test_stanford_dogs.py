"""Downloads that go wrong in every way, archives that want out, and the official lists."""

import io
import json
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from typer.testing import CliRunner

from dogsim import Dataset, DogsimError, download, stanford_dogs
from dogsim import unpack as unpacking
from dogsim.cli import app
from dogsim.dataset import breed_name

CONTENT = np.random.default_rng(0).bytes(300_000)
Answer = Callable[[BaseHTTPRequestHandler], None]
module: Any = import_module("dogsim.sources.stanford_dogs")  # dogsim.stanford_dogs is the function


class Server:
    """Serves files with Range; first the scripted answers, one a request."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {"/file": CONTENT}
        self.script: list[Answer] = []
        self.ranges: list[str | None] = []  # one a request
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.ranges.append(self.headers["Range"])
                answer = server.script.pop(0) if server.script else server.serve()
                answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def serve(
        self, limit: int | None = None, ranges: bool = True, shift: int = 0, **headers: str | None
    ) -> Answer:
        """Send what is asked for; no more than `limit` bytes of it, then hang up."""

        def answer(request: BaseHTTPRequestHandler) -> None:
            if request.path not in self.files:
                return request.send_error(404)
            asked = request.headers["Range"] if ranges else None
            start = int(asked.removeprefix("bytes=").removesuffix("-")) + shift if asked else 0
            content = self.files[request.path][start:]
            request.send_response(206 if asked else 200)
            sent: dict[str, str | None] = {"Content-Length": str(len(content))}
            if asked:
                total = len(self.files[request.path])
                sent["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
            sent |= {name.replace("_", "-"): value for name, value in headers.items()}
            for name, value in sent.items():
                if value is not None:
                    request.send_header(name, value)
            request.end_headers()
            request.wfile.write(content[:limit])
            return None

        return answer


def refuse(code: int) -> Answer:
    return lambda request: request.send_error(code)


def redirect(request: BaseHTTPRequestHandler) -> None:
    request.send_response(302)
    request.send_header("Location", request.path)
    request.end_headers()


def fall_silent(after: Answer | None = None) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if after:
            after(request)
            request.wfile.flush()
        time.sleep(3)

    return answer


def send_chunks(request: BaseHTTPRequestHandler) -> None:
    request.protocol_version = "HTTP/1.1"
    request.send_response(200)
    request.send_header("Transfer-Encoding", "chunked")
    request.end_headers()
    for part in (CONTENT[:1000], CONTENT[1000:], b""):
        request.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "file"


def fetch(server: Server, out: Path) -> None:
    download.download(server.address + "file", out, len(CONTENT), sha256(CONTENT).hexdigest())


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


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


def test_dropped_connections_are_gone_on_from(server: Server, out: Path) -> None:
    server.script = [server.serve(limit=100_000), server.serve(limit=50_000)]
    fetch(server, out)
    assert server.ranges == [None, "bytes=100000-", "bytes=150000-"]
    check_fetched(out)


def test_a_later_run_goes_on(server: Server, out: Path) -> None:
    server.script = [server.serve(limit=100_000), server.serve(limit=0)]
    check_failure(server, out, r"broke off at 100,000 of 300,000 bytes", kept=100_000)
    server.script = [redirect]
    fetch(server, out)
    assert server.ranges[2:] == ["bytes=100000-", "bytes=100000-"]  # a redirection keeps it
    check_fetched(out)


@pytest.mark.parametrize("way", ["no ranges", "416", "another part", "206 without telling"])
def test_a_server_without_ranges_starts_over(server: Server, out: Path, way: str) -> None:
    out.with_name("file.part").write_bytes(CONTENT[:100_000])
    server.script = {
        "no ranges": [server.serve(ranges=False)],
        "416": [refuse(416)],
        "another part": [server.serve(shift=7)],
        "206 without telling": [server.serve(Content_Range=None)],
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


def test_no_more_than_expected_is_taken(server: Server, out: Path) -> None:
    server.files["/file"] = CONTENT + b"more"
    server.script = [server.serve(Content_Length=None)]
    fetch(server, out)
    check_fetched(out)


def test_other_bytes_are_deleted(server: Server, out: Path) -> None:
    server.files["/file"] = bytes(300_000)
    check_failure(server, out, r"sent other bytes: .*SHA-256 .*Expected .*deleted")
    server.files["/file"] = CONTENT
    out.with_name("file.part").write_bytes(bytes(5))
    check_failure(server, out, r"sent other bytes")
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
        ([fall_silent()], "no answer|timed out"),
    ],
)
def test_no_way_there(
    server: Server, out: Path, monkeypatch: pytest.MonkeyPatch, script: list[Answer], reason: str
) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    server.script = script
    check_failure(server, out, reason)


def test_a_server_that_falls_silent(
    server: Server, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    server.script = [fall_silent(server.serve(limit=70_000))]
    check_failure(server, out, "timed out", kept=70_000)
    fetch(server, out)
    check_fetched(out)


def test_no_server(server: Server, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PATIENCE", 0.5)
    server.address = "http://127.0.0.1:9/"
    check_failure(server, out, "refused")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        server.address = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        check_failure(server, out, "no answer|timed out")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux' /dev/full")
def test_full_disk(server: Server, out: Path) -> None:
    out.with_name("file.part").symlink_to("/dev/full")
    with pytest.raises(DogsimError, match=r"Cannot write .*file.part: No space left"):
        fetch(server, out)


# Archives


def tar_of(*members: tuple[tarfile.TarInfo | str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


@pytest.mark.parametrize("filtered", [True, False])  # early releases of Python 3.10 have no filter
@pytest.mark.parametrize(
    "member",
    [
        "../evil",
        "Images/../../evil",
        "/tmp/evil",
        "..\\evil",
        "C:\\evil",
        special("Images/out", tarfile.SYMTYPE, "../.."),
        special("Images/out", tarfile.SYMTYPE, "/etc"),
        special("Images/out", tarfile.LNKTYPE, "../evil"),
        special("Images/disk", tarfile.BLKTYPE),
        special("Images/zero", tarfile.CHRTYPE),
        special("Images/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member if isinstance(member, str) else f"{member.name}-{member.type}",
)
def test_hostile_archive(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    member: tarfile.TarInfo | str,
    filtered: bool,
) -> None:
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    archive = folder / "images.tar"
    archive.write_bytes(tar_of(("Images/good.jpg", b"good"), (member, b"")))
    with pytest.raises(DogsimError, match=r"images.tar holds '.*'\. Expected files"):
        unpacking.unpack(archive, folder / "Images")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "a", folder, archive]


@pytest.mark.parametrize("filtered", [True, False])
def test_unpack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, filtered: bool) -> None:
    if not filtered:
        monkeypatch.delattr(tarfile, "data_filter", raising=False)
    archive = tmp_path / "x.tar"
    archive.write_bytes(tar_of(("./Images/pug/1.jpg", b"1"), ("./Images/2.jpg", b"2")))
    unpacking.unpack(archive, tmp_path / "Images")
    unpacking.unpack(archive, tmp_path / "other")
    assert (tmp_path / "Images/pug/1.jpg").read_bytes() == b"1"
    assert (tmp_path / "other/Images/2.jpg").read_bytes() == b"2"
    assert names(tmp_path) == ["Images", "other", "x.tar"]


def test_damaged_archive(tmp_path: Path) -> None:
    whole = tar_of(("Images/1.jpg", b"1" * 5000), ("Images/2.jpg", b"2" * 5000))
    archive = tmp_path / "images.tar"
    for content in (b"", b"no tar" * 500, whole[:3000], whole[:8000]):
        archive.write_bytes(content)
        with pytest.raises(DogsimError, match=r"Cannot unpack .*images\.tar: "):
            unpacking.unpack(archive, tmp_path / "Images")
        assert names(tmp_path) == ["images.tar"]


def test_killed_while_unpacking(tmp_path: Path) -> None:
    archive, target = tmp_path / "images.tar", tmp_path / "Images"
    archive.write_bytes(tar_of(*[(f"Images/{i}.jpg", b"x") for i in range(5)]))
    code = (
        "import os, signal, sys, tarfile, dogsim.unpack, pathlib\n"
        "real, calls = tarfile.TarFile.extractall, []\n"
        "def dying(*arguments, **named):\n"
        "    calls.append(real(*arguments, **named))\n"
        "    len(calls) < 3 or os.kill(os.getpid(), signal.SIGKILL)\n"
        "tarfile.TarFile.extractall = dying\n"
        "dogsim.unpack.unpack(*map(pathlib.Path, sys.argv[1:]))"
    )
    killed = subprocess.run([sys.executable, "-c", code, archive, target], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / ".Images.unpacking").rglob("*.jpg"))) == 3
    assert not target.exists()
    unpacking.unpack(archive, target)
    assert len(names(target)) == 5
    assert names(tmp_path) == ["Images", "images.tar"]


# The dataset

TRAIN = [
    "n02085936-Maltese_dog/n02085936_1.jpg",
    "n02085620-Chihuahua/n02085620_3.jpg",
    "n02085620-Chihuahua/n02085620_1.jpg",
    "n02085936-Maltese_dog/n02085936_2.jpg",
]
TEST = ["n02085620-Chihuahua/n02085620_2.jpg", "n02085936-Maltese_dog/n02085936_3.jpg"]


def mat_of(paths: list[str]) -> bytes:
    buffer = io.BytesIO()
    cells = np.array(paths, object)[:, None]
    savemat(buffer, {"file_list": cells, "annotation_list": cells, "labels": np.ones((4, 1))})
    return buffer.getvalue()


def picture(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "jpeg")
    return buffer.getvalue()


@pytest.fixture
def site(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """A small Stanford Dogs on a server of this machine."""
    images = [(f"Images/{path}", picture(i)) for i, path in enumerate(TRAIN + TEST)]
    lists = [("train_list.mat", mat_of(TRAIN)), ("test_list.mat", mat_of(TEST))]
    archives = {
        "Images": ("images.tar", tar_of(*images)),
        "lists": ("lists.tar", tar_of(*lists)),
        "Annotation": ("annotation.tar", tar_of(("Annotation/n02085620-Chihuahua/x", b"<a/>"))),
    }
    server.files = {f"/{file}": content for file, content in archives.values()}
    table = {
        name: (file, len(content), sha256(content).hexdigest())
        for name, (file, content) in archives.items()
    }
    monkeypatch.setattr(module, "BASE", server.address)
    monkeypatch.setattr(module, "ARCHIVES", table)
    monkeypatch.setattr(module, "SPLITS", {"train": 4, "test": 2})
    return server


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what fails before features are computed."""
    monkeypatch.setattr(module, "load_extractor", lambda *_: None)
    monkeypatch.setattr(module, "extract_features", lambda *_: None)
    monkeypatch.setattr(module, "create_dataset", lambda *_: pytest.fail("came to the features"))


def run(*arguments: str | Path) -> Any:
    command = ["stanford-dogs", *map(str, arguments), "--backbone", "efficientnet-lite0"]
    return CliRunner().invoke(app, command)


def check_refused(reason: str, *arguments: str | Path) -> str:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    message: str = result.stderr.splitlines()[-1]
    assert reason in message
    return message


def test_facts() -> None:
    assert {name: size for name, (_, size, _) in module.ARCHIVES.items()} == {
        "lists": 481_280,
        "Images": 793_579_520,
        "Annotation": 21_852_160,
    }
    assert all(size % 512 == 0 for _, size, _ in module.ARCHIVES.values())  # tar is in blocks
    assert all(len(digest) == 64 for *_, digest in module.ARCHIVES.values())
    assert sum(module.SPLITS.values()) == 20_580


def test_fetched_once_and_split(site: Server, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "dogs"
    result = run(folder, "--annotations", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert {split: entry["pictures"] for split, entry in told.items()} == {"train": 4, "test": 2}
    assert (folder / "Annotation/n02085620-Chihuahua/x").is_file()
    everything = Dataset.open(folder / "stanford_dogs.h5")
    assert sorted(everything.paths) == sorted(TRAIN + TEST)
    for split, paths in (("train", TRAIN), ("test", TEST)):
        dataset = Dataset.open(told[split]["dataset"])
        assert list(dataset.paths) == paths  # in the list's order
        assert dataset.breeds == ("Chihuahua", "Maltese dog")
        assert dataset.recipe == everything.recipe
        for row, path in enumerate(paths):
            assert dataset.breed(row) == breed_name(path.split("/")[0])
            assert dataset.picture(row).is_file()
            whole = everything.features[everything.paths.index(path)]
            np.testing.assert_array_equal(dataset.features[row], whole)

    assert len(site.ranges) == 3
    unpacked = (folder / "Images").stat().st_mtime_ns
    result = run(folder, "--annotations")
    assert result.stdout == (
        f"{folder}/train.h5: 4 pictures of 2 breeds\n{folder}/test.h5: 2 pictures of 2 breeds\n"
    )
    assert len(site.ranges) == 3
    assert (folder / "Images").stat().st_mtime_ns == unpacked


def test_archives_from_disk(site: Server, tmp_path: Path, no_network: None) -> None:
    source, folder = tmp_path / "source", tmp_path / "dogs"
    source.mkdir()
    check_refused(f"There is no {source}/lists.tar", folder, "--from", source)
    (source / "lists.tar").write_bytes(site.files["/lists.tar"])
    (source / "images.tar").write_bytes(b"other")
    reason = f"{source}/images.tar has 5 bytes. Expected"
    check_refused(reason, folder, "--from", source)
    assert (source / "images.tar").read_bytes() == b"other"  # another's file is left alone
    (source / "images.tar").write_bytes(site.files["/images.tar"])
    with pytest.raises(pytest.fail.Exception, match="came to the features"):
        stanford_dogs(folder, source)
    assert names(folder) == ["Images", "lists"]
    assert site.ranges == []


def test_archive_in_place(site: Server, tmp_path: Path, no_network: None) -> None:
    (tmp_path / "lists.tar").write_bytes(site.files["/lists.tar"])
    (tmp_path / "images.tar").write_bytes(b"other")
    with pytest.raises(pytest.fail.Exception, match="came to the features"):
        stanford_dogs(tmp_path)
    assert len(site.ranges) == 1  # what is right is not fetched again
    assert (tmp_path / "images.tar.wrong").read_bytes() == b"other"


def test_what_to_do_without_a_connection(site: Server, tmp_path: Path, no_network: None) -> None:
    del site.files["/images.tar"]
    message = check_refused("404", tmp_path)
    assert f"{site.address}images.tar by other means" in message
    assert "--from FOLDER" in message
    assert not (tmp_path / "Images").exists()


def test_a_listed_picture_is_missing(site: Server, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(pytest.fail.Exception):
        stanford_dogs(tmp_path)
    (tmp_path / "Images" / TEST[1]).unlink()
    message = check_refused("1 of the 2 pictures", tmp_path)
    assert f"the first {TEST[1]}. Remove {tmp_path}/Images" in message


def test_another_list(
    site: Server, tmp_path: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SPLITS", {"train": 5, "test": 1})
    check_refused("train_list.mat lists 4 pictures. Expected 5", tmp_path)


def test_wrong_options_do_not_wait_for_the_download(site: Server, tmp_path: Path) -> None:
    check_refused("resize", tmp_path, "--resize", "stretch")
    check_refused("batch_size", tmp_path, "--batch-size", "0")
    (tmp_path / "file").touch()
    check_refused("Cannot make the folder", tmp_path / "file")
    assert site.ranges == []


def test_take(four: Dataset) -> None:
    two = four.take([3, 0, 3])
    assert two.paths == ("whippet/6.jpg", "pug/0.jpg", "whippet/6.jpg")
    assert two.features.tolist() == [[6.0], [0.0], [6.0]]
    assert [two.breed(row) for row in range(3)] == ["whippet", "pug", "whippet"]
    assert (two.breeds, two.recipe, two.root) == (four.breeds, four.recipe, four.root)
    assert len(four.take([])) == 0
    for rows in ([4], [-1], [0.5], [[0]], [True, False, True, False], 1):
        with pytest.raises(DogsimError, match="rows"):
            four.take(rows)
