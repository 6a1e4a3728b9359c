"""Test folders with damaged, unusual and hostile files: only these files are skipped."""

import inspect
import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogsim.errors import DogsimError
from dogsim.folders.listing import find_images, list_images
from dogsim.images import load_image, open_image
from dogsim.plumbing.terminal import printable

COLOURS = np.dstack(np.broadcast_arrays(np.arange(0, 240, 4)[:, None], np.arange(80)[None], 99))
IMAGE = Image.fromarray(COLOURS.astype(np.uint8))


def encoded(kind: str, image: Image.Image = IMAGE, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


JPEG = encoded("jpeg")
READABLE = {
    "cmyk.jpg": encoded("jpeg", IMAGE.convert("CMYK")),
    "sixteen_bits.png": encoded("png", Image.fromarray(COLOURS[..., 0].astype(np.uint16) * 257)),
    "palette.png": encoded("png", IMAGE.convert("P"), transparency=3),
    "la.png": encoded("png", IMAGE.convert("LA")),
    "one_bit.png": encoded("png", IMAGE.convert("1")),
    "animated.gif": encoded("gif", save_all=True, append_images=[IMAGE.rotate(90)]),
    "animated.webp": encoded("webp", save_all=True, append_images=[IMAGE.rotate(90)]),
    "dot.png": encoded("png", Image.new("RGB", (1, 1))),
    "line.png": encoded("png", Image.new("RGB", (1, 20_000))),
    "broken_exif.jpg": encoded("jpeg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
    "name with spaces.jpg": JPEG,
    "two\nlines.jpg": JPEG,
    "été 犬.jpg": JPEG,
    "x" * 240 + ".jpg": JPEG,
    "UPPER.JPG": JPEG,
    "deep/er/still.jpg": JPEG,
    "no suffix": JPEG,
    "photo.jpg_large": JPEG,
    "photo.jpg!d": JPEG,
    "bitmap.pbm": encoded("ppm", IMAGE.convert("1")),
    "grey.pnm": encoded("ppm", IMAGE.convert("L")),
    "wrong.svg": JPEG,
}
UNREADABLE = {
    "zero.jpg": b"",
    "half.jpg": JPEG[: len(JPEG) // 2],
    "garbage.jpg": bytes(range(256)) * 20,
    "text.png": b"This is no image.",
    "page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
    "photo.heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200),
}


# Their formats are those of images, but not supported.
UNSUPPORTED = {"a.jp2": encoded("jpeg2000"), "a.tga": encoded("tga"), "a.svg": b"<svg></svg>"}
OTHERS = {
    "Thumbs.db": b"\xd0\xcf\x11\xe0" + bytes(99),
    "notes.txt": b"BM is no bitmap.",
    "empty": b"",
}
needs_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="other systems do not allow such names and files"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    breed = tmp_path / "photos" / "pug"
    for name, content in {**READABLE, **UNREADABLE}.items():
        (breed / name).parent.mkdir(parents=True, exist_ok=True)
        (breed / name).write_bytes(content)
    for name in (".hidden.jpg", "._photo.jpg", ".cache/a.jpg", "@eaDir/x.jpg/THUMB_M.jpg"):
        (breed / name).parent.mkdir(parents=True, exist_ok=True)
        (breed / name).write_bytes(JPEG)
    for name, content in {**OTHERS, **UNSUPPORTED}.items():
        (breed / name).write_bytes(content)
    (breed / "folder.jpg").mkdir()
    os.mkfifo(breed / "fifo.jpg")
    (breed / "dangling.jpg").symlink_to(breed / "gone.jpg")
    (breed / "loop.jpg").symlink_to(breed / "loop.jpg")
    (breed / "up").symlink_to(breed.parent)
    (tmp_path / "photos" / "empty_breed").mkdir()
    (tmp_path / "photos" / "Pug").mkdir()
    (tmp_path / "photos" / "Pug" / "other_case.jpg").write_bytes(JPEG)
    (tmp_path / "photos" / "stray.jpg").write_bytes(JPEG)
    (breed / os.fsdecode(b"not\xffutf8.jpg")).write_bytes(JPEG)
    return tmp_path / "photos"


@needs_linux
def test_the_listing(folder: Path) -> None:
    listing = list_images(folder)
    listed = {image.path.removeprefix("pug/") for image in listing.images}
    assert listed == {*READABLE, *UNREADABLE, "fifo.jpg", "Pug/other_case.jpg"}
    assert [each.path for each in listing.left_out] == ["pug/@eaDir", "pug/up"]
    assert listing.inaccessible == []
    assert {Path(path).name for path in listing.others} == {*OTHERS}
    assert {each.path: each.reason for each in listing.skipped} == {
        "stray.jpg": "it is in no breed folder",
        "pug/dangling.jpg": "No such file or directory",
        "pug/loop.jpg": "Too many levels of symbolic links",
        "pug/not\\xffutf8.jpg": "its name is not UTF-8",
        **{
            f"pug/{name}": "its format is not supported: convert it to JPEG or PNG"
            for name in UNSUPPORTED
        },
    }


@needs_linux
def test_a_folder_nested_deeper_than_calls_can_be(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(100):
        deep /= "d"
        deep.mkdir()
    (deep / "a.jpg").write_bytes(JPEG)
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 60)  # folders 1,000 deep take long to remove
    try:
        assert [each.path for each in list_images(tmp_path).images] == ["d/" * 100 + "a.jpg"]
        assert find_images(tmp_path) == [deep / "a.jpg"]
    finally:
        sys.setrecursionlimit(limit)


@needs_linux
def test_readable_files(folder: Path) -> None:
    for name in READABLE:
        assert load_image(folder / "pug" / name, 32).shape == (32, 32, 3)
    for name in [*UNREADABLE, "fifo.jpg", "folder.jpg"]:
        with pytest.raises(DogsimError):
            load_image(folder / "pug" / name, 32)


@needs_linux
def test_a_whole_run(folder: Path, tmp_path: Path) -> None:
    from test_create_dataset import run

    from dogsim.dataset import Dataset

    result = run(folder, tmp_path / "d.h5")
    made = Dataset.open(tmp_path / "d.h5")
    assert {path.removeprefix("pug/") for path in made.paths} == {*READABLE, "Pug/other_case.jpg"}
    assert {Path(each["path"]).name for each in result["skipped"]} == {
        *UNREADABLE,
        *UNSUPPORTED,
        *("fifo.jpg", "stray.jpg", "dangling.jpg", "loop.jpg", "not\\xffutf8.jpg", "up", "@eaDir"),
    }
    for row, path in enumerate(made.paths):  # each row has the features of its own image
        mean = load_image(folder / path, 16).mean(axis=(0, 1))
        np.testing.assert_allclose(made.features[row], mean, rtol=1e-5)
    table = (tmp_path / "d.h5.skipped.csv").read_text().splitlines()
    assert table[0] == "path,reason"
    assert len(table) == 1 + len(result["skipped"])


def test_a_truncated_jpeg_is_read_or_rejected(tmp_path: Path) -> None:
    for cut in range(1, 40):
        (tmp_path / "cut.jpg").write_bytes(JPEG[:-cut])
        try:
            assert open_image(tmp_path / "cut.jpg").size == IMAGE.size
        except DogsimError as error:
            assert "cut.jpg" in str(error)  # noqa: PT017


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "webp", "bmp", "tiff"])
def test_flipped_bytes(kind: str, tmp_path: Path) -> None:
    """Thousands of damaged files give an image or a `DogsimError`, nothing else."""
    rng = np.random.default_rng(len(kind))
    whole = np.frombuffer(encoded(kind), np.uint8)
    refused = 0
    for _ in range(700):
        damaged = whole.copy()
        places = rng.integers(0, len(whole), rng.integers(1, 12))
        damaged[places] = rng.integers(0, 256, len(places))
        (tmp_path / "x").write_bytes(
            damaged[: rng.integers(len(whole) // 2, 2 * len(whole))].tobytes()
        )
        try:
            assert load_image(tmp_path / "x", 8).shape == (8, 8, 3)
        except DogsimError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
    assert refused > 0


def test_any_name_is_printed_in_one_line() -> None:
    assert printable("a\nb\t\x1b[31m\udcff") == r"a\nb\t\x1b[31m\xff"
