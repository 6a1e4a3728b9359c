"""Pictures that are moved towards their nearest: by hand, what it brings, what it refuses."""

from pathlib import Path

import numpy as np
import pytest
from clouds import breeds_in_noise
from commands import dogsim, dogsim_json, refusal

from dogsim import Dataset, DogsimError, accuracy, hold_out
from dogsim.expand import NEIGHBOURS, POWER, check_rank, compared, expand


def test_by_hand() -> None:
    angles = np.array([0.0, 0.2, 0.5])
    points = np.c_[np.cos(angles), np.sin(angles)]
    three = Dataset(7 * points, np.zeros(3, int), tuple("abc"), ("pug",))  # lengths do not count
    weights = np.cos(angles[:, None] - angles) ** POWER  # of itself 1
    moved = weights @ points
    expected = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    assert expand(three).features == pytest.approx(expected, abs=1e-6)
    asked = Dataset(points[:1], np.zeros(1, int), ("x",), ("pug",))
    both = (
        points[0] + weights[0] @ points
    )  # a query is no picture of the dataset: all three move it
    both /= np.linalg.norm(both)
    assert expand(three, asked).features[0] == pytest.approx(both, abs=1e-6)


def test_opposite_pictures_do_not_move_each_other() -> None:
    two = Dataset(np.array([[1.0, 0.0], [-1.0, 0.1]]), np.zeros(2, int), ("a", "b"), ("pug",))
    assert expand(two).features[0] == pytest.approx([1, 0])
    one = two.take([0])
    assert expand(one).features == pytest.approx(one.features)


def test_more_neighbours_are_right() -> None:
    rng = np.random.default_rng(4)
    labels = (np.arange(240) % 4).astype(np.int32)
    features = np.eye(4)[labels].repeat(8, axis=1) + rng.normal(0, 0.9, (240, 32))
    known = Dataset(features.astype(np.float32), labels, tuple(map(str, range(240))), tuple("abcd"))
    gallery, queries = hold_out(known, 0.3)
    found = compared(gallery, 20, queries)
    assert list(found) == ["raw", "unit", "expand"]
    assert found["raw"] == accuracy(gallery, 20, queries)
    assert found["unit"] == accuracy(gallery, 20, queries, metric="cosine")
    assert found["expand"].precision_at_k > found["unit"].precision_at_k + 0.03
    assert len(gallery) > NEIGHBOURS


def test_what_does_not_go_with_it() -> None:
    for wrong, message in (
        (("expnd", "cosine", "honest", None), "Unknown rank 'expnd'; did you mean 'expand'"),
        (("expand", "cityblock", "honest", None), "metric 'cityblock' with rank 'expand'"),
        (("expand", "cosine", "matlab", None), "with protocol matlab, which is of plain"),
        (("expand", "cosine", "honest", 0.9), "with a confidence"),
    ):
        with pytest.raises(DogsimError, match=message):
            check_rank(*wrong)


def test_the_command_compares(tmp_path: Path) -> None:
    file = tmp_path / "d.h5"
    breeds_in_noise(4, 30).save(file)
    result = dogsim_json("accuracy", "--dataset", file, "-k", 5, "--compare")
    assert [each["rank"] for each in result["compare"]] == ["raw", "unit", "expand"]
    raw, unit, moved = result["compare"]
    assert raw["precision_at_k"] == result["precision_at_k"]
    assert raw["vote_accuracy_ci95"][0] < raw["vote_accuracy"] < raw["vote_accuracy_ci95"][1]
    by_itself = dogsim_json("accuracy", "--dataset", file, "-k", 5, "--rank", "expand")
    assert by_itself["precision_at_k"] == pytest.approx(moved["precision_at_k"])
    told = dogsim("accuracy", "--dataset", file, "-k", 5, "--compare").stdout
    assert f"{unit['precision_at_k']:.4f}" in told
    assert "expand" in told
    assert "Unknown rank" in refusal("accuracy", "--dataset", file, "--rank", "best")
