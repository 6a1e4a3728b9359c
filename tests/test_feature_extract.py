from pathlib import Path

import numpy as np
import pytest

from dogsim.errors import DogsimError
from dogsim.feature_extract import extract_features, feature_extract
from dogsim.images import open_image
from dogsim.networks.extractor import Extractor


def test_the_batch_size_does_not_change_features(breeds_dir: Path, lite: Extractor) -> None:
    images = sorted(breeds_dir.rglob("*.png"))
    once = extract_features(images, lite, batch_size=6)
    for batch_size in (1, 4):
        again = extract_features(images, lite, batch_size)
        np.testing.assert_allclose(again, once, rtol=1e-3, atol=1e-4)
    with pytest.raises(DogsimError, match="batch_size=0"):
        extract_features(images, lite, 0)
    with pytest.raises(DogsimError, match="no image"):
        extract_features([], lite)


def test_one_image_or_many(breeds_dir: Path, lite: Extractor) -> None:
    """A path, a text, the content of a file and pixels are the same image."""
    file = next(breeds_dir.rglob("*.png"))
    expected = extract_features([file], lite)
    assert expected.shape == (1, 1280)
    pixels = np.asarray(open_image(file))
    for source in (file, str(file), file.read_bytes(), pixels, open_image(file)):
        np.testing.assert_array_equal(extract_features(source, lite), expected)
    np.testing.assert_array_equal(feature_extract(str(file), lite), expected[0])
