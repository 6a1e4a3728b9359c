"""Heat maps of the distance of two images: `heat_maps` draws an `Explanation` on them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from numpy.typing import NDArray
from PIL import Image

from dogsim.errors import DogsimError, as_texts, shown
from dogsim.figures.canvas import Drawing
from dogsim.image_files.square import PAD_COLOUR, input_region
from dogsim.images import Source, open_image
from dogsim.retrieval.decomposition import Explanation, captions

MAX_IMAGE_PIXELS = 600  # of the longer side
FIGURE_INCHES = 8.0
ASPECT_RATIOS = 0.5, 2.0  # width / height; other images are drawn smaller
# Blue reduces the distance, orange increases it (Okabe and Ito, safe for the colour-blind). Places
# that increase it by more than a quarter of the largest part are hatched as well.
SIGNED = LinearSegmentedColormap.from_list("signed", ["#0072b2", "white", "#d55e00"])
HATCH: dict[str, Any] = {"fill": False, "hatch": "////", "lw": 0, "ec": "#7a3600"}
HATCH_THRESHOLD = 0.25
APART_POSITIVE, TOGETHER_POSITIVE = (1, "together  ←   → apart"), (-1, "apart  ←   → together")
NUMBER_STYLE: dict[str, Any] = {
    "size": 9,
    "ha": "center",
    "va": "center",
    "bbox": {"boxstyle": "circle,pad=0.25", "fc": "white", "ec": "black"},
}
PAIR_LINE_STYLE: dict[str, Any] = {
    "lw": 1.5,
    "shrinkA": 8,  # points: the line ends at the circles
    "shrinkB": 8,
    "path_effects": [withStroke(linewidth=3.5, foreground="white")],
}

Box: TypeAlias = tuple[float, float, float, float]


def heat_maps(query: Source, other: Source, why: Explanation, names: Sequence[str]) -> Figure:
    """Draw what each place of two images adds to their distance.

    Parameters
    ----------
    query, other : path, array or PIL image
        The two images that were explained.
    why : Explanation
        From `dogsim.explain`.
    names : (str, str)
        Captions of the two images.

    Returns
    -------
    matplotlib.figure.Figure
        Three rows of both images, upright and undistorted: the pairs of places that carry most of
        the likeness, joined by lines (at most five); what each place adds to the likeness; what
        each place adds to the distance. Regions outside the network's input are pale; padded images
        have their margins.

    Raises
    ------
    DogsimError
        If an image cannot be read.
    """
    if not isinstance(why, Explanation):
        raise DogsimError(f"Received {shown(why)}. Expected an explanation of dogsim.explain.")
    images = [open_image(query), open_image(other)]
    size, resize = why.recipe.image_size, why.recipe.resize
    boxes = [input_region(*image.size, size, resize) for image in images]
    drawn = [_with_box(image.size, box) for image, box in zip(images, boxes, strict=True)]
    ratios = [float(np.clip((x1 - x0) / (y1 - y0), *ASPECT_RATIOS)) for x0, y0, x1, y1 in drawn]
    height = 3 * ((FIGURE_INCHES - 1) / sum(ratios) + 0.45)
    spaced = ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.06)
    figure = Drawing((FIGURE_INCHES, height), layout=spaced)
    axes = figure.subplots(3, 3, width_ratios=[*ratios, 0.03 * sum(ratios)])
    for tile, name in zip(axes[0], as_texts("names", names), strict=False):
        tile.text(0.5, -0.02, name, size=9, ha="center", va="top", transform=tile.transAxes)
    for row, (tiles, caption) in enumerate(zip(axes, captions(why), strict=True)):
        tiles[0].set_title(caption, fontsize=10, loc="left")
        for tile, image, box in zip(tiles, images, boxes, strict=False):
            _draw_image(tile, image, box, grey=row > 0)
    axes[0, 2].set_axis_off()
    _draw_pairs(figure, axes[0], why, boxes)
    likeness, distance = axes[1:]
    _draw_maps(likeness, (why.query_likeness, why.other_likeness), boxes, TOGETHER_POSITIVE)
    _draw_maps(distance, (why.query_parts, why.other_parts), boxes, APART_POSITIVE)
    return figure


def _with_box(size: tuple[int, int], box: Box) -> Box:
    """Return the smallest region that contains an image, (width, height), and its box."""
    left, top, right, bottom = box
    return min(0, left), min(0, top), max(size[0], right), max(size[1], bottom)


def _draw_image(tile: Axes, image: Image.Image, box: Box, grey: bool) -> None:
    """Draw an image in the coordinates of its pixels, pale outside the box; grey below a map.

    The margins of a padded image are drawn as well.
    """
    small = image.copy()
    small.thumbnail((MAX_IMAGE_PIXELS, MAX_IMAGE_PIXELS))
    scale = max(small.size) / max(image.size)
    left, top, right, bottom = (round(edge * scale) for edge in box)
    x0, y0, x1, y1 = map(int, _with_box(small.size, (left, top, right, bottom)))
    padded = Image.new("RGB", (x1 - x0, y1 - y0), PAD_COLOUR)
    padded.paste(small, (-x0, -y0))
    white = Image.new("RGB", padded.size, "white")
    if grey:
        padded = Image.blend(padded.convert("L").convert("RGB"), white, 0.4)
    pale = Image.blend(padded, white, 0.7)
    inside = left - x0, top - y0, right - x0, bottom - y0
    pale.paste(padded.crop(inside), inside[:2])
    left_edge, top_edge, right_edge, bottom_edge = _with_box(image.size, box)
    tile.imshow(np.asarray(pale), extent=(left_edge, right_edge, bottom_edge, top_edge))
    tile.autoscale(False)
    tile.set_aspect("equal", anchor="N")
    tile.set_axis_off()


def _draw_pairs(
    figure: Figure, tiles: Sequence[Axes], why: Explanation, boxes: Sequence[Box]
) -> None:
    """Join the strong pairs of places by numbered lines."""
    for number, pair in enumerate(why.strong_pairs(), 1):
        ends = []
        for box, place in zip(boxes, (pair[:2], pair[2:]), strict=True):
            x, y, width, height = _cell(box, why.query_parts.shape, *place)
            ends.append((x + width / 2, y + height / 2))
        line = ConnectionPatch(
            ends[0], ends[1], "data", "data", axesA=tiles[0], axesB=tiles[1], **PAIR_LINE_STYLE
        )
        numbers = (  # above all lines, so they belong to the figure as well
            Text(
                *end, str(number), transform=tile.transData, zorder=line.zorder + 1, **NUMBER_STYLE
            )
            for tile, end in zip(tiles, ends, strict=False)
        )
        for artist in (line, *numbers):
            artist.set_in_layout(False)
            figure.add_artist(artist)


def _cell(box: Box, shape: tuple[int, ...], row: int, column: int) -> Box:
    """Return the region of a place of the map: left, top, width and height in pixels."""
    left, top, right, bottom = box
    height, width = (bottom - top) / shape[0], (right - left) / shape[1]
    return left + column * width, top + row * height, width, height


def _draw_maps(
    tiles: Sequence[Axes],
    maps: Sequence[NDArray[np.float64]],
    boxes: Sequence[Box],
    signs: tuple[int, str],
) -> None:
    """Draw two maps on their images, with one scale and its colour bar."""
    apart, label = signs
    limit = max(*(float(abs(each).max()) for each in maps), np.finfo(float).tiny)
    scale = ScalarMappable(Normalize(-limit, limit), SIGNED if apart > 0 else SIGNED.reversed())
    for tile, values, box in zip(tiles, maps, boxes, strict=False):
        colours = scale.to_rgba(values)
        colours[..., 3] = 0.15 + 0.7 * np.sqrt(abs(values) / limit)
        left, top, right, bottom = box
        tile.imshow(colours, extent=(left, right, bottom, top), interpolation="nearest")
        for row, column in np.argwhere(apart * values > HATCH_THRESHOLD * limit):
            x, y, width, height = _cell(box, values.shape, row, column)
            tile.add_patch(Rectangle((x, y), width, height, **HATCH))
    bar = Colorbar(tiles[2], scale)
    bar.ax.axhspan(apart * HATCH_THRESHOLD * limit, apart * limit, **HATCH)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(label, fontsize=8)
