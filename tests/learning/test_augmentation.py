import numpy as np

from dogsim import augment


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
