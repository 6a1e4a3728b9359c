import csv
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import dogsim, dogsim_json, loaded_after, refusal

from dogsim import Dataset, nearest


def test_accuracy_loads_no_tensorflow(stored: Path) -> None:
    arguments = ["accuracy", "--k", "2", "--dataset", str(stored)]
    code = f"from dogsim.cli import app; app({arguments}, standalone_mode=False)"
    assert loaded_after(code) == {"numpy", "h5py", "scipy"}


def test_accuracy(stored: Path) -> None:
    result = dogsim_json("accuracy", "--k", 2, "--dataset", stored)
    assert list(result) == [
        *("queries", "gallery", "k", "protocol", "metric"),
        *("precision_at_k", "recall_at_k", "f1_at_k"),
        *("vote_accuracy", "vote_accuracy_ci95", "chance", "results", "scene_check"),
        "trained_on",
    ]
    assert result["results"] == [{name: result[name] for name in list(result)[:-3]}]
    assert result["precision_at_k"] == 1
    assert result["chance"] == pytest.approx(2 / 5)
    text = dogsim("accuracy", "--k", 2, "--dataset", stored).stdout.splitlines()
    assert text[0].startswith("6 queries, gallery of 5 images, euclidean distance")
    assert text[2].split()[:2] == ["k", "precision@k"]
    assert text[3].split()[:2] == ["2", "1.0000"]


def test_accuracy_of_a_test_set_that_is_in_the_dataset(stored: Path) -> None:
    result = dogsim_json("accuracy", "-k", 1, "--dataset", stored, "--test", stored)
    assert (result["gallery"], result["in_both"]) == (6, 6)
    done = dogsim("accuracy", "-k", 1, "--dataset", stored, "--test", stored)
    assert done.stderr == "6 of the test images are in the dataset as well.\n"


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


def test_the_default_k_is_at_most_all_other_images(stored: Path) -> None:
    printed = dogsim("accuracy", "--dataset", stored)
    assert printed.stderr == "Only 5 images can be neighbours: k is 5 instead of 20.\n"
    assert "Received k=20. Expected 1 to 5" in refusal("accuracy", "-k", 20, "--dataset", stored)


def test_dataset_from_the_environment(stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGSIM_DATASET", str(stored))
    assert dogsim_json("accuracy", "--k", 1)["queries"] == 6


def test_every_table_as_csv(stored: Path, tmp_path: Path) -> None:
    of = ("accuracy", "-k", 2, "--dataset", stored, "--csv", tmp_path / "t.csv")
    for options, header, rows in (
        (("--map-at-r",), "queries,gallery,k", 1),
        (("--confusions",), "breed,taken_for,count,part", 0),  # there are no confusions
        (("--per-breed",), "breed,queries", 2),
    ):
        dogsim(*of, *options)  # replaces the table of the previous run
        table = (tmp_path / "t.csv").read_text().splitlines()
        assert table[0].startswith(header)
        assert len(table) == 1 + rows
    assert "No breed is confused with another." in dogsim(*of, "--confusions").stdout


def test_an_interval_in_a_csv_file_is_two_numbers(stored: Path, tmp_path: Path) -> None:
    of = ("accuracy", "-k", 2, "--dataset", stored, "--csv", tmp_path / "t.csv")
    expected = dogsim_json(*of)["vote_accuracy_ci95"]
    (row,) = csv.DictReader((tmp_path / "t.csv").open())
    assert [float(end) for end in row["vote_accuracy_ci95"].split("; ")] == expected


def test_a_table_replaces_no_file_of_the_user(stored: Path, tmp_path: Path) -> None:
    before = stored.read_bytes()
    of = ("accuracy", "-k", 2, "--dataset", stored, "--csv")
    assert "is also read by this command" in refusal(*of, stored)
    other = tmp_path / "other.h5"
    shutil.copy(stored, other)
    assert "is also read by this command" in refusal(*of, other, "--test", other)
    (tmp_path / "mine.csv").write_text("my,own\n")
    assert "--force" in refusal(*of, tmp_path / "mine.csv")
    assert (tmp_path / "mine.csv").read_text() == "my,own\n"
    dogsim(*of, tmp_path / "mine.csv", "--force")
    assert stored.read_bytes() == before


def test_an_option_without_effect_is_refused(stored: Path) -> None:
    line = refusal("accuracy", "-k", 1, "--dataset", stored, "--weights", "/nonexistent")
    assert "Expected --weights for the sample only" in line


def test_formulas_in_breed_names_are_text(tmp_path: Path, four: Dataset) -> None:
    hostile = replace(four, breeds=("=HYPERLINK(1)", "+\x1b[31mred\n"))
    hostile.save(tmp_path / "d.h5")
    of = ("accuracy", "-k", 1, "--dataset", tmp_path / "d.h5", "--per-breed")
    shown = dogsim(*of, "--csv", tmp_path / "t.csv").stdout
    assert "\x1b" not in shown
    assert r"+\x1b[31mred\n" in shown
    cells = [row[0] for row in csv.reader((tmp_path / "t.csv").open())]
    assert sorted(cells[1:]) == ["'+" + r"\x1b[31mred\n", "'=HYPERLINK(1)"]
    assert dogsim_json(*of)["per_breed"][1]["breed"] in hostile.breeds


def test_figures_and_the_tree(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches = []

    def counted(*arguments: Any) -> Any:
        searches.append(arguments)
        return nearest(*arguments)

    monkeypatch.setattr("dogsim.retrieval.evaluation.nearest", counted)
    result = dogsim_json("accuracy", "--k", 3, "--dataset", stored, "--figures", tmp_path / "f")
    names = [Path(figure).stem for figure in result["figures"]]
    assert names[:3] == ["curves", "confusions", "distances"]
    assert all(Path(figure).stat().st_size > 5_000 for figure in result["figures"])
    assert len(searches) == 1  # for the numbers and the figures
    out = tmp_path / "tree.png"
    tree = dogsim_json("tree", "--dataset", stored, "--save", out)
    assert tree == {"figure": str(out), "breeds": 2, "metric": "euclidean", "linkage": "average"}
    dogsim("tree", "--dataset", stored, "--save", out)  # its own file is replaced
    out.write_text("mine")
    assert "was not made by this command" in refusal("tree", "--dataset", stored, "--save", out)
    assert out.read_text() == "mine"


def test_results_are_a_list_for_any_number_of_k(stored: Path) -> None:
    of = ("accuracy", "--dataset", stored)
    one, two = dogsim_json(*of, "-k", 1), dogsim_json(*of, "-k", 1, "-k", 2)
    assert one["results"] == two["results"][:1]
    assert {name: one[name] for name in one["results"][0]} == one["results"][0]
    assert [each["k"] for each in two["results"]] == [1, 2]
    assert "precision_at_k" not in two  # of which k?


def test_accuracy_as_published(tmp_path: Path) -> None:
    labels = np.arange(60, dtype=np.int32) % 2
    paths = tuple(f"{i}.jpg" for i in range(60))
    file = tmp_path / "d.h5"
    Dataset(np.eye(2, dtype=np.float32)[labels], labels, paths, ("pug", "whippet")).save(file)
    result = dogsim_json("accuracy", "--as-published", "--dataset", file)
    assert result == {
        **{"queries": 50, "draws": 1000, "gallery": 60, "k": 20, "protocol": "matlab"},
        **{"metric": "euclidean", "precision_at_k": 1, "precision_at_k_ci95": [1, 1]},
        "published": 0.5653,
    }
    lines = dogsim("accuracy", "--as-published", "--dataset", file, "--seed", 1).stdout.splitlines()
    assert lines[2] == "precision@k       1.0000, in 95 % of the draws 1.0000 to 1.0000"
    for option in ("--k 20", "--n-test 50", "--protocol matlab", "--map-at-r", "--vote distance"):
        refused = refusal("accuracy", "--as-published", "--dataset", file, *option.split())
        assert f"Received --as-published with {option.split()[0]}. Expected" in refused
