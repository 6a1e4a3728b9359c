from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogsim import Dataset, DogsimError, breed_tree
from dogsim.figures.distances import distance_map, tree_order

COLOURS = ("red", "green", "blue", "olive")


def line(tmp_path: Path) -> Dataset:
    """Return five breeds: two near each other at each end of a line, and one without images."""
    for colour in COLOURS:
        Image.new("RGB", (30, 20), colour).save(tmp_path / f"{colour}.png")
    paths = [f"{colour}.png" for colour in COLOURS for _ in range(2)]
    at = np.array([[0.0], [0.2], [10.0], [10.4], [1.0], [1.2], [12.0], [12.2]], np.float32)
    labels = np.repeat([0, 1, 2, 3], 2)
    breeds = ("pug", "whippet", "boxer", "borzoi", "nobody")
    return Dataset(at, labels, tuple(paths), breeds, root=str(tmp_path))


def test_near_breeds_are_neighbours_in_the_tree(tmp_path: Path) -> None:
    order = tree_order(line(tmp_path)).tolist()
    assert sorted(order[:4]) == [0, 1, 2, 3]
    assert {frozenset(order[:2]), frozenset(order[2:4])} == {frozenset({0, 2}), frozenset({1, 3})}
    assert order[4] == 4  # the breed without images is last


def test_each_leaf_has_an_image_of_its_breed(tmp_path: Path) -> None:
    dataset = line(tmp_path)
    tree, leaves = breed_tree(dataset).axes
    names = [text.get_text() for text in leaves.texts]
    assert names[::-1] == [dataset.breeds[label] for label in tree_order(dataset)[:4]]
    assert "euclidean" in tree.get_xlabel()
    assert "average linkage" in tree.get_xlabel()
    for name, inset in zip(names, leaves.child_axes, strict=True):
        (shown,) = inset.get_images()
        colour = COLOURS[dataset.breeds.index(name)]
        expected = np.asarray(Image.new("RGB", (64, 64), colour))
        assert np.array_equal(np.asarray(shown.get_array()), expected), name


def test_missing_images_and_too_few_breeds(tmp_path: Path) -> None:
    dataset = line(tmp_path)
    for colour in COLOURS:
        (tmp_path / f"{colour}.png").unlink()
    assert not breed_tree(dataset).axes[1].child_axes
    with pytest.raises(DogsimError, match="dataset of 1 breed. Expected two or more"):
        breed_tree(dataset.take([0, 1]))
    with pytest.raises(DogsimError, match="Unknown metric"):
        breed_tree(dataset, "far")


def test_images_are_named_and_numbered() -> None:
    images = [Path("a/1.jpg"), Path("b/1.jpg"), Path("b/cost $5 of $6.jpg")]
    distances = np.array([[0, 0.25, 1], [0.25, 0, 0.5], [1, 0.5, 0]])
    figure = distance_map(images, distances, "cosine")
    figure.canvas.draw()
    axes = figure.axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["a/1.jpg", "b/1.jpg", "cost $5 of $6.jpg"]
    assert [text.get_text() for text in axes.texts][:3] == ["0.00", "0.25", "1.00"]
    assert axes.get_title() == "cosine distance"


def test_many_images_have_no_numbers() -> None:
    figure = distance_map([Path(f"{i}.jpg") for i in range(40)], np.zeros((40, 40)))
    assert not figure.axes[0].texts
    assert max(figure.get_size_inches()) <= 31
