import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from shutil import copyfile, copytree

import numpy as np
import pytest
from commands import dogsim, dogsim_json, refusal
from conftest import LITE
from PIL import Image
from test_image_distance import image

from dogsim import Dataset, ImageDistance, sample_queries
from dogsim.networks.extractor import NetworkOptions

QUERIES = [str(path) for path in sample_queries()[:2]]


def test_classify(stored: Path, breeds_dir: Path) -> None:
    asked = ("classify", breeds_dir / "striped", "-k", 3, "--dataset", stored)
    result = dogsim_json(*asked, "--keep-self")
    assert [answer["breed"] for answer in result["results"]] == ["striped"] * 3
    first = result["results"][0]
    assert first["votes"] == 3
    assert first["in_dataset"] == first["neighbours"][0]["path"] == "striped/0.png"
    assert first["neighbours"][0]["distance"] == 0
    picture = breeds_dir / "striped" / "0.png"
    said = dogsim("classify", picture, "-k", 5, "--dataset", stored)
    assert said.stdout.startswith(f"{picture}: red setter (3 of 5 votes, striped 2), nearest str")
    assert said.stderr.splitlines() == [
        "Images in the dataset already: 1. "
        "Such an image does not vote on itself, except with --keep-self."
    ]


def test_a_bad_file_costs_no_other_its_answer(
    stored: Path, breeds_dir: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "1.png")
    (tmp_path / "2.jpg").write_text("no picture")
    Image.new("RGB", (9, 9), "red").save(tmp_path / "3.png")
    asked = (tmp_path, tmp_path / "gone.jpg", "-k", 1, "--dataset", stored)
    said = dogsim("classify", *asked, code=1)
    assert [line.partition(":")[0] for line in said.stdout.splitlines()] == [
        str(tmp_path / "1.png"),
        str(tmp_path / "3.png"),
    ]
    bad = [line for line in said.stderr.splitlines() if "..." not in line]
    assert bad[0] == f"There is no image or folder {tmp_path / 'gone.jpg'}."
    assert bad[1].startswith(f"dogsim: Cannot read {tmp_path / '2.jpg'} as an image: its content")
    table = tmp_path / "answers.csv"
    result = json.loads(dogsim("classify", *asked, "--csv", table, "--json", code=1).stdout)
    assert len(result["results"]) == 2
    header, first, _ = table.read_text(encoding="utf-8").splitlines()
    assert header.startswith("image,breed,votes,runner_up,")
    assert first.startswith(f"{tmp_path / '1.png'},red setter,1,,0,,n00000001-red_setter/")
    dogsim("classify", *asked, "--csv", table, code=1)  # its own table may be replaced
    photo = tmp_path / "3.png"
    before = photo.read_bytes()
    mine = ("classify", tmp_path / "1.png", "-k", 1, "--dataset", stored, "--csv", photo)
    assert "--force" in refusal(*mine)
    assert photo.read_bytes() == before
    grids = json.loads(dogsim("show", *asked, "--save", tmp_path, "--json", code=1).stdout)["grids"]
    assert [Path(grid).name for grid in grids] == ["1.grid.png", "3.grid.png"]


def test_show(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    picture = breeds_dir / "striped" / "0.png"
    result = dogsim_json("show", picture, "-k", 3, "--dataset", stored, "--save", tmp_path)
    assert result["grids"] == [str(tmp_path / "0.png")]
    assert (tmp_path / "0.png").stat().st_size > 10_000


def test_pictures_that_have_moved(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    Dataset.open(stored).take(range(6)).save(tmp_path / "d.h5")
    moved = replace(Dataset.open(tmp_path / "d.h5"), root=str(tmp_path / "gone"))
    moved.save(tmp_path / "d.h5")
    asked = (breeds_dir / "striped" / "0.png", "-k", 3, "--dataset", tmp_path / "d.h5")
    grids = ("--save", tmp_path / "grids")
    said = dogsim("show", *asked, *grids).stderr
    assert f"3 of the images are not in {tmp_path / 'gone'}." in said
    assert "--root FOLDER" in said
    assert "--root" not in dogsim("show", *asked, *grids, "--root", breeds_dir).stderr
    nearest = ("explain", *asked, "-k", 1, *grids)
    assert "--root FOLDER" in refusal(*nearest)
    assert len(dogsim_json(*nearest, "--root", breeds_dir)["pairs"]) == 1


def test_neighbours_of_no_breed(breeds_dir: Path, colours: str, tmp_path: Path) -> None:
    """One folder of pictures is searched, and nobody is told of a vote that there was not."""
    flat = tmp_path / "flat"
    copytree(breeds_dir / "striped", flat)
    dogsim("create-dataset", flat, "-o", tmp_path / "d.h5", "--weights", colours)
    asked = (breeds_dir / "n00000001-red_setter" / "0.png", "--dataset", tmp_path / "d.h5")
    line = dogsim("classify", *asked, "-k", 3).stdout
    assert line.count(" at ") == 3
    assert "vote" not in line
    assert line.endswith("; of unknown breed\n")
    (answer,) = dogsim_json("classify", *asked, "-k", 3)["results"]
    assert (answer["breed"], answer["votes"], answer["runner_up"]) == ("unknown", 0, "")
    assert [each["breed"] for each in answer["neighbours"]] == ["unknown"] * 3
    assert dogsim_json("show", *asked, "-k", 3, "--save", tmp_path / "grids")["grids"]


def test_what_costs_nothing_is_checked_before_the_network_is_loaded(
    stored: Path, breeds_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "new.png")
    (tmp_path / "mine.csv").write_text("mine")
    monkeypatch.setattr(NetworkOptions, "load", lambda _: pytest.fail("loaded"))
    asked = ("classify", tmp_path / "new.png", "--dataset", stored)
    for wrong, told in [
        (("-k", 0), "Received k=0"),
        (("-k", 3, "--metric", "l2"), "Unknown metric"),
        (("-k", 3, "--csv", tmp_path / "mine.csv"), "--force"),
        (("-k", 3, "--csv", tmp_path / "no" / "t.csv"), "There is no folder"),
        (("-k", 3, "--weights", "gone.h5"), "There is no weight file"),
        (("-k", 3, "--confidence", 2), "confidence"),
    ]:
        assert told in refusal(*asked, *wrong)


def test_help_tells_where_the_truth_comes_from() -> None:
    for command, source in [
        ("show", "if the name of the image or of its folder is a breed"),
        ("classify", "the name of its folder when the dataset was made"),
        ("accuracy", "the name of its folder when the dataset was made"),
    ]:
        assert source in " ".join(dogsim(command, "--help").stdout.split())


@pytest.mark.skipif(os.name != "posix", reason="names that are not UTF-8")
def test_a_picture_whose_name_is_not_utf8(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    picture = tmp_path / os.fsdecode(b"caf\xe9.png")
    copyfile(breeds_dir / "striped" / "0.png", picture)
    asked = ("classify", picture, "-k", 3, "--dataset", stored)
    assert dogsim(*asked).stdout.startswith(rf"{tmp_path}/caf\xe9.png: ")
    said = dogsim(*asked, "--json").stdout
    said.encode()  # no lone half of a letter
    assert json.loads(said)["results"][0]["image"] == rf"{tmp_path}/caf\xe9.png"
    table = tmp_path / "t.csv"
    dogsim(*asked, "--csv", table)
    assert r"caf\xe9.png" in table.read_text(encoding="utf-8")


def test_grids_never_replace_photos(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    copytree(breeds_dir / "striped", tmp_path / "$5_$7")
    before = {path: path.read_bytes() for path in (tmp_path / "$5_$7").iterdir()}
    asked = ("show", tmp_path / "$5_$7", "-k", 3, "--dataset", stored)
    result = dogsim_json(*asked, "--save", tmp_path / "$5_$7")
    assert [Path(grid).name for grid in result["grids"]] == [f"{n}.grid.png" for n in range(3)]
    assert before == {path: path.read_bytes() for path in before}
    # Now the grids are asked as well.
    before = {path: path.read_bytes() for path in (tmp_path / "$5_$7").iterdir()}
    assert len(dogsim_json(*asked, "--save", tmp_path / "$5_$7")["grids"]) == 6
    assert before == {path: path.read_bytes() for path in before}


def test_the_sample_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new user runs first, on a machine that reaches no weights."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first = dogsim("accuracy", "--k", 20)
    assert "The weights of resnet50 could not be downloaded" in first.stderr
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


def test_distance(tmp_path: Path) -> None:
    files = [str(tmp_path / "1.png"), str(tmp_path / "2.png")]
    for seed, file in enumerate(files):
        Image.fromarray(image(seed)).save(file)
    expected = ImageDistance(LITE).compute(*files)
    result = dogsim_json("distance", *files, "--backbone", LITE)
    assert result.pop("distances") == [[0, result["distance"]], [result["distance"], 0]]
    assert result == {
        "distance": pytest.approx(expected, rel=1e-5),
        "images": files,
        "metric": "cosine",
        "backbone": LITE,
    }
    assert dogsim("distance", *files, "--backbone", LITE).stdout == f"{expected:.4f}\n"
    assert "Unknown metric 'far'" in refusal("distance", *files, "--metric", "far")
    assert "Expected two or more" in refusal("distance", files[0], "--backbone", LITE)


def test_distances_of_many_pictures(breeds_dir: Path, colours: str, tmp_path: Path) -> None:
    options = ("--weights", colours, "--metric", "euclidean", "--csv", tmp_path / "far.csv")
    asking = ("distance", breeds_dir / "striped", breeds_dir / "n00000001-red_setter", *options)
    result = dogsim_json(*asking, "--save", tmp_path, "--no-normalize")
    distances = np.array(result["distances"])
    assert distances.shape == (6, 6)
    assert distances[:3, :3].max() < distances[:3, 3:].min()  # the striped ones are alike
    assert Path(result["figure"]).is_file()
    assert "distance" not in result
    with (tmp_path / "far.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["picture", *result["images"]]
    assert [row[0] for row in rows] == result["images"]
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), distances)
    # over our own file, and of features of length 1
    assert np.max(dogsim_json(*asking)["distances"]) < 2 < distances.max()
    shown = dogsim(*asking).stdout.splitlines()
    assert shown[0].split() == ["picture", *"123456"]
    (tmp_path / "far.csv").write_text("mine")
    assert "was not made by this command" in refusal(*asking)
    assert (tmp_path / "far.csv").read_text() == "mine"


def test_explain_two_pictures(tmp_path: Path) -> None:
    files = [tmp_path / "1.png", tmp_path / "2.png"]
    for seed, file in enumerate(files):
        Image.fromarray(image(seed)).save(file)
    out = tmp_path / "why"
    result = dogsim_json("explain", *files, "--backbone", LITE, "--save", out)
    (pair,) = result["pairs"]
    assert (pair["query"], pair["other"]) == tuple(map(str, files))
    assert pair["metric"] == "euclidean"
    assert pair["sum"] == pytest.approx(pair["distance"] ** 2, rel=1e-5)
    assert pair["figure"] == str(out / "1-2.png")
    assert Path(pair["figure"]).stat().st_size > 10_000
    assert "'cityblock' are not a sum" in refusal("explain", *files, "--metric", "cityblock")


def test_explain_the_nearest(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    asked = breeds_dir / "striped" / "0.png", "--dataset", stored, "-k", 2, "--save", tmp_path
    pairs = dogsim_json("explain", *asked)["pairs"]
    assert [Path(pair["figure"]).name for pair in pairs] == ["0-1.png", "0-2.png"]
    assert all(Path(pair["other"]).parent == breeds_dir / "striped" for pair in pairs)
    text = dogsim("explain", *asked).stdout
    assert "euclidean distance" in text
    assert "Received --layer with a dataset, whose network is used" in refusal(
        "explain", *asked, "--layer", "avg_pool"
    )
    assert "--root FOLDER" in refusal("explain", *asked, "--root", tmp_path)


def test_confidence(stored: Path, breeds_dir: Path, colours: str, tmp_path: Path) -> None:
    """Six pictures promise 0.8, not 0.9, which is told before any network is loaded."""
    picture = next(breeds_dir.rglob("*.png"))
    command = ("classify", picture, "--dataset", stored, "-k", 3, "--weights", colours)
    assert "at least 9" in refusal(*command, "--confidence", 0.9)
    (answer,) = dogsim_json(*command, "--confidence", 0.8)["results"]
    assert answer["breeds"][0] in ("red setter", "striped")
    assert len(answer["p_values"]) == 2
    assert 0 < answer["credibility"] <= 1
    assert 0 < answer["novelty_p"] <= 1
    assert answer["unknown"] is False
    assert "{" in dogsim(*command, "--confidence", 0.8).stdout
    dogsim("show", *command[1:], "--confidence", 0.8, "--save", tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 1
