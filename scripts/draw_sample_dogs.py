"""Draw the sample dogs: 12 breeds x 25 images for the gallery, and one query image per breed.

    python scripts/draw_sample_dogs.py [OUT_DIR]

The drawings need no licence but the project's own, and a network trained on photographs can
distinguish their breeds. Position, size, direction, pose, colour and background depend only on the
breed's name and the image's number: a second run writes the same images, and a new breed does not
change the others.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import Image, ImageOps

from drawing import OVERSAMPLING, place_dog, put_dog
from sample_breeds import BREEDS
from sample_scenes import draw_scene

PER_BREED = 25
QUERY_NUMBER = 0  # of a breed's query image; gallery images are numbered from 1
JPEG_QUALITY = 82


def draw_dog(breed: str, number: int) -> Image.Image:
    """Return image `number` of a breed, RGB; the result is deterministic."""
    return draw_with_box(breed, number)[0]


def draw_with_box(breed: str, number: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Return the image and the box of the dog in it: left, top, right, bottom."""
    rng = Random(f"{breed}/{number}")
    width, height = round(rng.uniform(280, 320)), round(rng.uniform(224, 256))
    size = width * OVERSAMPLING, height * OVERSAMPLING
    image, frame = draw_scene(size, rng), place_dog(BREEDS[breed], size, rng)
    left, top, right, bottom = put_dog(image, BREEDS[breed], frame, rng)
    if rng.random() < 0.5:
        image, left, right = ImageOps.mirror(image), size[0] - right, size[0] - left
    image = image.resize((width, height), Image.Resampling.LANCZOS)
    ends = math.ceil(right / OVERSAMPLING), math.ceil(bottom / OVERSAMPLING)
    return image, (left // OVERSAMPLING, top // OVERSAMPLING, *ends)


def main(argv: Sequence[str] | None = None) -> None:
    """Write all images to the folder given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(__file__).resolve().parent.parent / "data"
    parser.add_argument("out_dir", nargs="?", type=Path, default=default, metavar="OUT_DIR")
    out_dir: Path = parser.parse_args(argv).out_dir
    for breed in BREEDS:
        files = {QUERY_NUMBER: out_dir / "sample_queries" / f"{breed}.jpg"}
        for number in range(1, PER_BREED + 1):
            files[number] = out_dir / "sample_dogs" / breed / f"{number:02}.jpg"
        for number, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            draw_dog(breed, number).save(file, quality=JPEG_QUALITY, optimize=True)
    print(f"{len(BREEDS) * (PER_BREED + 1)} images written to {out_dir}")


if __name__ == "__main__":
    main()
