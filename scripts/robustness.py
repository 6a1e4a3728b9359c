"""How far is a changed image from its original, compared with the nearest other image?

Each image of a folder is made darker, brighter, blurred, rotated, partly covered and cropped. The
table shows the mean distance of the changed images to their originals, the mean distance to the
nearest other image, and how many changed images are nearer to their original.

    python scripts/robustness.py
    python scripts/robustness.py photos --backbone resnet50 --metric euclidean
"""

import argparse
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from dogsim import ImageDistance, find_images, sample_dataset
from dogsim.plumbing.tables import table

Change = Callable[[Image.Image], Image.Image]
GREY = (128, 128, 128)


def covered(image: Image.Image, fraction: float) -> Image.Image:
    """Cover a square in the centre with grey; `fraction` is its part of the image's area."""
    image, side = image.copy(), fraction**0.5 / 2
    left, right = image.width * (0.5 - side), image.width * (0.5 + side)
    top, bottom = image.height * (0.5 - side), image.height * (0.5 + side)
    ImageDraw.Draw(image).rectangle((left, top, right, bottom), fill=GREY)
    return image


def cropped(image: Image.Image, fraction: float) -> Image.Image:
    """Keep the centre; `fraction` is the kept part of the image's area."""
    margin = (1 - fraction**0.5) / 2
    width, height = image.size
    return image.crop(
        (
            *(round(margin * x) for x in image.size),
            round(width * (1 - margin)),
            round(height * (1 - margin)),
        )
    )


CHANGES: dict[str, Change] = {
    "brightness x 0.5": lambda image: ImageEnhance.Brightness(image).enhance(0.5),
    "brightness x 1.5": lambda image: ImageEnhance.Brightness(image).enhance(1.5),
    "blur, 1 % of the width": lambda image: image.filter(
        ImageFilter.GaussianBlur(image.width / 100)
    ),
    "blur, 3 % of the width": lambda image: image.filter(
        ImageFilter.GaussianBlur(3 * image.width / 100)
    ),
    "rotation by 10 degrees": lambda image: image.rotate(10, Image.Resampling.BICUBIC),
    "rotation by 90 degrees": lambda image: image.rotate(90, expand=True),
    "10 % covered": lambda image: covered(image, 0.1),
    "30 % covered": lambda image: covered(image, 0.3),
    "crop to 80 %": lambda image: cropped(image, 0.8),
    "crop to 50 %": lambda image: cropped(image, 0.5),
}


def measure(distance: ImageDistance, images: list[Image.Image]) -> list[dict[str, object]]:
    """Return a row of the table for each change."""
    n, rows = len(images), list[dict[str, object]]()
    for name, change in CHANGES.items():
        distances = distance.compute_batch([*images, *map(change, images)])[n:, :n]  # (n, n)
        own = np.diag(distances)
        nearest_other = np.where(np.eye(n, dtype=bool), np.inf, distances).min(axis=1)
        rows.append(
            {
                "change": name,
                "to the original": float(own.mean()),
                "to the nearest other": float(nearest_other.mean()),
                "nearer to the original": float((own < nearest_other).mean()),
            }
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", help="images; by default the sample of drawings")
    parser.add_argument("--backbone", help="by default ResNet-50, or the offline network")
    parser.add_argument("--metric", default="cosine")
    parser.add_argument("--n", type=int, default=48, help="number of images")
    parser.add_argument("--seed", type=int, default=0, help="of the selection")
    args = parser.parse_args(arguments)
    paths = find_images(args.folder or sample_dataset().root)
    rng = np.random.default_rng(args.seed)
    chosen = rng.permutation(len(paths))[: args.n]
    images = [Image.open(paths[i]).convert("RGB") for i in chosen]
    print(table(measure(ImageDistance(args.backbone, args.metric), images)))


if __name__ == "__main__":
    main()
