import io
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from PIL import Image

from dogsim.classify import classify
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.figures.grid import _shape, result_grid, result_grids
from dogsim.figures.tiles import RIGHT, WRONG
from dogsim.networks.extractor import Extractor
from dogsim.recipe import Recipe
from dogsim.retrieval.pair_distances import pair_distances

SHAPES = [(224, 224), (30, 400), (1, 1), (3000, 2000), (400, 30)]


@pytest.fixture
def gallery(tmp_path: Path) -> Dataset:
    """Return images of all shapes: three pugs, a whippet, and one without breed and file."""
    paths = tuple(f"{i}.png" for i in range(5))
    for path, shape in zip(paths[:4], SHAPES, strict=False):
        Image.new("RGB", shape, "olive").save(tmp_path / path)
    labels = np.array([0, 0, 0, 1, -1], np.int32)
    return Dataset(
        np.eye(5, dtype=np.float32), labels, paths, ("pug", "whippet"), root=str(tmp_path)
    )


def grid(gallery: Dataset, truth: str | None) -> list[Axes]:
    """Return the tiles of the query and of its five neighbours."""
    query = np.zeros((20, 90, 3), np.uint8)
    figure = result_grid(query, gallery, np.arange(5), np.arange(5) * 1.5, truth)
    return tiles_of(figure)


def tiles_of(figure: Any) -> list[Axes]:
    return [tile for tile in figure.axes if tile.axison]  # not the votes, nor empty tiles


def votes_of(figure: Any) -> list[str]:
    return [text.get_text() for text in figure.axes[1].texts if text.get_text() != "votes"]


def badges(tile: Axes) -> list[str]:
    return [text.get_text() for text in tile.texts if text.get_text() in (RIGHT[0], WRONG[0])]


def test_the_query_comes_first_then_its_neighbours(gallery: Dataset) -> None:
    tiles = grid(gallery, "pug")
    assert len(tiles) == 6
    titles = [tile.get_title() for tile in tiles]
    assert titles == ["query: an image", "pug", "pug", "pug", "whippet", "unknown"]
    below = [tile.get_xlabel() for tile in tiles]
    assert below[0] == "breed: pug\nvote: pug"
    assert below[1] == "#1 · 0.00 · closer than 99.9 %"
    assert below[4] == "#4 · 4.50 · farther than 99 %"  # all distances in the gallery are 1.41
    assert tiles[1].texts[0].get_text() == "0.png"
    assert pair_distances(gallery, "euclidean") == pytest.approx(np.full(10, 2**0.5))


def test_a_single_image_has_no_scale_for_its_distance(gallery: Dataset) -> None:
    query = np.zeros((9, 9), np.uint8)
    figure = result_grid(query, gallery.take(np.array([0])), np.array([0]), np.ones(1))
    assert [tile.get_xlabel() for tile in tiles_of(figure)] == ["vote: pug", "#1 · 1.00"]
    assert figure.get_supxlabel() == ""
    with_legend = result_grid(query, gallery, np.array([0]), np.ones(1)).get_supxlabel()
    assert '"Closer than 90 %" means' in with_legend.replace("\n", " ")


def test_usual_captions_fit_into_their_tiles(gallery: Dataset) -> None:
    near = result_grid(np.zeros((9, 9), np.uint8), gallery, np.arange(20) % 5, np.full(20, 1e-9))
    near.savefig(io.BytesIO())
    tile = tiles_of(near)[20]
    tile.set_xlabel("#20 · 14.6 · closer than 99.9 %")
    assert tile.xaxis.label.get_window_extent().width < tile.get_window_extent().width


def test_the_grid_counts_like_the_vote(gallery: Dataset) -> None:
    nobody = replace(gallery, labels=np.full(5, -1, np.int32))
    query = np.zeros((9, 9, 3), np.uint8)
    figure = result_grid(query, nobody, np.arange(3), np.zeros(3))
    first = Extractor(Recipe("any", "", "", "", 8), lambda _: np.eye(1, 5, dtype=np.float32))
    (answer,) = classify([query], nobody, 3, extractor=first)
    assert (answer.breed, answer.votes) == ("unknown", 0)
    assert votes_of(figure) == ["unknown 0"]
    assert tiles_of(figure)[0].get_xlabel() == "vote: unknown"


def test_a_tie_is_shown(gallery: Dataset) -> None:
    figure = result_grid(np.zeros((9, 9), np.uint8), gallery, np.array([3, 0]), np.ones(2))
    assert votes_of(figure) == ["whippet 1", "pug 1"]
    assert tiles_of(figure)[0].get_xlabel() == "vote: whippet\ntie with pug, which is farther"


def test_the_winner_of_a_tie_need_not_have_the_nearest_neighbour(gallery: Dataset) -> None:
    breeds = tuple("abcd")
    many = replace(gallery, breeds=breeds, labels=np.array([0, 1, 2, 1, 2], np.int32))
    figure = result_grid(np.zeros((9, 9), np.uint8), many, np.arange(5), np.arange(5.0))
    assert tiles_of(figure)[0].get_xlabel() == "vote: b\ntie with c, which is farther"
    many = replace(many, labels=np.array([3, 1, 2, 0, -1], np.int32))
    figure = result_grid(np.zeros((9, 9), np.uint8), many, np.arange(5), np.arange(5.0))
    assert tiles_of(figure)[0].get_xlabel() == "vote: d\ntie with 3 breeds, which are\nfarther"


def test_votes_are_drawn_as_bars(gallery: Dataset) -> None:
    figure = result_grid(np.zeros((9, 9), np.uint8), gallery, np.arange(5), np.ones(5), "pug")
    bars = figure.axes[1].patches
    assert [bar.get_width() for bar in bars] == [3, 1]  # type: ignore[attr-defined]
    assert votes_of(figure) == ["pug 3", "whippet 1"]


def test_many_breeds_have_bars_for_the_first_ones(gallery: Dataset) -> None:
    breeds = tuple(f"breed {i}" for i in range(8))
    many = Dataset(np.eye(8, dtype=np.float32), np.arange(8, dtype=np.int32), breeds, breeds)
    query = np.zeros((9, 9), np.uint8)
    figure = result_grid(query, many, np.arange(8), np.ones(8), images=[query] * 8)
    assert votes_of(figure) == [*(f"breed {i} 1" for i in range(6)), "and 2 other breeds"]


def test_without_the_truth_each_breed_has_its_colour(gallery: Dataset) -> None:
    figure = result_grid(np.zeros((9, 9), np.uint8), gallery, np.arange(5), np.ones(5))
    _, *tiles = tiles_of(figure)
    frames = [tile.spines["left"].get_edgecolor() for tile in tiles]
    assert frames[0] == frames[1] == frames[2] != frames[3] != frames[4] != frames[0]
    bars = [bar.get_facecolor() for bar in figure.axes[1].patches]
    assert bars == [frames[0], frames[3]]


@pytest.mark.parametrize("k", range(1, 21))
def test_at_most_one_tile_is_empty(gallery: Dataset, k: int) -> None:
    rows, columns = _shape(k)
    assert 0 <= rows * columns - k <= 1
    assert columns >= rows


def test_right_and_wrong_differ_by_more_than_colour(gallery: Dataset) -> None:
    tiles = grid(gallery, "pug")
    assert [badges(tile) for tile in tiles] == [[], ["✓"], ["✓"], ["✓"], ["✗"], ["✗"]]
    frames = [tile.spines["left"].get_edgecolor() for tile in tiles]
    assert frames[1] != frames[4] != frames[0] != frames[1]
    assert not any(badges(tile) for tile in grid(gallery, None))


def test_text_is_dark_on_white(gallery: Dataset) -> None:
    """The contrast is at least 4.5 : 1, as in WCAG 2."""
    for tile in grid(gallery, "pug"):
        texts = [tile.title, tile.xaxis.label, *tile.texts]
        for text in (text for text in texts if text.get_text() not in "✓✗"):
            linear = [(c + 0.055) ** 2.4 / 1.055**2.4 if c > 0.04 else c / 12.92
                      for c in to_rgb(text.get_color())]  # fmt: skip
            assert 1.05 / (np.dot(linear, [0.2126, 0.7152, 0.0722]) + 0.05) > 4.5


@pytest.mark.parametrize("k", [1, 3, 8, 20, pytest.param(100, marks=pytest.mark.slow)])
def test_a_grid_is_hardly_higher_than_wide(gallery: Dataset, k: int) -> None:
    indices = np.arange(k) % 4
    figure = result_grid(np.zeros((9, 9), np.uint8), gallery, indices, np.zeros(k))
    width, height = figure.get_size_inches()
    assert 0.8 < width / height < 5
    assert len(tiles_of(figure)) == 1 + k


def test_two_answers_below_each_other(gallery: Dataset) -> None:
    found = gallery, np.arange(3), np.zeros(3)
    one = result_grid(np.zeros((9, 9), np.uint8), gallery, np.arange(3), np.zeros(3), "pug")
    two = result_grids(np.zeros((9, 9), np.uint8), {"before": found, "after": found}, "pug")
    assert len(two.axes) == 2 * len(one.axes)
    assert two.get_size_inches()[1] == 2 * one.get_size_inches()[1]


def test_every_shape_is_shown_whole_in_a_square(gallery: Dataset) -> None:
    for tile in grid(gallery, "pug")[:5]:
        (image,) = tile.get_images()
        left, right, bottom, top = image.get_extent()
        (x0, x1), (y1, y0) = tile.get_xlim(), tile.get_ylim()
        assert x0 <= left < right <= x1
        assert y0 <= top < bottom <= y1
        assert x1 - x0 == y1 - y0
        assert max(np.asarray(image.get_array()).shape) <= 400  # reduced to the size of a tile


def test_a_missing_image_is_reported_in_its_tile(gallery: Dataset) -> None:
    gone = grid(gallery, "pug")[5]
    assert gone.texts[0].get_text() == "not found:\n4.png\n\nIf it has moved:\n--root FOLDER"
    with pytest.raises(DogsimError, match="There is no image"):
        result_grid("none.png", gallery, np.arange(1), np.zeros(1))


def test_tiles_of_missing_images_have_the_same_size(gallery: Dataset) -> None:
    paths = tuple(f"a_rather_long_name_of_a_folder/and_then_{i}{'x' * 90}.png" for i in range(5))
    moved = replace(gallery, root="/no/such/folder", paths=paths, breeds=("p" * 200, "w" * 70))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        query = np.zeros((20, 90, 3), np.uint8)
        figure = result_grid(query, moved, np.arange(5), np.arange(5.0), "pug")
        figure.savefig(io.BytesIO())
    tiles = tiles_of(figure)
    for tile in tiles:
        assert tile.get_window_extent().width > 120  # of 175 pixels
    for gone in tiles[1:]:
        text = gone.texts[0].get_window_extent()
        assert text.width < gone.get_window_extent().width


def test_names_are_shown_as_text(gallery: Dataset, tmp_path: Path) -> None:
    hostile = replace(gallery, breeds=("$5_$7", "\x1b[31mred"))
    query = tmp_path / "$1_$2 caf\udce9.png"
    Image.new("RGB", (9, 9)).save(query)
    figure = result_grid(query, hostile, np.arange(5), np.zeros(5), "$5_$7")
    figure.savefig(io.BytesIO())
    tiles = tiles_of(figure)
    assert tiles[0].get_title() == "query: $1_$2 caf\\xe9.png"
    assert tiles[4].get_title() == "\\x1b[31mred"
