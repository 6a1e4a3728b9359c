"""Draw the sample dogs: 12 breeds x 25 pictures to search, and one query picture a breed.

    python scripts/draw_sample_dogs.py [OUT_DIR]

The drawings are nobody's photographs, so they carry no licence but the project's own, and yet a
network trained on photographs tells their breeds apart. Place, size, direction, pose, shade and
background vary with the breed's name and the picture's number alone: a second run writes the same
pictures, and a new breed changes none of the others.
"""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from random import Random

from PIL import Image, ImageOps

from sample_breeds import BREEDS
from sample_pen import OVERSAMPLING, place_dog, put_dog
from sample_scenes import draw_scene

PER_BREED = 25
QUERY = 0  # the number that seeds a breed's query; the pictures to search count from 1
JPEG_QUALITY = 82


def draw_dog(breed: str, number: int) -> Image.Image:
    """Return picture `number` of a breed, RGB; every call returns the same one."""
    return draw_with_box(breed, number)[0]


def draw_with_box(breed: str, number: int) -> tuple[Image.Image, tuple[int, int, int, int]]:
    """Return the picture, and where the dog is in it: left, top, right, bottom."""
    rng = Random(f"{breed}/{number}")
    width, height = round(rng.uniform(280, 320)), round(rng.uniform(224, 256))
    size = width * OVERSAMPLING, height * OVERSAMPLING
    picture, frame = draw_scene(size, rng), place_dog(BREEDS[breed], size, rng)
    left, top, right, bottom = put_dog(picture, BREEDS[breed], frame, rng)
    if rng.random() < 0.5:
        picture, left, right = ImageOps.mirror(picture), size[0] - right, size[0] - left
    picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    ends = math.ceil(right / OVERSAMPLING), math.ceil(bottom / OVERSAMPLING)
    return picture, (left // OVERSAMPLING, top // OVERSAMPLING, *ends)


def main(argv: Sequence[str] | None = None) -> None:
    """Write all pictures below the folder named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(__file__).resolve().parent.parent / "data"
    parser.add_argument("out_dir", nargs="?", type=Path, default=default, metavar="OUT_DIR")
    out_dir: Path = parser.parse_args(argv).out_dir
    for breed in BREEDS:
        files = {QUERY: out_dir / "sample_queries" / f"{breed}.jpg"}
        for number in range(1, PER_BREED + 1):
            files[number] = out_dir / "sample_dogs" / breed / f"{number:02}.jpg"
        for number, file in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            draw_dog(breed, number).save(file, quality=JPEG_QUALITY, optimize=True)
    print(f"{len(BREEDS) * (PER_BREED + 1)} pictures written to {out_dir}")


if __name__ == "__main__":
    main()
