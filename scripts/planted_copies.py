"""Edited copies of a photo, by which the search for duplicates is judged.

Each function takes an RGB image and a random generator and returns a copy. `COPIES` lists them by
name: the changes that people and programs make to photos, and a few combinations of them. A crop
keeps at least 60 % of each side. The same seed makes the same copies.

    python scripts/planted_copies.py PHOTO OUT_DIR
"""

import argparse
import io
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

Copy: TypeAlias = Callable[[Image.Image, np.random.Generator], Image.Image]

BICUBIC = Image.Resampling.BICUBIC
MIN_CROP = 0.6  # of a side
MIN_RESIZED = 96  # pixels of the shorter side
ANGLES = 3, 30  # degrees
QUALITIES = 70, 95  # of the saved copies
SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])
CAPTION = "when the dog hears you open a bag of treats at three in the morning and wants one"


def reencoded(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Save with a low JPEG quality."""
    content = io.BytesIO()
    image.save(content, "jpeg", quality=int(rng.integers(20, 60)))
    return Image.open(content).convert("RGB")


def resized(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = 1.5 if rng.random() < 0.2 else rng.uniform(0.3, 0.8)
    factor = max(factor, min(1.0, MIN_RESIZED / min(image.size)))
    return _scaled(image, factor, factor)


def stretched(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    factor = rng.uniform(1.15, 1.5)
    return _scaled(image, *((factor, 1.0) if rng.random() < 0.5 else (1 / factor, 1.0)))


def brightened(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.5:
        return _with_levels(image, lambda levels: levels ** rng.uniform(0.5, 0.75))
    return _with_levels(image, lambda levels: levels * rng.uniform(1.2, 1.5))


def darkened(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    if rng.random() < 0.5:
        return _with_levels(image, lambda levels: levels ** rng.uniform(1.4, 2))
    return _with_levels(image, lambda levels: levels * rng.uniform(0.5, 0.8))


def grey(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.convert("L").convert("RGB")


def toned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Make sepia, change the white balance or the saturation, or fade."""
    way = rng.choice(["sepia", "warmer", "colder", "saturation", "faded"])
    if way == "sepia":
        return _with_levels(image, lambda levels: levels @ SEPIA.T)
    if way in ("warmer", "colder"):
        step = rng.uniform(0.08, 0.2) * (1 if way == "warmer" else -1)
        return _with_levels(image, lambda levels: levels * np.array([1 + step, 1, 1 - step]))
    if way == "saturation":
        return ImageEnhance.Color(image).enhance(float(rng.choice([0.4, 1.6])))
    return _with_levels(ImageEnhance.Color(image).enhance(0.75), lambda levels: 0.12 + 0.8 * levels)


def blurred(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    radius = rng.uniform(0.004, 0.01) * min(image.size)
    return image.filter(ImageFilter.GaussianBlur(max(radius, 0.6)))


def watermarked(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Write half-transparent text across the image, once or many times."""
    width, height = image.size
    layer = Image.new("L", (2 * max(width, height),) * 2, 0)
    draw, size = ImageDraw.Draw(layer), max(8, int(min(width, height) * rng.uniform(0.08, 0.16)))
    text = "(c) " + "".join(chr(97 + int(n)) for n in rng.integers(0, 26, 8)) + ".com"
    opacity = int(rng.integers(70, 150))
    if rng.random() < 0.5:
        for y in range(0, layer.height, 4 * size):
            draw.text((0, y), (text + "     ") * 6, fill=opacity, font_size=size)
    else:
        middle = layer.width // 2, layer.height // 2
        draw.text(middle, text, fill=opacity, font_size=size, anchor="mm")
    layer = layer.rotate(float(rng.uniform(-40, 40)), BICUBIC)
    left, top = (layer.width - width) // 2, (layer.height - height) // 2
    copy = image.copy()
    copy.paste("white", (0, 0, *image.size), layer.crop((left, top, left + width, top + height)))
    return copy


def captioned(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Write outlined text over the image at both ends, or text on a strip beside it."""
    width, height = image.size
    size, start = max(8, int(height * rng.uniform(0.07, 0.12))), int(rng.integers(0, 30))
    text = CAPTION[start : start + max(8, 2 * width // size)]
    if rng.random() < 0.5:
        copy, outline = image.copy(), max(1, size // 14)
        draw = ImageDraw.Draw(copy)
        for y, anchor in ((2, "ma"), (height - 2, "md")):
            draw.text(
                (width // 2, y), text.upper(), "white", font_size=size, anchor=anchor,
                stroke_width=outline, stroke_fill="black",
            )  # fmt: skip
        return copy
    strip, above = int(height * rng.uniform(0.15, 0.3)), bool(rng.random() < 0.5)
    paper, ink = ("white", "black") if rng.random() < 0.6 else ("black", "white")
    copy = Image.new("RGB", (width, height + strip), paper)
    copy.paste(image, (0, strip if above else 0))
    place = width // 2, strip // 2 + (0 if above else height)
    ImageDraw.Draw(copy).text(place, text, ink, font_size=min(size, strip), anchor="mm")
    return copy


def framed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add a border of one colour, up to 10 % of the shorter side wide."""
    border = max(2, round(min(image.size) * rng.uniform(0.02, 0.1)))
    colours: list[str | tuple[int, ...]] = ["white", "black"]
    colours += [tuple(rng.integers(0, 256, 3).tolist()) for _ in range(2)]
    return ImageOps.expand(image, border, colours[int(rng.integers(4))])


def letterboxed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Add bars at two opposite sides, up to a square, 16:9 or 9:16."""
    width, height = image.size
    other_shapes = [a for a in (1, 16 / 9, 9 / 16) if not 0.9 < a * height / width < 1.12]
    aspect = other_shapes[int(rng.integers(len(other_shapes)))]
    size = max(width, round(height * aspect)), max(height, round(width / aspect))
    copy = Image.new("RGB", size, ("black", "black", "white")[int(rng.integers(3))])
    copy.paste(image, ((size[0] - width) // 2, (size[1] - height) // 2))
    return copy


def mirrored(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.mirror(image)


def upside_down(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return ImageOps.flip(image)


def rotated_90(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_90)


def rotated_180(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_180)


def rotated_270(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_270)


def rotated(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Rotate by up to 30 degrees, with empty corners, on a larger canvas or not."""
    fill = ("black", "black", "white")[int(rng.integers(3))]
    expand = bool(rng.random() < 0.5)
    return image.rotate(_angle(rng), BICUBIC, expand=expand, fillcolor=fill)


def rotated_and_cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Rotate by up to 30 degrees and crop to the same shape without empty corners."""
    (width, height), angle = image.size, _angle(rng)
    while (share := _inner_fraction(width, height, angle)) < MIN_CROP:
        angle *= 0.95
    inner = int(share * width), int(share * height)
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    return image.rotate(angle, BICUBIC).crop((left, top, left + inner[0], top + inner[1]))


def cropped(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop to 60 to 95 % of both sides, anywhere."""
    fraction = rng.uniform(MIN_CROP, 0.95)
    return _crop(image, rng, fraction, fraction)


def cropped_to_60_percent(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _crop(image, rng, MIN_CROP, MIN_CROP)


def cropped_to_another_shape(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop to 60 to 100 % of each side."""
    return _crop(image, rng, rng.uniform(MIN_CROP, 1), rng.uniform(MIN_CROP, 1))


def square(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    return _crop_to_aspect(image, rng, 1)


def wide(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop to 16:9, or to 9:16 if the image is higher than wide."""
    return _crop_to_aspect(image, rng, 16 / 9 if image.width >= image.height else 9 / 16)


def training_image(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Crop to another shape and squash to 224 x 224."""
    return cropped_to_another_shape(image, rng).resize((224, 224), BICUBIC)


def _in_turn(*copies: Copy) -> Copy:
    def changed(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        for copy in copies:
            image = copy(image, rng)
        return image

    return changed


COPIES: dict[str, Copy] = {
    **{
        copy.__name__.replace("_", " "): copy
        for copy in (
            *(reencoded, resized, stretched, brightened, darkened, grey, toned, blurred),
            *(watermarked, captioned, framed, letterboxed, mirrored, upside_down),
            *(rotated_90, rotated_180, rotated_270, rotated, rotated_and_cropped),
            *(cropped, cropped_to_60_percent, cropped_to_another_shape, square, wide),
        )
    },
    "mirrored, cropped, reencoded": _in_turn(mirrored, cropped, reencoded),
    "cropped, grey": _in_turn(cropped_to_another_shape, grey),
    "rotated 90, resized": _in_turn(rotated_90, resized),
    "square, toned": _in_turn(square, toned),
    "letterboxed, resized, reencoded": _in_turn(letterboxed, resized, reencoded),
    "mirrored, brightened, captioned": _in_turn(mirrored, brightened, captioned),
    "training image": training_image,
}


def save_copy(image: Image.Image, kind: str, file: Path, seed: int) -> None:
    """Save a copy of one of the `COPIES` as JPEG."""
    rng = np.random.default_rng(seed)
    COPIES[kind](image, rng).save(file, "jpeg", quality=int(rng.integers(*QUALITIES)))


def _scaled(image: Image.Image, across: float, down: float) -> Image.Image:
    size = max(8, round(image.width * across)), max(8, round(image.height * down))
    return image.resize(size, BICUBIC)


def _with_levels(
    image: Image.Image, change: Callable[[NDArray[np.float64]], NDArray[np.float64]]
) -> Image.Image:
    """Change the levels of an image, from 0 to 1."""
    changed = change(np.asarray(image, np.float64) / 255)
    return Image.fromarray(np.uint8(np.round(255 * np.clip(changed, 0, 1))))


def _angle(rng: np.random.Generator) -> float:
    return float(rng.uniform(*ANGLES) * (1 if rng.random() < 0.5 else -1))


def _inner_fraction(width: int, height: int, angle: float) -> float:
    """Return the largest part of both sides that a rotated image fills without empty corners."""
    sine, cosine = np.abs([np.sin(np.radians(angle)), np.cos(np.radians(angle))])
    return float(
        min(
            width / (width * cosine + height * sine),
            height / (width * sine + height * cosine),
        )
    )


def _crop(image: Image.Image, rng: np.random.Generator, across: float, down: float) -> Image.Image:
    """Crop to these fractions of the sides, at a random place."""
    width, height = (
        min(side, max(1, int(np.ceil(fraction * side))))
        for side, fraction in zip(image.size, (across, down), strict=True)
    )
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _crop_to_aspect(image: Image.Image, rng: np.random.Generator, aspect: float) -> Image.Image:
    """Crop to width / height = `aspect`, or as near as 60 % of each side allow."""
    relative = aspect * image.height / image.width
    return _crop(image, rng, max(min(relative, 1), MIN_CROP), max(min(1 / relative, 1), MIN_CROP))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photo", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    image = ImageOps.exif_transpose(Image.open(arguments.photo)).convert("RGB")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind in COPIES:
        save_copy(image, kind, arguments.out / f"{kind}.jpg", seed=0)


if __name__ == "__main__":
    main()
