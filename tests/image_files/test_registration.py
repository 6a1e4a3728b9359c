"""Copies of tiny, plain and blurred images are registered; similar images are not."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from dogsim.image_files.alignment import find_keypoints
from dogsim.image_files.registration import register
from dogsim.image_files.small_image import SmallImage, small_image
from planted_copies import COPIES


def small(image: Image.Image) -> SmallImage:
    pixels = np.asarray(image)
    return small_image(pixels, find_keypoints(pixels))


def garment(seed: int, size: int = 28) -> Image.Image:
    """Draw a light garment on black at the size of a thumbnail; its print differs by seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (280, 280))
    draw = ImageDraw.Draw(image)
    waist, hem = rng.integers(60, 80), rng.integers(55, 85)
    grey = int(rng.integers(120, 230))
    outline = [(80, 20), (200, 20), (260, 90), (230, 130), (280 - waist, 120), (280 - hem, 265)]
    outline += [(hem, 265), (waist, 120), (50, 130), (20, 90)]
    draw.polygon(outline, fill=(grey,) * 3)
    for _ in range(3):
        x, y, r = rng.integers(90, 190), rng.integers(60, 240), rng.integers(10, 30)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(int(rng.integers(20, 255)),) * 3)
    return image.resize((size, size), Image.Resampling.BOX)


def out_of_focus(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    blobs = Image.fromarray(rng.integers(0, 256, (6, 8, 3), np.uint8))
    large = blobs.resize((320, 240), Image.Resampling.BICUBIC)
    return large.filter(ImageFilter.GaussianBlur(8))


WITH_FULL_STRUCTURE = ["reencoded", "stretched", "grey", "blurred", "framed", "letterboxed"]
TURNED = ["mirrored", "upside down", "rotated 90", "rotated 180", "rotated 270", "rotated"]
CROPPED = ["cropped", "cropped to another shape", "square", "wide"]


@pytest.mark.parametrize("kind", [*WITH_FULL_STRUCTURE, *TURNED, *CROPPED])
@pytest.mark.parametrize("draw", [garment, out_of_focus])
def test_copies_are_registered(draw: Callable[[int], Image.Image], kind: str) -> None:
    """At least two of three: some crops of 28 pixels leave too little."""
    images = [draw(seed) for seed in range(3)]
    copies = [COPIES[kind](image, np.random.default_rng(7)) for image in images]
    found = [register(small(a), small(b)) for a, b in zip(images, copies, strict=True)]
    assert sum(each is not None for each in found) >= 2
