"""The dog or the snow? How much of the neighbours' agreement is due to the background.

python scripts/background.py                          # the sample drawings
python scripts/background.py --photos Images --boxes Annotation --weights FILE --save figures
"""

# %%
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import dogsim
from dogsim.image_files.boxes import Box, BoxFolder
from dogsim.images import Source, file_of, open_image
from draw_sample_dogs import draw_with_box
from edge import options, parser_of, show
from sample_breeds import BREEDS

GREY = (124, 116, 104)  # the mean colour of ImageNet: zero after the preprocessing
PARTS = ("whole", "dog only", "background only")
CORRECT_COLOUR, WRONG_COLOUR = "#007a5e", "#c44e00"

# %% Options
parser = parser_of(__doc__)
parser.add_argument("--photos", type=Path, help="folder of breed folders (default: the sample)")
parser.add_argument(
    "--boxes", type=Path, help="folder of their PASCAL VOC files, see docs/boxes.md"
)
parser.add_argument("--backbone", help="network (default: that of dogsim)")
parser.add_argument("--weights", help="weight file of the network")
parser.add_argument("--metric", default="cosine", help="distance (default: cosine)")
parser.add_argument("-k", type=int, default=20, help="number of neighbours (default: 20)")
args = options(parser)
if (args.photos is None) != (args.boxes is None):
    parser.error("--photos and --boxes belong together")


# %% Images with the box of the dog
def boxed_photos(folder: Path, boxes: Path) -> Iterator[tuple[Source, str, Box]]:
    """Yield the photos of breed folders that have a box, with their breed."""
    box_folder = BoxFolder(boxes)
    for image in dogsim.find_images(folder):
        if box := box_folder.box_of_query(image):
            yield image, image.parent.name, box


def drawings(number: int = 5) -> Iterator[tuple[Source, str, Box]]:
    """Yield some of the sample's images of each breed, drawn again to obtain their boxes."""
    for breed in BREEDS:
        for i in range(1, number + 1):
            image, sides = draw_with_box(breed, i)
            yield image, breed, Box(*sides, image.width, image.height)


def pixel_box(image: Image.Image, box: Box) -> tuple[int, int, int, int]:
    """Return a box in pixels of an upright image: left, top, right, bottom."""
    left, top, right, bottom = box.relative_to(image.size) or (0, 0, 1, 1)
    return (
        *(round(left * image.width), round(top * image.height)),
        *(round(right * image.width), round(bottom * image.height)),
    )


def area_fraction(image: Image.Image, box: Box) -> float:
    """Return the fraction of an image that its box covers, 0 to 1."""
    left, top, right, bottom = pixel_box(image, box)
    return (right - left) * (bottom - top) / (image.width * image.height)


known = list(boxed_photos(args.photos, args.boxes) if args.photos else drawings())
if not known:
    raise dogsim.DogsimError(f"None of the images in {args.photos} has a box in {args.boxes}.")
images = [image for image, _, _ in known]
names = [name for _, name, _ in known]
boxes = [box for _, _, box in known]
breeds, labels = np.unique(names, return_inverse=True)
covered = np.mean([area_fraction(open_image(x), box) for x, box in zip(images, boxes, strict=True)])
print(f"{len(known)} images of {len(breeds)} breeds; ", end="")
print(f"a box covers {covered:.0%} of its image\n")


# %% Each image three times: whole, with a grey background, and with a grey dog
def greyed(images: Sequence[Source], boxes: Sequence[Box], part: str) -> Iterator[Image.Image]:
    """Yield each image with everything but its `part` painted grey, one of `PARTS`."""
    for image, box in zip(images, boxes, strict=True):
        whole = open_image(image)
        if part == "whole":
            yield whole
            continue
        inside = pixel_box(whole, box)
        if part == "dog only":
            grey = Image.new("RGB", whole.size, GREY)
            grey.paste(whole.crop(inside), inside)
            yield grey
        else:
            whole.paste(GREY, inside)
            yield whole


# Your turn: another GREY, or a box that is twice as large
extractor = dogsim.load_extractor(args.backbone, args.weights)
features = {part: dogsim.extract_features(greyed(images, boxes, part), extractor) for part in PARTS}


# %% Search the whole images with all three
def print_table(
    found: Mapping[str, NDArray[np.intp]], labels: NDArray[np.intp], chance: float
) -> None:
    """Print the precision, and the fraction of the whole image's neighbours found again."""
    whole = found["whole"]
    k = whole.shape[1]
    print(f"query                P@1    P@{k:<2}   vote   neighbours of the whole image")
    for part, neighbours in found.items():
        correct = labels[neighbours] == labels[:, None]  # (n, k)
        voted = dogsim.majority_vote(labels[neighbours]) == labels
        shared = np.mean([np.isin(a, b).mean() for a, b in zip(whole, neighbours, strict=True)])
        print(f"{part:<18} {correct[:, 0].mean():.4f} {correct.mean():.4f} ", end="")
        print(f"{voted.mean():.4f}   {shared:.0%}")
    print(f"chance level       {chance:.4f} {chance:.4f}")


k = max(1, min(args.k, int(np.bincount(labels).min()) - 1))
rows = np.arange(len(images))
found = {
    part: dogsim.nearest(features["whole"], features[part], k, args.metric, rows)[1]
    for part in PARTS
}
others_of_breed = np.bincount(labels)[labels] - 1
print_table(found, labels, float(others_of_breed.mean() / (len(labels) - 1)))

# %% Search backgrounds among backgrounds: the accuracy without any dog
among_own = {
    part: dogsim.nearest(features[part], features[part], k, args.metric, rows)[1]
    for part in PARTS[1:]
}
print()
for part, neighbours in among_own.items():
    correct = labels[neighbours] == labels[:, None]
    print(f"{part}, among images of the same kind: precision@{k} {correct.mean():.4f}")


# %% The query with the most misleading background
def breed_of(folder: str) -> str:
    """Return the breed in the name of a folder."""
    return folder.partition("-")[2].replace("_", " ") or folder.replace("_", " ")


def three_answers(
    queries: Sequence[Image.Image],
    found: Mapping[str, NDArray[np.intp]],
    images: Sequence[Source],
    names: Sequence[str],
    truth: str,
) -> Figure:
    """Draw the three queries with their nearest images, green if the breed is correct."""
    columns = 1 + len(next(iter(found.values())))
    figure = Figure(figsize=(1.6 * columns, 5.4), layout="constrained")
    grid = figure.subplots(len(found), columns)
    for row, query, (part, neighbours) in zip(grid, queries, found.items(), strict=True):
        tiles = [(query, part, "#444444")]
        for i in neighbours:
            mark, colour = ("✓", CORRECT_COLOUR) if names[i] == truth else ("✗", WRONG_COLOUR)
            tiles.append((open_image(images[i]), f"{breed_of(names[i])} {mark}", colour))
        for axes, (image, title, colour) in zip(row, tiles, strict=True):
            axes.imshow(image.resize((200, 200)))
            axes.set_title(title, fontsize=8, color=colour)
            axes.set(xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set(color=colour, linewidth=2)
    figure.suptitle(f"{breed_of(truth)}: whole, without its background, without the dog")
    return figure


hits = {part: (labels[found[part]] == labels[:, None]).sum(axis=1) for part in PARTS}
row = int(np.argmax(hits["dog only"] - hits["whole"]))
file = file_of(images[row])
print(f"\n{breed_of(names[row])}{f', {file.name}' if file else ''}: of {k} neighbours ", end="")
print(", ".join(f"{hits[part][row]} correct with the {part}" for part in PARTS))
queries = [next(greyed(images[row : row + 1], boxes[row : row + 1], part)) for part in PARTS]
nearest = {part: found[part][row, :6] for part in PARTS}
figure = three_answers(queries, nearest, images, names, names[row])
show("background", figure, args)
