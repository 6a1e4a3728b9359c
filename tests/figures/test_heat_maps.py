"""Heat maps have the position and scale of the parts, and the numbers of the explanation."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.text import Text
from PIL import Image

from dogsim import heat_maps
from dogsim.image_files.square import PAD_COLOUR
from dogsim.recipe import Recipe
from dogsim.retrieval.decomposition import Explanation, captions

TALL, WIDE = Image.new("L", (120, 300), 90), Image.new("RGB", (500, 200), "olive")


def explanation(resize: str) -> Explanation:
    """Return parts of both signs, and one pair of places with most of the likeness."""
    parts, pairs = np.zeros((2, 3, 4)), np.zeros((3, 4, 3, 4))
    parts[0, 0, 0], parts[0, 2, 3], parts[1] = 4.0, -1.0, 0.25
    pairs[1, 2, 0, 0] = 6.0
    pairs[0, 0, 2] = 1.0
    recipe = Recipe("any", "", "", "avg_pool", 224, resize)
    return Explanation("euclidean", float(np.sqrt(6)), parts[0], parts[1], pairs, recipe)


@pytest.mark.parametrize(("resize", "tall", "wide"), [
    ("squash", (0, 120, 300, 0), (0, 500, 200, 0)),
    ("crop", (7.5, 112.5, 202.5, 97.5), (162.5, 337.5, 187.5, 12.5)),
    ("pad", (-89.333, 209.333, 300, 0), (0, 500, 348.889, -148.889)),  # 90 x 224, 224 x 90
])  # fmt: skip
def test_maps_cover_the_region_that_was_used(
    resize: str, tall: tuple[float, ...], wide: tuple[float, ...]
) -> None:
    figure = heat_maps(TALL, WIDE, explanation(resize), ("tall", "wide"))
    tiles = np.array(figure.axes[:9]).reshape(3, 3)
    for row in tiles:
        for tile, image in zip(row, (TALL, WIDE), strict=False):
            assert tile.get_aspect() == 1  # undistorted
            if resize != "pad":
                assert tile.get_images()[0].get_extent() == [0, image.width, image.height, 0]
                assert tile.get_xlim() == (0, image.width)
    for row in tiles[1:]:
        assert row[0].get_images()[1].get_extent() == pytest.approx(tall, abs=1e-3)
        assert row[1].get_images()[1].get_extent() == pytest.approx(wide, abs=1e-3)


def test_padded_images_are_drawn_with_their_margins() -> None:
    """So that the places of the margins, which add to the distance as well, are seen."""
    figure = heat_maps(TALL, WIDE, explanation("pad"), ("tall", "wide"))
    for tile, image in zip(figure.axes[:2], (TALL, WIDE), strict=True):
        drawn = tile.get_images()[0]
        left, right, bottom, top = drawn.get_extent()
        assert right - left == pytest.approx(bottom - top, 0.01)
        assert tile.get_xlim() == (left, right)
        pixels = np.asarray(drawn.get_array())
        height, width = pixels.shape[:2]
        assert (pixels[0, 0] == PAD_COLOUR).all()
        x, y = width * -left / (right - left), height * -top / (bottom - top)
        inside = np.asarray(image.convert("RGB"))[0, 0]
        assert (pixels[round(y) + 2, round(x) + 2] == inside).all()
        assert height <= 600


def test_near_and_far_differ_by_more_than_colour() -> None:
    figure = heat_maps(TALL, WIDE, explanation("squash"), ("tall", "wide"))
    query = figure.axes[6]
    (hatched,) = (patch for patch in query.patches if isinstance(patch, Rectangle))
    assert hatched.get_hatch()
    assert hatched.get_bbox().bounds == pytest.approx((0, 0, 30, 100))  # the part of 4
    near, far = query.get_images()[1].get_array()[[2, 0], [3, 0]]  # type: ignore[index]
    assert near[2] > near[0]  # blue
    assert far[0] > far[2]  # orange
    assert figure.axes[8].get_ylim() == (-4, 4)  # one scale for both


def test_pairs_are_joined_and_numbers_are_printed() -> None:
    why = explanation("squash")
    figure = heat_maps(TALL, WIDE, why, ("a.jpg", "wide"))
    numbers = [artist for artist in figure.get_children() if isinstance(artist, Text)]
    of_query = [each for each in numbers if each.get_transform() == figure.axes[0].transData]
    first = {text.get_text(): text.get_position() for text in of_query}
    lines = [each for each in figure.get_children() if isinstance(each, ConnectionPatch)]
    assert len(lines) == 1
    assert min(each.zorder for each in numbers[:2]) > max(each.zorder for each in lines)
    assert first["1"] == (75, 150)  # row 1, column 2 of 3 x 4 places on 120 x 300
    pairs, likeness, distance = captions(why)
    assert pairs == "1 of 144 pairs of places adds 60.0% of the likeness, 86 times an even share."
    assert "a likeness of 10." in likeness
    assert "3 + 3 = 6, the square of the distance 2.449." in distance
    figure.savefig("/dev/null", format="png")


def test_only_pairs_that_carry_weight_are_joined() -> None:
    even = replace(explanation("squash"), pairs=np.ones((3, 4, 3, 4)))
    figure = heat_maps(TALL, WIDE, even, ("a.jpg", "wide"))
    assert not [each for each in figure.get_children() if isinstance(each, ConnectionPatch)]
    assert "No pair of places stands out" in captions(even)[0]
    one = even.pairs.copy()
    one[0, 1, 2, 3] = 100.0
    strong = replace(even, pairs=one)
    assert strong.strong_pairs().tolist() == [[0, 1, 2, 3]]
    assert captions(strong)[0].startswith("1 of 144 pairs of places adds 41.2%")
    assert not len(replace(even, pairs=-one).strong_pairs())
