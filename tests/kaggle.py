"""A server on this machine in place of Kaggle, from which Keras Hub downloads presets."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from server import Server, serving

from dogsim.networks import keras_hub


@contextmanager
def kaggle(
    preset: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Server, list[tuple[str, str]]]]:
    """Serve a folder as every preset, for an empty cache.

    Yields the server and a list of the requests: (preset, file).
    """
    requested: list[tuple[str, str]] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        requested.append((body["instanceSlug"], body["path"]))
        if not (preset / body["path"]).is_file():
            return request.send_error(404)
        content = (preset / body["path"]).read_bytes()
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
        return None

    with serving() as server:
        server.always = answer
        monkeypatch.setattr(keras_hub, "KAGGLE", server.address)
        monkeypatch.setenv("KAGGLEHUB_CACHE", str(cache))
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "LOCALHOST")
        monkeypatch.setenv("http_proxy", server.address)  # "localhost", at any port
        monkeypatch.setattr("urllib.request._opener", None)  # it would keep this proxy, or none
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield server, requested
