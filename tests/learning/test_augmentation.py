import numpy as np
import pytest
import skimage.transform

from dogsim import DogsimError, augment
from dogsim.learning.augmentation import rotate


def test_augmentation_flips_and_crops_only() -> None:
    ramp = np.tile(np.linspace(0, 250, 64).astype(np.uint8)[None, :, None], (64, 1, 3))
    rng = np.random.default_rng(0)
    images = [augment(ramp, rng) for _ in range(40)]
    flipped = [bool(image[0, -1, 0] < image[0, 0, 0]) for image in images]
    assert 8 < sum(flipped) < 32  # flipped with probability 1/2
    for image, is_flipped in zip(images, flipped, strict=True):
        assert image.shape == ramp.shape
        row = image[0, ::-1, 0] if is_flipped else image[0, :, 0]
        width = float(row[-1]) - float(row[0])
        assert 0.85 * 250 < width <= 250  # a crop of 7/8 or more
    assert len({image.tobytes() for image in images}) == 40


def test_the_same_seed_gives_the_same_image() -> None:
    image = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    first, second = (augment(image, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)


def test_rotation_is_that_of_scikit_image() -> None:
    waves = np.sin(np.arange(64) / 9)[:, None] + np.cos(np.arange(64) / 7)
    image = np.repeat((waves * 60 + 128)[:, :, None], 3, axis=2).astype(np.uint8)
    ours = rotate(image, 30).astype(float)
    turned = skimage.transform.rotate  # has no types
    theirs = turned(image, 30, order=3, preserve_range=True)  # type: ignore[no-untyped-call]
    rows, columns = np.mgrid[:64, :64] - 31.5
    inside = np.hypot(rows, columns) < 30
    assert abs(ours - theirs)[inside].max() < 3
    assert abs(ours - image)[inside].max() > 20
    assert ours[0, 0].min() > 0  # reflected, not black


def test_augmentation_with_rotation() -> None:
    image = np.random.default_rng(0).integers(0, 255, (24, 16, 3), np.uint8)
    plain, turned = (augment(image, np.random.default_rng(5), angle) for angle in (0, 30))
    assert turned.shape == image.shape
    assert not np.array_equal(plain, turned)
    with pytest.raises(DogsimError, match="rotation=46. Expected 0 to 45 degrees"):
        augment(image, np.random.default_rng(5), 46)
