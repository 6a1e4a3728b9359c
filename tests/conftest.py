"""Fixtures of all tests: no network connection, a small folder of images, networks."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

# Set before Keras or matplotlib are imported: no test uses the network, the user's caches or a
# display. A proxy that refuses every connection simulates a machine without network. The workers of
# pytest-xdist inherit the caches, so that a network is converted once for all of them.
_HOME = os.environ.get("DOGSIM_TEST_HOME") or tempfile.mkdtemp(prefix="dogsim-tests-")
os.environ |= {
    "DOGSIM_TEST_HOME": _HOME,
    "https_proxy": "http://127.0.0.1:9",
    "KERAS_HOME": _HOME,
    "KAGGLEHUB_CACHE": _HOME,
    "XDG_CACHE_HOME": _HOME,
    "MPLBACKEND": "agg",
    "NO_COLOR": "1",
    "COLUMNS": "100",
}
os.environ.pop("DOGSIM_DATASET", None)
if "PYTEST_XDIST_WORKER" in os.environ:  # the others use the other cores, and idle threads spin
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import platformdirs
import pytest
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from dogsim import Dataset, Extractor, Recipe, create_dataset
from dogsim.networks.extractor import NetworkOptions

if sys.platform != "linux":  # other systems do not use XDG_CACHE_HOME
    platformdirs.user_cache_path = lambda name: Path(_HOME, name)

settings.register_profile("dogsim", deadline=None)  # other programs use the processor as well
settings.load_profile("dogsim")

REPOSITORY = Path(__file__).resolve().parent.parent
LITE = "efficientnet-lite2"
SKIPPED = ("slow", "release")  # markers of tests that take long

# The network that most tests use is loaded once per process.
_build = NetworkOptions.load
_load_lite = cache(_build)


def _load(options: NetworkOptions) -> Extractor:
    plain = (options.backbone, options.weights) == (LITE, "imagenet")
    return _load_lite(options) if plain else _build(options)


NetworkOptions.load = _load  # type: ignore[assignment,method-assign]


def pytest_addoption(parser: pytest.Parser) -> None:
    for option in SKIPPED:
        parser.addoption(f"--{option}", action="store_true", help=f"run tests marked {option}, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests with these markers unless the option of that name is given."""
    for option in SKIPPED:
        if not config.getoption(f"--{option}"):
            skip = pytest.mark.skip(reason=f"{option}: pytest --{option} runs it")
            for item in items:
                if item.get_closest_marker(option):
                    item.add_marker(skip)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with real weights, photos and features."""
    folder = os.environ.get("DOGSIM_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("DOGSIM_TEST_DATA names no folder with real weights, photos and features")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def breeds120(real_data: Path) -> Dataset:
    """Features of 100 photos of each of the 120 breeds of Stanford Dogs."""
    with np.load(real_data / "features" / "stanford_dogs_resnet50_12000.npz") as arrays:
        return Dataset(
            features=arrays["features"].astype(np.float32),
            labels=arrays["labels"].astype(np.int32),
            paths=tuple(arrays["paths"].tolist()),
            breeds=tuple(arrays["breeds"].tolist()),
        )


@pytest.fixture(scope="session")
def resnet_file(real_data: Path, once: Callable[[str, Callable[[Path], Any]], Path]) -> Path:
    """Keras file of the ResNet-50 with ImageNet weights that computed these features."""
    script = real_data / "weights" / "make_keras_model.py"

    def make(folder: Path) -> None:
        subprocess.run([sys.executable, script, folder / "resnet50.keras"], check=True)

    return once("real-resnet", make) / "resnet50.keras"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], Path]:
    """Create a folder with a function, once for all workers of a session."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], Any]) -> Path:
        folder = shared / name
        with FileLock(shared / f"{name}.lock"):
            if not folder.is_dir():
                unfinished = Path(tempfile.mkdtemp(dir=shared))
                make(unfinished)
                unfinished.rename(folder)  # after an error no incomplete folder remains
        return folder

    return made


@pytest.fixture(scope="session")
def lite() -> Extractor:
    """The network whose weights are installed with dogsim."""
    return NetworkOptions(backbone=LITE).load()


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> str:
    """File of a network that loads at once and computes mean colours only."""
    import keras

    file = tmp_path_factory.mktemp("colours") / "colours.keras"
    layers = [keras.Input((32, 32, 3)), keras.layers.GlobalAveragePooling2D(name="avg_pool")]
    keras.Sequential(layers).save(file)
    return str(file)


@pytest.fixture(scope="session")
def mean_colours() -> Extractor:
    """An extractor without a network, which computes mean colours of 8 x 8 pixels."""
    recipe = Recipe("colours", "imagenet", "0" * 64, "avg_pool", 8)
    return Extractor(recipe, lambda images: images.mean(axis=(1, 2), dtype=np.float32))


@pytest.fixture(scope="session")
def breeds_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of two breeds with three images each: red and striped."""
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


@pytest.fixture(scope="session")
def stored(breeds_dir: Path, colours: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a dataset of these images."""
    out = tmp_path_factory.mktemp("stored") / "d.h5"
    create_dataset(breeds_dir, out, weights=colours)
    return out


@pytest.fixture
def four() -> Dataset:
    """Four images on a line: pugs at 0 and 1, whippets at 5 and 6."""
    return Dataset(
        features=np.array([[0.0], [1.0], [5.0], [6.0]], np.float32),
        labels=np.array([0, 0, 1, 1], np.int32),
        paths=("pug/0.jpg", "pug/1.jpg", "whippet/5.jpg", "whippet/6.jpg"),
        breeds=("pug", "whippet"),
    )


@pytest.fixture(scope="session")
def random_resnet(once: Callable[[str, Callable[[Path], Any]], Path]) -> tuple[Any, Path]:
    """Keras' ResNet-50 with random weights, and a folder with it in a file without the top."""
    import keras

    def make(folder: Path) -> None:
        keras.utils.set_random_seed(1)
        model = keras.applications.ResNet50(weights=None)
        model.save(folder / "top.keras")
        _without_top(model).save(folder / "notop.h5")

    folder = once("resnet", make)
    return keras.models.load_model(folder / "top.keras", compile=False), folder


@pytest.fixture(scope="session")
def resnet_files(
    random_resnet: tuple[Any, Path], once: Callable[[str, Callable[[Path], Any]], Path]
) -> Path:
    """A folder with the same network in all kinds of files."""
    model, files = random_resnet

    def make(folder: Path) -> None:
        shutil.copytree(files, folder, dirs_exist_ok=True)
        model.save_weights(folder / "top.weights.h5")
        model.save(folder / "top.h5")
        _without_top(model).save_weights(folder / "notop.weights.h5")

    return once("resnet-files", make)


def _without_top(model: Any) -> Any:
    import keras

    return keras.Model(model.input, model.get_layer("conv5_block3_out").output)
