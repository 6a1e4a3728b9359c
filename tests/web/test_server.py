"""The routes, and what keeps them safe; on the loopback address only."""

import io
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from commands import refusal
from conftest import REPOSITORY
from PIL import Image
from test_pages import SERVED, blocks

from dogsim import Dataset, classify
from dogsim.errors import DogsimError

pytest.importorskip("starlette", reason='the page needs pip install "dogsim[web]"')
pytest.importorskip("uvicorn", reason='the page needs pip install "dogsim[web]"')
pytest.importorskip("httpx2", reason="Starlette's TestClient needs httpx2")
from starlette.testclient import TestClient

from dogsim.web import routes, server
from dogsim.web.service import Desk
from dogsim.web.worker import BusyError, Worker

pytestmark = pytest.mark.extra
OWN = {"X-Dogsim": "1"}
SOON = 6  # seconds; 1.3 on an idle machine, and this one may run other tests besides
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def desk(stored: Path) -> Desk:
    desk = Desk(Dataset.open(stored))
    desk.network.result(60)
    return desk


@pytest.fixture
def client(desk: Desk) -> TestClient:
    return TestClient(server.app_of(desk), "http://127.0.0.1", raise_server_exceptions=False)


def picture(seed: int = 0, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def bring(client: TestClient, content: bytes) -> str:
    answer = client.post("/api/queries", content=content, headers=OWN)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["query"])


def test_the_browser_gets_three_files_and_may_load_nothing_else(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    for path in ("/", "/page.css", "/page.js"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
        assert "style=" not in answer.text
        again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    assert "<script src=" in page.text
    assert page.text.count("<script") == 1
    assert "innerHTML" not in client.get("/page.js").text


def test_answers_are_those_of_classify(client: TestClient, stored: Path, tmp_path: Path) -> None:
    content = picture()
    (tmp_path / "q.png").write_bytes(content)
    name = bring(client, content)
    for metric in ("euclidean", "cosine"):
        told = client.get(f"/api/answer?query={name}&k=4&metric={metric}").json()
        (expected,) = classify(tmp_path / "q.png", stored, 4, metric)
        assert [each["row"] for each in told["neighbours"]] == expected.indices.tolist()
        distances = [each["distance"] for each in told["neighbours"]]
        np.testing.assert_allclose(distances, expected.distances, rtol=1e-5)
        assert (told["breed"], told["votes"]) == (expected.breed, expected.votes)
    shown = Image.open(io.BytesIO(client.get(f"/api/queries/{name}/picture").content))
    assert (shown.format, shown.size) == ("JPEG", (40, 30))


def test_a_picture_of_the_dataset_is_its_row_and_has_no_vote_on_itself(
    client: TestClient, breeds_dir: Path, stored: Path
) -> None:
    dataset = Dataset.open(stored)
    content = (breeds_dir / "striped" / "1.png").read_bytes()
    row = client.post("/api/queries", content=content, headers=OWN).json()["row"]
    assert dataset.paths[row] == "striped/1.png"
    told = client.get(f"/api/answer?row={row}&k=5").json()
    assert row not in [each["row"] for each in told["neighbours"]]
    assert told["row"]["breed"] == "striped"


def test_k_and_metric_do_not_ask_the_network_again(
    client: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = bring(client, picture(1))
    monkeypatch.setattr(desk, "_extractor", lambda: pytest.fail("asked the network"))
    for k in range(1, 6):
        told = client.get(f"/api/answer?query={name}&k={k}&metric=cosine").json()
        assert len(told["neighbours"]) == k


def test_a_foreign_host_and_a_post_without_the_header_are_refused(client: TestClient) -> None:
    for host in ("evil.example", "evil.example:8042", "127.0.0.1.evil.example", "localhost.evil"):
        assert client.get("/api/dataset", headers={"Host": host}).status_code == 400
    for host in ("localhost:8042", "127.0.0.1", "[::1]:8042"):
        assert client.get("/api/status", headers={"Host": host}).status_code == 200
    assert client.post("/api/queries", content=picture()).status_code == 403
    form = client.post("/api/queries", data={"file": "x"})
    assert (form.status_code, form.json()["error"]) == (403, "A POST needs the header X-Dogsim: 1.")


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/page/../server.py",
        "/page.js/../../server.py",
        "/api/pictures/..%2f..%2fetc%2fpasswd",
        "/api/pictures/%2fetc%2fpasswd",
        "/api/pictures/striped/0.png",
        "/api/judging/..%2f..%2fx.png",
        "/api/queries/..%2f..%2fetc/picture",
    ],
)
def test_nothing_is_found_by_a_path(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (400, 404)


def test_mistakes_are_told_in_one_line(client: TestClient) -> None:
    for path, status, message in (
        ("/api/pictures/6", 400, "Received row 6"),
        ("/api/pictures/0?size=5000", 400, "Received size=5000. Expected 160, 320, 640"),
        ("/api/answer", 400, "Expected row=N"),
        ("/api/answer?row=0&query=x", 400, "Expected row=N"),
        ("/api/answer?row=99", 400, "Received row 99. Expected 0 to 5"),
        ("/api/answer?row=-1", 400, "Received row -1"),
        ("/api/answer?row=1e3", 400, "Received row=1e3. Expected a whole number"),
        ("/api/answer?row=0&k=0", 400, "Received k=0. Expected 1 to 5"),
        ("/api/answer?row=0&k=6", 400, "Received k=6. Expected 1 to 5"),
        ("/api/answer?row=0&k=1&metric=l2", 400, "Unknown metric 'l2'"),
        ("/api/answer?query=gone", 404, "has been forgotten"),
        ("/api/queries/gone/picture", 404, "has been forgotten"),
        ("/api/explanation?row=0&other=77", 400, "Received row 77"),
        ("/api/explanation?row=0&other=1&metric=chebyshev", 400, "no sum over places"),
        ("/api/judging/nonsense.png", 404, "There is no figure"),
        ("/api/nonsense", 404, "Not Found"),
    ):
        answer = client.get(path)
        assert answer.status_code == status, path
        assert message in answer.json()["error"]
        assert "\n" not in answer.json()["error"]


def bomb() -> bytes:
    """A PNG file of a few bytes that says it has ten thousand million pixels."""

    def part(kind: bytes, content: bytes) -> bytes:
        size, check = len(content).to_bytes(4, "big"), zlib.crc32(kind + content).to_bytes(4, "big")
        return size + kind + content + check

    head = (100_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = zlib.compress(bytes(100_000))
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", data) + part(b"IEND", b"")


def test_what_is_no_fit_picture_is_refused_before_it_is_decoded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = picture(kind="JPEG")[:200]
    for content, message in (
        (b"", "Received no picture"),
        (b"GIF89a but no", "as an image"),
        (b"%!PS-Adobe", "no known image format"),
        (b"<svg onload='alert(1)'/>", "no known image format"),
        (bomb(), "more than"),
        (cut, "as an image"),
    ):
        answer = client.post("/api/queries", content=content, headers=OWN)
        assert answer.status_code == 400, content[:20]
        assert message in answer.json()["error"]
    monkeypatch.setattr(routes, "MOST_BYTES", 1000)
    for headers in (OWN, OWN | {"Content-Length": "5"}):  # a smaller one told than sent
        answer = client.post("/api/queries", content=bytes(5000), headers=headers)
        assert answer.status_code == 413


def test_names_are_told_as_they_are(desk: Desk) -> None:
    """As JSON they are text; what the page does with them a browser tells (test_page)."""
    dataset = replace(desk.dataset, breeds=(HOSTILE, "caf\udce9"), recipe=None)
    client = TestClient(server.app_of(Desk(dataset)), "http://127.0.0.1")
    told = client.get("/api/dataset")
    assert told.headers["content-type"] == "application/json"
    assert [each["breed"] for each in told.json()["breeds"]] == [HOSTILE, "caf\\xe9"]


def test_without_a_network_everything_else_works(desk: Desk) -> None:
    four = replace(desk.dataset, recipe=None)
    client = TestClient(server.app_of(Desk(four)), "http://127.0.0.1")
    while client.get("/api/status").json()["network"] == "preparing":
        time.sleep(0.01)
    status = client.get("/api/status").json()
    assert status["network"] == "failed"
    assert "does not say how its features were made" in status["network_problem"]
    assert status["calibration"] == "failed"
    answer = client.post("/api/queries", content=picture(), headers=OWN)
    assert answer.status_code == 400
    assert "it cannot answer image queries" in answer.json()["error"]
    told = client.get("/api/answer?row=0&k=3").json()
    assert (told["breeds"], told["promise"], told["words"]) == (None, "", told["breed"])


def test_pictures_are_small_jpegs_and_those_that_are_gone_are_told(
    client: TestClient, desk: Desk, tmp_path: Path
) -> None:
    first = client.get("/api/pictures/0?size=160")
    assert Image.open(io.BytesIO(first.content)).format == "JPEG"
    again = client.get("/api/pictures/0?size=160", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    gone = Desk(replace(desk.dataset, root=str(tmp_path)))
    answer = TestClient(server.app_of(gone), "http://127.0.0.1").get("/api/pictures/0")
    assert answer.status_code == 404
    assert str(tmp_path) not in answer.text


def test_browsing_by_breed(client: TestClient) -> None:
    told = client.get("/api/dataset").json()
    assert told["pictures"] == 6
    breeds = [(each["breed"], each["pictures"]) for each in told["breeds"]]
    assert breeds == [("red setter", 3), ("striped", 3)]
    label = told["breeds"][1]["label"]
    rows = client.get(f"/api/rows?label={label}&start=1&count=1").json()
    assert rows["number"] == 3
    assert [each["path"] for each in rows["rows"]] == ["striped/1.png"]
    assert len(client.get("/api/rows?start=-5&count=99999").json()["rows"]) == 6


def test_judging_and_audit_are_done_once_and_told_when_they_are(client: TestClient) -> None:
    for path in ("/api/judging", "/api/audit"):
        first = client.get(path)
        assert first.status_code in (200, 202)
        deadline = time.monotonic() + 60
        while client.get(path).status_code == 202 and time.monotonic() < deadline:
            time.sleep(0.05)
    judged = client.get("/api/judging").json()
    assert [each["k"] for each in judged["results"]] == [1, 5]
    assert len(judged["per_breed"]) == 2
    figure = client.get("/api/judging/curves.png")
    assert Image.open(io.BytesIO(figure.content)).format == "PNG"
    audited = client.get("/api/audit").json()
    assert set(audited) == {"duplicates", "labels", "novel", "poor"}
    (poor,) = {each["says"] for each in audited["poor"]["findings"]}
    assert poor == "tiny: 50 x 40 pixels"
    assert audited["poor"]["findings"][0]["pictures"][0]["row"] == 0


def test_an_explanation_adds_up(client: TestClient) -> None:
    name = bring(client, picture(2))
    other = client.get(f"/api/answer?query={name}&k=1").json()["neighbours"][0]
    why = client.get(f"/api/explanation?query={name}&other={other['row']}").json()
    assert why["sum"] == pytest.approx(other["distance"] ** 2, rel=0.02)
    assert why["shape"] == [32, 32]
    parts = np.sum(why["query"]["parts"]) + np.sum(why["other"]["parts"])
    assert parts == pytest.approx(why["sum"], rel=0.01)
    assert why["query"]["box"] == [0, 0, 1, 1]
    assert why["pairs"] is None  # of so many places not all pairs are told


def test_a_token_keeps_others_out(desk: Desk) -> None:
    app = server.app_of(desk, token="open sesame")
    client = TestClient(app, "http://127.0.0.1", follow_redirects=False)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "dogsim-token=wrong"}):
        for path in ("/", "/page.js", "/api/dataset", "/api/pictures/0", "/?token=wrong"):
            assert client.get(path, headers=headers).status_code == 401
    bearer = {"Authorization": "Bearer open sesame"}
    assert client.get("/api/dataset", headers=bearer).status_code == 200
    let_in = client.get("/?token=open%20sesame&row=3")
    assert (let_in.status_code, let_in.headers["location"]) == (303, "/?row=3")
    assert "HttpOnly" in let_in.headers["set-cookie"]
    assert "samesite=strict" in let_in.headers["set-cookie"].lower()
    assert client.get("/api/dataset").status_code == 200  # by the cookie


def test_what_breaks_is_told_without_the_name_of_a_picture(
    client: TestClient,
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("in /home/me/secret.jpg")

    monkeypatch.setattr(desk, "query", broken)
    answer = client.get("/api/answer?row=0&k=1")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    told = capfd.readouterr().err
    assert "RuntimeError in " in told
    assert "secret" not in told


def test_no_more_wait_than_there_is_room_for() -> None:
    let_go = threading.Event()
    seen: list[int] = []

    def answer(asked: list[int]) -> list[int]:
        let_go.wait(10)
        seen.append(len(asked))
        return [each + 1 for each in asked]

    worker = Worker(answer, waiting=6, batch=4, alike=lambda number: number % 2)
    futures = [worker.ask(2)]
    time.sleep(0.05)  # it is at work on the first
    futures += [worker.ask(number) for number in (4, 5, 6, 7, 8, 10)]
    with pytest.raises(BusyError):
        worker.ask(12)
    let_go.set()
    assert [future.result(10) for future in futures] == [3, 5, 6, 7, 8, 9, 11]
    assert seen == [1, 4, 2]


def test_a_full_queue_is_told_as_such(
    client: TestClient, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk._searches, "_most", 0)
    answer = client.get("/api/answer?row=0&k=1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_command_line_mistakes(stored: Path) -> None:
    of = ("serve", "--dataset", stored, "--port", 0)
    assert "has no password" in refusal(*of, "--host", "0.0.0.0")
    assert "--token " in refusal(*of, "--host", "0.0.0.0")
    assert "Expected 8 or more" in refusal(*of, "--token", "short")
    assert "confidence=1.0" in refusal(*of, "--confidence", 1)
    assert "Cannot listen on no.such.host.invalid" in refusal(
        *of, "--host", "no.such.host.invalid", "--token", "long enough"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal("serve", "--dataset", stored, "--port", port)
        assert f"Cannot listen on 127.0.0.1, port {port}" in line
    with pytest.raises(DogsimError, match="Expected 2 or more"):
        Desk(Dataset.open(stored).take([0]))


@contextmanager
def served(*arguments: object) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """Run dogsim serve, and yield its address."""
    command = [sys.executable, "-c", "from dogsim.cli import app; app()", "serve", "--port", "0"]
    process = subprocess.Popen(
        [*command, *map(str, arguments), "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    )
    try:
        assert process.stdout
        yield json.loads(process.stdout.readline())["address"], process
    finally:
        process.kill()
        process.communicate()


def fetch(address: str, content: bytes | None = None) -> Any:
    with urlopen(Request(address, content, OWN), timeout=60) as answer:
        return json.load(answer)


def test_every_route_has_its_examples_and_they_run(
    stored: Path, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_dog.jpg").write_bytes(picture(3, "JPEG"))
    page, names = blocks(SERVED), dict[str, Any]()
    told = [block for language, block in page if language == "console" and "curl" in block]
    code = [block for language, block in page if language == "python"]
    for route in server.app_of(desk).routes:
        start = str(getattr(route, "path", "")).partition("{")[0]
        if start.startswith("/api/"):
            assert any(start in block for block in told), start
            assert any(start in block for block in code), start
    with served("--dataset", stored) as (address, _):
        for block in code:
            exec(block.replace("http://127.0.0.1:8042", address), names)
        for command in "".join(told).splitlines():
            told_here = command.replace("http://127.0.0.1:8042", address)
            arguments = shlex.split(told_here.replace("NAME", names["mine"]))
            if shutil.which("curl"):
                subprocess.run([*arguments, "--fail", "--silent"], check=True, capture_output=True)
    for figure in ("first.jpg", *(["curves.png"] if shutil.which("curl") else [])):
        assert Image.open(figure).size > (30, 30)
    assert len(names["answer"]["neighbours"]) == 3


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_many_at_once_some_cut_off_and_the_end_in_time(stored: Path) -> None:
    with served("--dataset", stored) as (address, process):
        port = int(address.rpartition(":")[2])
        for _ in range(20):  # who announces much, sends little and goes
            with socket.create_connection(("127.0.0.1", port)) as cut:
                cut.sendall(
                    b"POST /api/queries HTTP/1.1\r\nHost: localhost\r\nX-Dogsim: 1\r\n"
                    b"Content-Length: 900000\r\n\r\nabc"
                )

        def ask(number: int) -> int:
            name = fetch(f"{address}/api/queries", picture(number))["query"]
            return len(fetch(f"{address}/api/answer?query={name}&k=3")["neighbours"])

        with ThreadPoolExecutor(100) as pool:
            assert list(pool.map(ask, range(100))) == [3] * 100
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\n")  # and no end of it
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            _, told = process.communicate(timeout=30)
        assert time.monotonic() - start < SOON
        assert process.returncode == 143
        busy = ("Converting", "pairs")  # what it was doing, and no picture's name
        assert [x for x in told.splitlines() if not x.startswith(busy)] == ["dogsim: Stopped."]
        assert ".png" not in told


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_it_while_the_network_is_being_loaded(stored: Path) -> None:
    with served("--dataset", stored) as (address, process):
        assert fetch(f"{address}/api/dataset")["pictures"] == 6
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert time.monotonic() - start < SOON
        assert process.returncode == 130
