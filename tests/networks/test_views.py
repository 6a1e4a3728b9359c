"""The views of an image, and the mean of their features."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dogsim.networks.views import VIEWS, average_views, mirrored, views_of

IMAGES = np.random.default_rng(8).integers(0, 256, (2, 16, 16, 3), np.uint8)


def pixels(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return images.reshape(len(images), -1).astype(np.float32)


def test_without_views_the_network_is_returned() -> None:
    assert average_views(pixels, "none") is pixels


def test_the_mean_of_unit_vectors_by_hand() -> None:
    expected: Any = [
        sum(each / np.linalg.norm(each) for each in (image.ravel(), image[:, ::-1].ravel())) / 2
        for image in IMAGES.astype(float)
    ]
    assert average_views(pixels, "flip")(IMAGES) == pytest.approx(np.stack(expected), abs=1e-6)
    assert average_views(pixels, "flip")(0 * IMAGES) == pytest.approx(0)  # no direction, no NaN


@pytest.mark.parametrize("views", VIEWS[1:])
def test_an_image_and_its_mirror_are_the_same(views: str) -> None:
    network = average_views(lambda images: pixels(images[:, :, :9]), views)
    assert network(IMAGES) == pytest.approx(network(mirrored(IMAGES)), abs=0.01)  # crops round


def test_crops_are_parts_of_the_image() -> None:
    ramp = np.empty((1, 24, 24, 3), np.uint8)
    ramp[:] = 10 * np.arange(24)[None, :, None, None]  # lighter from top to bottom
    rises = [np.ptp(view[0, :, 0, 0].astype(int)) for view in views_of(ramp, "flip,crops")]
    assert len(rises) == 12
    assert rises[:2] == [230, 230]
    assert rises[2:] == pytest.approx([230 * 7 / 8] * 10, abs=12)
