"""The parts of a result grid: the query, a neighbour, and the votes as bars."""

import textwrap
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias
from unicodedata import east_asian_width

from matplotlib.axes import Axes
from PIL import Image

from dogsim.errors import DogsimError, counted
from dogsim.images import Source, open_image
from dogsim.plumbing.terminal import printable

BAR_INCHES, MAX_BARS = 0.3, 6
TITLE_SIZE = 24, 2  # letters and lines
MAX_TILE_PIXELS = 400
# Right and wrong differ by mark and colour (after Okabe and Ito, safe for the colour-blind). All
# text is dark on white.
RIGHT, WRONG, NEUTRAL = ("✓", "#007a5e"), ("✗", "#c44e00"), ("", "#444444")
BREED_COLOURS = (
    "#0072b2",
    "#e69f00",
    "#cc79a7",
    "#56b4e9",
    "#8a6d3b",
    "#8f8f00",
)  # most votes first
DARK, CAPTION_GREY = "#1a1a1a", "#5a5a5a"
Mark: TypeAlias = tuple[str, str]  # the mark of a neighbour, and the colour of its frame


def breed_marks(votes: Mapping[str, int], truth: str | None) -> Mapping[str, Mark]:
    """Return the mark of each breed: right or wrong; without the truth, one colour per breed."""
    if truth is not None:
        return defaultdict(lambda: WRONG, {truth: RIGHT})
    colours = {breed: ("", colour) for breed, colour in zip(votes, BREED_COLOURS, strict=False)}
    return defaultdict(lambda: NEUTRAL, colours)


def draw_query(
    tile: Axes,
    image: Image.Image,
    file: Path | None,
    votes: Mapping[str, int],
    truth: str | None,
) -> None:
    """Draw the query in a thick neutral frame, and below it the winner of the vote, the first."""
    name = file.name if file else "an image"
    tile.set_title(wrapped(f"query: {name}", 28), fontsize=10, color=DARK)
    _draw_image(tile, image, NEUTRAL[1], 4)
    lines = [wrapped(f"breed: {truth}", 30)] if truth is not None else []
    winner, *tied = [breed for breed, count in votes.items() if count == max(votes.values())]
    lines.append(wrapped(f"vote: {winner}", 30))
    if tied:
        others = tied[0] if len(tied) == 1 else counted(len(tied), "breed")
        verb = "is" if len(tied) == 1 else "are"
        lines.append(wrapped(f"tie with {others}, which {verb} farther", 30))
    tile.set_xlabel("\n".join(lines), fontsize=8.5, color=DARK)


def bars_height(votes: Mapping[str, int]) -> float:
    """Return the height of `draw_bars` in inches."""
    return BAR_INCHES * (min(len(votes), MAX_BARS + 1) + 1)


def draw_bars(
    chart: Axes, votes: Mapping[str, int], marks: Mapping[str, Mark], lines_high: int = 0
) -> None:
    """Draw the votes of the first breeds, and below them the number of the other breeds.

    The chart has the height of at least `lines_high` bars.
    """
    shown_breeds = list(votes)[:MAX_BARS]
    counts = [votes[breed] for breed in shown_breeds]
    lines = [f"{breed} {votes[breed]}" for breed in shown_breeds]
    if others := len(votes) - len(shown_breeds):
        lines.append(f"and {counted(others, 'other breed')}")
    colours = [marks[breed][1] for breed in shown_breeds]
    chart.barh(range(len(counts)), counts, height=0.4, color=colours)
    for position, line in enumerate(lines):
        chart.text(0, position - 0.27, wrapped(line, 26, 1), fontsize=8, color=DARK)
    chart.text(0, -1.1, "votes", fontsize=8, color=CAPTION_GREY)
    chart.set(ylim=(max(len(lines), lines_high) - 0.5, -1.5), xlim=(0, max(*counts, 1)))
    chart.set_axis_off()


def draw_neighbour(tile: Axes, source: Source, path: str, breed: str, mark: Mark) -> None:
    """Draw a neighbour with its breed, the name of its file, and a mark for right or wrong."""
    letter, colour = mark
    try:
        image = open_image(source)
    except DogsimError:
        image = None
        text = f"not found:\n{wrapped(path, 22)}\n\nIf it has moved:\n--root FOLDER"
        tile.text(0.5, 0.5, text, ha="center", va="center", fontsize=8, in_layout=False)
    tile.set_axis_on()
    _draw_image(tile, image, colour, 2.5)
    tile.set_title(wrapped(breed, *TITLE_SIZE), fontsize=9.5, color=DARK)
    below: dict[str, Any] = {"transform": tile.transAxes, "ha": "center", "va": "top"}
    name = wrapped(Path(path).name, 30, 1)
    tile.text(0.5, -0.14, name, fontsize=6.5, color=CAPTION_GREY, **below)
    if letter:
        badge = {"boxstyle": "circle,pad=0.2", "fc": colour, "ec": "white"}
        corner: dict[str, Any] = {"transform": tile.transAxes, "ha": "center", "va": "center"}
        tile.text(0.92, 0.92, letter, fontsize=9, color="white", bbox=badge, **corner)


def wrapped(text: str, width: int, lines: int = 3) -> str:
    """Wrap a text to at most `lines` lines of `width` letters, and cut off the rest."""
    if any(east_asian_width(letter) in "WF" for letter in text):
        width //= 2
    return textwrap.fill(printable(text), width, max_lines=lines, placeholder="…")


def _draw_image(tile: Axes, image: Image.Image | None, colour: str, width: float) -> None:
    """Draw an image of any shape, whole, in the middle of a framed square."""
    tile.set(xticks=[], yticks=[], facecolor="#f2f2f2")
    tile.set_box_aspect(1)
    for side in tile.spines.values():
        side.set(color=colour, linewidth=width)
    if image is not None:
        small = image.copy()
        small.thumbnail((MAX_TILE_PIXELS, MAX_TILE_PIXELS))
        tile.imshow(small)
        half, x, y = max(small.size) / 2, (small.width - 1) / 2, (small.height - 1) / 2
        tile.set(xlim=(x - half, x + half), ylim=(y + half, y - half))
