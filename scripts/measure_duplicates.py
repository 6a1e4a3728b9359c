"""Measure how many edited copies of photos an audit finds, and which other images it calls copies.

Of up to 80 photos, six copies each are saved beside them: every kind of `planted_copies.COPIES`
equally often. The other folders contain no copies; every pair that the audit reports there is
listed, and may be a copy that was there before.

    python scripts/measure_duplicates.py PHOTOS [--others FOLDER ...]
"""

import argparse
import tempfile
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from dogsim import audit, create_dataset
from dogsim.image_files.files import has_image_suffix
from planted_copies import COPIES, save_copy

ORIGINAL = "original"
MIN_SIDE = 150  # pixels of the shorter side of a photo


def image_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and has_image_suffix(path))


def plant(photos: list[Path], n_copies: int, folder: Path) -> None:
    """Save each photo and its copies in a folder of its own."""
    kinds = list(COPIES)
    for number, photo in enumerate(photos):
        target = folder / "planted" / f"{number:03d}"
        target.mkdir(parents=True)
        with Image.open(photo) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        image.save(target / f"{ORIGINAL}.png")
        for position in range(number * n_copies, (number + 1) * n_copies):
            kind = kinds[position % len(kinds)]
            save_copy(image, kind, target / f"{kind}.jpg", position)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--others", type=Path, nargs="*", default=[])
    parser.add_argument("--n", type=int, default=80, help="number of photos with copies")
    parser.add_argument("--copies", type=int, default=6, help="copies of each of these photos")
    arguments = parser.parse_args()
    photos = [path for path in image_files(arguments.photos) if _is_large(path)]
    chosen = np.random.default_rng(0).permutation(len(photos))[: arguments.n]
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        plant([photos[i] for i in sorted(chosen)], arguments.copies, images)
        for number, other in enumerate(arguments.others):
            for place, path in enumerate(image_files(other)):
                link = images / f"others{number}" / f"{place:05d}{path.suffix}"
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(path.resolve())
        dataset = create_dataset(images, Path(folder) / "images.h5")
        report(audit(dataset).duplicates, images)


def report(groups: tuple[tuple[str, ...], ...], images: Path) -> None:
    """Print the recall of each kind, and the pairs in a group that are not of one photo."""
    together = {pair for group in groups for pair in combinations(sorted(group), 2)}
    found = defaultdict(list)
    for original in sorted(images.glob(f"planted/*/{ORIGINAL}.png")):
        for copy in sorted(original.parent.glob("*.jpg")):
            pair = sorted(path.relative_to(images).as_posix() for path in (original, copy))
            found[copy.stem].append(tuple(pair) in together)
    for kind in COPIES:
        if kind in found:
            print(f"{kind:34} {np.mean(found[kind]):.3f}  of {len(found[kind])}")
    if found:
        print(f"recall {np.mean(np.concatenate(list(found.values()))):.4f}")
    false = [pair for pair in sorted(together) if not _is_planted(*pair)]
    print(f"{len(false)} pairs of images that were not planted")
    for one, other in false:
        print(f"  {(images / one).resolve()}  {(images / other).resolve()}")


def _is_planted(path: str, other: str) -> bool:
    folder = Path(path).parent
    return folder == Path(other).parent and folder.parent.name == "planted"


def _is_large(path: Path) -> bool:
    with Image.open(path) as image:
        return bool(min(image.size) >= MIN_SIDE)


if __name__ == "__main__":
    main()
