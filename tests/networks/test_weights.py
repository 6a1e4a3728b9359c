"""Keras' own download code, against a server on this machine."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from dogsim import weights
from dogsim.errors import DogsimError
from dogsim.networks.backbones import load_extractor

NAME = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """Answers every GET as it is told."""

    def __init__(self) -> None:
        self.answer: Answer = lambda request: request.send_error(404)
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.send_response(200)
                self.end_headers()

            def do_GET(self) -> None:
                server.answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def serve(self, content: bytes, claimed_length: int | None = None) -> None:
        def answer(request: BaseHTTPRequestHandler) -> None:
            request.send_response(200)
            request.send_header("Content-Length", str(claimed_length or len(content)))
            request.end_headers()
            request.wfile.write(content)

        self.answer = answer


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server in the place of Keras', and an empty cache."""
    server = Server()
    monkeypatch.setattr(weights, "HOST", server.address)
    monkeypatch.setattr("keras.src.applications.resnet.BASE_WEIGHTS_PATH", server.address)
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def genuine(random_resnet: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, bytes]:
    """A network and the bytes of its weight file, which Keras takes for the genuine one."""
    model, folder = random_resnet
    content = (folder / "notop.h5").read_bytes()
    hashes = {"resnet50": (None, hashlib.md5(content).hexdigest())}
    monkeypatch.setattr("keras.src.applications.resnet.WEIGHTS_HASHES", hashes)
    return model, content


def test_download_once(
    server: Server, genuine: tuple[Any, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    model, content = genuine
    server.serve(content)
    extractor = load_extractor("resnet50", precision="float32")
    assert extractor.recipe.weights == "imagenet"
    assert extractor.recipe.weights_sha256 == hashlib.sha256(content).hexdigest()
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    pixels = keras.applications.resnet50.preprocess_input(images.astype(np.float32))
    plain = keras.Model(model.input, model.get_layer("avg_pool").output)(pixels)
    np.testing.assert_allclose(extractor(images), plain, rtol=1e-4, atol=1e-4)
    assert capfd.readouterr().out == ""  # stdout belongs to results

    server.http.shutdown()  # what has been downloaded needs no network
    assert load_extractor("resnet50", precision="float32").recipe == extractor.recipe


def check_failure(reason: str, within: float = 10) -> None:
    start = time.monotonic()
    with pytest.raises(weights.WeightsUnavailableError, match=reason) as caught:
        load_extractor("resnet50")
    assert time.monotonic() - start < within + 3  # building the network takes its time too
    message = str(caught.value)
    for way_out in ("--weights FILE", NAME, "--backbone efficientnet-lite0"):
        assert way_out in message
    assert "\n" not in message
    assert weights.cached_weights(NAME) is None  # nothing half-written


def test_not_there(server: Server) -> None:
    check_failure("404")


def test_other_bytes(server: Server, genuine: tuple[Any, bytes]) -> None:
    server.serve(b"<html>please log in</html>")
    with pytest.raises(DogsimError, match="hash"):
        load_extractor("resnet50")
    server.serve(genuine[1])
    load_extractor("resnet50")  # what was wrong in the cache is replaced


def test_dropped_connection(server: Server, genuine: tuple[Any, bytes]) -> None:
    server.serve(genuine[1][:100_000], claimed_length=len(genuine[1]))
    check_failure("retrieval incomplete")


def test_a_server_that_falls_silent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PATIENCE", 1.0)
    server.answer = lambda request: time.sleep(5)
    check_failure("timed out", within=5)


def test_nobody_answers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never says a word
        monkeypatch.setattr(weights, "HOST", f"http://127.0.0.1:{silent.getsockname()[1]}/")
        check_failure("no answer|timed out")


def test_no_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "HOST", "http://127.0.0.1:9/")
    check_failure("refused", within=2)
