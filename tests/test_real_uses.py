"""Test the results of the other methods on real photos and features."""

import re
from pathlib import Path

import numpy as np
import pytest
from commands import lesson

from dogsim import (
    Dataset,
    ImageDistance,
    accuracy,
    create_dataset,
    hold_out,
    project,
    save_model,
    train_ranking,
)

pytestmark = pytest.mark.real_data


def test_deep_ranking_improves_on_held_out_breeds(breeds120: Dataset, tmp_path: Path) -> None:
    gallery, queries = hold_out(breeds120, 0.2, seed=0)
    save_model(train_ranking(gallery).model, tmp_path / "head.keras")
    before = accuracy(gallery, 20, queries)
    gallery, queries = (project(x, tmp_path / "head.keras") for x in (gallery, queries))
    after = accuracy(gallery, 20, queries)
    assert before.precision_at_k < 0.6
    assert after.precision_at_k >= 0.78
    assert after.vote_accuracy > before.vote_accuracy + 0.03
    # also by leave-one-out among the queries, so the head has not just memorised the gallery
    before, after = (accuracy(x, 19) for x in (hold_out(breeds120, 0.2, seed=0)[1], queries))
    assert after.precision_at_k > before.precision_at_k + 0.15


def test_the_clothes_of_the_sprite(real_data: Path, resnet_file: Path, tmp_path: Path) -> None:
    out = lesson(
        "fashion_mnist",
        *("--images", real_data / "data" / "fashion_mnist_sprite.png", "--backbone", "resnet50"),
        *("--weights", resnet_file, "--metric", "euclidean", "--save", tmp_path),
    )
    lines = re.findall(r"^ *(\d+) +([\d.]+) +[\d.]+ +[\d.]+ +([\d.]+)$", out, re.MULTILINE)
    found = {int(k): float(precision) for k, precision, _ in lines}
    # Another rounding of the pixels changes precision@1 by 0.005; 0.015 is its standard error.
    assert found == pytest.approx({1: 0.7767, 5: 0.7193, 20: 0.6438}, abs=0.015)
    votes = {int(k): float(vote) for k, _, vote in lines}
    assert votes == pytest.approx({1: 0.7767, 5: 0.7878, 20: 0.7678}, abs=0.015)


def test_breeds_are_separated(real_data: Path, resnet_file: Path) -> None:
    folders = sorted((real_data / "data" / "stanford_dogs_224").iterdir())[:4]
    images = [image for folder in folders for image in sorted(folder.iterdir())[:4]]
    matrix = ImageDistance(weights=str(resnet_file)).compute_batch(images)
    breed = np.arange(16) // 4
    same = (breed[:, None] == breed) & ~np.eye(16, dtype=bool)
    assert matrix[same].mean() < 0.8 * matrix[breed[:, None] != breed].mean()


def test_boxes_improve_the_precision(real_data: Path, resnet_file: Path, tmp_path: Path) -> None:
    data = real_data / "data"
    photos, boxes = data / "stanford_dogs_original", data / "stanford_dogs_annotation"
    whole = create_dataset(photos, tmp_path / "whole.h5", weights=str(resnet_file))
    cropped = create_dataset(photos, tmp_path / "cropped.h5", weights=str(resnet_file), boxes=boxes)
    assert cropped.boxes is not None
    assert cropped.boxes.any(axis=1).all()
    before, after = (accuracy(each, 20).precision_at_k for each in (whole, cropped))
    assert before == pytest.approx(0.940, abs=0.02)
    assert after >= before + 0.01
