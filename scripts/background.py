"""The dog or the snow? How much of the neighbours' agreement comes from what is around the dog.

python scripts/background.py                          # the drawings of dogs that come along
python scripts/background.py --photos Images --boxes Annotation --weights FILE --save figures
"""

# %%
import sys
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

GREY = (124, 116, 104)  # the mean colour of ImageNet, which says nothing to a network of it
PARTS = ("whole", "dog only", "background only")
RIGHT, WRONG = "#007a5e", "#c44e00"

# %% Options
parser = parser_of(__doc__)
parser.add_argument("--photos", type=Path, help="folder of breed folders (default: the sample)")
parser.add_argument("--boxes", type=Path, help="their PASCAL-VOC files, see docs/boxes.md")
parser.add_argument("--backbone", default="resnet50", help="network (default: resnet50)")
parser.add_argument("--weights", default="imagenet", help="weight file of the network")
parser.add_argument("--metric", default="cosine", help="distance (default: cosine)")
parser.add_argument("-k", type=int, default=20, help="how many neighbours (default: 20)")
args = options(parser)
if (args.photos is None) != (args.boxes is None):
    parser.error("--photos and --boxes belong together")


# %% Pictures, and where the dog is in each
def boxed_photos(folder: Path, boxes: Path) -> Iterator[tuple[Source, str, Box]]:
    """Find the photos of breed folders that have a box, with their breed."""
    known = BoxFolder(boxes)
    for picture in dogsim.find_images(folder):
        if box := known.box_of_query(picture):
            yield picture, picture.parent.name, box


def drawings(number: int = 5) -> Iterator[tuple[Source, str, Box]]:
    """Draw some of the sample's pictures of each breed anew: the pen knows where the dog is."""
    for breed in BREEDS:
        for i in range(1, number + 1):
            picture, sides = draw_with_box(breed, i)
            yield picture, breed, Box(*sides, picture.width, picture.height)


def where(picture: Image.Image, box: Box) -> tuple[int, int, int, int]:
    """Tell the pixels of a box in an upright picture: left, top, right, bottom."""
    left, top, right, bottom = box.relative_to(picture.size) or (0, 0, 1, 1)
    return (
        *(round(left * picture.width), round(top * picture.height)),
        *(round(right * picture.width), round(bottom * picture.height)),
    )


def share(picture: Image.Image, box: Box) -> float:
    """Tell how much of a picture its box covers, 0 to 1."""
    left, top, right, bottom = where(picture, box)
    return (right - left) * (bottom - top) / (picture.width * picture.height)


found_boxes = boxed_photos(args.photos, args.boxes) if args.photos else drawings()
known = list(found_boxes)
if not known:
    raise dogsim.DogsimError(f"None of the pictures in {args.photos} has a box in {args.boxes}.")
pictures = [picture for picture, _, _ in known]
names = [name for _, name, _ in known]
boxes = [box for _, _, box in known]
breeds, labels = np.unique(names, return_inverse=True)
covered = np.mean([share(open_image(x), box) for x, box in zip(pictures, boxes, strict=True)])
print(f"{len(known)} pictures of {len(breeds)} breeds; ", end="")
print(f"a box covers {covered:.0%} of its picture\n")


# %% Each picture three times: whole, all but the dog grey, and the dog grey
def greyed(pictures: Sequence[Source], boxes: Sequence[Box], part: str) -> Iterator[Image.Image]:
    """Yield each picture with what is not its `part` painted grey, one of `PARTS`."""
    for picture, box in zip(pictures, boxes, strict=True):
        whole = open_image(picture)
        if part == "whole":
            yield whole
            continue
        inside = where(whole, box)
        if part == "dog only":
            grey = Image.new("RGB", whole.size, GREY)
            grey.paste(whole.crop(inside), inside)
            yield grey
        else:
            whole.paste(GREY, inside)
            yield whole


def load(backbone: str, weights: str) -> dogsim.Extractor:
    """Load the network; where its weights cannot be had, the one that is installed."""
    try:
        return dogsim.load_extractor(backbone, weights)
    except dogsim.DogsimError as error:
        if weights != "imagenet":
            raise
        print(f"{error} This lesson takes efficientnet-lite0.\n", file=sys.stderr)
        return dogsim.load_extractor("efficientnet-lite0")


# Your turn: another GREY, or a box that is twice as large
extractor = load(args.backbone, args.weights)
features = {
    part: dogsim.extract_features(greyed(pictures, boxes, part), extractor) for part in PARTS
}


# %% Ask the whole pictures, by all three
def print_table(
    found: Mapping[str, NDArray[np.intp]], labels: NDArray[np.intp], chance: float
) -> None:
    """Print how often neighbours are right, and how many of the whole picture's are found again."""
    whole = found["whole"]
    k = whole.shape[1]
    print(f"asked with           P@1    P@{k:<2}   vote   neighbours of the whole picture")
    for part, neighbours in found.items():
        right = labels[neighbours] == labels[:, None]
        voted = dogsim.majority_vote(labels[neighbours]) == labels
        same = np.mean([np.isin(a, b).mean() for a, b in zip(whole, neighbours, strict=True)])
        print(f"{part:<18} {right[:, 0].mean():.4f} {right.mean():.4f} ", end="")
        print(f"{voted.mean():.4f}   {same:.0%}")
    print(f"by chance          {chance:.4f} {chance:.4f}")


k = max(1, min(args.k, int(np.bincount(labels).min()) - 1))
rows = np.arange(len(pictures))
found = {
    part: dogsim.nearest(features["whole"], features[part], k, args.metric, rows)[1]
    for part in PARTS
}
of_breed = np.bincount(labels)[labels] - 1
print_table(found, labels, float(of_breed.mean() / (len(labels) - 1)))

# %% Ask backgrounds of backgrounds: what would be known if no picture showed a dog
alone = {
    part: dogsim.nearest(features[part], features[part], k, args.metric, rows)[1]
    for part in PARTS[1:]
}
print()
for part, neighbours in alone.items():
    of = labels[neighbours] == labels[:, None]
    print(f"{part}, asked of pictures cut the same way: precision@{k} {of.mean():.4f}")


# %% The query that its background misleads most
def breed_of(folder: str) -> str:
    """Shorten a folder's name to the breed, in a width that a tile has."""
    return folder.partition("-")[2].replace("_", " ") or folder.replace("_", " ")


def three_answers(
    seen: Sequence[Image.Image],
    shown: Mapping[str, NDArray[np.intp]],
    pictures: Sequence[Source],
    names: Sequence[str],
    truth: str,
) -> Figure:
    """Draw what was asked, each time with its nearest pictures, green where they are right."""
    columns = 1 + len(next(iter(shown.values())))
    figure = Figure(figsize=(1.6 * columns, 5.4), layout="constrained")
    for row, (part, neighbours) in zip(
        figure.subplots(len(shown), columns), shown.items(), strict=True
    ):
        tiles = [(seen[list(shown).index(part)], part, "#444444")]
        for i in neighbours:
            mark, colour = ("✓", RIGHT) if names[i] == truth else ("✗", WRONG)
            tiles.append((open_image(pictures[i]), f"{breed_of(names[i])} {mark}", colour))
        for axes, (picture, title, colour) in zip(row, tiles, strict=True):
            axes.imshow(picture.resize((200, 200)))
            axes.set_title(title, fontsize=8, color=colour)
            axes.set(xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set(color=colour, linewidth=2)
    figure.suptitle(f"{breed_of(truth)}: whole, without its background, without the dog")
    return figure


hits = {part: (labels[found[part]] == labels[:, None]).sum(axis=1) for part in PARTS}
row = int(np.argmax(hits["dog only"] - hits["whole"]))
file = file_of(pictures[row])
print(f"\n{breed_of(names[row])}{f', {file.name}' if file else ''}: of {k} neighbours ", end="")
print(", ".join(f"{hits[part][row]} by the {part}" for part in PARTS))
seen = [next(greyed(pictures[row : row + 1], boxes[row : row + 1], part)) for part in PARTS]
shown = {part: found[part][row, :6] for part in PARTS}
figure = three_answers(seen, shown, pictures, names, names[row])
show("background", figure, args)
