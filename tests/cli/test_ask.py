import csv
import json
import os
import sys
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
from dogsim.cli.compare import MATRIX_HEADER
from dogsim.networks.backbones import default_backbone
from dogsim.networks.extractor import NetworkOptions

QUERIES = [str(path) for path in sample_queries()[:2]]


def test_classify(stored: Path, breeds_dir: Path) -> None:
    arguments = ("classify", breeds_dir / "striped", "-k", 3, "--dataset", stored)
    result = dogsim_json(*arguments, "--keep-self")
    assert [answer["breed"] for answer in result["results"]] == ["striped"] * 3
    first = result["results"][0]
    assert first["votes"] == 3
    assert first["in_dataset"] == first["neighbours"][0]["path"] == "striped/0.png"
    assert first["neighbours"][0]["distance"] == 0
    query = breeds_dir / "striped" / "0.png"
    printed = dogsim("classify", query, "-k", 5, "--dataset", stored)
    assert printed.stdout.startswith(f"{query}: red setter (3 of 5 votes, striped 2), nearest str")
    assert printed.stderr.splitlines() == [
        "Images in the dataset already: 1. "
        "Such an image does not vote on itself, except with --keep-self."
    ]


def test_k_exceeds_the_size_of_most_breeds(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    """With 1, 1 and 3 images a breed, k = 4 lets the breed of 3 win each vote."""
    dataset = Dataset.open(stored)
    file = tmp_path / "uneven.h5"
    labels = np.array([0, 0, 0, 1, 2], np.int32)
    replace(dataset.take([0, 1, 2, 3, 4]), labels=labels, breeds=("a", "b", "c")).save(file)
    warning = (
        "k is 4, but half of the breeds have 1 image or fewer, and the largest has 3: it can win a "
        "vote by its size. Use a smaller k; dogsim accuracy --k 1 --k 2 compares two."
    )
    query = breeds_dir / "striped" / "0.png"
    assert warning in dogsim("classify", query, "-k", 4, "--dataset", file).stderr.splitlines()
    assert warning in dogsim("accuracy", "-k", 1, "-k", 4, "--dataset", file).stderr.splitlines()
    assert "by its size" not in dogsim("classify", query, "-k", 1, "--dataset", file).stderr
    assert "by its size" not in dogsim("classify", query, "-k", 4, "--dataset", stored).stderr


def test_the_default_k_is_at_most_all_other_images(
    stored: Path, breeds_dir: Path, tmp_path: Path
) -> None:
    """Of the dataset of 6 images, an image of it has 5 others."""
    query = breeds_dir / "striped" / "0.png"
    for command, default in (("classify", 20), ("show", 8)):
        save = ("--save", tmp_path) if command == "show" else ()
        printed = dogsim(command, query, "--dataset", stored, *save)
        note = f"Only 5 images can be neighbours: k is 5 instead of {default}."
        assert note in printed.stderr.splitlines()
    assert dogsim_json("classify", query, "--dataset", stored)["k"] == 5
    assert "Received k=20. Expected 1 to 6" in refusal(
        "classify", query, "-k", 20, "--dataset", stored
    )
    assert "[default: 8, at most all]" in dogsim("show", "--help").stdout
    small = tmp_path / "small.h5"
    Dataset.open(stored).take([0, 3, 4]).save(small)
    explained = dogsim("explain", query, "--dataset", small, "--save", tmp_path)
    assert "Only 2 images can be neighbours: k is 2 instead of 3." in explained.stderr


def test_other_queries_are_answered_despite_a_bad_file(
    stored: Path, breeds_dir: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "1.png")
    (tmp_path / "2.jpg").write_text("no image")
    Image.new("RGB", (9, 9), "red").save(tmp_path / "3.png")
    arguments = (tmp_path, tmp_path / "gone.jpg", "-k", 1, "--dataset", stored)
    printed = dogsim("classify", *arguments, code=1)
    assert [line.partition(":")[0] for line in printed.stdout.splitlines()] == [
        str(tmp_path / "1.png"),
        str(tmp_path / "3.png"),
    ]
    bad = [line for line in printed.stderr.splitlines() if "..." not in line]
    assert bad[0] == f"There is no image or folder {tmp_path / 'gone.jpg'}."
    assert bad[1].startswith(f"dogsim: Cannot read {tmp_path / '2.jpg'} as an image: its content")
    table = tmp_path / "answers.csv"
    result = json.loads(dogsim("classify", *arguments, "--csv", table, "--json", code=1).stdout)
    assert len(result["results"]) == 2
    header, first, _ = table.read_text(encoding="utf-8").splitlines()
    assert header.startswith("image,breed,votes,runner_up,")
    assert first.startswith(f"{tmp_path / '1.png'},red setter,1,,0,,n00000001-red_setter/")
    dogsim("classify", *arguments, "--csv", table, code=1)  # its own table may be replaced
    photo = tmp_path / "3.png"
    before = photo.read_bytes()
    mine = ("classify", tmp_path / "1.png", "-k", 1, "--dataset", stored, "--csv", photo)
    assert "--force" in refusal(*mine)
    assert photo.read_bytes() == before
    shown = dogsim("show", *arguments, "--save", tmp_path, "--json", code=1).stdout
    assert [Path(grid).name for grid in json.loads(shown)["grids"]] == ["1.grid.png", "3.grid.png"]


def test_show(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    query = breeds_dir / "striped" / "0.png"
    result = dogsim_json("show", query, "-k", 3, "--dataset", stored, "--save", tmp_path)
    assert result["grids"] == [str(tmp_path / "0.png")]
    assert (tmp_path / "0.png").stat().st_size > 10_000


def test_moved_images(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    Dataset.open(stored).take(range(6)).save(tmp_path / "d.h5")
    moved = replace(Dataset.open(tmp_path / "d.h5"), root=str(tmp_path / "gone"))
    moved.save(tmp_path / "d.h5")
    arguments = (breeds_dir / "striped" / "0.png", "-k", 3, "--dataset", tmp_path / "d.h5")
    grids = ("--save", tmp_path / "grids")
    printed = dogsim("show", *arguments, *grids).stderr
    assert f"3 of the images are not in {tmp_path / 'gone'}." in printed
    assert "--root FOLDER" in printed
    assert "--root" not in dogsim("show", *arguments, *grids, "--root", breeds_dir).stderr
    nearest = ("explain", *arguments, "-k", 1, *grids)
    assert "--root FOLDER" in refusal(*nearest)
    assert len(dogsim_json(*nearest, "--root", breeds_dir)["pairs"]) == 1


def test_neighbours_without_breeds(breeds_dir: Path, colours: str, tmp_path: Path) -> None:
    """A single folder of images is searched; the answer mentions no vote."""
    flat = tmp_path / "flat"
    copytree(breeds_dir / "striped", flat)
    dogsim("create-dataset", flat, "-o", tmp_path / "d.h5", "--weights", colours)
    arguments = (breeds_dir / "n00000001-red_setter" / "0.png", "--dataset", tmp_path / "d.h5")
    line = dogsim("classify", *arguments, "-k", 3).stdout
    assert line.count(" at ") == 3
    assert "vote" not in line
    assert line.endswith("; of unknown breed; tiny (under 100 pixels)\n")
    (answer,) = dogsim_json("classify", *arguments, "-k", 3)["results"]
    assert (answer["breed"], answer["votes"], answer["runner_up"]) == ("unknown", 0, "")
    assert [each["breed"] for each in answer["neighbours"]] == ["unknown"] * 3
    assert dogsim_json("show", *arguments, "-k", 3, "--save", tmp_path / "grids")["grids"]


def test_options_are_checked_before_the_network_is_loaded(
    stored: Path, breeds_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "new.png")
    (tmp_path / "mine.csv").write_text("mine")
    monkeypatch.setattr(NetworkOptions, "load", lambda _: pytest.fail("loaded"))
    arguments = ("classify", tmp_path / "new.png", "--dataset", stored)
    for wrong, message in [
        (("-k", 0), "Received k=0"),
        (("-k", 3, "--metric", "l2"), "Unknown metric"),
        (("-k", 3, "--csv", tmp_path / "mine.csv"), "--force"),
        (("-k", 3, "--csv", tmp_path / "no" / "t.csv"), "There is no folder"),
        (("-k", 3, "--weights", "gone.h5"), "There is no weight file"),
        (("-k", 3, "--confidence", 2), "confidence"),
    ]:
        assert message in refusal(*arguments, *wrong)


def test_help_explains_the_true_breed() -> None:
    for command, source in [
        ("show", "if the name of the image or of its folder is a breed"),
        ("classify", "the name of its folder when the dataset was made"),
        ("accuracy", "the name of its folder when the dataset was made"),
    ]:
        assert source in " ".join(dogsim(command, "--help").stdout.split())


@pytest.mark.skipif(os.name != "posix", reason="names that are not UTF-8")
def test_an_image_whose_name_is_not_utf8(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    query = tmp_path / os.fsdecode(b"caf\xe9.png")
    copyfile(breeds_dir / "striped" / "0.png", query)
    arguments = ("classify", query, "-k", 3, "--dataset", stored)
    assert dogsim(*arguments).stdout.startswith(rf"{tmp_path}/caf\xe9.png: ")
    printed = dogsim(*arguments, "--json").stdout
    printed.encode()  # no surrogate
    assert json.loads(printed)["results"][0]["image"] == rf"{tmp_path}/caf\xe9.png"
    table = tmp_path / "t.csv"
    dogsim(*arguments, "--csv", table)
    assert r"caf\xe9.png" in table.read_text(encoding="utf-8")


def test_grids_never_replace_photos(stored: Path, breeds_dir: Path, tmp_path: Path) -> None:
    copytree(breeds_dir / "striped", tmp_path / "$5_$7")
    before = {path: path.read_bytes() for path in (tmp_path / "$5_$7").iterdir()}
    arguments = ("show", tmp_path / "$5_$7", "-k", 3, "--dataset", stored)
    result = dogsim_json(*arguments, "--save", tmp_path / "$5_$7")
    assert [Path(grid).name for grid in result["grids"]] == [f"{n}.grid.png" for n in range(3)]
    assert before == {path: path.read_bytes() for path in before}
    # Now the grids are queries, too.
    before = {path: path.read_bytes() for path in (tmp_path / "$5_$7").iterdir()}
    assert len(dogsim_json(*arguments, "--save", tmp_path / "$5_$7")["grids"]) == 6
    assert before == {path: path.read_bytes() for path in before}


def test_the_sample_without_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first commands of a new user, if no weights can be downloaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    default_backbone.cache_clear()  # as in a new process
    first = dogsim("accuracy", "--k", 20)
    assert "The weights of resnet50 could not be downloaded" in first.stderr
    assert "features of efficientnet-lite2" in first.stderr
    result = dogsim_json("accuracy", "--k", 5)
    assert result["queries"] == 300
    assert result["precision_at_k"] > 0.9
    default_backbone.cache_clear()
    second = dogsim("accuracy", "--k", 20)
    assert second.stdout == first.stdout
    assert "downloaded" not in second.stderr  # it does not try again

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


def test_distances_of_many_images(breeds_dir: Path, colours: str, tmp_path: Path) -> None:
    options = ("--weights", colours, "--metric", "euclidean", "--csv", tmp_path / "far.csv")
    arguments = ("distance", breeds_dir / "striped", breeds_dir / "n00000001-red_setter", *options)
    result = dogsim_json(*arguments, "--save", tmp_path, "--no-normalize")
    distances = np.array(result["distances"])
    assert distances.shape == (6, 6)
    assert distances[:3, :3].max() < distances[:3, 3:].min()  # the striped ones are similar
    assert Path(result["figure"]).is_file()
    assert "distance" not in result
    with (tmp_path / "far.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["picture", *result["images"]]
    assert [row[0] for row in rows] == result["images"]
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), distances)
    # the own file is replaced; the features have length 1
    assert np.max(dogsim_json(*arguments)["distances"]) < 2 < distances.max()
    shown = dogsim(*arguments).stdout.splitlines()
    assert shown[0].split() == ["picture", *"123456"]
    (tmp_path / "far.csv").write_text("mine")
    assert "was not made by this command" in refusal(*arguments)
    assert (tmp_path / "far.csv").read_text() == "mine"


@pytest.mark.skipif(sys.platform != "linux", reason="names that other systems do not allow")
def test_distances_of_files_with_hostile_names(
    breeds_dir: Path, colours: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header has the names as the rows have them, and a column for each of them."""
    monkeypatch.chdir(tmp_path)
    names = ["=1+1.png", "caf\udce9.png", MATRIX_HEADER]
    for number, name in enumerate(names):
        copyfile(breeds_dir / "striped" / f"{number}.png", name)
    result = dogsim_json("distance", *names, "--weights", colours, "--csv", "far.csv")
    with (tmp_path / "far.csv").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == [MATRIX_HEADER, "'=1+1.png", r"caf\xe9.png", MATRIX_HEADER]
    assert [row[0] for row in rows] == header[1:]
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), result["distances"])


def test_explain_two_images(tmp_path: Path) -> None:
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
    arguments = breeds_dir / "striped" / "0.png", "--dataset", stored, "-k", 2, "--save", tmp_path
    pairs = dogsim_json("explain", *arguments)["pairs"]
    assert [Path(pair["figure"]).name for pair in pairs] == ["0-1.png", "0-2.png"]
    assert all(Path(pair["other"]).parent == breeds_dir / "striped" for pair in pairs)
    text = dogsim("explain", *arguments).stdout
    assert "euclidean distance" in text
    assert "Received --layer with a dataset, whose network is used" in refusal(
        "explain", *arguments, "--layer", "avg_pool"
    )
    assert "--root FOLDER" in refusal("explain", *arguments, "--root", tmp_path)


def test_confidence(stored: Path, breeds_dir: Path, colours: str, tmp_path: Path) -> None:
    """Six images suffice for 0.8, not for 0.9, which is checked before the network is loaded."""
    query = next(breeds_dir.rglob("*.png"))
    command = ("classify", query, "--dataset", stored, "-k", 3, "--weights", colours)
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
