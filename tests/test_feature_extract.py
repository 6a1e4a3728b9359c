from pathlib import Path

import numpy as np
import pytest

from dogsim.errors import DogsimError
from dogsim.feature_extract import extract_features
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
