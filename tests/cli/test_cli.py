import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from typer.testing import CliRunner

from dogsim import Dataset, sample_queries
from dogsim.cli import app

QUERIES = [str(path) for path in sample_queries()[:2]]


def dogsim(*arguments: object, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def dogsim_json(*arguments: object) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(dogsim(*arguments, "--json").stdout)
    return loaded


@pytest.fixture(scope="module")
def stored(breeds_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "d.h5"
    made = dogsim_json("create-dataset", breeds_dir, "-o", out, "--backbone", "efficientnet-lite0")
    assert made["pictures"] == 6
    assert made["breeds"] == 2
    assert made["features"] == 1280
    return out


def run(*command: object, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        env=os.environ | environment,
        cwd=REPOSITORY,
    )


def test_help_has_an_example_of_every_command() -> None:
    listing = dogsim("--help").stdout
    for command in ("show", "classify", "accuracy", "create-dataset", "info"):
        assert command in listing
        assert f"Example: dogsim {command} " in dogsim(command, "--help").stdout


def loaded_after(code: str) -> set[str]:
    """Which heavy packages a fresh Python has loaded once `code` has run."""
    heavy = {"tensorflow", "keras", "matplotlib", "numpy", "h5py"}
    done = run("-c", f"{code}\nimport sys\nprint(*({heavy} & set(sys.modules)))")
    assert done.stderr == ""
    return set(done.stdout.splitlines()[-1].split())


def test_the_front_door_is_light() -> None:
    assert loaded_after("import dogsim") == set()
    help_text = "from dogsim.cli import app; app(['--help'], standalone_mode=False)"
    assert loaded_after(help_text) == set()


def test_help_answers_at_once() -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run("-c", "from dogsim.cli import app; app(['--help'])")
        times.append(time.perf_counter() - start)
    assert min(times) < 0.5


def test_judging_a_stored_dataset_loads_no_tensorflow(stored: Path) -> None:
    arguments = ["accuracy", "--k", "2", "--dataset", str(stored)]
    code = f"from dogsim.cli import app; app({arguments}, standalone_mode=False)"
    assert loaded_after(code) == {"numpy", "h5py"}


def test_accuracy(stored: Path) -> None:
    result = dogsim_json("accuracy", "--k", 2, "--dataset", stored)
    assert list(result) == [
        *("queries", "gallery", "k", "protocol", "metric"),
        *("precision_at_k", "recall_at_k", "f1_at_k"),
        *("vote_accuracy", "vote_accuracy_ci95", "chance"),
    ]
    assert result["precision_at_k"] == 1
    assert result["chance"] == pytest.approx(2 / 5)
    text = dogsim("accuracy", "--k", 2, "--dataset", stored).stdout.splitlines()
    assert text[0].startswith("6 queries, 5 pictures to choose from, euclidean distance")
    assert text[2].split()[:2] == ["k", "precision@k"]
    assert text[3].split()[:2] == ["2", "1.0000"]


def test_accuracy_of_a_test_set_that_is_known(stored: Path) -> None:
    result = dogsim_json("accuracy", "-k", 1, "--dataset", stored, "--test", stored)
    assert (result["gallery"], result["in_both"]) == (6, 6)
    done = dogsim("accuracy", "-k", 1, "--dataset", stored, "--test", stored)
    assert done.stderr == "6 of the test pictures are in the dataset as well.\n"


def test_accuracy_in_tables(stored: Path, tmp_path: Path) -> None:
    every = ("accuracy", "-k", 1, "-k", 4, "--dataset", stored, "--per-breed", "--confusions")
    result = dogsim_json(*every, "--map-at-r", "--csv", tmp_path / "t.csv")
    assert [each["k"] for each in result["results"]] == [1, 4]
    assert result["map_at_r"] == 1
    assert [score["breed"] for score in result["per_breed"]] == ["red setter", "striped"]
    assert (
        result["confusions"]
        == [
            {"breed": "red setter", "taken_for": "striped", "count": 3, "part": 1.0},
            {"breed": "striped", "taken_for": "red setter", "count": 3, "part": 1.0},
        ]
        or result["confusions"] == []
    )
    rows = (tmp_path / "t.csv").read_text().splitlines()
    assert rows[0].startswith("breed,")
    assert "MAP@R 1.0000" in dogsim(*every, "--map-at-r").stdout


def test_dataset_from_the_environment(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGSIM_DATASET", str(stored))
    assert dogsim_json("accuracy", "--k", 1)["queries"] == 6


def test_classify(stored: Path, breeds_dir: Path) -> None:
    result = dogsim_json("classify", breeds_dir / "striped", "-k", 3, "--dataset", stored)
    assert [answer["breed"] for answer in result["results"]] == ["striped"] * 3
    first = result["results"][0]
    assert first["votes"] == 3
    assert first["neighbours"][0]["path"] == "striped/0.png"
    picture = breeds_dir / "striped" / "0.png"
    text = dogsim("classify", picture, "-k", 3, "--dataset", stored).stdout
    assert text == f"{picture}: striped (3 of 3 votes)\n"


def test_show(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    picture = breeds_dir / "striped" / "0.png"
    result = dogsim_json("show", picture, "-k", 3, "--dataset", stored, "--save", tmp_path)
    assert result["grids"] == [str(tmp_path / "0.png")]
    assert (tmp_path / "0.png").stat().st_size > 10_000


def test_info(stored: Path, breeds_dir: Path) -> None:
    result = dogsim_json("info", stored)
    assert result["backbone"] == "efficientnet-lite0"
    assert result["root"] == str(breeds_dir)
    assert "layer           avg_pool" in dogsim("info", stored).stdout


def test_the_sample_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new user runs first, on a machine that reaches no weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = dogsim("accuracy", "--k", 20)
    assert "ImageNet weights of resnet50 could not be downloaded" in first.stderr
    assert "features of efficientnet-lite0" in first.stderr
    result = dogsim_json("accuracy", "--k", 5)
    assert result["queries"] == 300
    assert result["precision_at_k"] > 0.9
    second = dogsim("accuracy", "--k", 20)
    assert second.stdout == first.stdout
    assert "downloaded" not in second.stderr  # it does not knock at the closed door again

    grids = dogsim_json("show", *QUERIES, "--save", tmp_path / "grids")["grids"]
    assert len(grids) == 2
    answers = dogsim_json("classify")["results"]
    right = sum(Path(x["image"]).stem.replace("_", " ") == x["breed"] for x in answers)
    assert len(answers) == 12
    assert right >= 11


def test_the_lesson_runs(tmp_path: Path) -> None:
    done = run("scripts/main.py", *QUERIES, "-k", "8", "--save", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("*.png"))) == 2
    lines = done.stdout.splitlines()
    assert lines[0] == "Dalmatian.jpg: Dalmatian"
    assert lines[-1] == str(tmp_path / f"{Path(QUERIES[1]).stem}.png")
    assert "WARNING" not in done.stderr
    assert "oneDNN" not in done.stderr


def test_mistakes_are_told_in_one_line(
    stored: Path, breeds_dir: Path, tmp_path: Path, four: Dataset
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.jpg").write_text("no picture")
    (tmp_path / "text.keras").write_text("no model")
    four.save(tmp_path / "four.h5")
    picture, out = breeds_dir / "striped" / "0.png", tmp_path / "out.h5"
    of = ("--dataset", stored)
    create = ("create-dataset", breeds_dir, "-o", out)
    for arguments, message in [
        (("show", tmp_path / "none.jpg", *of), "There is no picture or folder"),
        (("show", tmp_path / "empty", *of), "There is no picture in the folder"),
        (("classify", tmp_path / "text.jpg", "-k", 1, *of), "no known picture format"),
        (("classify", picture, "-k", 0, *of), "Received k=0. Expected 1 to 6"),
        (("classify", picture, "-k", -2, *of), "Received k=-2"),
        (("classify", picture, *of), "Received k=20"),
        (("classify", picture, "-k", 1, "--metric", "l2", *of), "Unknown metric 'l2'"),
        (("classify", picture, "-k", 1, "--dataset", tmp_path / "four.h5"), "does not say how"),
        (("accuracy", "--dataset", tmp_path / "none.h5"), "There is no dataset file"),
        (("accuracy", "--dataset", picture), "Cannot read"),
        (("accuracy", "--k", 6, *of), "Received k=6. Expected 1 to 5"),
        (("info", tmp_path), "There is no dataset file"),
        (("create-dataset", tmp_path / "none", "-o", out), "There is no folder"),
        (("create-dataset", breeds_dir, "-o", tmp_path), "Received the folder"),
        ((*create, "--backbone", "resnet5"), "did you mean 'resnet50'"),
        ((*create, "--weights", tmp_path / "text.keras"), "as a Keras model"),
        ((*create, "--backbone", "efficientnet-lite0", "--layer", "x"), "Unknown layer 'x'"),
        ((*create, "--resize", "fit"), "Unknown resize 'fit'"),
        ((*create, "--batch-size", 0, "--backbone", "efficientnet-lite0"), "batch_size=0"),
        (create, "--backbone efficientnet-lite0"),  # the weights cannot be downloaded
    ]:
        result = dogsim(*arguments, "--json", code=1)
        assert result.stdout == ""
        line = result.stderr.splitlines()[-1]
        assert line.startswith("dogsim: ")
        assert message in line
    assert not list(tmp_path.glob("out*"))  # hidden .out.h5.lock stays, it is a lock


def test_usage_errors_exit_with_2() -> None:
    for arguments in (("nonsense",), ("accuracy", "--k", "many"), ("info",)):
        assert dogsim(*arguments, code=2).stdout == ""
