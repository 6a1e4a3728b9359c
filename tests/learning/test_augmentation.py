import numpy as np

from dogsim import augment


def test_a_picture_stays_what_it_was_but_for_side_and_place() -> None:
    ramp = np.tile(np.linspace(0, 250, 64).astype(np.uint8)[None, :, None], (64, 1, 3))
    rng = np.random.default_rng(0)
    pictures = [augment(ramp, rng) for _ in range(40)]
    turned = [bool(picture[0, -1, 0] < picture[0, 0, 0]) for picture in pictures]
    assert 8 < sum(turned) < 32  # mirrored half of the time
    for picture, mirrored in zip(pictures, turned, strict=True):
        assert picture.shape == ramp.shape
        row = picture[0, ::-1, 0] if mirrored else picture[0, :, 0]
        width = float(row[-1]) - float(row[0])
        assert 0.85 * 250 < width <= 250  # seven eighths and more of it
    assert len({picture.tobytes() for picture in pictures}) == 40


def test_the_same_chance_gives_the_same() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), np.uint8)
    first, second = (augment(picture, np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first, second)
