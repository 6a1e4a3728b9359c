"""Draw the harder sample: ten breeds x 25 images, as difficult as photos.

    python scripts/draw_hard_dogs.py [OUT_DIR]

Five breeds are from the first sample, and each has a similar second breed. The dogs sit, lie, bow
and climb; some are puppies, occluded, cut off or far away, and the light varies. A few images have
a wrong label, and a few are near-duplicates: `key.csv` lists them. A second run writes the same
images.
"""

import argparse
import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import NamedTuple

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from drawing import OVERSAMPLING, STANDING, pick, place_dog, put_dog, tint
from sample_breeds import BREEDS, Breed, Pose
from sample_scenes import draw_scene

PER_BREED = 25
SIZE = 240, 192
QUALITY = 66  # of WebP

HARD_BREEDS = {
    **{name: BREEDS[name] for name in ("beagle", "German_shepherd", "Siberian_husky")},
    **{name: BREEDS[name] for name in ("golden_retriever", "Doberman")},
    "harrier": replace(
        BREEDS["beagle"],
        torso=(1.02, 0.5, 0.39, 0.72),
        muzzle=(1.85, 0.6, 0.44),
        ear="drop",
        bone=0.048,
        marks="white:under,socks,snout,tip black:blanket",
    ),
    "Malinois": replace(
        BREEDS["German_shepherd"],
        coats=("#c08a4a", "#b57c40", "#c99658"),
        torso=(1.04, 0.54, 0.4, 0.74),
        fur=0.022,
        marks="black:mask,tip",
        tail="brush",
        slope=0.03,
    ),
    "malamute": replace(
        BREEDS["Siberian_husky"],
        coats=("#484a52", "#6b5d50", "#5d5a5a"),
        torso=(1.08, 0.42, 0.47, 0.92),
        head=0.175,
        bone=0.068,
        fur=0.045,
        eye="#4a2c16",
        tail="plume",
    ),
    "Labrador": replace(
        BREEDS["golden_retriever"],
        coats=("#e0c083", "#d8b271", "#e8cf9c"),
        fur=0.014,
        puffs="",
        tail="flag",
        ear_colour="#c99f5f",
    ),
    "Rottweiler": replace(
        BREEDS["Doberman"],
        torso=(1.04, 0.42, 0.48, 0.88),
        neck=(0.15, 0.2, 0.16),
        head=0.175,
        muzzle=(1.6, 0.68, 0.48),
        ear="button",
        bone=0.062,
    ),
}

POSES = (  # repeated poses are more frequent
    *(STANDING, STANDING, STANDING),
    *(Pose(38, low=True), Pose(44, low=True)),  # sits
    *(Pose(0, low=True), Pose(4, low=True)),  # lies
    Pose(-24, low=True),  # bows
    *(Pose(12), Pose(-10)),  # climbs
)

# Planted mistakes: images with a wrong label (and the breed of the dog), and near-duplicates.
WRONG_LABELS = {
    "beagle/05": "Doberman",
    "Doberman/17": "Malinois",
    "German_shepherd/08": "golden_retriever",
    "golden_retriever/21": "Siberian_husky",
    "harrier/12": "beagle",
    "Labrador/03": "Rottweiler",
    "malamute/19": "German_shepherd",
    "Rottweiler/10": "Labrador",
}
DUPLICATES = {
    "beagle/18": ("beagle/02", "the same file"),
    "Doberman/11": ("Doberman/04", "mirrored"),
    "German_shepherd/23": ("German_shepherd/06", "smaller"),
    "harrier/20": ("harrier/01", "cropped"),
    "Labrador/14": ("golden_retriever/09", "the same file"),
    "Malinois/22": ("Malinois/07", "mirrored"),
    "malamute/13": ("malamute/02", "smaller"),
    "Siberian_husky/24": ("Siberian_husky/15", "cropped"),
}


class Light(NamedTuple):
    """A change of all colours by the light."""

    overlay: str = "#000000"  # colour blended over the image
    opacity: float = 0.0  # of the overlay
    colour: float = 1.0  # saturation factor, 0 is grey
    blur: float = 0.0  # pixels


LIGHTS = (
    *(Light(), Light(), Light(), Light(), Light(), Light(), Light()),
    Light("#101c48", 0.35, 0.7),  # dusk
    Light("#d8dde2", 0.35, 0.8),  # fog
    Light("#ff9a3c", 0.25),  # a lamp
    Light(colour=0.0),  # a grey photo
    Light("#000000", 0.3),  # too dark
    Light(blur=1.0),  # out of focus
)


def puppy(breed: Breed) -> Breed:
    """Return a breed with the proportions of a puppy: round, short, with a large head."""
    length, leg, depth, waist = breed.torso
    (x, y, neck), (muzzle, deep, tip) = breed.neck, breed.muzzle
    return replace(
        breed,
        torso=(length * 0.82, leg * 0.66, depth, max(waist, 0.92)),
        neck=(x * 0.7, y * 0.8, neck * 1.15),
        head=breed.head * 1.3,
        muzzle=(1 + (muzzle - 1) * 0.55, deep, tip),
        ear="button" if breed.ear in ("prick", "cropped") else breed.ear,
        bone=breed.bone * 1.2,
        slope=0.0,
    )


def draw_hard_dog(name: str) -> Image.Image:
    """Return the image with a name "breed/number", RGB; the result is deterministic."""
    if name in DUPLICATES:
        original, how = DUPLICATES[name]
        return near_duplicate(draw_hard_dog(original), how)
    rng, breed = Random(f"hard/{name}"), WRONG_LABELS.get(name) or name.partition("/")[0]
    size = SIZE[0] * OVERSAMPLING, SIZE[1] * OVERSAMPLING
    image, dog = draw_scene(size, rng), HARD_BREEDS[breed]
    if rng.random() < 0.08:  # another dog behind it
        other = HARD_BREEDS[pick(rng, [name for name in HARD_BREEDS if name != breed])]
        far = place_dog(other, size, rng, (0.35, 0.5))
        put_dog(image, other, far, rng, pick(rng, POSES))
    if rng.random() < 0.2:
        dog = puppy(dog)
    put_dog(image, dog, place_dog(dog, size, rng, (0.65, 1.05)), rng, pick(rng, POSES))
    if rng.random() < 0.2:
        pick(rng, (draw_fence, draw_bush, draw_post))(image, rng)
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    return with_light(image.resize(SIZE, Image.Resampling.LANCZOS), pick(rng, LIGHTS))


def draw_fence(image: Image.Image, rng: Random) -> None:
    """Draw a fence of upright boards in the foreground."""
    draw, (width, height) = ImageDraw.Draw(image), image.size
    colour = tint(pick(rng, ("#8a6a4a", "#e8e4dc", "#6b7a6a")), rng.uniform(0.8, 1.1))
    top, board = height * rng.uniform(0.55, 0.75), width * rng.uniform(0.02, 0.04)
    for y in (top + height * 0.06, top + height * 0.3):
        draw.rectangle((0, y, width, y + height * 0.03), tint(colour, 0.8))
    x = -rng.random() * board
    while x < width:
        points = ((x, top), (x + board / 2, top - board), (x + board, top))
        draw.polygon((*points, (x + board, height), (x, height)), colour)
        x += board * 2.6


def draw_bush(image: Image.Image, rng: Random) -> None:
    """Draw a bush at the lower edge."""
    draw, (width, height) = ImageDraw.Draw(image), image.size
    middle, reach = rng.random() * width, width * rng.uniform(0.15, 0.3)
    for _ in range(160):
        x, y = middle + rng.gauss(0, 0.5) * reach, height - abs(rng.gauss(0, 0.16)) * height
        radius = width * rng.uniform(0.012, 0.03)
        draw.circle((x, y), radius, tint("#4c7a3e", rng.uniform(0.7, 1.25)))


def draw_post(image: Image.Image, rng: Random) -> None:
    """Draw the trunk of a tree in the foreground."""
    draw, (width, height) = ImageDraw.Draw(image), image.size
    x, half = width * rng.uniform(0.2, 0.8), width * rng.uniform(0.04, 0.09)
    draw.rectangle((x - half, 0, x + half, height), "#6a5442")
    for _ in range(60):
        at, top = x + rng.uniform(-1, 1) * half, rng.random() * height
        bark = tint("#6a5442", rng.uniform(0.7, 1.2))
        draw.line((at, top, at, top + height * 0.08), bark, OVERSAMPLING)


def with_light(image: Image.Image, light: Light) -> Image.Image:
    """Return the image with its colours changed by the light."""
    image = ImageEnhance.Color(image).enhance(light.colour)
    image = Image.blend(image, Image.new("RGB", image.size, light.overlay), light.opacity)
    return image.filter(ImageFilter.GaussianBlur(light.blur)) if light.blur else image


def near_duplicate(image: Image.Image, how: str) -> Image.Image:
    """Return a near-duplicate of an image."""
    width, height = image.size
    if how == "mirrored":
        return ImageOps.mirror(image)
    if how == "smaller":
        return image.resize((width * 2 // 3, height * 2 // 3), Image.Resampling.LANCZOS)
    if how == "cropped":
        return image.crop((width // 12, height // 12, width, height))
    return image


def main(argv: Sequence[str] | None = None) -> None:
    """Write all images to the folder given on the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    default = Path(__file__).resolve().parent.parent / "data" / "hard_dogs"
    parser.add_argument("out_dir", nargs="?", type=Path, default=default, metavar="OUT_DIR")
    out_dir: Path = parser.parse_args(argv).out_dir
    names = [f"{breed}/{i:02}" for breed in HARD_BREEDS for i in range(1, PER_BREED + 1)]
    for name in names:
        (out_dir / name).parent.mkdir(parents=True, exist_ok=True)
        draw_hard_dog(name).save(out_dir / f"{name}.webp", quality=QUALITY, method=6)
    with (out_dir / "key.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("picture", "what", "of"))
        table.writerows(
            (f"{name}.webp", "wrong label", breed) for name, breed in WRONG_LABELS.items()
        )
        table.writerows(
            (f"{name}.webp", f"copy, {how}", f"{original}.webp")
            for name, (original, how) in DUPLICATES.items()
        )
    print(f"{len(names)} images and their key.csv written to {out_dir}")


if __name__ == "__main__":
    main()
