"""Downloads by Keras from a server on this machine."""

import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from server import Server, refuse, serving, stall

from dogsim.errors import DogsimError
from dogsim.networks import weights
from dogsim.networks.backbones import default_backbone
from dogsim.networks.extractor import load_extractor

NAME = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server in place of Keras' storage, and an empty cache."""
    with serving() as server:
        monkeypatch.setattr(weights, "KERAS_STORAGE", server.address)
        monkeypatch.setattr("keras.src.applications.resnet.BASE_WEIGHTS_PATH", server.address)
        monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        server.always = refuse(404)
        yield server


def serve(server: Server, content: bytes, limit: int | None = None) -> None:
    server.files[f"/{NAME}"] = content
    server.always = server.serve(limit)


@pytest.fixture
def genuine(random_resnet: tuple[Any, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, bytes]:
    """A network and the bytes of its weight file, whose hash Keras accepts."""
    model, folder = random_resnet
    content = (folder / "notop.h5").read_bytes()
    hashes = {"resnet50": (None, hashlib.md5(content).hexdigest())}
    monkeypatch.setattr("keras.src.applications.resnet.WEIGHTS_HASHES", hashes)
    return model, content


def test_download_once(
    server: Server, genuine: tuple[Any, bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    model, content = genuine
    serve(server, content)
    extractor = load_extractor("resnet50", precision="float32")
    assert extractor.recipe.weights == "imagenet"
    assert extractor.recipe.weights_sha256 == hashlib.sha256(content).hexdigest()
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), np.uint8)
    pixels = keras.applications.resnet50.preprocess_input(images.astype(np.float32))
    plain = keras.Model(model.input, model.get_layer("avg_pool").output)(pixels)
    np.testing.assert_allclose(extractor(images), plain, rtol=1e-4, atol=1e-4)
    assert capfd.readouterr().out == ""  # stdout is for results

    server.http.shutdown()  # the cache needs no network
    assert load_extractor("resnet50", precision="float32").recipe == extractor.recipe


def test_the_default_is_resnet50_if_it_can_be_had(
    server: Server, genuine: tuple[Any, bytes], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Downloaded once; a truncated file in the cache is downloaded again."""
    serve(server, genuine[1])
    (tmp_path / "models").mkdir()
    cached = tmp_path / "models" / NAME
    cached.write_bytes(genuine[1][:100_000])
    for _ in range(2):
        default_backbone.cache_clear()
        assert default_backbone() == "resnet50"
        server.always = refuse(404)
    assert weights.cached_weights(NAME) == cached
    cached.write_bytes(genuine[1][:100_000])
    default_backbone.cache_clear()
    assert default_backbone() == weights.OFFLINE_BACKBONE
    assert "404" in capfd.readouterr().err
    default_backbone.cache_clear()


def check_failure(reason: str, within: float = 10) -> None:
    start = time.monotonic()
    with pytest.raises(weights.WeightsUnavailableError, match=reason) as caught:
        load_extractor("resnet50")
    assert time.monotonic() - start < within + 3  # includes the time to build the network
    message = str(caught.value)
    for way_out in ("--weights FILE", NAME, "--backbone efficientnet-lite2"):
        assert way_out in message
    assert "\n" not in message
    assert weights.cached_weights(NAME) is None  # nothing half-written


def test_missing_file(server: Server) -> None:
    check_failure("404")


@pytest.mark.slow
def test_wrong_content(server: Server, genuine: tuple[Any, bytes]) -> None:
    serve(server, b"<html>please log in</html>")
    with pytest.raises(DogsimError, match="hash"):
        load_extractor("resnet50")
    serve(server, genuine[1])
    load_extractor("resnet50")  # the wrong file in the cache is replaced


@pytest.mark.slow
def test_wrong_content_without_a_known_hash(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.src.applications.mobilenet.BASE_WEIGHT_PATH", server.address)
    name = "mobilenet_1_0_224_tf_no_top.h5"
    server.files[f"/{name}"], server.always = b"<html>please log in</html>", server.serve()
    with pytest.raises(weights.WeightsUnavailableError):
        load_extractor("mobilenet")
    assert weights.cached_weights(name) is None
    keras.applications.MobileNet(include_top=False, weights=None).save(tmp_path / name)
    server.files[f"/{name}"] = content = (tmp_path / name).read_bytes()
    recipe = load_extractor("mobilenet").recipe
    assert recipe.weights_sha256 == hashlib.sha256(content).hexdigest()


def test_dropped_connection(server: Server, genuine: tuple[Any, bytes]) -> None:
    serve(server, genuine[1], limit=100_000)
    check_failure("retrieval incomplete")


def test_server_that_stops_sending(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "SERVER_TIMEOUT_SECONDS", 1.0)
    server.always = stall(seconds=5)
    check_failure("timed out", within=5)


def test_server_that_never_answers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert 2 * weights.SERVER_TIMEOUT_SECONDS < 10
    monkeypatch.setattr(weights, "SERVER_TIMEOUT_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts connections and sends nothing
        monkeypatch.setattr(
            weights, "KERAS_STORAGE", f"http://127.0.0.1:{silent.getsockname()[1]}/"
        )
        check_failure("no answer|timed out", within=2)


def test_no_network(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "KERAS_STORAGE", "http://127.0.0.1:9/")
    check_failure("refused", within=2)
