from pathlib import Path

import numpy as np
import pytest
from commands import dogsim, dogsim_json, refusal

from dogsim import (
    Dataset,
    load_head,
)
from dogsim.plumbing.files import file_sha256


def test_deep_ranking_and_project(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(4), 12).astype(np.int32)
    features = np.eye(4)[labels].repeat(5, axis=1) + rng.normal(0, 1, (48, 20))
    paths = tuple(f"{i}.jpg" for i in range(48))
    Dataset(features.astype(np.float32), labels, paths, ("a", "b", "c", "d")).save(
        tmp_path / "plain.h5"
    )
    head = tmp_path / "head.keras"
    learned = dogsim_json("deep-ranking", tmp_path / "plain.h5", "-o", head, "--max-steps", 50)
    assert learned["precision_after"] >= learned["precision_before"] > learned["precision_raw"]
    assert learned["k"] == 20
    made = dogsim_json("project", tmp_path / "plain.h5", "--head", head, "-o", tmp_path / "g.h5")
    assert made["features"] == 3
    assert load_head(head).sha256 == file_sha256(head)
    before, after = (
        dogsim_json("accuracy", "--dataset", tmp_path / name, "-k", 5)
        for name in ("plain.h5", "g.h5")
    )
    assert after["precision_at_k"] > before["precision_at_k"] + 0.1


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("deep-ranking", "gone.h5", "-o", "head.h5"), "ends in .keras"),
        (("deep-ranking", "gone.h5", "-o", "no/head.keras"), "There is no folder no"),
        (("deep-ranking", "gone.h5", "-o", "head.keras"), "There is no dataset file gone.h5"),
        (("project", "gone.h5", "--head", "h.keras", "-o", "g.h5"), "There is no dataset file"),
    ],
)
def test_the_commands_refuse_in_one_line(
    args: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = dogsim(*args, code=1)
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_options_that_would_do_nothing_are_refused(stored: Path, tmp_path: Path) -> None:
    learn = ("deep-ranking", stored, "-o", tmp_path / "x.keras")
    for option in (("--negatives", "near"), ("--width", "3")):
        assert "It is for heads only" in refusal(*learn, "--from-layer", "conv", *option)
    for name, value in (("--weights", "w.h5"), ("--root", tmp_path)):
        assert "It is for networks only" in refusal(*learn, name, value)


def test_the_pictures_of_a_network_that_learns_may_have_moved(stored: Path, tmp_path: Path) -> None:
    learn = ("deep-ranking", stored, "-o", tmp_path / "x.keras", "--from-layer", "avg_pool")
    assert refusal(*learn, "--root", tmp_path)  # of too few pictures, or of no such layer
    assert not (tmp_path / "x.keras").exists()


def test_nothing_of_the_users_is_replaced(stored: Path, four: Dataset, tmp_path: Path) -> None:
    data, mine = tmp_path / "d.h5", tmp_path / "mine.keras"
    four.save(data)
    mine.write_bytes(b"mine")
    assert "--force" in refusal("deep-ranking", data, "-o", mine)
    assert mine.read_bytes() == b"mine"
    before = data.read_bytes()
    assert "is read by this command" in refusal("project", data, "--head", mine, "-o", data)
    (tmp_path / "other.h5").write_bytes(before)
    other = ("project", data, "--head", mine, "-o", tmp_path / "other.h5")
    assert "--force" in refusal(*other)
    assert data.read_bytes() == before
