"""Keypoints and affine transformations: known changes are recovered, whatever the machine."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from textures import SIZE, texture

from dogsim.image_files.alignment import (
    MAX_KEYPOINTS,
    Alignment,
    Keypoints,
    align,
    find_keypoints,
)
from dogsim.plumbing.opencv import opencv

WIDTH, HEIGHT = SIZE


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return texture(0)


@pytest.fixture(scope="module")
def keypoints(image: Image.Image) -> Keypoints:
    return find_keypoints(np.asarray(image))


def pixel_matrix(found: Alignment, image: Image.Image, copy: Image.Image) -> NDArray[np.float64]:
    """Convert the matrix of an alignment to pixels of the two images, (2, 3)."""
    unit, copy_unit = (np.sqrt(each.width * each.height) for each in (image, copy))
    return np.asarray(copy_unit * found.matrix / [unit, unit, 1])


def changed(image: Image.Image, change: str) -> tuple[Image.Image, list[list[float]]]:
    """Return a copy and its matrix in pixels."""
    transpose, method = image.transpose, Image.Transpose
    copies: dict[str, tuple[Image.Image, list[list[float]]]] = {
        "none": (image, [[1, 0, 0], [0, 1, 0]]),
        "resized": (image.resize((165, 125)), [[0.5, 0, 0], [0, 0.5, 0]]),
        "stretched": (image.resize((WIDTH, 170)), [[1, 0, 0], [0, 0.68, 0]]),
        "mirrored": (transpose(method.FLIP_LEFT_RIGHT), [[-1, 0, WIDTH], [0, 1, 0]]),
        "flipped": (transpose(method.FLIP_TOP_BOTTOM), [[1, 0, 0], [0, -1, HEIGHT]]),
        "rotated": (transpose(method.ROTATE_90), [[0, 1, 0], [-1, 0, WIDTH]]),
        "cropped": (image.crop((99, 20, 297, 170)), [[1, 0, -99], [0, 1, -20]]),
        "grey": (image.convert("L"), [[1, 0, 0], [0, 1, 0]]),
        "dark": (image.point(lambda level: level // 2), [[1, 0, 0], [0, 1, 0]]),
    }
    return copies[change]


def test_spread_of_the_inliers(image: Image.Image, keypoints: Keypoints) -> None:
    """The fraction of the image that the inliers cover, in the one where they cover more."""
    whole = align(keypoints, keypoints)
    half = align(keypoints, find_keypoints(np.asarray(image.crop((0, 0, WIDTH // 2, HEIGHT)))))
    patch = texture(1)
    patch.paste(image.crop((0, 0, WIDTH // 2, HEIGHT // 2)), (WIDTH // 3, HEIGHT // 3))
    quarter = align(keypoints, find_keypoints(np.asarray(patch)))
    assert whole is not None
    assert half is not None
    assert quarter is not None
    assert [whole.spread, half.spread] == pytest.approx([0.8, 0.8], abs=0.15)  # without borders
    assert 0.1 < quarter.spread < 0.25
    assert whole.inverse().spread == whole.spread


@pytest.mark.parametrize(
    "change",
    ["none", "resized", "stretched", "mirrored", "flipped", "rotated", "cropped", "grey", "dark"],
)
def test_the_transformation_of_a_copy_is_found(
    image: Image.Image, keypoints: Keypoints, change: str
) -> None:
    copy, expected = changed(image, change)
    found = align(keypoints, find_keypoints(np.asarray(copy)))
    assert found is not None
    assert 20 <= found.inliers <= found.matches
    assert found.is_mirrored == (np.linalg.det(np.array(expected)[:, :2]) < 0)
    corners = np.array([[0, 0, 1], [WIDTH, 0, 1], [0, HEIGHT, 1], [WIDTH, HEIGHT, 1]])
    moved = corners @ pixel_matrix(found, image, copy).T
    np.testing.assert_allclose(moved, corners @ np.transpose(expected), atol=1.5)


def test_a_rotation_by_any_angle_is_found(image: Image.Image, keypoints: Keypoints) -> None:
    found = align(keypoints, find_keypoints(np.asarray(image.rotate(20, fillcolor="white"))))
    assert found is not None
    cosine, sine = np.cos(np.radians(20)), np.sin(np.radians(20))  # counterclockwise, y down
    np.testing.assert_allclose(found.matrix[:, :2], [[cosine, sine], [-sine, cosine]], atol=0.01)


def test_the_inverse_is_that_of_the_exchanged_images(
    image: Image.Image, keypoints: Keypoints
) -> None:
    copy = find_keypoints(np.asarray(changed(image, "cropped")[0]))
    found, reverse = align(keypoints, copy), align(copy, keypoints)
    assert found is not None
    assert reverse is not None
    np.testing.assert_allclose(found.inverse().matrix, reverse.matrix, atol=0.01)


def test_different_images_have_no_alignment(keypoints: Keypoints) -> None:
    others = [find_keypoints(np.asarray(texture(seed))) for seed in range(1, 6)]
    assert [align(keypoints, other) for other in others] == [None] * 5


def test_an_image_without_detail_has_no_keypoints(keypoints: Keypoints) -> None:
    plain = find_keypoints(np.full((90, 60, 3), 200, np.uint8))
    assert len(plain) == 0
    assert align(keypoints, plain) is align(plain, keypoints) is None
    assert len(find_keypoints(np.zeros((1, 1), np.uint8))) == 0


def test_a_mirrored_descriptor_is_that_of_the_mirror_image(
    image: Image.Image, keypoints: Keypoints
) -> None:
    mirrored = keypoints.mirrored()
    detected = find_keypoints(np.asarray(changed(image, "mirrored")[0]))
    distances = np.linalg.norm(mirrored.points[:, None] - detected.points, axis=2)  # (n, m)
    nearest = distances.argmin(axis=1)
    same = distances.min(axis=1) < 1e-3
    assert same.mean() > 0.9
    angles = mirrored.angles[same] - detected.angles[nearest[same]]
    exact = np.cos(angles) > 0.999  # some places have several directions
    difference = np.abs(
        np.int16(mirrored.descriptors[same]) - np.int16(detected.descriptors[nearest[same]])
    )
    assert exact.mean() > 0.7
    assert np.median(difference[exact].max(axis=1)) <= 1


def test_the_result_does_not_depend_on_threads_or_run(image: Image.Image) -> None:
    copy = np.asarray(image.rotate(-7))
    results = []
    for threads in (1, 2, 4):
        with opencv() as cv2:
            before = cv2.getNumThreads()
        cv2.setNumThreads(threads)
        one, other = find_keypoints(np.asarray(image)), find_keypoints(copy)
        assert cv2.getNumThreads() == threads  # the setting of other users of OpenCV is restored
        cv2.setNumThreads(before)
        found = align(one, other)
        assert found is not None
        results.append((one.descriptors.tobytes(), found.matrix.tobytes(), found.inliers))
    assert len(set(results)) == 1


def test_the_number_of_keypoints_is_limited() -> None:
    cells = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    assert len(find_keypoints(cells.repeat(4, axis=0).repeat(4, axis=1))) == MAX_KEYPOINTS
