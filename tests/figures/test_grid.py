import io
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from dogsim.classify import classify
from dogsim.dataset import Dataset
from dogsim.errors import DogsimError
from dogsim.figures.grid import RIGHT, WRONG, result_grid
from dogsim.networks.extractor import Extractor
from dogsim.recipe import Recipe

SHAPES = [(224, 224), (30, 400), (1, 1), (3000, 2000), (400, 30)]


@pytest.fixture
def gallery(tmp_path: Path) -> Dataset:
    """Pictures of all shapes: three pugs, a whippet, one of unknown breed whose file is gone."""
    paths = tuple(f"{i}.png" for i in range(5))
    for path, shape in zip(paths[:4], SHAPES, strict=False):
        Image.new("RGB", shape, "olive").save(tmp_path / path)
    labels = np.array([0, 0, 0, 1, -1], np.int32)
    return Dataset(
        np.eye(5, dtype=np.float32), labels, paths, ("pug", "whippet"), root=str(tmp_path)
    )


def grid(gallery: Dataset, truth: str | None) -> list[Axes]:
    query = np.zeros((20, 90, 3), np.uint8)
    figure = result_grid(query, gallery, np.arange(5), np.arange(5) * 1.5, truth)
    return list(figure.axes)


def test_the_query_comes_first_then_its_neighbours(gallery: Dataset) -> None:
    tiles = grid(gallery, "pug")
    assert len(tiles) == 6
    titles = [tile.get_title() for tile in tiles]
    assert titles == ["query: a picture ✓", "pug ✓", "pug ✓", "pug ✓", "whippet ✗", "unknown ✗"]
    below = [tile.get_xlabel() for tile in tiles]
    assert below[0] == "vote: pug, 3 of 5\ntruth: pug"
    assert below[1] == "distance 0.00, 3 of 5 votes"
    assert below[4] == "distance 4.50, 1 of 5 votes"


def test_the_grid_counts_as_the_vote_does(gallery: Dataset) -> None:
    nobody = replace(gallery, labels=np.full(5, -1, np.int32))
    query = np.zeros((9, 9, 3), np.uint8)
    tiles = result_grid(query, nobody, np.arange(3), np.zeros(3)).axes
    first = Extractor(Recipe("any", "", "", "", 8), lambda _: np.eye(1, 5, dtype=np.float32))
    (answer,) = classify([query], nobody, 3, extractor=first)
    assert (answer.breed, answer.votes) == ("unknown", 0)
    assert tiles[0].get_xlabel() == "vote: unknown, 0 of 3"
    assert tiles[1].get_xlabel().endswith("0 of 3 votes")


def test_right_and_wrong_differ_by_more_than_colour(gallery: Dataset) -> None:
    tiles = grid(gallery, "pug")
    styles = [tile.spines["left"].get_linestyle() for tile in tiles]
    assert styles == ["-"] * 4 + ["--"] * 2
    assert RIGHT[0] != WRONG[0]
    neutral = grid(gallery, None)
    assert {tile.spines["left"].get_linestyle() for tile in neutral} == {"-"}
    assert not any(mark in tile.get_title() for tile in neutral for mark in "✓✗")
    assert neutral[0].get_title().strip() == "query: a picture"


def test_every_shape_is_shown_whole_in_a_square(gallery: Dataset) -> None:
    for tile in grid(gallery, "pug")[:5]:
        (picture,) = tile.get_images()
        left, right, bottom, top = picture.get_extent()
        (x0, x1), (y1, y0) = tile.get_xlim(), tile.get_ylim()
        assert x0 <= left < right <= x1
        assert y0 <= top < bottom <= y1
        assert x1 - x0 == y1 - y0
        assert max(np.asarray(picture.get_array()).shape) <= 400  # not 3000 pixels for a tile


def test_a_picture_that_is_gone_leaves_a_tile_that_says_so(gallery: Dataset) -> None:
    gone = grid(gallery, "pug")[5]
    assert gone.texts[0].get_text() == "not found:\n4.png"
    with pytest.raises(DogsimError, match="There is no picture"):
        result_grid("none.png", gallery, np.arange(1), np.zeros(1))


def test_a_folder_that_has_moved_leaves_tiles_of_the_usual_size(gallery: Dataset) -> None:
    paths = tuple(f"a_rather_long_name_of_a_folder/and_then_{i}{'x' * 90}.png" for i in range(5))
    moved = replace(gallery, root="/no/such/folder", paths=paths, breeds=("p" * 200, "w" * 70))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        query = np.zeros((20, 90, 3), np.uint8)
        figure = result_grid(query, moved, np.arange(5), np.zeros(5), "pug")
        figure.savefig(io.BytesIO())
    tiles = figure.axes
    for tile in tiles:
        assert tile.get_window_extent().width > 150  # of 260 pixels
    for gone in tiles[1:]:
        text = gone.texts[0].get_window_extent()
        assert text.width < gone.get_window_extent().width


def test_names_are_shown_as_they_are(gallery: Dataset, tmp_path: Path) -> None:
    hostile = replace(gallery, breeds=("$5_$7", "\x1b[31mred"))
    query = tmp_path / "$1_$2 caf\udce9.png"
    Image.new("RGB", (9, 9)).save(query)
    figure = result_grid(query, hostile, np.arange(5), np.zeros(5), "$5_$7")
    figure.savefig(io.BytesIO())
    assert figure.axes[0].get_title() == "query: $1_$2 caf\\xe9.png ✓"
    assert figure.axes[4].get_title() == "\\x1b[31mred ✗"
