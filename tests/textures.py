"""Drawn images with the detail of photos, and edited copies of them."""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

SIZE = (330, 250)


def texture(seed: int, size: tuple[int, int] = SIZE) -> Image.Image:
    """Draw blobs of several sizes and colours."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(
                np.uint8(rng.integers(0, 256, (size[1] // step, size[0] // step, 3)))
            ).resize(size, Image.Resampling.BICUBIC),
            np.float32,
        )
        for step in (6, 15, 40)
    ]
    return Image.fromarray(np.uint8(np.mean(layers, axis=0)))


def with_object(background: Image.Image, seed: int) -> Image.Image:
    """Put a textured disc in front of a background."""
    mask = Image.new("L", background.size)
    width, height = background.size
    ImageDraw.Draw(mask).ellipse((width // 4, height // 8, width * 3 // 4, height * 7 // 8), 255)
    return Image.composite(texture(seed, background.size), background, mask)


def garment(colour: tuple[int, int, int]) -> Image.Image:
    """Draw a garment with folds in one colour on white."""
    folds = np.asarray(texture(3).convert("L"), np.float32)[:, :, None] / 255
    cloth = Image.fromarray(np.uint8(np.clip(np.array(colour) * (0.4 + 1.2 * folds), 0, 255)))
    mask = Image.new("L", SIZE)
    shape = [(90, 20), (240, 20), (320, 90), (270, 120), (250, 90), (250, 240), (80, 240), (80, 90)]
    ImageDraw.Draw(mask).polygon([*shape, (60, 120), (10, 90)], 255)
    return Image.composite(cloth, Image.new("RGB", SIZE, "white"), mask)


def next_shot(image: Image.Image) -> Image.Image:
    """Return the same flat scene from a slightly different place, with other noise."""
    width, height = image.size
    perspective = (1.02, 0.03, -4, -0.01, 1.03, 3, 0.00012, 0.00009)
    moved = image.transform((width, height), Image.Transform.PERSPECTIVE, perspective,
                            Image.Resampling.BICUBIC)  # fmt: skip
    noise = np.random.default_rng(9).normal(0, 4, (height, width, 3))
    pixels: NDArray[np.float64] = np.asarray(moved) + noise
    inner = Image.fromarray(np.uint8(pixels.clip(0, 255)))
    return inner.crop((15, 15, width - 15, height - 15))


def page(seed: int) -> Image.Image:
    """Draw a page of text; the words differ, the layout does not."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (340, 440), "white")
    draw = ImageDraw.Draw(image)
    draw.text((170, 20), "Journal of Images", "black", font_size=18, anchor="mm")
    for line in range(20):
        words = ("".join(map(chr, rng.integers(97, 123, rng.integers(2, 9)))) for _ in range(7))
        draw.text((20, 50 + 18 * line), " ".join(words)[:44], "black", font_size=12)
    return image


def reencoded(image: Image.Image, quality: int = 40) -> Image.Image:
    content = io.BytesIO()
    image.save(content, "jpeg", quality=quality)
    return Image.open(content).convert("RGB")


def with_text(image: Image.Image) -> Image.Image:
    copy = image.copy()
    position = (image.width // 2, image.height // 8)
    ImageDraw.Draw(copy).text(
        position, "WHEN YOU SEE IT", "white", font_size=24, anchor="mm", stroke_width=2,
        stroke_fill="black",
    )  # fmt: skip
    return copy


def sepia(image: Image.Image) -> Image.Image:
    matrix = [[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]]
    return Image.fromarray(np.uint8((np.asarray(image) @ np.transpose(matrix)).clip(0, 255)))


MIRROR, HALF_TURN = Image.Transpose.FLIP_LEFT_RIGHT, Image.Transpose.ROTATE_180
# Copies by the text that describes them.
COPIES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "re-encoded": reencoded,
    "mirrored": lambda image: image.transpose(MIRROR),
    "rotated by 180 degrees": lambda image: image.transpose(HALF_TURN),
    "rotated by 90 degrees": lambda image: image.transpose(Image.Transpose.ROTATE_270),
    "mirrored, rotated by 180 degrees": ImageOps.flip,
    "rotated by -20 degrees, extended": lambda image: image.rotate(20, expand=True),
    "stretched": lambda image: image.resize((image.width, image.height * 2 // 3)),
    "cropped to 42 %": lambda image: image.crop((40, 30, 254, 192)),
    "extended": lambda image: ImageOps.expand(image, 30, "navy"),
    "grey": lambda image: image.convert("L").convert("RGB"),
    "toned, brighter": sepia,
    "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
    "blurred": lambda image: image.filter(ImageFilter.GaussianBlur(1.8)),
    "with text or a mark": with_text,
    "mirrored, cropped to 69 %, grey": lambda image: (
        ImageOps.grayscale(image.crop((30, 20, 320, 217))).transpose(MIRROR).convert("RGB")
    ),
}
