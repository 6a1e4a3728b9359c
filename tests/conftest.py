"""Shared by the tests: a machine without network, a small folder of pictures, real networks."""

import os
import tempfile
from pathlib import Path
from typing import Any

# Before anything imports Keras or matplotlib: no test reaches the network, the user's caches or a
# display. A proxy that refuses every connection is what a machine without network looks like.
_HOME = tempfile.mkdtemp(prefix="dogsim-tests-")
os.environ |= {
    "https_proxy": "http://127.0.0.1:9",
    "KERAS_HOME": _HOME,
    "XDG_CACHE_HOME": _HOME,
    "MPLBACKEND": "agg",
    "NO_COLOR": "1",
    "COLUMNS": "100",
}
os.environ.pop("DOGSIM_DATASET", None)

import numpy as np
import pytest
from PIL import Image

from dogsim import Dataset, Extractor, load_extractor

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real weights, photos and features."""
    folder = os.environ.get("DOGSIM_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DOGSIM_TEST_DATA names no folder with real weights, photos and features")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def lite() -> Extractor:
    """The network whose weights come with the installation."""
    return load_extractor("efficientnet-lite0")


@pytest.fixture(scope="session")
def breeds_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two breeds, three pictures each: red ones and striped ones."""
    root = tmp_path_factory.mktemp("breeds")
    rng = np.random.default_rng(0)
    for name in ("n00000001-red_setter", "striped"):
        (root / name).mkdir()
        for number in range(3):
            pixels = np.zeros((40, 50, 3), np.uint8)
            if name == "striped":
                pixels[::8] = pixels[1::8] = 255
            pixels[..., 0] |= rng.integers(150, 250, (40, 50), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


@pytest.fixture
def four() -> Dataset:
    """Four pictures on a line: pugs at 0 and 1, whippets at 5 and 6."""
    return Dataset(
        features=np.array([[0.0], [1.0], [5.0], [6.0]], np.float32),
        labels=np.array([0, 0, 1, 1], np.int32),
        paths=("pug/0.jpg", "pug/1.jpg", "whippet/5.jpg", "whippet/6.jpg"),
        breeds=("pug", "whippet"),
    )


@pytest.fixture(scope="session")
def random_resnet(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """Keras' own ResNet-50 with random weights, and a folder with it in every kind of file."""
    import keras

    keras.utils.set_random_seed(1)
    model = keras.applications.ResNet50(weights=None)
    folder = tmp_path_factory.mktemp("resnet")
    model.save_weights(folder / "top.weights.h5")
    model.save(folder / "top.keras")
    model.save(folder / "top.h5")
    without = keras.Model(model.input, model.get_layer("conv5_block3_out").output)
    without.save_weights(folder / "notop.weights.h5")
    without.save(folder / "notop.h5")
    return model, folder
