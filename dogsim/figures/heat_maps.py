"""Why two pictures are near or far: `heat_maps` draws an `Explanation` over them."""

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

from dogsim.figures.canvas import Drawing
from dogsim.images import Source, input_region, open_image
from dogsim.retrieval.decomposition import Explanation, captions

PIXELS = 600  # of a picture's longer side
WIDTH = 8.0  # inches
SHAPES = 0.5, 2.0  # of a picture's width to its height, where it gets room for it
PAIRS = 5
# Blue brings together, orange apart (Okabe and Ito's, safe for the colour-blind), and what brings
# apart is hatched besides, from a quarter of the largest part up.
SIGNED = LinearSegmentedColormap.from_list("signed", ["#0072b2", "white", "#d55e00"])
HATCH: dict[str, Any] = {"fill": False, "hatch": "////", "lw": 0, "ec": "#7a3600"}
HATCHED = 0.25
APART_ABOVE, TOGETHER_ABOVE = (1, "together  ←   → apart"), (-1, "apart  ←   → together")
NUMBER: dict[str, Any] = {
    "size": 9,
    "ha": "center",
    "va": "center",
    "bbox": {"boxstyle": "circle,pad=0.25", "fc": "white", "ec": "black"},
}
PAIR_LINE_STYLE: dict[str, Any] = {
    "lw": 1.5,
    "shrinkA": 8,  # points: it ends where the circles do
    "shrinkB": 8,
    "path_effects": [withStroke(linewidth=3.5, foreground="white")],
}

Box: TypeAlias = tuple[float, float, float, float]


def heat_maps(query: Source, other: Source, why: Explanation, names: Sequence[str]) -> Figure:
    """Draw where the distance of two pictures comes from.

    Parameters
    ----------
    query, other : path, array or PIL image
        The two that were explained.
    why : Explanation
        From `dogsim.explain`.
    names : (str, str)
        What to write above them.

    Returns
    -------
    matplotlib.figure.Figure
        Three rows of the two side by side, upright and undistorted: the five pairs of places that
        add most to their likeness, joined by lines; what each place adds to the likeness; what each
        adds to the distance. What the network has not seen is pale.

    Raises
    ------
    DogsimError
        If a picture cannot be read.
    """
    pictures = [open_image(query), open_image(other)]
    size, resize = why.recipe.image_size, why.recipe.resize
    boxes = [input_region(*picture.size, size, resize) for picture in pictures]
    shapes = [float(np.clip(picture.width / picture.height, *SHAPES)) for picture in pictures]
    height = (WIDTH - 1) / sum(shapes) + 0.45
    figure = Drawing((WIDTH, 3 * height), layout=ConstrainedLayoutEngine(h_pad=0.06, w_pad=0.06))
    axes = figure.subplots(3, 3, width_ratios=[*shapes, 0.03 * sum(shapes)])
    for tile, name in zip(axes[0], names, strict=False):
        place: dict[str, Any] = {"ha": "center", "va": "top", "transform": tile.transAxes}
        tile.text(0.5, -0.02, name, size=9, **place)
    for row, (tiles, caption) in enumerate(zip(axes, captions(why), strict=True)):
        tiles[0].set_title(caption, fontsize=10, loc="left")
        for tile, picture, box in zip(tiles, pictures, boxes, strict=False):
            _picture(tile, picture, box, grey=row > 0)
    axes[0, 2].set_axis_off()
    _join(figure, axes[0], why, boxes)
    likeness, distance = axes[1:]
    _maps(likeness, (why.query_likeness, why.other_likeness), boxes, TOGETHER_ABOVE)
    _maps(distance, (why.query_parts, why.other_parts), boxes, APART_ABOVE)
    return figure


def _picture(tile: Axes, picture: Image.Image, box: Box, grey: bool) -> None:
    """Show a picture, in coordinates of its own pixels."""
    tile.imshow(_pale(picture, box, grey), extent=(0, picture.width, picture.height, 0))
    tile.autoscale(False)
    tile.set_aspect("equal", anchor="N")
    tile.set_axis_off()


def _pale(picture: Image.Image, box: Box, grey: bool) -> NDArray[np.uint8]:
    """Make what lies outside the box pale, and for a ground of colours all of it grey."""
    small = picture.copy()
    small.thumbnail((PIXELS, PIXELS))
    scale = small.width / picture.width
    if grey:
        small = Image.blend(small.convert("L").convert("RGB"), _white(small), 0.4)
    seen = small.crop(tuple(round(edge * scale) for edge in box))  # type: ignore[arg-type]
    small = Image.blend(small, _white(small), 0.7)
    small.paste(seen, (round(box[0] * scale), round(box[1] * scale)))
    return np.asarray(small)


def _white(picture: Image.Image) -> Image.Image:
    return Image.new("RGB", picture.size, "white")


def _join(figure: Figure, tiles: Sequence[Axes], why: Explanation, boxes: Sequence[Box]) -> None:
    """Join the best pairs of places by numbered lines."""
    shape = why.query_parts.shape
    for number, (row, column, other_row, other_column) in enumerate(why.best_pairs(PAIRS), 1):
        ends = (
            _middle(boxes[0], shape, row, column),
            _middle(boxes[1], shape, other_row, other_column),
        )
        line = ConnectionPatch(
            *ends, "data", "data", axesA=tiles[0], axesB=tiles[1], **PAIR_LINE_STYLE
        )
        numbers = (  # above all lines, so they belong to the figure as well
            Text(*end, str(number), transform=tile.transData, zorder=line.zorder + 1, **NUMBER)
            for tile, end in zip(tiles, ends, strict=False)
        )
        for artist in (line, *numbers):
            artist.set_in_layout(False)
            figure.add_artist(artist)


def _cell(box: Box, shape: tuple[int, ...], row: int, column: int) -> Box:
    """Where a place of the map lies in the picture: left, top, width, height."""
    left, top, right, bottom = box
    height, width = (bottom - top) / shape[0], (right - left) / shape[1]
    return left + column * width, top + row * height, width, height


def _middle(box: Box, shape: tuple[int, ...], row: int, column: int) -> tuple[float, float]:
    left, top, width, height = _cell(box, shape, row, column)
    return left + width / 2, top + height / 2


def _maps(
    tiles: Sequence[Axes],
    maps: Sequence[NDArray[np.float64]],
    boxes: Sequence[Box],
    signs: tuple[int, str],
) -> None:
    """Lay two maps over the pictures, on one scale with a bar."""
    apart, label = signs
    most = max(*(float(abs(each).max()) for each in maps), np.finfo(float).tiny)
    scale = ScalarMappable(Normalize(-most, most), SIGNED if apart > 0 else SIGNED.reversed())
    for tile, values, (left, top, right, bottom) in zip(tiles, maps, boxes, strict=False):
        colours = scale.to_rgba(values)
        colours[..., 3] = 0.15 + 0.7 * np.sqrt(abs(values) / most)
        tile.imshow(colours, extent=(left, right, bottom, top), interpolation="nearest")
        for row, column in np.argwhere(apart * values > HATCHED * most):
            x, y, width, height = _cell((left, top, right, bottom), values.shape, row, column)
            tile.add_patch(Rectangle((x, y), width, height, **HATCH))
    bar = Colorbar(tiles[2], scale)
    bar.ax.axhspan(apart * HATCHED * most, apart * most, **HATCH)
    bar.ax.tick_params(labelsize=8)
    bar.set_label(label, fontsize=8)
