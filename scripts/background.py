"""The dog or the snow? How much of the neighbours' agreement is due to the background.

python scripts/background.py                          # the sample drawings
python scripts/background.py --photos Images --boxes Annotation --backbone resnet50 --save figures
python scripts/background.py --solutions              # also the solutions of the exercises
"""

# %% [markdown]
# # 9. The dog or the snow
#
# 30 minutes: run 10, exercises 15, talk 5. Prerequisite: [lesson 1](main.py). Data: 60 drawings of
# the sample, five of each breed.
#
# Two dogs on snow look similar. How much of the neighbours' agreement is due to the background? To
# find out, each image is a query three times: whole, with everything but the dog grey, and with
# the dog grey. The neighbours are always searched among the whole images.

# %%
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

import dogsim
from dogsim.image_files.boxes import Box, BoxFolder
from dogsim.images import Source, file_of, open_image

GREY = (124, 116, 104)  # the mean colour of ImageNet: zero after the preprocessing
PARTS = ("whole", "dog only", "background only")

# %% [markdown]
# ## Images with the box of the dog
#
# The box of a dog is the smallest rectangle around it. Those of the drawings are known exactly,
# because a script has drawn the dogs. For [your own photos](../docs/boxes.md) there is a folder of
# box files.

# %%
# Of the drawings 1 to 5 of each breed, in pixels: left, top, right, bottom.
BOXES = """
Dalmatian            47 67 245 218  26 42 251 204  63 46 268 196   30 26 304 222  12 27 257 203
Doberman             50 17 215 194  35 0 241 223   71 23 256 221   59 42 207 203  30 14 198 188
German_shepherd      22 8 271 219   15 0 291 218   32 27 248 217   29 7 275 216   17 15 281 231
Old_English_sheepdog 35 42 236 232  31 48 212 232  59 51 244 238   54 32 241 222  52 25 261 229
Pembroke_corgi       14 4 250 199   37 0 309 213   34 6 308 229    36 28 246 199  25 57 250 240
Siberian_husky       93 17 271 182  56 31 270 229  25 1 268 225    34 5 292 247   34 2 291 228
beagle               58 33 246 199  48 22 237 195  56 18 274 218   66 38 274 221  21 24 246 218
dachshund            17 42 274 158  25 104 244 199 29 107 279 218  20 83 299 208  3 102 263 217
golden_retriever     43 71 262 215  15 37 271 210  6 50 268 222    13 36 288 216  4 37 292 221
pug                  95 33 255 180  77 43 283 235  53 76 220 229   28 71 188 219  27 72 201 232
standard_poodle      52 32 227 225  56 2 241 205   69 40 230 216   60 0 278 221   34 36 178 197
whippet              13 28 244 223  50 60 234 229  46 29 231 183   0 52 225 231   17 40 230 229
"""


def drawings() -> Iterator[tuple[Source, str, Box]]:
    """Yield the first five drawings of each breed of the sample, with their breed and box."""
    folder = dogsim.sample_queries()[0].parents[1] / "sample_dogs"
    for breed, *numbers in map(str.split, BOXES.strip().splitlines()):
        for i, sides in enumerate(np.reshape(numbers, (5, 4)), 1):
            image = folder / breed / f"{i:02}.jpg"
            left, top, right, bottom = map(float, sides)
            yield image, breed, Box(left, top, right, bottom, *open_image(image).size)


def boxed_photos(folder: Path, boxes: Path) -> Iterator[tuple[Source, str, Box]]:
    """Yield the photos of breed folders that have a box, with their breed and box."""
    box_folder = BoxFolder(boxes)
    for image in dogsim.find_images(folder):
        if box := box_folder.box_of_query(image):
            yield image, image.parent.name, box


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


# %%
def greyed(
    images: Sequence[Source], boxes: Sequence[Box], part: str, colour: tuple[int, int, int] = GREY
) -> Iterator[Image.Image]:
    """Yield each image with everything but its `part`, one of `PARTS`, painted in one colour."""
    for image, box in zip(images, boxes, strict=True):
        whole = open_image(image)
        inside = pixel_box(whole, box)
        if part == "dog only":
            painted = Image.new("RGB", whole.size, colour)
            painted.paste(whole.crop(inside), inside)
            yield painted
            continue
        if part == "background only":
            whole.paste(colour, inside)
        yield whole


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


# %%
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
            mark, colour = ("✓", "#007a5e") if names[i] == truth else ("✗", "#c44e00")
            tiles.append((open_image(images[i]), f"{breed_of(names[i])} {mark}", colour))
        for axes, (image, title, colour) in zip(row, tiles, strict=True):
            axes.imshow(image.resize((200, 200)))
            axes.set_title(title, fontsize=8, color=colour)
            axes.set(xticks=[], yticks=[])
            for side in axes.spines.values():
                side.set(color=colour, linewidth=2)
    figure.suptitle(f"{breed_of(truth)}: whole, without its background, without the dog")
    return figure


# %%
def main(
    photos: Annotated[
        Path | None, typer.Option(help="Folder of breed folders (default: the sample).")
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option("--boxes", help="Folder of their PASCAL VOC files, see docs/boxes.md."),
    ] = None,
    backbone: Annotated[str, typer.Option(help="Network.")] = "efficientnet-lite2",
    weights: Annotated[str | None, typer.Option(help="Weight file of the network.")] = None,
    metric: Annotated[str, typer.Option(help="Distance.")] = "cosine",
    k: Annotated[int, typer.Option(help="Number of neighbours.")] = 20,
    save: Annotated[Path | None, typer.Option(help="Folder to save the figure to.")] = None,
    solutions: Annotated[
        bool, typer.Option("--solutions", help="Run the solutions of the exercises as well.")
    ] = False,
) -> None:
    """Run the lesson."""
    # %%
    if (photos is None) != (annotations is None):
        raise dogsim.DogsimError("Received --photos or --boxes alone. Expected both or neither.")
    known = list(boxed_photos(photos, annotations) if photos and annotations else drawings())
    if not known:
        raise dogsim.DogsimError(f"None of the images in {photos} has a box in {annotations}.")
    images, names, boxes = map(list, zip(*known, strict=True))
    breeds, labels = np.unique(names, return_inverse=True)
    covered = [area_fraction(open_image(image), box) for image, _, box in known]
    print(f"{len(known)} images of {len(breeds)} breeds; ", end="")
    print(f"a box covers {np.mean(covered):.0%} of its image")

    # %% [markdown]
    # ## Search the whole images with all three

    # %%
    # Your turn: another colour, such as colour=(255, 0, 0)
    extractor = dogsim.load_extractor(backbone, weights, precision="float32")
    features = {
        part: dogsim.extract_features(greyed(images, boxes, part, colour=GREY), extractor)
        for part in PARTS
    }

    # %%
    n_neighbours = max(1, min(k, int(np.bincount(labels).min()) - 1))
    rows = np.arange(len(images))
    found = {
        part: dogsim.nearest(features["whole"], features[part], n_neighbours, metric, rows)[1]
        for part in PARTS
    }
    others_of_breed = np.bincount(labels)[labels] - 1
    print_table(found, labels, float(others_of_breed.mean() / (len(labels) - 1)))

    # %% [markdown]
    # The dog decides. The scenes of the drawings are random, so their backgrounds contain nothing
    # about the breed. Photos are different. Here are 560 whole photos of 4 breeds:
    #
    # | query | P@1 | P@20 | vote | neighbours of the whole image |
    # |---|---|---|---|---|
    # | whole | 0.986 | 0.990 | 0.995 | all |
    # | dog only | 0.980 | 0.987 | 0.989 | 79 % |
    # | background only | 0.305 | 0.309 | 0.320 | 5 % |
    # | chance level | 0.249 | 0.249 | | 4 % |
    #
    # Their backgrounds contain a little information about the breed, but they decide little.
    #
    # ## Backgrounds among backgrounds: the precision without any dog

    # %%
    for part in PARTS[1:]:
        own = dogsim.nearest(features[part], features[part], n_neighbours, metric, rows)[1]
        correct = np.mean(labels[own] == labels[:, None])
        print(f"{part}, among images of the same kind: precision@{n_neighbours} {correct:.4f}")

    # %% [markdown]
    # ## The query with the most misleading background

    # %%
    hits = {part: (labels[found[part]] == labels[:, None]).sum(axis=1) for part in PARTS}
    row = int(np.argmax(hits["dog only"] - hits["whole"]))
    file = file_of(images[row])
    print(f"{breed_of(names[row])}{f', {file.name}' if file else ''}: ", end="")
    print(f"of {n_neighbours} neighbours ", end="")
    print(", ".join(f"{hits[part][row]} correct with the {part}" for part in PARTS))
    queries = [next(greyed(images[row : row + 1], boxes[row : row + 1], part)) for part in PARTS]
    first = {part: found[part][row, :6] for part in PARTS}
    figure = three_answers(queries, first, images, names, names[row])
    for path in dogsim.show_or_save([("background", figure)], save):
        dogsim.say(str(path))

    # %% tags=["script"]
    if solutions:
        print()
        colours(images, boxes, labels, features, extractor)
        print()
        halves(images, boxes, labels, features, extractor)
        print()
        moved(images, boxes, labels, features, extractor)


# %% [markdown]
# ## Exercise 1: grey, black or red
#
# Write down what you expect. Then run, then vary, then look at the solution.
#
# *Expect:* does the colour of the removed background matter?
#
# *Vary:* noise instead of a colour; a box of half the size.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def precision(
    queries: Iterable[Image.Image],
    gallery: NDArray[np.float32],
    labels: NDArray[np.intp],
    extractor: dogsim.Extractor,
) -> float:
    """Return the precision@4 of images as queries; their own rows of the gallery are left out."""
    features = dogsim.extract_features(queries, extractor)
    _, found = dogsim.nearest(gallery, features, 4, "cosine", np.arange(len(labels)))
    return float(np.mean(labels[found] == labels[:, None]))


def colours(
    images: Sequence[Source],
    boxes: Sequence[Box],
    labels: NDArray[np.intp],
    features: Mapping[str, NDArray[np.float32]],
    extractor: dogsim.Extractor,
) -> None:
    """Print the precision of dogs on backgrounds of several colours."""
    for name, colour in (("grey", GREY), ("black", (0, 0, 0)), ("red", (255, 0, 0))):
        queries = greyed(images, boxes, "dog only", colour)
        print(f"on {name:<6} P@4 {precision(queries, features['whole'], labels, extractor):.4f}")


# %% [markdown] tags=["answer"]
# ```text
# on grey   P@4 1.0000
# on black  P@4 1.0000
# on red    P@4 1.0000
# ```
#
# No, not on these drawings. The network looks at the dog.

# %% [markdown]
# ## Exercise 2: half a dog
#
# *Expect:* which half of the dog contains more information, the upper one with ears and back, or
# the lower one?
#
# *Vary:* left and right; the head only.

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def halves(
    images: Sequence[Source],
    boxes: Sequence[Box],
    labels: NDArray[np.intp],
    features: Mapping[str, NDArray[np.float32]],
    extractor: dogsim.Extractor,
) -> None:
    """Print the precision of the upper and of the lower halves of dogs."""
    middles = [(box.top + box.bottom) / 2 for box in boxes]
    upper = [replace(box, bottom=y) for box, y in zip(boxes, middles, strict=True)]
    lower = [replace(box, top=y) for box, y in zip(boxes, middles, strict=True)]
    for name, half in (("upper", upper), ("lower", lower)):
        queries = greyed(images, half, "dog only")
        print(f"{name} P@4 {precision(queries, features['whole'], labels, extractor):.4f}")


# %% [markdown] tags=["answer"]
# ```text
# upper P@4 0.8042
# lower P@4 0.7833
# ```
#
# About the same. Both are much worse than the whole dog (1.0), and far better than the chance
# level, 0.068.

# %% [markdown]
# ## Exercise 3: moved
#
# *Expect:* each dog is pasted, in its box, into the image of another breed. Which breed do its
# neighbours have?
#
# *Vary:* reduce the dog until it covers a tenth of the image. At which size does the scene decide?

# %% tags=["exercise"]
# Your code


# %% tags=["solution"]
def moved(
    images: Sequence[Source],
    boxes: Sequence[Box],
    labels: NDArray[np.intp],
    features: Mapping[str, NDArray[np.float32]],
    extractor: dogsim.Extractor,
) -> None:
    """Print the precision of dogs in the images of the next breed."""
    pasted = []
    for i, (image, box) in enumerate(zip(images, boxes, strict=True)):
        other = (i + 5) % len(images)  # five drawings of each breed
        dog, scene = open_image(image), open_image(images[other])
        left, top, right, bottom = pixel_box(scene, boxes[other])
        dog = dog.crop(pixel_box(dog, box)).resize((right - left, bottom - top))
        scene.paste(dog, (left, top))
        pasted.append(scene)
    print(f"moved P@4 {precision(pasted, features['whole'], labels, extractor):.4f}")


# %% [markdown] tags=["answer"]
# ```text
# moved P@4 1.0000
# ```
#
# That of the dog: in a different scene all its neighbours still have its breed.

# %% [markdown]
# ## People, poses and places
#
# Take photos of one dog: alone, with a person beside it, lying, and in another place. Which of them
# has neighbours of other breeds?
#
#     dogsim classify photo.jpg --dataset dogs.h5
#     dogsim explain photo.jpg --dataset dogs.h5
#
# The figure of `explain` shows which places of two photos make them similar. If these are hands,
# faces, leashes or the floor, the network has matched the scene and not the dog. `create-dataset
# --boxes` removes what surrounds the dog ([boxes](../docs/boxes.md)), but not the pose: only more
# photos of other poses help. Then try a photo of the person alone. Which dogs are nearest, and what
# do they have in common?
#
# ## Talk
#
# The scenes of the drawings are random. How would you notice that in *your* photos all huskies are
# on snow?

if __name__ == "__main__":
    dogsim.run_script(main)
