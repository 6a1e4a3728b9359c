import io
import struct
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import python
from conftest import REPOSITORY
from PIL import Image

from dogsim import images
from dogsim.errors import DogsimError
from dogsim.folders.listing import find_pictures
from dogsim.images import load_hashed, load_image, open_image
from dogsim.plumbing.files import bytes_sha256
from dogsim.plumbing.threads import Allowance

GRADIENT = np.add.outer(np.arange(60), 2 * np.arange(80)).astype(np.uint8)
COLOUR = np.dstack([GRADIENT, GRADIENT[::-1], np.full_like(GRADIENT, 90)])


def test_a_picture_of_the_wanted_size_passes_untouched() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    for resize in ("squash", "crop"):
        assert np.array_equal(load_image(pixels, resize=resize), pixels)


def test_squash_is_bicubic_with_antialiasing() -> None:
    checkerboard = (np.indices((400, 400)).sum(axis=0) % 2 * 255).astype(np.uint8)
    grey = load_image(checkerboard, size=50)
    assert abs(grey.astype(int) - 127).max() <= 2  # without antialiasing it would be 0 or 255
    # Bicubic with a = -0.5, as MATLAB's: doubling [0, 255] from hand-computed weights.
    # 1/4 from the near and 3/4 from the far pixel: (0.8672, 0.2266) / 1.0938 of 255.
    step = load_image(np.array([[0, 255]], np.uint8), size=4)[0, :, 0]
    assert step.tolist() == [0, 53, 202, 255]


def test_crop_is_the_usual_resize_of_the_short_side_and_centre_crop() -> None:
    rng = np.random.default_rng(3)
    smooth = Image.fromarray(rng.integers(0, 256, (12, 20, 3), np.uint8)).resize((640, 320))
    usual = smooth.resize((512, 256), Image.Resampling.BICUBIC)
    expected = np.asarray(usual.crop((144, 16, 144 + 224, 16 + 224))).astype(int)
    assert abs(load_image(smooth, resize="crop") - expected).max() <= 2


def test_crop_of_an_extreme_shape_needs_little_memory() -> None:
    assert load_image(np.zeros((1, 20_000), np.uint8), resize="crop").shape == (224, 224, 3)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "F"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    grey = Image.fromarray(GRADIENT)
    converted = open_image(grey.convert("L").convert(mode) if mode == "F" else grey.convert(mode))
    assert converted.mode == "RGB"
    tolerance = 260 if mode == "1" else 3
    assert abs(np.asarray(converted)[..., 0].astype(int) - GRADIENT).max() <= tolerance


@pytest.mark.parametrize("dtype", ["<u2", ">u2", "<i4"])
def test_sixteen_bits_keep_their_upper_half(dtype: str) -> None:
    deep = Image.fromarray((GRADIENT.astype(np.uint16) * 257).astype(dtype))
    assert np.array_equal(np.asarray(open_image(deep))[..., 0], GRADIENT)


def test_transparency_is_white(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), np.uint8)
    pixels[0, :, 3] = 255
    assert open_image(pixels).getpixel((0, 0)) == (0, 0, 0)
    assert open_image(pixels).getpixel((0, 1)) == (255, 255, 255)
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.save(tmp_path / "p.png", transparency=1)
    assert open_image(tmp_path / "p.png").getpixel((1, 0)) == (255, 255, 255)


def test_animation_gives_its_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert open_image(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    # What a camera held that way stores: undo each orientation by hand, then let it be redone.
    stored = {
        1: COLOUR,
        2: COLOUR[:, ::-1],
        3: COLOUR[::-1, ::-1],
        4: COLOUR[::-1],
        5: COLOUR.transpose(1, 0, 2),
        6: np.rot90(COLOUR),
        7: COLOUR[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(COLOUR, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(stored)).save(file, "png", exif=exif)
    assert np.array_equal(np.asarray(open_image(Image.open(file))), COLOUR)


def test_broken_exif_does_not_matter(tmp_path: Path) -> None:
    Image.fromarray(COLOUR).save(tmp_path / "x.png", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert np.array_equal(np.asarray(open_image(tmp_path / "x.png")), COLOUR)


@pytest.mark.parametrize(
    ("array", "received"),
    [
        (np.zeros((4, 4)), "float64"),
        (np.zeros((4, 4, 2), np.uint8), r"\(4, 4, 2\)"),
        (np.zeros((0, 4), np.uint8), r"\(0, 4\)"),
        (np.zeros(4, np.uint8), r"\(4,\)"),
    ],
)
def test_other_arrays_are_refused(
    array: "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]", received: str
) -> None:
    with pytest.raises(DogsimError, match=rf"Received an array .*{received}.*Expected"):
        load_image(array)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("<html>not found</html>")
    (tmp_path / "empty.png").touch()
    whole = io.BytesIO()
    Image.fromarray(COLOUR).save(whole, "jpeg")
    (tmp_path / "half.jpg").write_bytes(whole.getvalue()[: len(whole.getvalue()) // 2])
    for name, reason in [
        ("text.jpg", "no known picture format"),
        ("empty.png", "no known picture format"),
        ("half.jpg", "(?i)truncated"),
        ("missing.jpg", "There is no picture"),
        ("", "Received the folder"),
    ]:
        with pytest.raises(DogsimError, match=reason) as caught:
            load_image(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(DogsimError, match="Expected a path, a uint8 array or a PIL image"):
        load_image(7)  # type: ignore[arg-type]
    with pytest.raises(DogsimError, match="Unknown resize 'crap'; did you mean 'crop'"):
        load_image(COLOUR, resize="crap")


def saved(path: Path, pixels: "np.ndarray[tuple[int, ...], np.dtype[Any]]") -> Path:
    Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize(
    "pixels",
    [
        GRADIENT.astype(np.int32),  # 8 bits in 32
        GRADIENT.astype(np.uint16) * 257 // 16,  # 12 bits in 16
        GRADIENT.astype(np.int32) * 257,
        GRADIENT.astype(np.float32),
        GRADIENT.astype(np.float32) / 255,
        GRADIENT.astype(np.float32) / np.float32(254.9),  # a little beyond white
    ],
)
def test_deep_grey_is_scaled_by_its_range(
    tmp_path: Path, pixels: "np.ndarray[tuple[int, ...], np.dtype[Any]]"
) -> None:
    read = np.asarray(open_image(saved(tmp_path / "x.tif", pixels)))[..., 0].astype(int)
    assert abs(read - GRADIENT).max() <= 1


@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (np.full((4, 4), 70_000, np.int32), "70000 to 70000. Expected whole numbers from 0 to"),
        (np.full((4, 4), -1, np.int32), "Expected whole numbers"),
        (np.full((4, 4), 1000, np.float32), "Expected floats to 1 or to 255"),
        (np.full((4, 4), np.nan, np.float32), "Expected floats"),
    ],
)
def test_grey_of_no_known_range_is_refused(
    tmp_path: Path, pixels: "np.ndarray[tuple[int, ...], np.dtype[Any]]", expected: str
) -> None:
    with pytest.raises(DogsimError, match=expected):
        load_image(saved(tmp_path / "x.tif", pixels))


def test_deep_grey_is_upright_as_well(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GRADIENT.astype(np.uint16) * 257).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(np.asarray(open_image(tmp_path / "x.png"))[..., 0], np.rot90(GRADIENT, 3))


def test_only_formats_of_pictures_are_decoded(tmp_path: Path) -> None:
    """PostScript would be run by Ghostscript, whatever the file is called."""
    for suffix in ("eps", "pcx", "tga", "ico", "im"):
        file = tmp_path / f"x.{suffix}"
        Image.new("RGB", (16, 16)).save(file)
        with pytest.raises(DogsimError, match="no known picture format"):
            open_image(file.rename(file.with_suffix(".jpg")))


def test_a_picture_is_writable_and_of_a_size() -> None:
    for size in (60, 80, 8):
        load_image(COLOUR[:60, :60], size)[0, 0, 0] = 1
    for size in (0, -1, 10**7):
        with pytest.raises(DogsimError, match=f"Received size={size}. Expected 1 to"):
            load_image(COLOUR, size)


def test_a_caller_s_image_stays_as_it_is() -> None:
    image = Image.fromarray(COLOUR)
    open_image(image).putpixel((0, 0), (1, 2, 3))
    assert np.array_equal(np.asarray(image), COLOUR)


def test_a_limit_on_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
    file = saved(tmp_path / "x.png", noise)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)  # of the program around; it stays
    assert open_image(file).size == (1200, 900)
    assert Image.MAX_IMAGE_PIXELS == 1000
    monkeypatch.setenv("DOGSIM_MAX_MEGAPIXELS", "1")
    with pytest.raises(DogsimError, match=r"1 megapixels, more than 1 \(DOGSIM_MAX_MEGAPIXELS"):
        open_image(file)
    monkeypatch.setenv("DOGSIM_MAX_MEGAPIXELS", "0.1")
    with pytest.raises(DogsimError, match=r"the file has 3,\d+,\d+ bytes, more than 800,000"):
        open_image(file)
    for wrong in ("many", "-1", "nan", "inf"):
        monkeypatch.setenv("DOGSIM_MAX_MEGAPIXELS", wrong)
        with pytest.raises(DogsimError, match=f"Received DOGSIM_MAX_MEGAPIXELS={wrong}. Expected"):
            open_image(file)


def write_bomb(file: Path, side: int) -> None:
    """Write a PNG of black pixels, packed a thousand times."""
    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    parts = {b"IHDR": header, b"IDAT": rows, b"IEND": b""}
    with file.open("wb") as out:
        out.write(b"\x89PNG\r\n\x1a\n")
        for kind, data in parts.items():
            checksum = struct.pack(">I", zlib.crc32(kind + data))
            out.write(struct.pack(">I", len(data)) + kind + data + checksum)


READ_BY_EIGHT = """
import sys
from concurrent.futures import ThreadPoolExecutor
from memory import peak_megabytes
from dogsim.errors import DogsimError
from dogsim.images import load_image

def load(file):
    try:
        return load_image(file).shape
    except DogsimError as error:
        return error

with ThreadPoolExecutor(8) as pool:
    told = {str(each) for each in pool.map(load, [sys.argv[1]] * 8)}
print(peak_megabytes(), *told, sep="|")
"""


def read_by_eight(file: Path, **environment: str) -> tuple[int, str]:
    done = python("-c", READ_BY_EIGHT, file, PYTHONPATH=str(REPOSITORY / "tests"), **environment)
    assert done.stderr == ""
    megabytes, told = done.stdout.strip().split("|")
    return int(megabytes), told


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process' peak of memory")
def test_a_bomb_is_told_in_little_memory(tmp_path: Path) -> None:
    write_bomb(tmp_path / "bomb.png", 13_000)
    assert (tmp_path / "bomb.png").stat().st_size < 400_000
    megabytes, told = read_by_eight(tmp_path / "bomb.png")
    assert "169 megapixels are no photo (DOGSIM_MAX_MEGAPIXELS=169 reads it all the same)" in told
    assert megabytes < 300


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells a process' peak of memory")
def test_memory_does_not_grow_with_the_threads(tmp_path: Path) -> None:
    write_bomb(tmp_path / "large.png", 7_000)  # 49 megapixels: two at a time
    megabytes, told = read_by_eight(tmp_path / "large.png")
    assert told == "(224, 224, 3)"
    assert megabytes < 800  # eight at a time take 2000


def test_large_pictures_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    allowance, at_once, most = Allowance(100), [], []

    def decode(pixels: int) -> None:
        with allowance.take(pixels):
            at_once.append(pixels)
            most.append(sum(at_once))
            time.sleep(0.01)
            at_once.remove(pixels)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [60, 60, 30, 30, 30, 200, 10, 10] * 3))
    assert len(most) == 24
    assert max(most) == 200  # alone
    assert max(sum_ for sum_ in most if sum_ != 200) <= 100


def test_heic_is_read_or_the_extra_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x.heic"
    file.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    monkeypatch.setattr(images, "_formats", lambda: ["JPEG", "PNG"])
    with pytest.raises(DogsimError, match=r'pip install "dogsim\[heic\]"'):
        open_image(file)
    file.write_bytes(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif")
    with pytest.raises(DogsimError, match="AVIF pictures are read by Pillow from 11.3"):
        open_image(file)
    monkeypatch.undo()
    heif = pytest.importorskip("pillow_heif", reason="HEIC is read where pillow-heif is installed")
    heif.register_heif_opener()
    Image.fromarray(COLOUR).save(file, "HEIF", quality=100)
    assert abs(np.asarray(open_image(file)).astype(int) - COLOUR).mean() < 5


def test_what_is_hashed_is_what_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the file is replaced right after it was read."""
    file = saved(tmp_path / "x.png", COLOUR)
    content = file.read_bytes()
    reading = images.read_picture_bytes

    def replaced(path: Path) -> bytes:
        read = reading(path)
        saved(path, GRADIENT)
        return read

    monkeypatch.setattr(images, "read_picture_bytes", replaced)
    pixels, sha256 = load_hashed(file, 8, "squash")
    assert sha256 == bytes_sha256(content)
    assert pixels is not None
    assert np.array_equal(pixels, load_image(COLOUR, 8))
    file.write_bytes(content)
    assert load_hashed(file, 8, "squash", {sha256}) == (None, sha256)


def test_find_pictures_follows_links(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "1.png").touch()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "away")
    (tmp_path / "photos" / "round").symlink_to(tmp_path / "photos")
    assert find_pictures(tmp_path / "photos") == [tmp_path / "photos" / "linked" / "1.png"]


def test_find_pictures(tmp_path: Path) -> None:
    for name in ("b/2.JPG", "b/1.jpeg", "a.png", ".hidden.png", ".git/x.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "folder.jpg").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in find_pictures(tmp_path)]
    assert found == ["a.png", "b/1.jpeg", "b/2.JPG"]
    assert find_pictures(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    with pytest.raises(DogsimError, match="no picture in the folder"):
        find_pictures(tmp_path / "folder.jpg")
