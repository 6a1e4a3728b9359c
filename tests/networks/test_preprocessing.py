"""The preprocessing of an ONNX network, read from its metadata or a file beside it."""

import json
from pathlib import Path
from typing import Any

import pytest

from dogsim import DogsimError
from dogsim.networks.preprocessing import Preprocessing, find_preprocessing

COLOURS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MEAN, STD = map(list, COLOURS)
HALF = (0.5, 0.5, 0.5)
ZERO, ONE = (0, 0, 0), (1, 1, 1)
RAW = ZERO, (0.00392156863,) * 3  # 0 to 255, as it comes
HUGGING_FACE = {"image_mean": MEAN, "image_std": STD, "rescale_factor": 0.00392156862745098}
FOUND: list[tuple[str, dict[str, Any], Preprocessing]] = [
    (
        "preprocessor_config.json",  # of DINOv2
        {
            **HUGGING_FACE,
            "size": {"shortest_edge": 256},
            "crop_size": {"height": 224, "width": 224},
        },
        Preprocessing(*COLOURS, 224),
    ),
    (
        "preprocessor_config.json",  # of ViT
        {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 384, "width": 384}},
        Preprocessing(HALF, HALF, 384),
    ),
    (
        "preprocessor_config.json",  # of an older one
        {**HUGGING_FACE, "do_center_crop": False, "crop_size": 224, "size": 256},
        Preprocessing(*COLOURS, 256),
    ),
    ("preprocessor_config.json", {"do_normalize": False}, Preprocessing(ZERO, ONE)),
    ("preprocessor_config.json", {"do_normalize": False, "do_rescale": False}, Preprocessing(*RAW)),
    (
        "preprocessor_config.json",  # -1 to 1 by half as many steps
        {"image_mean": 1, "image_std": 1, "rescale_factor": 2 / 255},
        Preprocessing(HALF, HALF),
    ),
    (
        "config.json",  # of timm
        {"pretrained_cfg": {"mean": MEAN, "std": STD, "input_size": [3, 240, 240]}},
        Preprocessing(*COLOURS, 240),
    ),
    (
        "open_clip_config.json",
        {"preprocess_cfg": {"mean": MEAN, "std": STD, "size": [224, 224]}},
        Preprocessing(*COLOURS, 224),
    ),
    (
        "config.json",
        {"architectures": ["Dinov2Model"], "image_size": 518},
        Preprocessing(image_size=518),
    ),
    ("config.json", {"mean": MEAN}, Preprocessing(COLOURS[0])),
    ("other.json", HUGGING_FACE, Preprocessing()),
]


@pytest.mark.parametrize(("name", "facts", "expected"), FOUND)
def test_values_from_a_file_beside_the_network(
    tmp_path: Path, name: str, facts: dict[str, Any], expected: Preprocessing
) -> None:
    (tmp_path / name).write_text(json.dumps(facts))
    assert find_preprocessing(tmp_path / "net.onnx", {}) == expected


def test_the_metadata_comes_first(tmp_path: Path) -> None:
    notes = {"mean": "0.5", "image_std": "[0.5, 0.5, 0.25]", "author": "{"}
    settings = {**HUGGING_FACE, "size": 99}
    (tmp_path / "onnx").mkdir()
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    found = find_preprocessing(tmp_path / "onnx" / "net.onnx", notes)  # as on Hugging Face's Hub
    assert found == Preprocessing(HALF, (0.5, 0.5, 0.25), 99)
    found = find_preprocessing(tmp_path / "other" / "net.onnx", notes)
    assert found == Preprocessing(HALF, (0.5, 0.5, 0.25))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Cannot read .*preprocessor_config.json, which may have the preprocessing"),
        ('{"image_mean": "x", "image_std": 1}', "Cannot interpret the mean and std in .*json"),
        ('{"image_mean": {}, "image_std": 1}', "Cannot interpret the mean and std in .*json"),
        ('{"image_mean": 0, "image_std": 1, "rescale_factor": 0}', "Cannot interpret the mean"),
        ('{"image_mean": [123, 117, 104], "image_std": 1}', "Received mean=.123.0,.* in .*json"),
        ('{"image_mean": 0, "image_std": [0, 0, 0]}', "Received std=.* above 0"),
        ('{"size": 100000}', "Received image_size=100000. Expected 1 to 4096, pixels in .*json"),
        ("[1]", ""),
    ],
)
def test_impossible_values(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "preprocessor_config.json").write_text(text)
    if not message:
        assert find_preprocessing(tmp_path / "net.onnx", {}) == Preprocessing()
        return
    with pytest.raises(DogsimError, match=message):
        find_preprocessing(tmp_path / "net.onnx", {})


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(DogsimError, match="Received mean=1j. Expected one number, or three"):
        Preprocessing.checked(1j, None, None)
