"""Download of Caltech-101 from a local server, and archives from disk."""

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from archives import names, tar_of
from commands import dogsim, refusal
from PIL import Image
from server import Server, serving

from dogsim import Dataset

module: Any = import_module("dogsim.sources.caltech101")  # dogsim.caltech101 is the function
CLASSES = ("BACKGROUND_Google", "accordion", "airplanes")


def jpeg(number: int) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(pixels).save(buffer, "jpeg")
    return buffer.getvalue()


def zip_of(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("caltech-101/Annotations.tar", b"boxes")
        archive.writestr(name, content)
    return buffer.getvalue()


def archive() -> bytes:
    paths = [f"{name}/image_000{i}.jpg" for name in CLASSES for i in (1, 2)]
    plain = tar_of(*((f"101_ObjectCategories/{path}", jpeg(i)) for i, path in enumerate(paths)))
    return zip_of("caltech-101/101_ObjectCategories.tar.gz", gzip.compress(plain))


def offer(server: Server, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files = {"/caltech-101.zip": content}
    monkeypatch.setattr(module, "CALTECH_BYTES", len(content))
    monkeypatch.setattr(module, "CALTECH_SHA256", sha256(content).hexdigest())


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serve a small Caltech-101 from this machine."""
    with serving() as server:
        monkeypatch.setattr(module, "CALTECH_URL", f"{server.address}caltech-101.zip")
        offer(server, archive(), monkeypatch)
        yield server


def test_downloaded_once(site: Server, colours: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "caltech"
    payload = json.loads(dogsim("caltech101", folder, "--weights", colours, "--json").stdout)
    dataset = Dataset.open(payload["dataset"])
    assert dataset.breeds == ("accordion", "airplanes")
    assert len(dataset) == payload["images"] == 4
    assert names(folder) == ["101_ObjectCategories", "caltech-101.zip", "caltech101.h5"]
    assert dataset.image_file(0).read_bytes() == jpeg(2)
    result = dogsim("caltech101", folder, "--weights", colours, "--background")
    assert result.stdout == f"{folder}/caltech101.h5: 6 images of 3 breeds\n"
    assert len(site.ranges) == 1


def test_archives_from_a_folder(site: Server, colours: str, tmp_path: Path) -> None:
    arguments = ("caltech101", tmp_path / "made", "--weights", colours, "--from", tmp_path)
    assert "There is no" in refusal(*arguments)
    content = site.files["/caltech-101.zip"]
    (tmp_path / "caltech-101.zip").write_bytes(content[:-1])
    assert "Expected" in refusal(*arguments)
    (tmp_path / "caltech-101.zip").write_bytes(content)
    dogsim(*arguments)
    assert not site.ranges
    assert names(tmp_path / "made") == ["101_ObjectCategories", "caltech101.h5"]


def test_wrong_archives(
    site: Server, colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("caltech101", tmp_path / "made", "--weights", colours)
    for content, message in [
        (b"no zip", "Cannot unpack"),
        (zip_of("caltech-101/other", b""), "contains no 101_ObjectCategories.tar.gz"),
        (zip_of("caltech-101/101_ObjectCategories.tar.gz", b"no tar"), "Expected a tar file"),
    ]:
        offer(site, content, monkeypatch)
        (tmp_path / "made" / "caltech-101.zip").unlink(missing_ok=True)
        assert message in refusal(*arguments)
        assert names(tmp_path / "made") == ["caltech-101.zip"]
    site.files = {}
    (tmp_path / "made" / "caltech-101.zip").unlink()
    assert "--from FOLDER" in refusal(*arguments)
    assert "Unknown backbone" in refusal("caltech101", tmp_path / "made", "--backbone", "resnet5")
