"""Lesson 7: inside a network."""

from pathlib import Path

import numpy as np
import pytest
from commands import lesson
from printed import answers, same

import look_inside
from dogsim import resnet50


@pytest.mark.slow
def test_the_lesson(tmp_path: Path) -> None:
    out = lesson("look_inside", "--networks", "MobileNet", "--epochs", 1, "--save", tmp_path)
    for number in ("60,965,224", "6,998,552", "4,253,864", "857,082", "163,328", "50,177,000"):
        assert number in out
    lines = [line.split() for line in out.splitlines()]
    assert ["with", "weights", "22", "22"] in lines
    assert ["and", "pooling", "27", "27"] in lines
    assert "identity block with zeros: largest change 0\n" in out
    ratios = {line[0]: float(line[-1]) for line in lines if line[:1] in (["sigmoid"], ["ReLU"])}
    assert ratios["sigmoid"] < 1e-6 < 0.01 < ratios["ReLU"]  # the gradient vanishes
    errors = [line for line in lines if line[1:2] == ["layers"] and line[0].isdigit()]
    assert [line[0] for line in errors] == ["8", "20", "32"]
    assert all(0 <= float(error) <= 1 for line in errors for error in line[2:])
    without, with_shortcuts = (
        float(line.split()[-2].replace(",", ""))
        for line in out.splitlines()
        if line.endswith("times")
    )
    assert without > 20 * with_shortcuts  # ratio of the gradients at both ends of 56 layers
    assert (tmp_path / "gradient-norms.png").is_file()


def test_multiply_adds_by_hand() -> None:
    layer = resnet50().get_layer("conv1_conv")  # 7 x 7 x 3 to 64, 112 x 112
    assert look_inside.multiply_adds(layer) == 49 * 3 * 64 * 112 * 112


def test_a_thumbnail_network_has_its_layers() -> None:
    keras = look_inside.keras
    network = look_inside.thumbnail_resnet(8)
    assert look_inside.longest_path(network, keras.layers.Conv2D, keras.layers.Dense) == 8
    plain = look_inside.thumbnail_resnet(8, shortcuts=False)
    assert plain.count_params() == network.count_params()
    images = np.zeros((2, 32, 32, 3), np.float32)
    lengths = [*look_inside.gradients(network, images, np.array([0, 1], np.int32))]
    assert len(lengths) == 7


@pytest.mark.slow
def test_solutions(capsys: pytest.CaptureFixture[str]) -> None:
    solutions = look_inside.bottleneck, look_inside.reductions, look_inside.work
    for solution, shown in zip(solutions, answers("look_inside"), strict=True):
        solution()
        same(capsys.readouterr().out, shown, 0.001)
