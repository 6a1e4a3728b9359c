from pathlib import Path

import numpy as np
import pytest

from dogsim.errors import DogsimError
from dogsim.feature_extract import extract_features, feature_extract
from dogsim.images import open_image
from dogsim.networks.extractor import Extractor


def test_batches_do_not_matter(breeds_dir: Path, lite: Extractor) -> None:
    pictures = sorted(breeds_dir.rglob("*.png"))
    once = extract_features(pictures, lite, batch_size=6)
    for batch_size in (1, 4):
        again = extract_features(pictures, lite, batch_size)
        np.testing.assert_allclose(again, once, rtol=1e-3, atol=1e-4)
    with pytest.raises(DogsimError, match="batch_size=0"):
        extract_features(pictures, lite, 0)
    with pytest.raises(DogsimError, match="no picture"):
        extract_features([], lite)


def test_one_picture_or_many(breeds_dir: Path, lite: Extractor) -> None:
    """One picture is one, as a path, as text, as its content and as pixels."""
    file = next(breeds_dir.rglob("*.png"))
    expected = extract_features([file], lite)
    assert expected.shape == (1, 1280)
    pixels = np.asarray(open_image(file))
    for one in (file, str(file), file.read_bytes(), pixels, open_image(file)):
        np.testing.assert_array_equal(extract_features(one, lite), expected)
    np.testing.assert_array_equal(feature_extract(str(file), lite), expected[0])
