"""A cached network is used again without TensorFlow, and converted again if it is damaged."""

import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import loaded_after, python
from conftest import LITE

from dogsim.engines import model_cache
from dogsim.networks.extractor import Extractor, load_extractor

pytest.importorskip("openvino")
IMAGES = np.random.default_rng(5).integers(0, 256, (3, 32, 32, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr(model_cache, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def load(colours: str) -> Callable[[], Extractor]:
    return lambda: load_extractor("vgg16", colours, engine="openvino", precision="float32")


def test_a_cached_network_needs_no_keras(
    folder: Path,
    load: Callable[[], Extractor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = load()
    assert "Converting vgg16" in capsys.readouterr().err
    monkeypatch.setattr("dogsim.networks.keras_network.KerasNetwork.convert", None)
    second = load()
    assert capsys.readouterr().err == ""
    assert second.recipe == first.recipe
    assert np.array_equal(second(IMAGES), first(IMAGES))
    assert [path.suffix for path in folder.iterdir()] == [".zip"]


def test_each_network_has_its_own_file(folder: Path, colours: str) -> None:
    for backbone in ("vgg16", "resnet50v2"):  # the same weights with another preprocessing
        load_extractor(backbone, colours, engine="openvino", precision="float32")
    other = load_extractor("resnet50v2", colours, engine="openvino", precision="float32")
    assert np.abs(other(IMAGES)).max() <= 1
    assert len(list(folder.iterdir())) == 2


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-200])


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as archive:
        content[archive.getinfo(model_cache.IR_WEIGHTS_FILE).header_offset + 60] ^= 1
    file.write_bytes(content)


def of_another_version(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    key = json.loads(parts[model_cache.KEY_FILE])
    parts[model_cache.KEY_FILE] = json.dumps(key | {"openvino": "2019.1"}).encode()
    parts[model_cache.IR_GRAPH_FILE] = b"<net/>"
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)


def without_weights(file: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, b"" if name == model_cache.IR_WEIGHTS_FILE else content)


def no_archive(file: Path) -> None:
    file.write_text("no archive")


@pytest.mark.parametrize("harm", [cut, flip_a_bit, of_another_version, without_weights, no_archive])
def test_a_damaged_file_is_replaced(
    folder: Path,
    load: Callable[[], Extractor],
    harm: Callable[[Path], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    expected = load()(IMAGES)
    (file,) = folder.iterdir()
    harm(file)
    capsys.readouterr()
    assert np.array_equal(load()(IMAGES), expected)
    assert "Converting" in capsys.readouterr().err
    assert zipfile.ZipFile(file).testzip() is None
    load()
    assert capsys.readouterr().err == ""


def test_a_folder_that_cannot_be_written(
    folder: Path, load: Callable[[], Extractor], capsys: pytest.CaptureFixture[str]
) -> None:
    folder.write_text("a file where the folder should be")
    assert load()(IMAGES).shape == (3, 3)
    assert "The converted network is not cached. Cannot create the folder" in (
        capsys.readouterr().err
    )


def test_a_full_disk(
    folder: Path,
    load: Callable[[], Extractor],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    assert load()(IMAGES).shape == (3, 3)
    assert "No space left on device" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_two_threads_at_once(folder: Path, load: Callable[[], Extractor]) -> None:
    expected = load()(IMAGES)
    features: list[Any] = []
    (file,) = folder.iterdir()

    def use() -> None:
        for _ in range(5):
            file.unlink(missing_ok=True)
            features.append(load()(IMAGES))

    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(features) == 10
    assert all(np.array_equal(each, expected) for each in features)


def test_threads_can_share_a_network(load: Callable[[], Extractor]) -> None:
    extractor = load()
    wrong: list[int] = []
    many = np.repeat(IMAGES, 7, axis=0)
    expected = extractor(many)

    def use() -> None:
        for n in (1, 21, 5):
            if not np.allclose(extractor(many[:n]), expected[:n], rtol=1e-4):
                wrong.append(n)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.slow
def test_the_installed_network_answers_without_tensorflow(tmp_path: Path) -> None:
    """In separate processes, as a user starts them: the first converts, the second reads."""
    code = (
        "import numpy as np; from dogsim import load_extractor\n"
        f"features = load_extractor({LITE!r})(np.zeros((1, 260, 260, 3), np.uint8))\n"
        "assert features.shape == (1, 1280)"
    )
    first = python("-c", code, XDG_CACHE_HOME=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert f"Converting {LITE}" in first.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path))
        assert loaded_after(code).isdisjoint({"tensorflow", "keras", "scipy", "matplotlib"})
