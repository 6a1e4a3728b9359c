from pathlib import Path

import numpy as np

from dogsim.figures.distance_matrix import distance_map


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
