"""The routes, their security and the caches, on the loopback address only."""

import ast
import asyncio
import io
import json
import os
import re
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
from clouds import cloud
from commands import loaded_after, refusal
from conftest import REPOSITORY
from PIL import Image
from scipy.spatial.distance import pdist
from test_pages import SERVED, blocks

from dogsim import Accuracy, Dataset, accuracy, classify
from dogsim.errors import DogsimError
from dogsim.image_files.files import open_undecoded
from dogsim.images import load_image
from dogsim.plumbing.terminal import track

pytest.importorskip("starlette", reason='the page needs pip install "dogsim[web]"')
pytest.importorskip("uvicorn", reason='the page needs pip install "dogsim[web]"')
pytest.importorskip("cachetools", reason='the page needs pip install "dogsim[web]"')
pytest.importorskip("httpx2", reason="Starlette's TestClient needs httpx2")
from starlette.testclient import TestClient

from dogsim.web import reports, routes, server
from dogsim.web import service as service_module
from dogsim.web import uploads as uploads_module
from dogsim.web.page_files import PAGE_FILES
from dogsim.web.service import Service
from dogsim.web.uploads import Upload
from dogsim.web.worker import BatchWorker, BusyError

pytestmark = pytest.mark.extra
CSRF = {"X-Dogsim": "1"}
MAX_STOP_SECONDS = 6  # 1.3 on an idle machine; this one may run other tests, too
HOSTILE = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def service(stored: Path) -> Service:
    service = Service(Dataset.open(stored))
    service.network.result(60)
    return service


@pytest.fixture
def client(service: Service) -> TestClient:
    return TestClient(server.create_app(service), "http://127.0.0.1", raise_server_exceptions=False)


def image_bytes(seed: int = 0, kind: str = "PNG") -> bytes:
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 255, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def upload(client: TestClient, content: bytes) -> str:
    answer = client.post("/api/queries", content=content, headers=CSRF)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["query"])


def test_the_files_of_the_page_load_nothing_else(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-security-policy"].startswith("default-src 'self'; ")
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    scripts = set(re.findall(r'from "\./(\w+\.js)"', "".join(map(_script, PAGE_FILES))))
    assert scripts | {"page.js"} == {name for name in PAGE_FILES if name.endswith(".js")}
    for path in ("/", *(f"/{name}" for name in PAGE_FILES)):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "http://" not in answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in answer.text
        assert "style=" not in answer.text
        assert "innerHTML" not in answer.text
        again = client.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304
    assert "<script src=" in page.text
    assert page.text.count("<script") == 1


def _script(name: str) -> str:
    return PAGE_FILES[name].read_text("utf-8") if name.endswith(".js") else ""


def test_answers_are_those_of_classify(client: TestClient, stored: Path, tmp_path: Path) -> None:
    content = image_bytes()
    (tmp_path / "q.png").write_bytes(content)
    name = upload(client, content)
    for metric in ("euclidean", "cosine"):
        payload = client.get(f"/api/answer?query={name}&k=4&metric={metric}").json()
        (expected,) = classify(tmp_path / "q.png", stored, 4, metric)
        assert [each["row"] for each in payload["neighbours"]] == expected.indices.tolist()
        distances = [each["distance"] for each in payload["neighbours"]]
        np.testing.assert_allclose(distances, expected.distances, rtol=1e-5)
        assert (payload["breed"], payload["votes"]) == (expected.breed, expected.votes)
    shown = Image.open(io.BytesIO(client.get(f"/api/queries/{name}/picture").content))
    assert (shown.format, shown.size) == ("JPEG", (40, 30))


def test_an_image_of_the_dataset_is_its_row_and_does_not_vote_for_itself(
    client: TestClient, breeds_dir: Path, stored: Path
) -> None:
    dataset = Dataset.open(stored)
    content = (breeds_dir / "striped" / "1.png").read_bytes()
    row = client.post("/api/queries", content=content, headers=CSRF).json()["row"]
    assert dataset.paths[row] == "striped/1.png"
    payload = client.get(f"/api/answer?row={row}&k=5").json()
    assert row not in [each["row"] for each in payload["neighbours"]]
    assert payload["row"]["breed"] == "striped"


def test_k_and_metric_do_not_run_the_network_again(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = upload(client, image_bytes(1))
    monkeypatch.setattr(service, "_extractor", lambda _: pytest.fail("ran the network"))
    for k in range(1, 6):
        payload = client.get(f"/api/answer?query={name}&k={k}&metric=cosine").json()
        assert len(payload["neighbours"]) == k


def test_a_foreign_host_and_a_post_without_the_header_are_rejected(client: TestClient) -> None:
    for host in ("evil.example", "evil.example:8042", "127.0.0.1.evil.example", "localhost.evil"):
        assert client.get("/api/dataset", headers={"Host": host}).status_code == 400
    for host in ("localhost:8042", "127.0.0.1", "[::1]:8042"):
        assert client.get("/api/status", headers={"Host": host}).status_code == 200
    assert client.post("/api/queries", content=image_bytes()).status_code == 403
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
def test_no_file_is_served_by_its_path(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (400, 404)


def test_errors_have_one_line(client: TestClient) -> None:
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
        ("/api/answer?query=gone", 404, "has expired"),
        ("/api/queries/gone/picture", 404, "has expired"),
        ("/api/explanation?row=0&other=77", 400, "Received row 77"),
        ("/api/explanation?row=0&other=1&metric=chebyshev", 400, "not a sum over places"),
        ("/api/judging/nonsense.png", 404, "There is no figure"),
        ("/api/pictures/6/original", 400, "Received row 6"),
        ("/api/nonsense", 404, "Not Found"),
    ):
        answer = client.get(path)
        assert answer.status_code == status, path
        assert message in answer.json()["error"]
        assert "\n" not in answer.json()["error"]


def bomb() -> bytes:
    """Return a small PNG file whose header claims ten thousand million pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        size, crc = len(content).to_bytes(4, "big"), zlib.crc32(kind + content).to_bytes(4, "big")
        return size + kind + content + crc

    header = (100_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = zlib.compress(bytes(100_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_unsuitable_uploads_are_rejected_before_they_are_decoded(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    truncated = image_bytes(kind="JPEG")[:200]
    for content, message in (
        (b"", "Received no image"),
        (b"GIF89a but no", "as an image"),
        (b"%!PS-Adobe", "no known image format"),
        (b"<svg onload='alert(1)'/>", "no known image format"),
        (bomb(), "more than"),
        (truncated, "as an image"),
    ):
        answer = client.post("/api/queries", content=content, headers=CSRF)
        assert answer.status_code == 400, content[:20]
        assert message in answer.json()["error"]
    monkeypatch.setattr(routes, "MAX_BODY_BYTES", 1000)
    for headers in (CSRF, CSRF | {"Content-Length": "5"}):  # announces less than it sends
        answer = client.post("/api/queries", content=bytes(5000), headers=headers)
        assert answer.status_code == 413


def test_an_upload_is_decoded_once(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pixels are those of `load_image`, also where a JPEG is scaled while it is decoded."""
    content, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(5).integers(0, 255, (600, 800, 3), np.uint8)
    Image.fromarray(pixels).save(content, "JPEG", exif=exif)
    expected, opened = load_image(content.getvalue(), 32), []

    def counted(*arguments: Any) -> Image.Image:
        opened.append(arguments[0])
        return open_undecoded(*arguments)

    monkeypatch.setattr("dogsim.images.open_undecoded", counted)
    decoded = service.decode(content.getvalue()).result(10)
    assert isinstance(decoded, Upload)
    assert np.array_equal(decoded.pixels, expected)
    preview = Image.open(io.BytesIO(decoded.preview))
    assert (preview.width < preview.height, opened.count(content.getvalue())) == (True, 1)
    known = (service.dataset.image_file(2)).read_bytes()
    assert (service.decode(known).result(10), opened.count(known)) == (2, 0)


def test_an_upload_of_too_many_pixels_is_rejected(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "MAX_UPLOAD_PIXELS", 1000)
    answer = client.post("/api/queries", content=image_bytes(), headers=CSRF)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith("it has more than 1,000 pixels.")
    upload(client, image_bytes(kind="JPEG"))  # 1200 pixels: a JPEG may have 2500


async def post(app: Any, *chunks: bytes, ends: bool = True) -> int:
    """Send an upload in chunks, which ends or not, and return the status of the response."""
    sent: list[Any] = []
    bodies = iter(chunks)

    async def receive() -> dict[str, Any]:
        if (chunk := next(bodies, None)) is None:
            await asyncio.Event().wait()
        more = not ends or chunk is not chunks[-1]
        return {"type": "http.request", "body": chunk, "more_body": more}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"x-dogsim", b"1")]
    scope = {"type": "http", "method": "POST", "path": "/api/queries", "headers": headers}
    await app({**scope, "query_string": b"", "root_path": ""}, receive, send)
    return int(sent[0]["status"])


def test_bodies_that_never_end_delay_no_other_upload(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routes, "MAX_PENDING_BYTES", 5000)
    app = server.create_app(service)

    async def uploads() -> list[int]:
        slow = [asyncio.create_task(post(app, b"ab", ends=False)) for _ in range(100)]
        await asyncio.sleep(0.05)
        beside = [await post(app, content) for content in (image_bytes(9), b"", bytes(5001))]
        assert not any(task.done() for task in slow)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return beside

    assert asyncio.run(uploads()) == [201, 400, 503]
    assert asyncio.run(post(app, image_bytes(9), bytes(800))) == 201  # nothing is pending any more
    monkeypatch.setattr(routes, "MAX_BODY_SECONDS", 0.1)
    assert asyncio.run(post(app, b"ab", ends=False)) == 408


def test_names_are_returned_unchanged(service: Service) -> None:
    """In JSON they are text; test_page checks in a browser what the page does with them."""
    dataset = replace(service.dataset, breeds=(HOSTILE, "caf\udce9"), recipe=None)
    client = TestClient(server.create_app(Service(dataset)), "http://127.0.0.1")
    response = client.get("/api/dataset")
    assert response.headers["content-type"] == "application/json"
    assert [each["breed"] for each in response.json()["breeds"]] == [HOSTILE, "caf\\xe9"]


def test_without_a_network_everything_else_works(service: Service) -> None:
    dataset = replace(service.dataset, recipe=None)
    client = TestClient(server.create_app(Service(dataset)), "http://127.0.0.1")
    while client.get("/api/status").json()["network"] == "preparing":
        time.sleep(0.01)
    status = client.get("/api/status").json()
    assert status["network"] == "failed"
    assert "does not say how its features were made" in status["network_problem"]
    assert status["calibration"] == "failed"
    answer = client.post("/api/queries", content=image_bytes(), headers=CSRF)
    assert answer.status_code == 400
    assert "it cannot answer image queries" in answer.json()["error"]
    payload = client.get("/api/answer?row=0&k=3").json()
    assert (payload["breeds"], payload["promise"], payload["words"]) == (None, "", payload["breed"])


def test_images_are_small_jpegs_and_missing_ones_are_reported(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    first = client.get("/api/pictures/0?size=160")
    assert Image.open(io.BytesIO(first.content)).format == "JPEG"
    again = client.get("/api/pictures/0?size=160", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    gone = Service(replace(service.dataset, root=str(tmp_path)))
    answer = TestClient(server.create_app(gone), "http://127.0.0.1").get("/api/pictures/0")
    assert answer.status_code == 404
    assert str(tmp_path) not in answer.text


def test_originals_are_files_that_browsers_show(service: Service, tmp_path: Path) -> None:
    """Unchanged, or a JPEG of the same size; nothing but images is served."""
    paths = ("a.png", "b.tif", "c.txt", "d.svg", "../outside.txt", "gone.png")
    contents = [image_bytes(1), image_bytes(2, "TIFF"), b"secret", b"<svg/>", b"secret"]
    (tmp_path / "images").mkdir()
    for path, content in zip(paths, contents, strict=False):
        (tmp_path / "images" / path).write_bytes(content)
    dataset = replace(service.dataset, root=str(tmp_path / "images"), paths=paths)
    client = TestClient(server.create_app(Service(dataset)), "http://127.0.0.1")
    first, second, *others = (client.get(f"/api/pictures/{row}/original") for row in range(6))
    assert (first.content, first.headers["content-type"]) == (contents[0], "image/png")
    converted = Image.open(io.BytesIO(second.content))
    assert second.headers["content-type"] == "image/jpeg"
    assert (converted.format, converted.size) == ("JPEG", (40, 30))
    for row, answer in enumerate(others, 2):
        assert answer.status_code == 404
        assert answer.json() == {"error": f"The image of row {row} cannot be read."}
    assert first.headers["x-content-type-options"] == "nosniff"


def test_distances_are_compared_with_those_of_all_pairs(
    client: TestClient, service: Service
) -> None:
    for metric in ("euclidean", "cityblock"):
        features = service.dataset.features[np.arange(6)].astype(np.float64)
        pairs = pdist(features, metric)  # (15,)
        for near in client.get(f"/api/answer?row=0&k=5&metric={metric}").json()["neighbours"]:
            farther = np.mean(pairs > near["distance"] * (1 + 1e-9))
            assert near["closer_than"] == pytest.approx(farther, abs=1e-4)


def test_browsing_by_breed(client: TestClient) -> None:
    payload = client.get("/api/dataset").json()
    assert payload["images"] == 6
    breeds = [(each["breed"], each["images"]) for each in payload["breeds"]]
    assert breeds == [("red setter", 3), ("striped", 3)]
    label = payload["breeds"][1]["label"]
    rows = client.get(f"/api/rows?label={label}&start=1&count=1").json()
    assert rows["number"] == 3
    assert [each["path"] for each in rows["rows"]] == ["striped/1.png"]
    assert len(client.get("/api/rows?start=-5&count=99999").json()["rows"]) == 6


def test_a_large_dataset_is_evaluated_by_some_of_its_images(
    stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "MIN_EVALUATED_QUERIES", 2)
    monkeypatch.setattr(reports, "MAX_EVALUATED_PAIRS", 24)
    payload = reports.evaluation_report(Dataset.open(stored)).payload
    assert payload["drawn"] is True
    assert [each["queries"] for each in payload["results"]] == [4, 4]  # of 6


def test_a_vote_that_large_breeds_can_win_has_a_warning() -> None:
    assert reports.evaluation_report(cloud(300)).payload["warning"] == ""
    labels = np.repeat([0, 1, 2, 3], [9, 9, 9, 273])
    payload = reports.evaluation_report(replace(cloud(300), labels=labels)).payload
    assert payload["warning"].startswith("k is 20, but half of the breeds have 9 images or fewer")


def test_the_figures_of_the_page_have_the_numbers_of_the_evaluation() -> None:
    """Curves as `accuracy` measures them, histograms of area 1, and all votes in the matrix."""
    dataset = cloud(300)
    payload = reports.evaluation_report(dataset).payload
    curves, matrix = payload["curves"], payload["matrix"]
    assert curves["k"] == list(range(1, 101))
    for k in (1, 7, 100):
        expected = accuracy(dataset, k)
        assert isinstance(expected, Accuracy)
        drawn = [curves[name][k - 1] for name in ("precision", "recall", "vote_accuracy")]
        scores = expected.precision_at_k, expected.recall_at_k, expected.vote_accuracy
        np.testing.assert_allclose(drawn, scores, atol=1e-4)
        interval = curves["vote_accuracy_ci95"][k - 1]
        np.testing.assert_allclose(interval, expected.vote_accuracy_ci95, atol=1e-4)
    widths = np.diff(payload["distances"]["edges"])
    for name in ("own", "other", "nearest"):
        assert np.dot(payload["distances"][name], widths) == pytest.approx(1, abs=1e-3)
    counts = np.zeros((len(matrix["breeds"]),) * 2, int)
    for row, column, count in matrix["cells"]:
        counts[row, column] += count
    assert counts.sum() == 300
    queries = {each["breed"]: each["queries"] for each in payload["per_breed"]}
    assert dict(zip(matrix["breeds"], counts.sum(axis=1).tolist(), strict=True)) == queries
    assert counts.trace() / 300 == pytest.approx(payload["results"][-1]["vote_accuracy"])
    for pair in payload["confusions"]:
        place = matrix["breeds"].index(pair["breed"]), matrix["breeds"].index(pair["taken_for"])
        assert counts[place] == pair["count"]


def test_evaluation_and_audit_are_computed_once(client: TestClient) -> None:
    for path in ("/api/judging", "/api/audit"):
        first = client.get(path)
        assert first.status_code in (200, 202)
        deadline = time.monotonic() + 60
        while client.get(path).status_code == 202 and time.monotonic() < deadline:
            time.sleep(0.05)
    judged = client.get("/api/judging").json()
    assert [(each["k"], each["queries"]) for each in judged["results"]] == [(1, 6), (5, 6)]
    assert judged["drawn"] is False
    assert len(judged["per_breed"]) == 2
    figure = client.get("/api/judging/curves.png")
    assert Image.open(io.BytesIO(figure.content)).format == "PNG"
    audited = client.get("/api/audit").json()
    findings = {each["kind"]: each["findings"] for each in audited["sections"]}
    assert list(findings) == ["duplicates", "scenes", "labels", "novel", "poor"]
    assert {each["text"] for each in findings["poor"]} == {"Tiny: 50 x 40 pixels"}
    first = audited["files"][findings["poor"][0]["images"][0]["file"]]
    assert (first["row"], first["name"]) == (0, "0.png")
    assert audited["plan"]["columns"][0] == "path"


@pytest.mark.parametrize(
    ("path", "function"), [("/api/audit", "audit"), ("/api/judging", "evaluation_report")]
)
def test_progress_is_reported(
    path: str, function: str, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, released = threading.Event(), threading.Event()

    def waiting(dataset: Dataset) -> None:
        for _ in track([["a"], ["b", "c"]], total=4, what="images"):
            time.sleep(0.01)
        started.set()
        released.wait(60)
        raise DogsimError("It failed.")

    monkeypatch.setattr(service_module, function, waiting)
    client = TestClient(server.create_app(Service(Dataset.open(stored))), "http://127.0.0.1")
    assert client.get(path).status_code == 202
    started.wait(60)
    answer = client.get(path)
    progress = answer.json()["progress"]
    assert (answer.status_code, answer.json()["state"]) == (202, "working")
    assert (progress["what"], progress["fraction"]) == ("images", 0.75)
    assert 0 < progress["seconds_left"] < 1
    released.set()
    while (answer := client.get(path)).status_code == 202:
        time.sleep(0.01)
    assert (answer.status_code, answer.json()) == (400, {"error": "It failed."})


def test_the_region_of_a_padded_image_is_its_square() -> None:
    """The page shows an image centred in a square, as it is padded."""
    from dogsim.web.payloads import network_region

    file = io.BytesIO()
    Image.new("RGB", (448, 224)).save(file, "JPEG")
    for resize, region in (
        ("squash", (0, 0, 1, 1)),
        ("crop", (9 / 32, 1 / 16, 23 / 32, 15 / 16)),
        ("pad", (0, -0.5, 1, 1.5)),
    ):
        assert network_region(file.getvalue(), 224, resize) == pytest.approx(region)


def test_an_explanation_adds_up(client: TestClient) -> None:
    name = upload(client, image_bytes(2))
    other = client.get(f"/api/answer?query={name}&k=1").json()["neighbours"][0]
    why = client.get(f"/api/explanation?query={name}&other={other['row']}").json()
    assert why["sum"] == pytest.approx(other["distance"] ** 2, rel=0.02)
    assert why["shape"] == [32, 32]
    parts = np.sum(why["query"]["parts"]) + np.sum(why["other"]["parts"])
    assert parts == pytest.approx(why["sum"], rel=0.01)
    assert why["query"]["box"] == [0, 0, 1, 1]
    assert why["pairs"] is None  # omitted for more than 256 places


def test_explanations_are_cached_up_to_a_number_of_bytes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As JSON: the pairs of 32 x 32 places take 8 MB, and are not part of it."""
    small = Service(service.dataset)
    client = TestClient(server.create_app(small), "http://127.0.0.1")
    first = client.get("/api/explanation?row=0&other=1")
    assert first.headers["content-type"] == "application/json"
    limit = len(first.content) * 2
    monkeypatch.setattr(service_module, "MAX_EXPLANATION_BYTES", limit)
    small = Service(service.dataset)
    client = TestClient(server.create_app(small), "http://127.0.0.1")
    for other in range(1, 6):
        assert client.get(f"/api/explanation?row=0&other={other}").status_code == 200
        assert sum(map(len, small._explanations.values())) <= limit
    monkeypatch.setattr(service_module, "explain_row", lambda *_: pytest.fail("was not cached"))
    assert client.get("/api/explanation?row=0&other=5").status_code == 200


def test_no_handler_of_requests_imports_a_module() -> None:
    """An import in a coroutine stops all others; nor do the modules load matplotlib themselves."""
    for path in (REPOSITORY / "dogsim" / "web").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.AsyncFunctionDef):
                kinds = {type(each) for each in ast.walk(node)}
                assert kinds & {ast.Import, ast.ImportFrom} == set(), (path.name, node.name)
    loaded = loaded_after("import dogsim.web.server, dogsim.web.service")
    assert loaded & {"matplotlib", "tensorflow", "keras"} == set()


def test_without_the_token_nothing_is_served(service: Service) -> None:
    app = server.create_app(service, token="open sesame")
    client = TestClient(app, "http://127.0.0.1", follow_redirects=False)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "dogsim-token=wrong"}):
        paths = ("/", "/page.js", "/api/dataset", "/api/pictures/0", "/?token=wrong")
        for path in (*paths, "/api/pictures/0/original"):
            assert client.get(path, headers=headers).status_code == 401
    bearer = {"Authorization": "Bearer open sesame"}
    assert client.get("/api/dataset", headers=bearer).status_code == 200
    redirect = client.get("/?token=open%20sesame&row=3")
    assert (redirect.status_code, redirect.headers["location"]) == (303, "/?row=3")
    assert "HttpOnly" in redirect.headers["set-cookie"]
    assert "samesite=strict" in redirect.headers["set-cookie"].lower()
    assert client.get("/api/dataset").status_code == 200  # with the cookie


def test_internal_errors_do_not_name_an_image(
    client: TestClient,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("in /home/me/secret.jpg")

    monkeypatch.setattr(service, "query", broken)
    answer = client.get("/api/answer?row=0&k=1")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    log = capfd.readouterr().err
    assert "RuntimeError in " in log
    assert "secret" not in log


def test_a_worker_has_a_bounded_queue_and_batches_similar_items() -> None:
    may_start = threading.Event()
    batch_sizes: list[int] = []

    def increment(numbers: list[int]) -> list[int]:
        may_start.wait(10)
        batch_sizes.append(len(numbers))
        return [number + 1 for number in numbers]

    worker = BatchWorker(increment, max_queued=6, max_batch=4, batch_key=lambda number: number % 2)
    futures = [worker.submit(2)]
    time.sleep(0.05)  # it is processing the first item
    futures += [worker.submit(number) for number in (4, 5, 6, 7, 8, 10)]
    with pytest.raises(BusyError):
        worker.submit(12)
    may_start.set()
    assert [future.result(10) for future in futures] == [3, 5, 6, 7, 8, 9, 11]
    assert batch_sizes == [1, 4, 2]


def test_a_full_queue_is_reported_as_503(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service._searches, "_max_queued", 0)
    response = client.get("/api/answer?row=0&k=1")
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_uploads_are_forgotten_by_number_and_by_time(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_module, "MAX_UPLOADS", 2)
    monkeypatch.setattr(uploads_module, "UPLOAD_SECONDS", 0.2)
    short = Service(replace(service.dataset, recipe=None))
    upload = Upload(np.zeros((2, 2, 3), np.uint8), b"", (2, 2))
    first, second = (short.uploads.add(np.zeros(3, np.float32), upload).name for _ in range(2))
    assert short.query(None, first)  # now the second one is the least recently used
    third = short.uploads.add(np.zeros(3, np.float32), upload).name
    assert [bool(short.query(None, name)) for name in (first, second, third)] == [True, False, True]
    time.sleep(0.25)
    assert [short.query(None, name) for name in (first, third)] == [None, None]


def test_thumbnails_are_cached_up_to_a_number_of_bytes(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_module, "MAX_THUMBNAIL_BYTES", 2500)
    monkeypatch.setattr(service_module, "thumbnail", lambda *arguments: bytes(1000))
    small = Service(replace(service.dataset, recipe=None))
    for row in (0, 1, 0, 2):
        assert len(small.thumbnail(row, 160).result(10)) == 1000
    assert set(small._thumbnails) == {(0, 160), (2, 160)}


def test_a_replaced_dataset_is_opened_again(stored: Path, tmp_path: Path) -> None:
    """Its rows are never mixed with those of the older file, nor does the server die."""
    file = tmp_path / "d.h5"
    whole = Dataset.open(stored)
    whole.save(file)
    first = Service(Dataset.open(file))
    app = server.create_app(first, reopen=lambda: Service(Dataset.open(file)))
    client = TestClient(app, "http://127.0.0.1", raise_server_exceptions=False)
    assert client.get("/api/answer?row=0&k=1").status_code == 200
    whole.take([5, 4, 3]).save(tmp_path / "other.h5")
    file.write_bytes((tmp_path / "other.h5").read_bytes())  # in place, shorter
    answer = client.get("/api/answer?row=0&k=1")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "The dataset was replaced. Load the page again." in answer.text
    answer = client.get("/api/answer?row=0&k=1")
    assert answer.json()["row"]["breed"] == whole.breed(5)
    assert client.get("/api/dataset").json()["images"] == 3
    file.write_bytes(b"half")
    for _ in range(2):
        answer = client.get("/api/answer?row=0&k=1")
        assert answer.status_code == 503
        assert "Cannot read" in answer.text
    whole.save(file)
    assert client.get("/api/answer?row=0&k=1").status_code == 503
    assert client.get("/api/answer?row=5&k=1").status_code == 200


def test_command_line_mistakes(stored: Path) -> None:
    command = ("serve", "--dataset", stored, "--port", 0)
    assert "has no password" in refusal(*command, "--host", "0.0.0.0")
    assert "--token " in refusal(*command, "--host", "0.0.0.0")
    assert "Expected 8 or more" in refusal(*command, "--token", "short")
    assert "confidence=1.0" in refusal(*command, "--confidence", 1)
    assert "Cannot listen on no.such.host.invalid" in refusal(
        *command, "--host", "no.such.host.invalid", "--token", "long enough"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refusal("serve", "--dataset", stored, "--port", port)
        assert f"Cannot listen on 127.0.0.1, port {port}" in line
    with pytest.raises(DogsimError, match="Expected 2 or more"):
        Service(Dataset.open(stored).take([0]))


@contextmanager
def served(*arguments: object) -> "Iterator[tuple[str, subprocess.Popen[str]]]":
    """Run dogsim serve and yield its address and process."""
    code = (  # a process started by a shell's "&" ignores SIGINT
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from dogsim.cli import app; app()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--port", "0", *map(str, arguments), "--json"],
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
    with urlopen(Request(address, content, CSRF), timeout=60) as answer:
        return json.load(answer)


def test_every_route_has_examples_that_run(
    stored: Path, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_dog.jpg").write_bytes(image_bytes(3, "JPEG"))
    page, names = blocks(SERVED), dict[str, Any]()
    console = [block for language, block in page if language == "console" and "curl" in block]
    code = [block for language, block in page if language == "python"]
    for route in server.create_app(service).routes:
        start = str(getattr(route, "path", "")).partition("{")[0]
        if start.startswith("/api/"):
            assert any(start in block for block in console), start
            assert any(start in block for block in code), start
    with served("--dataset", stored) as (address, _):
        for block in code:
            exec(block.replace("http://127.0.0.1:8042", address), names)
        for line in "".join(console).splitlines():
            command = line.replace("http://127.0.0.1:8042", address)
            arguments = shlex.split(command.replace("NAME", names["upload"]))
            if shutil.which("curl"):
                subprocess.run([*arguments, "--fail", "--silent"], check=True, capture_output=True)
    for figure in ("first.jpg", *(["curves.png"] if shutil.which("curl") else [])):
        assert Image.open(figure).size > (30, 30)
    assert len(names["answer"]["neighbours"]) == 3


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_many_requests_aborted_uploads_and_a_prompt_stop(stored: Path) -> None:
    with served("--dataset", stored) as (address, process):
        port = int(address.rpartition(":")[2])
        for _ in range(20):  # announces many bytes, sends three and disconnects
            with socket.create_connection(("127.0.0.1", port)) as aborted:
                aborted.sendall(
                    b"POST /api/queries HTTP/1.1\r\nHost: localhost\r\nX-Dogsim: 1\r\n"
                    b"Content-Length: 900000\r\n\r\nabc"
                )

        def ask(number: int) -> int:
            name = fetch(f"{address}/api/queries", image_bytes(number))["query"]
            return len(fetch(f"{address}/api/answer?query={name}&k=3")["neighbours"])

        with ThreadPoolExecutor(100) as pool:
            assert list(pool.map(ask, range(100))) == [3] * 100
        with socket.create_connection(("127.0.0.1", port)) as idle:
            idle.sendall(b"GET / HTTP/1.1\r\n")  # incomplete
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            _, log = process.communicate(timeout=30)
        assert time.monotonic() - start < MAX_STOP_SECONDS
        assert process.returncode == 143
        progress = ("Converting", "pairs")
        assert [x for x in log.splitlines() if not x.startswith(progress)] == ["dogsim: Stopped."]
        assert ".png" not in log


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_stops_it_while_the_network_is_loading(stored: Path) -> None:
    with served("--dataset", stored) as (address, process):
        assert fetch(f"{address}/api/dataset")["images"] == 6
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert time.monotonic() - start < MAX_STOP_SECONDS
        assert process.returncode == 130
